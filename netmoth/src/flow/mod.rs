//! From packets to connections to records.
//!
//! What enters: [`Packet`](crate::wire::Packet)s with the [`Instant`](crate::time::Instant) of their arrival.
//! What leaves: a [`FlowRecord`] per part of a connection. What it owns: the bounded table and its timers.
//!
//! [`FlowTable`] (`table`) finds a packet's `entry` by its `key` through the `index`, books it (the short way where it is
//! `steady`, else through `segment` and `tcp` for TCP), and lets `wheel` say when it is over: then `emit` makes the record. What
//! few connections have is kept in `odd`; `fragments` gives later pieces of a datagram the ports of the first.

mod config;
mod direction;
mod emit;
mod entry;
mod fragments;
mod history;
mod icmp;
mod index;
mod key;
mod odd;
mod record;
mod segment;
mod steady;
mod table;
mod tcp;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_tcp;
mod wheel;

pub use config::{FlowConfig, FlowError, MAX_FLOWS, MAX_TIMEOUT, Timeouts};
pub use fragments::OddFragments;
pub use key::FlowHash;
pub use record::{ConnState, EndReason, FlowRecord, History, RecordSink};
pub use table::FlowTable;
