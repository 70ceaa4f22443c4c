//! Frames off an interface.
//!
//! What enters: what the interface receives. What leaves: batches of [`Frame`]s, to the one worker whose [`Source`] holds
//! the rings. What it owns: programs, sockets, rings.
//!
//! [`Live`] is capture by one of the strategies that the configuration offers, a folder each: [`ebpf`] takes frames with an
//! XDP program, [`afpacket`] copies of them with packet sockets,
//! [`pcap`] with libpcap. [`file`](mod@file) reads capture files. [`choose`] picks one where the
//! configuration leaves it to us. What they share: [`interface`], what the kernel says of the device;
//! `link`, what becomes of it while we look; `promiscuous`; [`CaptureCounts`], what the kernel has counted.

pub(crate) mod above;
pub mod afpacket;
pub mod choose;
mod config;
mod counts;
pub mod ebpf;
mod error;
pub mod file;
pub mod interface;
mod link;
mod live;
pub mod mirror;
pub(crate) mod netlink;
pub mod pcap;
mod poll;
mod promiscuous;
mod socket_filter;

pub(crate) use afpacket::packet_ring_bytes;
pub use afpacket::{AfPacket, PacketSource};
pub use config::{CaptureConfig, Mode, Strategy};
pub use counts::{CaptureCounts, QueueCounts};
pub use ebpf::{
    AttachPreference, Capture, PlannedSocket, ProgramError, SocketStatistics, XdpMode, XskSource, plan, program,
};
pub(crate) use ebpf::{fitting_frame_size, frame_memory};
pub use error::CaptureError;
pub use interface::Interface;
pub use link::LinkEvent;
pub use live::{Live, Source};
pub(crate) use mirror::veth;
pub use mirror::{Hook, Mirror, MirrorCounts};
pub use pcap::{PcapCapture, PcapError, PcapSource};

/// Frames that are taken and worked on together.
pub const BATCH: usize = 64;

/// One received frame, as long as its batch is in hand.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its bytes, cut to the snapshot length.
    pub data: &'a [u8],
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// When the kernel saw it, in nanoseconds of the wall clock; 0 where it doesn't say: then it is now.
    pub wall_ns: i64,
}

/// 64 random bits: the standard library's per-process random state, which the system's generator seeds.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
