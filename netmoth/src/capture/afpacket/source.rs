//! What one worker polls: the ring of its socket, frame by frame as the wire had them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::ring::{Entry, Place, Ring};
use super::segment::{Big, SHOWN};
use super::socket::clear_error;
use super::tag;
use crate::capture::poll::PollSet;
use crate::capture::{BATCH, Frame};
use crate::metrics::Counter;

/// A frame that will be shown.
#[derive(Clone, Copy)]
struct Picked {
    bytes: Bytes,
    wire_len: u32,
    wall_ns: i64,
}

/// Where its bytes are.
#[derive(Clone, Copy)]
enum Bytes {
    /// In the ring.
    There(Place),
    /// So many in the slot of this number.
    Made(usize, usize),
}

/// A frame of many of which segments are still to be shown.
struct Cut {
    big: Big,
    place: Place,
    wall_ns: i64,
    next: usize,
}

/// The receive side of one packet socket.
pub struct PacketSource {
    ring: Ring,
    snapshot: usize,
    /// Segments beyond the first of each frame of many: the kernel has counted such a frame once.
    segments: Arc<Counter>,
    cut: Option<Cut>,
    picked: Box<[Picked; BATCH]>,
    slots: Box<[[u8; SHOWN]; BATCH]>,
    socket: Arc<OwnedFd>,
    sleeper: PollSet,
}

impl PacketSource {
    /// Of a ring and its socket.
    pub(super) fn new(ring: Ring, socket: Arc<OwnedFd>, snapshot: u32, segments: Arc<Counter>) -> Self {
        let blank = Picked { bytes: Bytes::Made(0, 0), wire_len: 0, wall_ns: 0 };
        Self {
            ring,
            snapshot: snapshot as usize,
            segments,
            cut: None,
            picked: Box::new([blank; BATCH]),
            slots: Box::new([[0; SHOWN]; BATCH]),
            sleeper: PollSet::new([socket.as_raw_fd()]),
            socket,
        }
    }

    /// Shows up to [`BATCH`] frames of the block in hand to `handle`, and gives the block back to the kernel after its last
    /// one. Returns how many; 0 where the kernel has handed nothing over.
    #[inline]
    pub fn poll(&mut self, handle: impl FnOnce(&[Frame<'_>])) -> usize {
        while self.ring.take() {
            let picked = self.pick();
            if picked > 0 {
                self.show(picked, handle);
                self.let_go();
                return picked;
            }
            self.let_go();
        }
        0
    }

    /// Gives the block in hand back after its last frame.
    fn let_go(&mut self) {
        if self.ring.done() && self.cut.is_none() {
            self.ring.give_back();
        }
    }

    /// Sleeps until the kernel hands frames over, for at most `timeout_ms`. Returns whether it has.
    pub fn wait(&mut self, timeout_ms: u32) -> bool {
        let woken = self.sleeper.wait(timeout_ms);
        if woken && self.sleeper.in_error() {
            clear_error(&self.socket);
        }
        woken
    }

    fn show(&self, picked: usize, handle: impl FnOnce(&[Frame<'_>])) {
        let mut frames = [Frame { data: &[], wire_len: 0, wall_ns: 0 }; BATCH];
        for (frame, picked) in frames.iter_mut().zip(&self.picked[..picked]) {
            let data = match picked.bytes {
                Bytes::There(place) => self.ring.bytes(place),
                Bytes::Made(slot, length) => &self.slots[slot][..length],
            };
            let data = &data[..data.len().min(self.snapshot)];
            *frame = Frame { data, wire_len: picked.wire_len, wall_ns: picked.wall_ns };
        }
        handle(&frames[..picked]);
    }

    /// Picks the next frames of the block in hand. Returns how many.
    #[inline]
    fn pick(&mut self) -> usize {
        let mut picked = 0;
        while picked < BATCH {
            if self.cut.is_some() {
                self.segment(picked);
            } else {
                let Some(entry) = self.ring.next() else { break };
                let Some(frame) = self.whole(&entry) else { continue };
                self.picked[picked] = frame;
            }
            picked += 1;
        }
        picked
    }

    /// The frame as the wire had it, if it had it as one.
    #[inline]
    fn whole(&mut self, entry: &Entry) -> Option<Picked> {
        let (mut place, mut wire_len) = (entry.place, entry.length);
        if let Some((protocol, control)) = entry.tag {
            place = self.ring.put_tag(place, protocol, control);
            wire_len += tag::LENGTH as u32;
        }
        if let Some(big) = Big::of(&entry.description, self.ring.bytes(place), wire_len) {
            self.segments.add(big.count() as u64 - 1);
            self.cut = Some(Cut { big, place, wall_ns: entry.wall_ns, next: 0 });
            return None;
        }
        Some(Picked { bytes: Bytes::There(place), wire_len, wall_ns: entry.wall_ns })
    }

    /// Makes the next segment of the frame of many.
    fn segment(&mut self, slot: usize) {
        let Some(cut) = &mut self.cut else { return };
        let (length, wire_len) = cut.big.write(cut.next, self.ring.bytes(cut.place), &mut self.slots[slot]);
        self.picked[slot] = Picked { bytes: Bytes::Made(slot, length), wire_len, wall_ns: cut.wall_ns };
        cut.next += 1;
        if cut.next == cut.big.count() {
            self.cut = None;
        }
    }
}
