//! `strategy: ebpf`: an XDP program and AF_XDP sockets.
//!
//! In the order in which a frame meets them: [`program`] (the XDP program), `queue` and `umem` (the memory that it lands
//! in), `socket` and `source` (the rings that it is read from), `handback` (the way home of its memory where a queue is
//! shared). Beside it: [`plan()`], who polls what; `open`, which brings all of it up and down.

mod handback;
mod memlock;
mod open;
mod plan;
pub mod program;
mod queue;
mod socket;
mod source;
mod umem;

pub use open::Capture;
pub(crate) use open::{fitting_frame_size, frame_memory};
pub use plan::{PlannedSocket, plan};
pub use program::{AttachPreference, ProgramError, XdpMode};
pub use socket::SocketStatistics;
pub use source::XskSource;
