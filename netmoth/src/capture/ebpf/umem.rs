//! The memory that the kernel writes frames into, and the tokens that stand for its frames.
//!
//! Source: Documentation/networking/af_xdp.rst, "UMEM". One UMEM per receive queue; the sockets that share the queue
//! share it.

use std::io;
use std::ptr::NonNull;

use log::debug;

use crate::capture::CaptureError;
use crate::memory::{HUGE_PAGE, advise_huge_pages};

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
    /// Where the frames begin.
    base: NonNull<u8>,
    bytes: usize,
    #[expect(dead_code, reason = "its drop unmaps the area")]
    mapping: Mapping,
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
    /// Maps `frames` frames of `frame_size` bytes, in huge pages: those that the host has set aside, or transparent ones.
    pub(super) fn map(frames: u32, frame_size: u32) -> Result<Self, CaptureError> {
        let bytes = frames as usize * frame_size as usize;
        let whole = bytes.next_multiple_of(HUGE_PAGE);
        if let Ok(mapping) = Mapping::new(whole, libc::MAP_HUGETLB | libc::MAP_POPULATE) {
            debug!("UMEM of {bytes} bytes in huge pages that were set aside");
            return Ok(Self { base: mapping.base, bytes: whole, mapping, frame_size });
        }
        let memory = |cause: io::Error| CaptureError::Memory { bytes, cause: cause.into() };
        // Room to begin at a huge page's boundary; what is left over is never touched.
        let mapping = Mapping::new(whole + HUGE_PAGE, 0).map_err(memory)?;
        let base = mapping.aligned(HUGE_PAGE);
        advise_huge_pages(base.as_ptr() as usize, whole);
        populate(base, bytes).map_err(memory)?;
        Ok(Self { base, bytes, mapping, frame_size })
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

/// An anonymous mapping of our own.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    #[expect(unsafe_code, reason = "mmap is a kernel interface")]
    fn new(bytes: usize, flags: libc::c_int) -> io::Result<Self> {
        let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { base, bytes })
    }

    /// Its first address that is a multiple of `alignment`, which it must be larger than.
    #[expect(unsafe_code, reason = "the area is shared with the kernel by address")]
    fn aligned(&self, alignment: usize) -> NonNull<u8> {
        let skipped = self.base.as_ptr().align_offset(alignment);
        assert!(skipped < self.bytes);
        // SAFETY: it lies inside the mapping (just checked).
        unsafe { self.base.add(skipped) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "munmap is a kernel interface")]
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; the kernel holds its own reference to the pages while a socket
        // lives, and no slice of the area, which owns this, outlives it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Has all pages now, so that memory that is not there is told here. Kernels before 5.14 don't know this; there the pages come when
/// the area is registered.
#[expect(unsafe_code, reason = "madvise is a kernel interface")]
fn populate(base: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: the range lies in a mapping of ours; its pages are made as a write to each would make them, with their zeros.
    let result = unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_POPULATE_WRITE) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_leaves_its_frame_is_refused() {
        let area = UmemArea::map(4, 2048).unwrap();
        assert!(area.base.as_ptr().addr().is_multiple_of(HUGE_PAGE), "else it has no huge page");
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
