//! What the XDP program (`netmoth-xdp`) and the sensor (`netmoth`) agree on, so that neither can drift from the other.
//!
//! Compiled twice: for the host, where it is tested, and for `bpfel-unknown-none`, where the kernel's verifier reads
//! it. So: no allocation, no panic, no 128-bit arithmetic, and every loop has a small constant bound.
//!
//! 1. [`walk`] reads as many headers of a frame as it takes to say whose it is.
//! 2. [`hash`] turns both directions of a connection into the same number.
//! 3. [`fragment`] keeps the pieces of one datagram together.
//! 4. [`choose`](choose::choose) puts the three together: which socket of a queue takes this frame.
//! 5. [`plain`] does 1 and 4 again for a verifier that grants less.
//! 6. [`fate`] names what can become of a frame; the program counts each frame under exactly one.
//! 7. [`mirror`] is what the programs at traffic control and the sensor agree on.

#![no_std]

pub mod choose;
pub mod fate;
pub mod fragment;
pub mod hash;
pub mod mirror;
pub mod plain;
pub mod walk;

/// Name of the program's function, and so of its symbol in the object.
pub const PROGRAM: &str = "netmoth";
/// Name of the function that does the same without CAP_PERFMON, a little slower.
pub const PROGRAM_COPIED: &str = "netmoth_copied";
/// Name of the function for verifiers that read no stack slot which some path leaves unset, and know no helper for the bytes of
/// a frame (kernels before 5.18).
pub const PROGRAM_PLAIN: &str = "netmoth_plain";
/// XSKMAP of the sockets, by index; sized when the object is loaded.
pub const SOCKETS_MAP: &str = "SOCKETS";
/// Array of [`QueueSockets`] by receive queue; sized when the object is loaded.
pub const QUEUES_MAP: &str = "QUEUES";
/// Per-CPU array of `u64`, see [`fate::slot`]; sized when the object is loaded.
pub const FATES_MAP: &str = "FATES";
/// LRU hash from [`fragment::Datagram`] to [`fragment::Piece`].
pub const FRAGMENTS_MAP: &str = "FRAGMENTS";
/// One-element array of [`Settings`].
pub const SETTINGS_MAP: &str = "SETTINGS";
/// Program array of the stages below.
pub const STAGES_MAP: &str = "STAGES";
/// Name of the function at [`STAGE_MATCHED`]: does what [`PROGRAM`] does without a filter.
pub const PROGRAM_MATCHED: &str = "netmoth_matched";
/// The same without CAP_PERFMON.
pub const PROGRAM_MATCHED_COPIED: &str = "netmoth_matched_copied";
/// The same for kernels before 5.18.
pub const PROGRAM_MATCHED_PLAIN: &str = "netmoth_matched_plain";
/// Name of the function at [`STAGE_UNMATCHED`]: counts, and lets pass.
pub const PROGRAM_UNMATCHED: &str = "netmoth_unmatched";

/// Where a capture filter stands, which is made when the sensor starts; it goes on to one of the next two.
pub const STAGE_FILTER: u32 = 0;
/// What the filter takes.
pub const STAGE_MATCHED: u32 = 1;
/// What it doesn't.
pub const STAGE_UNMATCHED: u32 = 2;
/// How many stages there are.
pub const STAGES: u32 = 3;

/// Which sockets take the frames of one receive queue: `first_socket .. first_socket + sockets`. No sockets: the queue
/// isn't captured, and its frames go on to the host.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSockets {
    /// Index into [`SOCKETS_MAP`] of the first.
    pub first_socket: u32,
    /// How many.
    pub sockets: u32,
}

/// What the sensor tells the program once, before it is attached.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Key of the flow hash.
    pub key: hash::HashKey,
    /// Rows of [`QUEUES_MAP`]; frames of queues beyond are counted in one row of their own.
    pub queues: u32,
    /// 1 where a filter stands at [`STAGE_FILTER`].
    pub filtered: u32,
}

const _: () = assert!(size_of::<QueueSockets>() == 8 && align_of::<QueueSockets>() == 4);
const _: () = assert!(size_of::<Settings>() == size_of::<hash::HashKey>() + 8 && align_of::<Settings>() == 8);
