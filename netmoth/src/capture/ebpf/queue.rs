//! One receive queue: its UMEM, its fill ring, and the frames that wait to go back into it.

use std::sync::Arc;

use xdpilone::DeviceQueue;

use super::handback::Taker;
use super::umem::{FrameToken, UmemArea};

/// The owner's side of a queue: the only producer of its fill ring.
pub(super) struct FillSide {
    /// Fill and completion ring, with the descriptor that keeps them.
    device: DeviceQueue,
    /// From the other workers that share the queue.
    handbacks: Vec<Taker>,
    /// Frames that the kernel has not been given; holds all of the UMEM, so it never grows. The last that came goes first: it
    /// is the likeliest to be in a cache.
    spare: Vec<FrameToken>,
    /// Frames that the kernel is given at a time.
    most: u32,
    /// The memory that the tokens stand for.
    _area: Arc<UmemArea>,
}

impl FillSide {
    /// Takes the whole UMEM into hand and fills the ring with at most `most` frames at a time.
    pub(super) fn new(device: DeviceQueue, area: Arc<UmemArea>, frames: u32, most: u32, handbacks: Vec<Taker>) -> Self {
        let mut spare = Vec::with_capacity(frames as usize);
        spare.extend(area.tokens(frames));
        let mut side = Self { device, handbacks, spare, most, _area: area };
        side.refill();
        side
    }

    /// Gives one frame back.
    pub(super) fn give(&mut self, token: FrameToken) {
        self.spare.push(token);
    }

    /// Hands the frames that are there to the kernel, up to what it may have; wakes the driver where it asked for it.
    pub(super) fn refill(&mut self) {
        for taker in &mut self.handbacks {
            for _ in 0..taker.available() {
                self.spare.push(taker.next());
            }
        }
        let wanted = self.most.saturating_sub(self.device.pending()).min(self.spare.len() as u32);
        if wanted > 0 {
            let mut write = self.device.fill(wanted);
            let from = self.spare.len() - (write.capacity().min(wanted)) as usize;
            write.insert(self.spare.drain(from..).map(FrameToken::into_offset));
            write.commit();
        }
        if self.device.needs_wakeup() {
            self.device.wake();
        }
    }

    /// Whether other workers take frames out of this ring.
    pub(super) fn shared(&self) -> bool {
        !self.handbacks.is_empty()
    }
}
