//! The ring that a packet socket shares with the kernel (TPACKET_V3): blocks of frames, each the kernel's or ours.
//!
//! Layout: struct tpacket_block_desc and struct tpacket3_hdr of linux/if_packet.h. All offsets are checked; what stands in a
//! block is the kernel's word, and a frame that would reach out of its block is shown without bytes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::segment::DESCRIPTION;
use super::{BLOCK, tag};

/// Whose a block is, at its offset 8 (`block_status`): 0 the kernel's, the lowest bit ours.
const STATUS: usize = 8;
/// How many frames it holds (`num_pkts`).
const FRAMES: usize = 12;
/// Where the first of them begins (`offset_to_first_pkt`).
const FIRST: usize = 16;

/// Bytes of a frame's header with its alignment, and of the address (struct sockaddr_ll) behind it.
const HEADER: usize = 48;
const ADDRESS: usize = 20;

/// The memory of a ring.
pub(super) struct Memory {
    base: NonNull<u8>,
    blocks: usize,
}

// SAFETY: the memory belongs to this value alone within this process; all access goes through atomics, or through the one
// `Ring` for blocks that are ours.
#[expect(unsafe_code, reason = "the ring is shared with the kernel by address")]
unsafe impl Send for Memory {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "the ring is shared with the kernel by address")]
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps the ring that was set up on `socket` with this many blocks.
    #[expect(unsafe_code, reason = "mmap is a kernel interface")]
    pub(super) fn map(socket: &OwnedFd, blocks: usize) -> io::Result<Self> {
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice, of a descriptor that is open.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), blocks * BLOCK, access, shared, socket.as_raw_fd(), 0) };
        match NonNull::new(base.cast()) {
            Some(base) if base.as_ptr() != libc::MAP_FAILED.cast() => Ok(Self { base, blocks }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The word at this offset, which is a multiple of 4; 0 where that is outside.
    #[expect(unsafe_code, reason = "the ring is shared with the kernel by address")]
    fn word(&self, at: usize) -> Option<&AtomicU32> {
        if at + size_of::<u32>() > self.blocks * BLOCK || !at.is_multiple_of(size_of::<u32>()) {
            return None;
        }
        // SAFETY: inside of the mapping, by the test above.
        let word = unsafe { self.base.add(at) };
        // SAFETY: aligned, as the mapping begins with a page; it lives as long as `self`; all sides use it atomically.
        Some(unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) })
    }

    fn load(&self, at: usize, order: Ordering) -> u32 {
        self.word(at).map_or(0, |word| word.load(order))
    }

    /// Whether the kernel has a block with frames in it that it has not handed over. A block that goes back to the kernel has
    /// its count reset by us, and by the kernel when it begins to fill it.
    pub(super) fn holds_back(&self) -> bool {
        (0..self.blocks).any(|block| {
            let start = block * BLOCK;
            self.load(start + STATUS, Ordering::Acquire) == 0 && self.load(start + FRAMES, Ordering::Relaxed) > 0
        })
    }
}

impl Drop for Memory {
    #[expect(unsafe_code, reason = "munmap is a kernel interface")]
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped; no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.blocks * BLOCK) };
    }
}

/// Where bytes of a frame stand in the memory; only the ring makes one, and only for the block in hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    at: usize,
    length: usize,
}

/// A frame of the block in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its bytes.
    pub(super) place: Place,
    /// Its length as the kernel had it.
    pub(super) length: u32,
    /// When the kernel saw it, nanoseconds of the wall clock.
    pub(super) wall_ns: i64,
    /// Type and contents of the VLAN tag that the kernel has taken out.
    pub(super) tag: Option<(u16, u16)>,
    /// struct virtio_net_hdr.
    pub(super) description: [u8; DESCRIPTION],
}

/// The side of a ring that takes frames out.
pub(super) struct Ring {
    memory: Arc<Memory>,
    /// The block in hand, or the next one to be.
    block: usize,
    held: bool,
    /// Where the next frame's header begins.
    next: usize,
    /// Frames of the block in hand that were not taken yet.
    left: u32,
}

impl Ring {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, block: 0, held: false, next: 0, left: 0 }
    }

    /// Takes the next block in hand, unless one is; false where the kernel has not handed it over.
    #[inline]
    pub(super) fn take(&mut self) -> bool {
        if self.held {
            return true;
        }
        let start = self.block * BLOCK;
        if self.memory.load(start + STATUS, Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        self.left = self.memory.load(start + FRAMES, Ordering::Relaxed);
        self.next = start + self.memory.load(start + FIRST, Ordering::Relaxed) as usize;
        self.held = true;
        true
    }

    /// Whether every frame of the block in hand was taken.
    #[inline]
    pub(super) fn done(&self) -> bool {
        self.left == 0
    }

    /// Gives the block in hand back to the kernel. No [`Place`] of it may be used afterwards; the borrow of `self` that
    /// [`bytes`](Self::bytes) needs has ended.
    #[inline]
    pub(super) fn give_back(&mut self) {
        let start = self.block * BLOCK;
        if let (Some(frames), Some(status)) = (self.memory.word(start + FRAMES), self.memory.word(start + STATUS)) {
            frames.store(0, Ordering::Relaxed);
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
        self.held = false;
        self.block = if self.block + 1 == self.memory.blocks { 0 } else { self.block + 1 };
    }

    /// The next frame of the block in hand.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Entry> {
        while self.left > 0 {
            let at = self.next;
            let word = |offset: usize| self.memory.load(at + offset, Ordering::Relaxed);
            self.left -= 1;
            self.next = at + word(0) as usize;
            let status = word(20);
            // A frame whose description failed has its place, but is counted as dropped: see the module.
            if status & libc::TP_STATUS_USER == 0 {
                continue;
            }
            let mac = usize::from(low_half(word(24)));
            let place = self.place(at + mac, word(12) as usize, mac);
            let kind = match status & libc::TP_STATUS_VLAN_TPID_VALID {
                0 => 0x8100,
                _ => low_half(word(36)),
            };
            return Some(Entry {
                place,
                length: word(16),
                wall_ns: i64::from(word(4)) * 1_000_000_000 + i64::from(word(8)),
                tag: (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| (kind, word(32) as u16)),
                description: self.description(place),
            });
        }
        None
    }

    /// A place inside of the block in hand with the header's room before it, or one without bytes.
    fn place(&self, at: usize, length: usize, mac: usize) -> Place {
        let end = (self.block + 1) * BLOCK;
        let fits = mac >= HEADER + ADDRESS + DESCRIPTION && at.checked_add(length).is_some_and(|last| last <= end);
        if fits { Place { at, length } } else { Place::default() }
    }

    /// What stands right before a frame.
    fn description(&self, place: Place) -> [u8; DESCRIPTION] {
        if place.length == 0 {
            return [0; DESCRIPTION];
        }
        let before = Place { at: place.at - DESCRIPTION, length: DESCRIPTION };
        self.bytes(before).first_chunk().copied().unwrap_or_default()
    }

    /// Puts a VLAN tag back into a frame: the frame as it was on the wire.
    pub(super) fn put_tag(&mut self, place: Place, protocol: u16, control: u16) -> Place {
        if place.length == 0 {
            return place;
        }
        let whole = Place { at: place.at - tag::LENGTH, length: place.length + tag::LENGTH };
        if tag::put_back(self.bytes_mut(whole), protocol, control) { whole } else { place }
    }

    /// The bytes of a frame in the block in hand.
    #[inline]
    #[expect(unsafe_code, reason = "the ring is shared with the kernel by address")]
    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        // SAFETY: a place lies inside of the block in hand, as `place` has checked, or has no bytes.
        let start = unsafe { self.memory.base.add(place.at) };
        // SAFETY: the kernel does not write to a block that is ours, and giving it back takes `self` mutably.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), place.length) }
    }

    #[expect(unsafe_code, reason = "the ring is shared with the kernel by address")]
    fn bytes_mut(&mut self, place: Place) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        let start = unsafe { self.memory.base.add(place.at) };
        // SAFETY: as in `bytes`; the one other user of the memory reads words of block headers alone.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), place.length) }
    }
}

/// The first two bytes of a word as the machine has it.
fn low_half(word: u32) -> u16 {
    let [first, second, ..] = word.to_ne_bytes();
    u16::from_ne_bytes([first, second])
}
