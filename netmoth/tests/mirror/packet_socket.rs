//! Sends frames as they are by a packet socket (packet(7)), which goes through traffic control. The sender of the other tests
//! passes by it (PACKET_QDISC_BYPASS), and so is not seen at egress.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// linux/if_packet.h: a virtio_net_hdr before each frame.
const PACKET_VNET_HDR: libc::c_int = 15;

/// Sends frames out of interface `index` of this thread's namespace. With `virtio` each begins with a struct virtio_net_hdr of
/// ten bytes, as from a virtual machine.
#[expect(unsafe_code, reason = "packet sockets are a kernel interface")]
pub(crate) fn send(index: u32, virtio: bool, frames: &[Vec<u8>]) {
    // SAFETY: no pointers. Protocol 0: the socket receives nothing.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let on = libc::c_int::from(virtio);
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes from a live integer.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, PACKET_VNET_HDR, (&raw const on).cast(), size)
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    for frame in frames {
        let ether_type = &frame[if virtio { 22 } else { 12 }..][..2];
        let to = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as libc::c_ushort,
            sll_protocol: u16::from_ne_bytes([ether_type[0], ether_type[1]]),
            sll_ifindex: index as libc::c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the kernel reads the frame and a sockaddr_ll of this length, both of which live through the call.
        let sent = unsafe {
            libc::sendto(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, (&raw const to).cast(), length)
        };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }
}
