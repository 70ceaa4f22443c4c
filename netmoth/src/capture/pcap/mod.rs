//! libpcap: for hosts where neither XDP nor our own packet sockets will do, and for what only libpcap can open.
//!
//! What enters: the interface's name and the sizes. What leaves: a [`PcapCapture`] for the main thread and one [`PcapSource`]:
//! libpcap has one reader, so one worker has all the frames. The library is opened when it is asked for.
//!
//! **The sums.** libpcap counts frames that passed the kernel's filter, those that were dropped for want of room among them
//! (`ps_recv`, pcap-linux.c), and begins when it is activated. So its socket gets a filter of ours that takes nothing, what came
//! until then is emptied out, and counting begins there; the filter that takes frames is put on at the start and the first one
//! again at the end. `pcap_setfilter` would have the frames of some blocks filtered once more in user space, uncounted; so the
//! program that libpcap has compiled is put on the socket by us. libpcap is not for two threads at a time: a lock is taken once
//! for a batch, which nobody else wants but the main thread four times a second.
//!
//! **A limit.** libpcap does not hand on what the kernel says of frames that stand for many (GSO, GRO): each counts as one
//! packet with all its bytes. `strategy: afpacket` counts the segments.

mod handle;
mod library;
mod open;
mod source;

pub use handle::PcapError;
pub use open::PcapCapture;
pub use source::PcapSource;

/// What this host's libpcap calls itself: `libpcap 1.10.3`.
///
/// # Errors
/// Where there is none.
pub(crate) fn version() -> Result<String, PcapError> {
    Ok(library::Functions::get()?.version())
}

/// Compiles an expression of tcpdump's language to a program for packet sockets on this interface, as libpcap would put it on
/// its own: it looks for VLAN tags where this kernel keeps them. It takes `snapshot` bytes of a frame that matches.
///
/// # Errors
/// Where there is no libpcap, or it does not take the expression.
pub(super) fn socket_program(
    interface: &str,
    expression: &str,
    snapshot: u32,
) -> Result<Vec<libc::sock_filter>, PcapError> {
    // Only an open capture knows what the kernel can do; this one is closed before a frame is looked at.
    handle::Handle::open(interface, snapshot, false, TIMEOUT_MS, 1 << 20)?.compile(expression)
}

/// Milliseconds after which the kernel hands over a block that is not full. Frames carry the kernel's time stamp.
const TIMEOUT_MS: i32 = 10;
