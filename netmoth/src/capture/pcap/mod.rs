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

mod error;
mod open;
mod source;

use crate::libpcap::{Handle, Libpcap, LibpcapError, LiveOptions};

pub use error::PcapError;
pub use open::PcapCapture;
pub use source::PcapSource;

/// What this host's libpcap calls itself: `libpcap 1.10.3`.
///
/// # Errors
/// Where there is none.
pub(crate) fn version() -> Result<String, LibpcapError> {
    // In its own words: libpcap version 1.10.3 (with TPACKET_V3).
    let words = Libpcap::get()?.version();
    Ok(words.split(" (").next().unwrap_or(&words).replace(" version", ""))
}

/// How an interface is opened, but for the room.
fn options(interface: &str, snapshot_length: u32, promiscuous: bool) -> LiveOptions {
    LiveOptions {
        interface: interface.into(),
        snapshot_length,
        promiscuous,
        timeout_ms: TIMEOUT_MS,
        buffer_bytes: None,
        immediate: false,
    }
}

/// A program for packet sockets as libpcap would put it on its own: it looks for VLAN tags where this kernel keeps them.
fn compiled(handle: &Handle, expression: &str) -> Result<Vec<libc::sock_filter>, PcapError> {
    let program = handle.compile(expression);
    let program = program.map_err(|cause| PcapError::Filter { expression: expression.into(), cause })?;
    Ok(program.iter().map(|step| libc::sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k }).collect())
}

/// The same for an interface that libpcap does not capture on. The program takes `snapshot` bytes of a frame that matches.
///
/// # Errors
/// Where there is no libpcap, or it does not take the expression.
pub(super) fn socket_program(
    interface: &str,
    expression: &str,
    snapshot: u32,
) -> Result<Vec<libc::sock_filter>, PcapError> {
    // Only an open capture knows what the kernel can do; this one is closed before a frame is looked at.
    let handle = Handle::live(&options(interface, snapshot, false)).map_err(|cause| PcapError::of(interface, cause))?;
    compiled(&handle, expression)
}

/// Milliseconds after which the kernel hands over a block that is not full. Frames carry the kernel's time stamp.
const TIMEOUT_MS: u32 = 10;
