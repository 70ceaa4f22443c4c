//! One AF_XDP socket: made, bound, asked about its mode and its statistics.
//!
//! Source: Documentation/networking/af_xdp.rst; net/xdp/xsk.c for what bind and the options answer.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::thread;
use std::time::Duration;

use xdpilone::{DeviceQueue, Errno, IfInfo, RingRx, Socket, SocketConfig, Umem, User};

use crate::capture::{CaptureError, Interface};

/// Options of a socket that the configuration decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketOptions {
    /// Receive descriptors; a power of two.
    pub(super) ring_size: u32,
    /// Ask for zero-copy.
    pub(super) zero_copy: bool,
    /// Busy-poll for this many microseconds; 0 for not.
    pub(super) busy_poll_us: u32,
}

/// Attempts to bind a queue whose last socket was just closed: the kernel frees it after an RCU grace period.
const BIND_ATTEMPTS: u32 = 10;

/// What the kernel dropped after the program had redirected a frame (struct xdp_statistics, linux/if_xdp.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Frames dropped for want of a buffer in the fill ring, or because they did not fit one (`rx_dropped`).
    pub dropped: u64,
    /// Frames dropped because the receive ring was full.
    pub ring_full: u64,
    /// How often the fill ring was found empty; these frames are in `dropped`, too.
    pub fill_ring_empty: u64,
    /// Descriptors of ours that the kernel refused; a defect if not 0.
    pub invalid_descriptors: u64,
}

impl SocketStatistics {
    /// Adds another socket's counts.
    pub(in crate::capture) fn add(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.ring_full += other.ring_full;
        self.fill_ring_empty += other.fill_ring_empty;
        self.invalid_descriptors += other.invalid_descriptors;
    }
}

/// Asks the kernel for a socket's statistics.
pub(super) fn statistics(user: &User) -> Option<SocketStatistics> {
    let raw = user.statistics_v2().ok()?;
    Some(SocketStatistics {
        dropped: raw.rx_dropped,
        ring_full: raw.rx_ring_full,
        fill_ring_empty: raw.rx_fill_ring_empty_descs,
        invalid_descriptors: raw.rx_invalid_descs,
    })
}

/// Names interface and queue for xdpilone.
pub(super) fn address(interface: &Interface, queue: u32) -> Result<IfInfo, CaptureError> {
    let mut info = IfInfo::invalid();
    info.from_ifindex(interface.index).map_err(|errno| CaptureError::bind(interface, queue, &io_error(&errno)))?;
    info.set_queue(queue);
    Ok(info)
}

/// A socket that is bound, its receive ring mapped before: older kernels, 6.1 among them, map none of a socket that is bound
/// (xsk_mmap of net/xdp/xsk.c answers EBUSY).
pub(super) struct Bound {
    pub(super) user: User,
    pub(super) ring: RingRx,
}

impl Bound {
    fn new(
        user: User,
        bind: impl FnMut(&User) -> Result<(), Errno>,
        fail: impl Fn(&io::Error) -> CaptureError,
    ) -> Result<Self, CaptureError> {
        let ring = user.map_rx().map_err(|errno| CaptureError::Ring("the receive ring", io_error(&errno).into()))?;
        let mut bind = bind;
        retry(|| bind(&user)).map_err(|cause| fail(&cause))?;
        Ok(Self { user, ring })
    }
}

/// Binds the first socket of a queue: the one that brings the UMEM.
pub(super) fn bind_first(
    interface: &Interface,
    queue: u32,
    umem: &Umem,
    options: &SocketOptions,
) -> Result<(Bound, DeviceQueue), CaptureError> {
    let fail = |errno: Errno| CaptureError::bind(interface, queue, &io_error(&errno));
    let info = address(interface, queue)?;
    let socket = Socket::with_shared(&info, umem).map_err(fail)?;
    let device = umem.fq_cq(&socket).map_err(fail)?;
    // With neither flag the kernel takes zero-copy where the driver has it, and copies where it hasn't (xp_assign_dev);
    // XDP_BIND_ZEROCOPY would fail instead, and a second attempt would pin the memory twice.
    let mode = if options.zero_copy { 0 } else { SocketConfig::XDP_BIND_COPY };
    let config = socket_config(options.ring_size, mode | SocketConfig::XDP_BIND_NEED_WAKEUP);
    let user = umem.rx_tx(&socket, &config).map_err(fail)?;
    let bound = Bound::new(user, |user| umem.bind(user), |cause| CaptureError::bind(interface, queue, cause))?;
    busy_poll(bound.user.as_raw_fd(), interface, options)?;
    Ok((bound, device))
}

/// Binds a further socket to the queue of `device`. XDP_SHARED_UMEM must be its only flag (xsk_bind answers EINVAL to
/// any other); xdpilone sets it.
pub(super) fn bind_further(
    interface: &Interface,
    queue: u32,
    umem: &Umem,
    device: &DeviceQueue,
    options: &SocketOptions,
) -> Result<Bound, CaptureError> {
    let fail = |errno: Errno| CaptureError::bind(interface, queue, &io_error(&errno));
    let socket = Socket::new(&address(interface, queue)?).map_err(fail)?;
    let user = umem.rx_tx(&socket, &socket_config(options.ring_size, 0)).map_err(fail)?;
    let bound = Bound::new(user, |user| device.bind(user), |cause| CaptureError::bind(interface, queue, cause))?;
    busy_poll(bound.user.as_raw_fd(), interface, options)?;
    Ok(bound)
}

fn socket_config(ring_size: u32, bind_flags: u16) -> SocketConfig {
    SocketConfig { rx_size: NonZeroU32::new(ring_size), tx_size: None, bind_flags }
}

/// Tries again while the kernel says EBUSY, with growing pauses (about half a second in all).
fn retry(mut bind: impl FnMut() -> Result<(), Errno>) -> io::Result<()> {
    let mut pause = Duration::from_millis(2);
    let mut attempt = 1;
    loop {
        match bind().map_err(|errno| io_error(&errno)) {
            Err(cause) if cause.raw_os_error() == Some(libc::EBUSY) && attempt < BIND_ATTEMPTS => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

pub(super) fn io_error(errno: &Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.get_raw())
}

/// Sets the busy-poll options and reads them back: a kernel may ignore what it does not know.
fn busy_poll(fd: RawFd, interface: &Interface, options: &SocketOptions) -> Result<(), CaptureError> {
    if options.busy_poll_us == 0 {
        return Ok(());
    }
    let wanted = [
        ("SO_PREFER_BUSY_POLL", libc::SO_PREFER_BUSY_POLL, 1),
        ("SO_BUSY_POLL", libc::SO_BUSY_POLL, options.busy_poll_us as libc::c_int),
        ("SO_BUSY_POLL_BUDGET", libc::SO_BUSY_POLL_BUDGET, crate::capture::BATCH as libc::c_int),
    ];
    for (option, number, value) in wanted {
        let fail = |cause: io::Error| {
            let interface = interface.name.clone();
            CaptureError::BusyPoll { interface, option, cause: cause.into() }
        };
        set_option(fd, number, value).map_err(fail)?;
        match get_option(fd, libc::SOL_SOCKET, number) {
            Ok(now) if now == value => {}
            Ok(now) => {
                return Err(fail(io::Error::other(format!("the kernel keeps {now} where {value} was asked for"))));
            }
            // The budget can be set but not asked for (seen on 6.18, which does refuse one out of range); a kernel that
            // doesn't know it has refused it above.
            Err(cause) if number == libc::SO_BUSY_POLL_BUDGET && cause.raw_os_error() == Some(libc::ENOPROTOOPT) => {}
            Err(cause) => return Err(fail(cause)),
        }
    }
    Ok(())
}

/// Whether the socket really works without copying (XDP_OPTIONS, kernels from 5.3).
pub(super) fn is_zero_copy(fd: RawFd) -> bool {
    const SOL_XDP: libc::c_int = 283;
    const XDP_OPTIONS: libc::c_int = 8;
    const XDP_OPTIONS_ZEROCOPY: libc::c_int = 1;
    get_option(fd, SOL_XDP, XDP_OPTIONS).is_ok_and(|options| options & XDP_OPTIONS_ZEROCOPY != 0)
}

#[expect(unsafe_code, reason = "setsockopt is a kernel interface")]
fn set_option(fd: RawFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes from a live int; a wrong descriptor is an error, not undefined.
    let answer = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const value).cast(), size) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "getsockopt is a kernel interface")]
fn get_option(fd: RawFd, level: libc::c_int, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes to a live int and says how many.
    let answer = unsafe { libc::getsockopt(fd, level, option, (&raw mut value).cast(), &raw mut size) };
    if answer == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
