//! How a worker gives frames back to the owner of a shared queue: a ring with one producer and one consumer.
//!
//! The fill ring of a queue has one producer, its owner. Everybody else hands tokens over here. The ring has a place
//! for every frame of the UMEM, so it can't be full. No lock and no read-modify-write: each side stores one index.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::umem::FrameToken;

/// The producer's index, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Index(AtomicU32);

#[derive(Debug)]
struct Ring {
    /// Plain loads and stores (relaxed): the index orders them.
    slots: Box<[AtomicU64]>,
    written: Index,
}

impl Ring {
    fn slot(&self, index: u32) -> &AtomicU64 {
        &self.slots[index as usize & (self.slots.len() - 1)]
    }
}

/// The side of the worker that gives frames back.
#[derive(Debug)]
pub(super) struct Giver {
    ring: Arc<Ring>,
    written: u32,
}

/// The side of the owner.
#[derive(Debug)]
pub(super) struct Taker {
    ring: Arc<Ring>,
    read: u32,
}

/// A ring with room for `frames` tokens: all that there are, so there is no index that says what was read.
pub(super) fn ring(frames: u32) -> (Giver, Taker) {
    let places = frames.max(1).next_power_of_two();
    let slots = (0..places).map(|_| AtomicU64::new(0)).collect();
    let ring = Arc::new(Ring { slots, written: Index::default() });
    (Giver { ring: Arc::clone(&ring), written: 0 }, Taker { ring, read: 0 })
}

impl Giver {
    /// Gives one frame back; it becomes visible to the owner with [`Giver::publish`].
    pub(super) fn give(&mut self, token: FrameToken) {
        self.ring.slot(self.written).store(token.into_offset(), Ordering::Relaxed);
        self.written = self.written.wrapping_add(1);
    }

    /// Lets the owner see what was given.
    pub(super) fn publish(&self) {
        self.ring.written.0.store(self.written, Ordering::Release);
    }
}

impl Taker {
    /// How many frames are there to take.
    pub(super) fn available(&self) -> u32 {
        self.ring.written.0.load(Ordering::Acquire).wrapping_sub(self.read)
    }

    /// Takes the next frame; only as often as [`Taker::available`] said.
    pub(super) fn next(&mut self) -> FrameToken {
        let offset = self.ring.slot(self.read).load(Ordering::Relaxed);
        self.read = self.read.wrapping_add(1);
        FrameToken::from_offset(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_once_each_and_in_order_across_threads() {
        const FRAMES: u32 = 64;
        const ROUNDS: u64 = 200_000;
        let (mut giver, mut taker) = ring(FRAMES);
        let (mut tokens, mut source) = ring(FRAMES);
        // The second ring carries tokens the other way, so that never more than FRAMES are under way.
        (0..u64::from(FRAMES)).for_each(|frame| tokens.give(FrameToken::from_offset(frame)));
        tokens.publish();
        let worker = std::thread::spawn(move || {
            let mut given = 0;
            while given < ROUNDS {
                for _ in 0..source.available().min(7) {
                    giver.give(source.next());
                    given += 1;
                }
                giver.publish();
            }
        });
        let mut expected = 0;
        while expected < ROUNDS {
            for _ in 0..taker.available() {
                let offset = taker.next().into_offset();
                assert_eq!(offset, expected % u64::from(FRAMES));
                expected += 1;
                tokens.give(FrameToken::from_offset(offset));
            }
            tokens.publish();
        }
        worker.join().unwrap();
    }
}
