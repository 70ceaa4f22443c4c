//! Measurements: what `netmoth bench` does, and the report that the cargo benches share with it.
//!
//! All of them are fed by [`netmoth_traffic`]: [`pipeline`] and [`connections`] in memory, [`file`](mod@file) into a capture file,
//! [`send`] onto a veth, [`strategies`] onto a veth with a sensor behind it; [`filter`](mod@filter) takes some of its frames again and
//! again. Each gives a [`Report`].

mod chunk;
mod clock;
pub mod connections;
pub mod cpu;
mod error;
pub mod file;
pub mod filter;
pub mod histogram;
mod host;
pub mod latency;
pub mod number;
pub mod pipeline;
mod report;
pub mod resident;
pub mod send;
mod spread;
pub mod strategies;

pub use error::BenchError;
pub use host::Host;
pub use report::{Cell, Column, Format, Report, UnknownArgument};
pub use spread::Spread;
