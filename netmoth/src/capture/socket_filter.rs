//! Classic BPF programs on packet sockets (SO_ATTACH_FILTER, socket(7)): which frames a socket takes, and how much of each.
//!
//! They also open and close a socket without a gap: while one takes nothing, frames are neither counted nor kept.

use std::io;
use std::os::fd::RawFd;

use libc::sock_filter;

/// PACKET_OUTGOING of linux/if_packet.h: a frame that this host sends.
const OUTGOING: u32 = 4;

/// No Ethernet frame is longer: jumbo frames have about 9,000 bytes, some cards take 16,000.
const LONGEST: u32 = 16_384;

/// Enough for the headers of any frame.
const HEADERS: u32 = 1_024;

/// A classic program.
#[derive(Clone, Debug)]
pub(super) struct SocketFilter(Vec<sock_filter>);

impl SocketFilter {
    /// Takes no frame.
    pub(super) fn nothing() -> Self {
        Self(vec![returning(0)])
    }

    /// Takes `snapshot` bytes of every frame; with `once` only of those that come in: on the loopback each frame that
    /// goes out comes in as well.
    ///
    /// A frame that is too long for any wire stands for many (GSO, GRO): of those the headers are all that is looked at, and
    /// to copy 64 KiB for them would cost the host and fill the ring.
    pub(super) fn everything(snapshot: u32, once: bool) -> Self {
        let program = vec![
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0),
            sock_filter { jf: 1, ..step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, LONGEST) },
            returning(snapshot.min(HEADERS)),
            returning(snapshot),
        ];
        Self::of(program, once)
    }

    /// Takes what `program` takes; with `once` as above.
    pub(super) fn of(program: Vec<sock_filter>, once: bool) -> Self {
        let mut all = Vec::new();
        if once {
            all.push(step(
                libc::BPF_LD | libc::BPF_B | libc::BPF_ABS,
                (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32,
            ));
            all.push(sock_filter { jf: 1, ..step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, OUTGOING) });
            all.push(returning(0));
        }
        all.extend(program);
        Self(all)
    }

    /// Puts it on a socket, in place of the one there.
    #[expect(unsafe_code, reason = "socket options are a kernel interface")]
    pub(super) fn attach(&self, socket: RawFd) -> io::Result<()> {
        let len = u16::try_from(self.0.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        let program = libc::sock_fprog { len, filter: self.0.as_ptr().cast_mut() };
        let size = size_of::<libc::sock_fprog>() as libc::socklen_t;
        // SAFETY: the kernel reads `size` bytes of a live sock_fprog, and `len` instructions behind its pointer; it writes none.
        let answer = unsafe {
            libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const program).cast(), size)
        };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Waits until every frame that was on its way through a filter when this was called is through: the kernel handles each
/// inside an RCU section, and membarrier(2) waits for all of those.
#[expect(unsafe_code, reason = "membarrier is a kernel interface")]
pub(super) fn settle() {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: membarrier takes three integers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if answer != 0 {
        // A kernel without it (nohz_full), or a seccomp filter before it: a packet takes microseconds.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// An instruction that jumps nowhere.
pub(super) fn step(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn returning(bytes: u32) -> sock_filter {
    step(libc::BPF_RET | libc::BPF_K, bytes)
}
