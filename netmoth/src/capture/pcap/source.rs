//! What the one worker polls: frames of libpcap, copied out of its ring batch by batch.

use std::os::fd::RawFd;
use std::sync::Arc;

use super::open::Shared;
use crate::capture::poll::PollSet;
use crate::capture::{BATCH, Frame};
use crate::metrics::Counter;

/// Frames stand on cache lines of their own.
const LINE: usize = 64;

/// A frame in the arena.
#[derive(Clone, Copy, Default)]
struct Picked {
    at: usize,
    length: usize,
    wire_len: u32,
    wall_ns: i64,
}

/// The reader of a capture by libpcap.
pub struct PcapSource {
    shared: Arc<Shared>,
    /// Frames taken out so far, for the main thread.
    taken: Arc<Counter>,
    snapshot: usize,
    /// Room for a batch: libpcap may use a block again before the batch is done with.
    arena: Box<[u8]>,
    picked: Box<[Picked; BATCH]>,
    sleeper: PollSet,
}

impl PcapSource {
    pub(super) fn new(shared: Arc<Shared>, taken: Arc<Counter>, socket: RawFd, snapshot: u32) -> Self {
        let snapshot = snapshot as usize;
        Self {
            shared,
            taken,
            snapshot,
            // Pages that no frame reaches are never touched, and so never there.
            arena: vec![0; BATCH * snapshot.next_multiple_of(LINE)].into_boxed_slice(),
            picked: Box::new([Picked::default(); BATCH]),
            sleeper: PollSet::new([socket]),
        }
    }

    /// Takes up to [`BATCH`] frames and shows them to `handle`. Returns how many; 0 where nothing waits.
    #[inline]
    pub fn poll(&mut self, handle: impl FnOnce(&[Frame<'_>])) -> usize {
        let Self { shared, arena, picked, snapshot, .. } = self;
        let (mut count, mut at) = (0, 0);
        // An interface that went down has no frames; the link watch says so.
        let _ = shared.lock().handle.dispatch(BATCH as u32, |data, wire_len, wall_ns| {
            if count == BATCH {
                return;
            }
            let data = &data[..data.len().min(*snapshot)];
            arena[at..at + data.len()].copy_from_slice(data);
            picked[count] = Picked { at, length: data.len(), wire_len, wall_ns };
            at = (at + data.len()).next_multiple_of(LINE);
            count += 1;
        });
        if count == 0 {
            return 0;
        }
        self.taken.add(count as u64);
        let mut frames = [Frame { data: &[], wire_len: 0, wall_ns: 0 }; BATCH];
        for (frame, one) in frames.iter_mut().zip(&self.picked[..count]) {
            let data = &self.arena[one.at..one.at + one.length];
            *frame = Frame { data, wire_len: one.wire_len, wall_ns: one.wall_ns };
        }
        handle(&frames[..count]);
        count
    }

    /// Sleeps until frames wait, for at most `timeout_ms`. Returns whether any do.
    pub fn wait(&mut self, timeout_ms: u32) -> bool {
        self.sleeper.wait(timeout_ms)
    }
}
