//! Measurements: what `netmoth bench` does, and the report that the cargo benches share with it.
//!
//! All of them are fed by [`netmoth_traffic`]: [`pipeline`] and [`connections`] in memory, [`file`] into a capture file,
//! [`send`] onto a veth; [`mod@filter`] takes some of its frames again and again. Each gives a [`Report`].

mod chunk;
mod clock;
pub mod connections;
mod error;
pub mod file;
pub mod filter;
mod host;
pub mod number;
pub mod pipeline;
mod report;
mod resident;
pub mod send;
mod spread;

pub use error::BenchError;
pub use host::Host;
pub use report::{Cell, Column, Format, Report, UnknownArgument};
pub use spread::Spread;
