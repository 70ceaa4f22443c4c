//! The memory that the kernel writes frames into, and the tokens that stand for its frames.
//!
//! Source: Documentation/networking/af_xdp.rst, "UMEM". One UMEM per receive queue; the sockets that share the queue
//! share it.

use std::io;
use std::ptr::NonNull;

use log::debug;

use crate::capture::CaptureError;

/// The right to hand one frame of a UMEM to the kernel. It moves, and can't be copied: giving a frame back twice does
/// not compile.
#[derive(Debug)]
pub(super) struct FrameToken(u64);

impl FrameToken {
    /// The frame's offset in the UMEM, as the fill ring wants it. Consumes the token: the frame is the kernel's now.
    pub(super) fn into_offset(self) -> u64 {
        self.0
    }

    /// Takes a token over from a ring of this crate that carried it as a number.
    pub(super) fn from_offset(offset: u64) -> Self {
        Self(offset)
    }
}

/// The mapped area. Workers that share a queue hold it together.
#[derive(Debug)]
pub(super) struct UmemArea {
    base: NonNull<u8>,
    bytes: usize,
    frame_size: u32,
}

#[expect(unsafe_code, reason = "the area is shared with the kernel and between workers")]
// SAFETY: the pointer stays valid until drop, and the contents are only reached through `frame`, whose callers hold a
// descriptor that the kernel gave to one socket alone.
unsafe impl Send for UmemArea {}

#[expect(unsafe_code, reason = "the area is shared with the kernel and between workers")]
// SAFETY: as for Send; there is no interior state.
unsafe impl Sync for UmemArea {}

impl UmemArea {
    /// Maps `frames` frames of `frame_size` bytes, in huge pages where the host has some to spare.
    pub(super) fn map(frames: u32, frame_size: u32) -> Result<Self, CaptureError> {
        let bytes = frames as usize * frame_size as usize;
        let (base, bytes) = match mmap(bytes.next_multiple_of(HUGE_PAGE), libc::MAP_HUGETLB) {
            Ok(base) => {
                debug!("UMEM of {bytes} bytes in huge pages");
                (base, bytes.next_multiple_of(HUGE_PAGE))
            }
            Err(_) => {
                (mmap(bytes, 0).map_err(|cause: io::Error| CaptureError::Memory { bytes, cause: cause.into() })?, bytes)
            }
        };
        Ok(Self { base, bytes, frame_size })
    }

    /// The area as xdpilone takes it.
    pub(super) fn as_slice_ptr(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.base, self.bytes)
    }

    /// Tokens for all frames, for the one who fills the ring first.
    pub(super) fn tokens(&self, frames: u32) -> impl Iterator<Item = FrameToken> + use<> {
        let size = u64::from(self.frame_size);
        (0..u64::from(frames)).map(move |frame| FrameToken(frame * size))
    }

    /// The bytes that a receive descriptor names and the token of its frame; `None` where the descriptor leaves the
    /// area or its frame (checked in release builds too: the kernel's word is not enough for a pointer).
    #[expect(unsafe_code, reason = "frames lie in memory shared with the kernel")]
    pub(super) fn frame(&self, address: u64, length: u32) -> Option<(&[u8], FrameToken)> {
        let start = usize::try_from(address).ok()?;
        let frame = address - address % u64::from(self.frame_size);
        let end = start.checked_add(length as usize)?;
        if end > self.bytes || end as u64 > frame + u64::from(self.frame_size) {
            return None;
        }
        // SAFETY: start ≤ end ≤ bytes, so the pointer stays inside the mapping.
        let pointer = unsafe { self.base.add(start) };
        // SAFETY: start..end lies in the mapping (just checked), which lives as long as `self`; the kernel has given
        // this frame to the socket whose descriptor this is and writes to it again only after its token returned
        // through the fill ring, which ends the caller's use.
        let data = unsafe { std::slice::from_raw_parts(pointer.as_ptr(), length as usize) };
        Some((data, FrameToken(frame)))
    }
}

const HUGE_PAGE: usize = 2 << 20;

#[expect(unsafe_code, reason = "mmap is a kernel interface")]
fn mmap(bytes: usize, flags: libc::c_int) -> io::Result<NonNull<u8>> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))
}

impl Drop for UmemArea {
    #[expect(unsafe_code, reason = "munmap is a kernel interface")]
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `map` made; the kernel holds its own reference to the pages while a socket
        // lives, and no slice of ours outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_leaves_its_frame_is_refused() {
        let area = UmemArea::map(4, 2048).unwrap();
        let last = area.bytes as u64;
        assert!(area.frame(256, 1500).is_some());
        assert!(area.frame(2048 + 256, 1792).is_some(), "up to the frame's last byte");
        assert!(area.frame(2048 + 256, 1793).is_none(), "one byte into the next frame");
        assert!(area.frame(last - 10, 11).is_none(), "past the area");
        assert!(area.frame(u64::MAX - 4, 8).is_none(), "wraps around");
    }

    #[test]
    fn a_frame_anywhere_inside_gives_the_token_of_its_start() {
        let area = UmemArea::map(4, 2048).unwrap();
        let (_, token) = area.frame(3 * 2048 + 300, 60).unwrap();
        assert_eq!(token.into_offset(), 3 * 2048);
        let all: Vec<u64> = area.tokens(4).map(FrameToken::into_offset).collect();
        assert_eq!(all, [0, 2048, 4096, 6144]);
    }
}
