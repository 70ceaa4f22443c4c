//! The clock that the packet path is told: it never reads one by itself, so tests and files replay.

/// One reading of the two clocks, taken once per poll (live) or made from a packet's time stamp (files).
///
/// Records carry wall time. Expiry compares monotonic time alone, so a wall clock that jumps moves no timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Instant {
    /// Nanoseconds since the Unix epoch, UTC; may jump.
    pub wall_ns: i64,
    /// Nanoseconds since an arbitrary start; never goes back.
    pub mono_ns: u64,
}

impl Instant {
    /// Reads CLOCK_REALTIME and CLOCK_MONOTONIC (both answered by the vDSO, no system call).
    pub fn now() -> Self {
        Self { wall_ns: read_clock(libc::CLOCK_REALTIME), mono_ns: read_clock(libc::CLOCK_MONOTONIC).max(0) as u64 }
    }
}

#[expect(unsafe_code, reason = "clock_gettime is a kernel interface")]
fn read_clock(clock: libc::clockid_t) -> i64 {
    let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `spec` is a valid, writable timespec for the whole call, and both clocks exist on every Linux kernel.
    unsafe { libc::clock_gettime(clock, &mut spec) };
    spec.tv_sec * 1_000_000_000 + spec.tv_nsec
}

/// Turns packet time stamps of a capture file into [`Instant`]s whose monotonic part never goes back, whatever the
/// order of the stamps.
#[derive(Debug, Default)]
pub struct ReplayClock {
    first_ns: Option<i64>,
    latest: Instant,
}

impl ReplayClock {
    /// The instant of a packet stamped `wall_ns` nanoseconds since the Unix epoch.
    pub fn at(&mut self, wall_ns: i64) -> Instant {
        let first = *self.first_ns.get_or_insert(wall_ns);
        let mono_ns = self.latest.mono_ns.max(wall_ns.saturating_sub(first).max(0) as u64);
        self.latest = Instant { wall_ns, mono_ns };
        self.latest
    }

    /// The instant of the last packet.
    pub fn latest(&self) -> Instant {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replayed_clock_never_goes_back() {
        let mut clock = ReplayClock::default();
        assert_eq!(clock.at(1_000), Instant { wall_ns: 1_000, mono_ns: 0 });
        assert_eq!(clock.at(5_000), Instant { wall_ns: 5_000, mono_ns: 4_000 });
        assert_eq!(clock.at(2_000), Instant { wall_ns: 2_000, mono_ns: 4_000 });
        assert_eq!(clock.latest(), Instant { wall_ns: 2_000, mono_ns: 4_000 });
    }
}
