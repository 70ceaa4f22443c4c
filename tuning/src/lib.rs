//! What a host brings along for capture: read and put into plain values; and, where it is asked for, set and put back.
//!
//! One subject a file. Each has `read`, which asks the kernel, and parsers apart from it, tested on recorded answers. What a
//! driver has no answer for is `None`, not an error.

pub mod apply;
pub mod clock;
pub mod cpus;
pub mod device;
pub mod driver;
mod error;
mod ethtool;
pub mod features;
pub mod limits;
pub mod link;
pub mod offload;
pub mod plan;
pub mod queues;
pub mod rss;
pub mod setting;
pub mod state;
pub mod statistics;
pub mod xdp;

pub use error::TuningError;
