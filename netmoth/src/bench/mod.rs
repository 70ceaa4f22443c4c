//! Measurements: what `netmoth bench` and the cargo benches share.

mod host;
mod report;
mod spread;

pub use host::Host;
pub use report::{Cell, Column, Format, Report, UnknownArgument};
pub use spread::Spread;
