//! The page for Prometheus: `GET /metrics`.
//!
//! What enters: a [`Snapshot`] of all counters, four times a second, from the thread that watches over the sensor. What
//! leaves: text in the OpenMetrics format. What it owns: one listening socket and one thread. Workers and writer don't
//! know that it exists: what is served was copied from their counters before anybody asked, so no client, however slow
//! or frequent, touches what they touch.

mod endpoint;
mod families;
mod snapshot;

pub use endpoint::{Endpoint, EndpointError, Page};
pub use snapshot::{Captured, Snapshot};

#[cfg(test)]
mod tests;
