//! One packet socket: its ring, its place on the interface and in the group, what it counts.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::{BLOCK, RETIRE_MS, tag};
use crate::capture::socket_filter::SocketFilter;

/// A socket with a ring, which takes no frame before it has another filter.
pub(super) struct PacketSocket(Arc<OwnedFd>);

/// What the kernel has counted since it was last asked.
pub(super) struct Counted {
    /// Frames that passed the filter, the dropped ones among them.
    pub(super) seen: u64,
    /// Those for which the ring had no room.
    pub(super) dropped: u64,
}

impl PacketSocket {
    /// Opens it; with protocol 0 it receives nothing.
    #[expect(unsafe_code, reason = "packet sockets are a kernel interface")]
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        let socket = Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) }));
        SocketFilter::nothing().attach(fd)?;
        Ok(socket)
    }

    /// Its descriptor.
    pub(super) fn fd(&self) -> &Arc<OwnedFd> {
        &self.0
    }

    /// Sets up a ring of so many blocks: with a description of each frame and room for a tag before it.
    pub(super) fn ring(&self, blocks: usize) -> io::Result<()> {
        self.set(libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))?;
        self.set(libc::PACKET_RESERVE, &(tag::LENGTH as libc::c_int))?;
        self.set(libc::PACKET_VNET_HDR, &1)?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            // Frames have no fixed size in this version; the kernel wants a number that fills the blocks.
            tp_frame_size: BLOCK as u32,
            tp_frame_nr: blocks as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        self.set(libc::PACKET_RX_RING, &request)
    }

    /// Binds it to an interface, for frames of every kind.
    #[expect(unsafe_code, reason = "packet sockets are a kernel interface")]
    pub(super) fn bind(&self, index: u32) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as libc::c_ushort,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index as libc::c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the kernel reads `size` bytes from a live sockaddr_ll.
        let answer = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), size) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Opens a group of sockets that share frames as `program` says, or joins the one of this number. Returns its number.
    pub(super) fn join(&self, group: Option<u16>, program: &[libc::sock_filter]) -> io::Result<u16> {
        let kind = libc::PACKET_FANOUT_CBPF << 16;
        if let Some(group) = group {
            self.set(libc::PACKET_FANOUT, &(u32::from(group) | kind))?;
            return Ok(group);
        }
        // The kernel picks a number that no other group of this network namespace has.
        self.set(libc::PACKET_FANOUT, &(kind | libc::PACKET_FANOUT_FLAG_UNIQUEID << 16))?;
        let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        self.set(libc::PACKET_FANOUT_DATA, &libc::sock_fprog { len, filter: program.as_ptr().cast_mut() })?;
        let number: u32 = self.get(libc::PACKET_FANOUT)?;
        Ok(number as u16)
    }

    /// What was counted since the last call.
    pub(super) fn counted(&self) -> io::Result<Counted> {
        // struct tpacket_stats_v3: packets, drops, how often the ring was full.
        let [seen, dropped, _] = self.get::<[u32; 3]>(libc::PACKET_STATISTICS)?;
        Ok(Counted { seen: seen.into(), dropped: dropped.into() })
    }

    fn set<T>(&self, name: libc::c_int, value: &T) -> io::Result<()> {
        set(&self.0, libc::SOL_PACKET, name, value)
    }

    #[expect(unsafe_code, reason = "socket options are a kernel interface")]
    fn get<T: Copy + Default>(&self, name: libc::c_int) -> io::Result<T> {
        let (mut value, mut size) = (T::default(), size_of::<T>() as libc::socklen_t);
        // SAFETY: the kernel writes at most `size` bytes to a live value, of integers alone: all the callers' types are such.
        let answer = unsafe {
            libc::getsockopt(self.0.as_raw_fd(), libc::SOL_PACKET, name, (&raw mut value).cast(), &raw mut size)
        };
        if answer == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
    }
}

#[expect(unsafe_code, reason = "socket options are a kernel interface")]
fn set<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes from a live value.
    let answer = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), size) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes a pending error off a socket (an interface that went down leaves one): until then poll(2) returns at once.
#[expect(unsafe_code, reason = "socket options are a kernel interface")]
pub(super) fn clear_error(socket: &OwnedFd) {
    let (mut error, mut size): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `size` bytes to a live integer.
    unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut size)
    };
}

/// The kind of link of an interface (ARPHRD_… of linux/if_arp.h).
#[expect(unsafe_code, reason = "ioctl is a kernel interface")]
pub(super) fn link_type(socket: &OwnedFd, interface: &str) -> io::Result<u16> {
    let mut request =
        libc::ifreq { ifr_name: [0; libc::IFNAMSIZ], ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 } };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    // SAFETY: the kernel reads and writes one live ifreq, whose name ends in zero.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: this request fills the address.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
}
