//! What the fuzzers feed to Netmoth, and what must hold whatever they feed.
//!
//! Five functions, one a target: [`frame`] takes one frame, [`flows`] a story of many, [`capture_file`] a file,
//! [`parser_oracle`] a frame that another parser reads, too, and [`filter()`] an expression of tcpdump's language. They panic where something does not hold. The targets in
//! `fuzz_targets` call them under libFuzzer; `netmoth/tests/fuzz_regressions.rs` includes this file and calls them with a
//! stable compiler: hence no `crate::` in here, and no dependency but Netmoth's and those of its tests.

mod capture_file;
mod engine;
mod filter;
mod flows;
mod frame;
mod frames;
pub mod oracle;
pub mod seeds;
mod story;

pub use capture_file::capture_file;
pub use filter::filter;
pub use flows::flows;
pub use frame::frame;
pub use oracle::parser_oracle;
