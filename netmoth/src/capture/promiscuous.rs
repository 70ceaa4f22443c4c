//! Promiscuous mode for as long as we capture: a packet-socket membership (packet(7), PACKET_MR_PROMISC), which the
//! kernel takes back by itself when the process ends, however it ends.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{CaptureError, Interface};

/// Holds the membership.
#[derive(Debug)]
pub(super) struct Promiscuous {
    _socket: OwnedFd,
}

impl Promiscuous {
    /// Makes the interface take frames that are not addressed to it.
    #[expect(unsafe_code, reason = "packet sockets are a kernel interface")]
    pub(super) fn set(interface: &Interface) -> Result<Self, CaptureError> {
        let fail = |cause: io::Error| CaptureError::Promiscuous { name: interface.name.clone(), cause: cause.into() };
        // SAFETY: no pointers. Protocol 0: the socket receives nothing.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(fail(io::Error::last_os_error()));
        }
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let request = libc::packet_mreq {
            mr_ifindex: interface.index as libc::c_int,
            mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let size = size_of::<libc::packet_mreq>() as libc::socklen_t;
        // SAFETY: the kernel reads `size` bytes from a live packet_mreq.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                size,
            )
        };
        if answer == 0 { Ok(Self { _socket: socket }) } else { Err(fail(io::Error::last_os_error())) }
    }
}
