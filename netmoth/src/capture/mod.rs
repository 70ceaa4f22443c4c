//! Frames off an interface.
//!
//! What enters: frames that the XDP program redirects to AF_XDP sockets. What leaves: batches of [`Frame`]s, to the one
//! worker whose [`XskSource`] holds the sockets. What it owns: the program, the UMEMs, the rings.
//!
//! In the order in which a frame meets them: [`program`] (the XDP program), `queue` and `umem` (the memory that it lands
//! in), `socket` and `source` (the rings that it is read from), `handback` (the way home of its memory where a queue is
//! shared). Beside it: [`plan()`], who polls what; [`interface`], what the kernel says of the device; `link`, what becomes
//! of it while we look.

mod error;
pub mod file;
mod handback;
pub mod interface;
mod link;
mod memlock;
mod netlink;
mod open;
mod plan;
mod poll;
pub mod program;
mod promiscuous;
mod queue;
mod socket;
mod source;
mod umem;

pub use error::CaptureError;
pub use interface::Interface;
pub use link::LinkEvent;
pub(crate) use open::random;
pub use open::{Capture, CaptureConfig, CaptureCounts, QueueCounts};
pub(crate) use open::{fitting_frame_size, frame_memory};
pub use plan::{PlannedSocket, plan};
pub use program::{AttachPreference, ProgramError, XdpMode};
pub use socket::SocketStatistics;
pub use source::XskSource;

/// Frames that are taken and worked on together.
pub const BATCH: usize = 64;

/// One received frame, as long as its batch is in hand.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its bytes, cut to the snapshot length.
    pub data: &'a [u8],
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
}
