//! The ethtool ioctl (linux/ethtool.h, ethtool_ioctl in net/ethtool/ioctl.c): a command and its answer in one buffer.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::TuningError;

/// struct ifreq as SIOCETHTOOL reads it: a name and a pointer, padded to the size of the kernel's union (24 bytes).
#[repr(C)]
struct Request {
    name: [u8; 16],
    data: *mut u8,
    rest: [u64; 2],
}

const _: () = assert!(size_of::<Request>() >= 32);

/// Asks the driver. `buffer` begins with the command and is laid out as the command wants it; the answer replaces it.
/// `false` where the driver does not know the command.
pub(crate) fn ask(name: &str, what: &'static str, buffer: &mut [u8]) -> Result<bool, TuningError> {
    let failed = |cause| TuningError::Ethtool { name: name.to_owned(), what, cause };
    if name.is_empty() || name.len() > 15 {
        return Err(TuningError::InvalidName { name: name.to_owned() });
    }
    // Any socket of the namespace will do.
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")).map_err(failed)?;
    let mut request = Request { name: [0; 16], data: buffer.as_mut_ptr(), rest: [0; 2] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    match ioctl(&socket, &mut request) {
        Ok(()) => Ok(true),
        Err(cause) => match cause.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS) => Ok(false),
            Some(libc::ENODEV) => Err(TuningError::NoInterface { name: name.to_owned() }),
            _ => Err(failed(cause)),
        },
    }
}

/// Tells the driver: like [`ask`], but a refusal is an error, with the driver's reason.
pub(crate) fn change(name: &str, buffer: &mut [u8]) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"))?;
    let mut request = Request { name: [0; 16], data: buffer.as_mut_ptr(), rest: [0; 2] };
    let bytes = name.as_bytes().get(..name.len().min(15)).unwrap_or_default();
    request.name[..bytes.len()].copy_from_slice(bytes);
    ioctl(&socket, &mut request)
}

#[expect(unsafe_code, reason = "SIOCETHTOOL has no safe interface in the standard library")]
fn ioctl(socket: &UdpSocket, request: &mut Request) -> io::Result<()> {
    // SAFETY: `request` is laid out as struct ifreq and lives through the call. Its pointer leads to the caller's buffer,
    // whose size each command carries in itself (fixed by the command, or in its size fields, which callers set from the
    // buffer's length), so the kernel writes inside it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, std::ptr::from_mut(request)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A buffer of `len` bytes that begins with the given words.
pub(crate) fn buffer(len: usize, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; len.max(words.len() * 4)];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The 32-bit word at a byte offset; 0 beyond the end.
pub(crate) fn word(bytes: &[u8], offset: usize) -> u32 {
    let at = bytes.get(offset..offset.saturating_add(4)).and_then(|four| four.try_into().ok());
    at.map_or(0, u32::from_ne_bytes)
}

/// The text in a field of `len` bytes, up to its first zero; `None` where it is empty.
pub(crate) fn text(bytes: &[u8], offset: usize, len: usize) -> Option<String> {
    let field = bytes.get(offset..offset.saturating_add(len))?;
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(len);
    let text = String::from_utf8_lossy(&field[..end]).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_beyond_the_end_are_empty() {
        let bytes = buffer(6, &[7]);
        assert_eq!((word(&bytes, 0), word(&bytes, 4), word(&bytes, usize::MAX)), (7, 0, 0));
        assert_eq!(text(b"ab\0cd", 0, 5), Some("ab".into()));
        assert_eq!((text(b"\0", 0, 1), text(b"a", 0, 2)), (None, None));
    }

    #[test]
    fn a_device_that_is_not_there_is_called_so() {
        let mut bytes = buffer(196, &[3]);
        assert!(matches!(ask("nmf-absent", "driver", &mut bytes), Err(TuningError::NoInterface { .. })));
    }
}
