//! Sends single frames through a packet socket, and brings a test's thread to where the sensor's interface is.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;

use crate::support::netns;

/// Runs `work` on a thread of its own in the network namespace behind `file`, with the /sys that belongs to it.
pub(crate) fn inside<T: Send>(file: &str, work: impl FnOnce() -> T + Send) -> T {
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            netns::enter(file);
            mount_sys();
            work()
        });
        thread.join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A sysfs shows the network namespace in which it was mounted: this thread gets a mount of its own.
#[expect(unsafe_code, reason = "mount namespaces are a kernel interface")]
fn mount_sys() {
    // SAFETY: the call takes one integer and changes this thread alone.
    let own = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(own, 0, "no mount namespace: {}", io::Error::last_os_error());
    mount(None, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE);
    mount(Some("sysfs"), Path::new("/sys"), 0);
}

#[expect(unsafe_code, reason = "mount is a kernel interface")]
fn mount(kind: Option<&str>, place: &Path, flags: libc::c_ulong) {
    let kind = kind.map(|kind| CString::new(kind).unwrap());
    let kind = kind.as_ref().map_or(ptr::null(), |kind| kind.as_ptr());
    let target = CString::new(place.to_str().unwrap()).unwrap();
    // SAFETY: strings end in zero and live as long as the call; a null type and null data are allowed.
    let mounted = unsafe { libc::mount(kind, target.as_ptr(), kind, flags, ptr::null()) };
    assert_eq!(mounted, 0, "can't mount {}: {}", place.display(), io::Error::last_os_error());
}

/// A packet socket that sends frames out of one interface.
pub(crate) struct Packets(OwnedFd);

impl Packets {
    /// Opens it on `interface` of the namespace behind `file`. A socket stays in the namespace it was made in.
    pub(crate) fn open(file: &str, interface: &str) -> Self {
        inside(file, || Self::open_here(interface))
    }

    #[expect(unsafe_code, reason = "packet sockets are a kernel interface")]
    fn open_here(interface: &str) -> Self {
        // SAFETY: no pointers. Protocol 0: the socket receives nothing.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "no packet socket: {}", io::Error::last_os_error());
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let name = CString::new(interface).unwrap();
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as libc::c_ushort,
            sll_protocol: 0,
            // SAFETY: the name ends in zero and lives as long as the call.
            sll_ifindex: unsafe { libc::if_nametoindex(name.as_ptr()) } as libc::c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the kernel reads `size` bytes from a live sockaddr_ll.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
        assert_eq!(bound, 0, "can't send on {interface}: {}", io::Error::last_os_error());
        Self(socket)
    }

    /// Sends one frame.
    #[expect(unsafe_code, reason = "packet sockets are a kernel interface")]
    pub(crate) fn send(&self, frame: &[u8]) {
        // SAFETY: the kernel reads `frame.len()` bytes from a live slice.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "a frame of {} bytes: {}", frame.len(), io::Error::last_os_error());
    }
}
