//! What a worker does while its rings are empty: looks again at once, sleeps until a frame comes, or lets frames gather.

use std::thread;
use std::time::Duration;

use crate::capture::Source;
use crate::time::Instant;

/// Empty polls before a worker that does not let frames gather sleeps in the kernel: about 20 µs of looking again, so
/// that a busy link never pays a wake-up.
const SPINS: u32 = 256;

/// After fewer frames than these in a poll, a worker that does not let frames gather leaves the rings alone for [`GATHER_NS`].
/// Who looks for each frame by itself takes the rings' cache lines away from the core that fills them, again and again:
/// both become slower, and frames are lost that would not have been.
const MANY: usize = 32;

/// About as long as one batch takes to be sent by one core.
const GATHER_NS: u64 = 10_000;

/// Between two looks at the clock.
const PAUSES: u32 = 16;

/// Longest sleep in the kernel, so that timers run and orders are heard on a link without frames.
const SLEEP_MS: u32 = 50;

/// How one worker waits.
///
/// With `coalesce` it naps for so long between two looks at its rings, as long as there is something at each. Otherwise
/// it sleeps in poll(2) until a frame comes, and naps once before it looks, so that more may come: a busy sender is not
/// held up by a wake-up for each of its frames.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    coalesce: Duration,
    /// Empty polls since the last frame.
    empty: u32,
    /// Whether the last sleep in the kernel was longer than a nap: another nap would bring nothing.
    sparse: bool,
}

impl Idle {
    /// Lets frames gather for `coalesce`; where that is zero, it looks again at once.
    pub fn new(coalesce: Duration) -> Self {
        Self { coalesce, empty: 0, sparse: true }
    }

    /// So many frames came, and were done with at `now`. After few of them it spins for a moment without a look at the rings.
    /// Returns what time it is.
    #[inline]
    pub fn came(&mut self, frames: usize, now: Instant) -> Instant {
        self.empty = 0;
        if frames >= MANY || !self.coalesce.is_zero() {
            return now;
        }
        loop {
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
            let later = Instant::now();
            if later.mono_ns.saturating_sub(now.mono_ns) >= GATHER_NS {
                return later;
            }
        }
    }

    /// No frame came until `now`: waits, or not. Returns what time it is.
    #[inline]
    pub fn wait(&mut self, source: &mut Source, now: Instant) -> Instant {
        self.empty = self.empty.saturating_add(1);
        if self.coalesce.is_zero() {
            if self.empty < SPINS {
                return now;
            }
            source.wait(SLEEP_MS);
        } else if self.sparse || self.empty > 1 {
            if source.wait(SLEEP_MS) {
                let slept = Instant::now().mono_ns.saturating_sub(now.mono_ns);
                self.sparse = u128::from(slept) > self.coalesce.as_nanos();
                thread::sleep(self.coalesce);
            }
        } else {
            thread::sleep(self.coalesce);
        }
        Instant::now()
    }
}
