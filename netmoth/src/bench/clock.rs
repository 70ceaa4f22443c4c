//! The clock of the measurements in memory.

use std::time::Duration;

/// CPU time of the calling thread (CLOCK_THREAD_CPUTIME_ID, clock_gettime(2)): on a core of its own it runs as any clock
/// does; where others want the core, too, it stands still while they have it.
#[expect(unsafe_code, reason = "clock_gettime is a kernel interface")]
pub(super) fn cpu_time() -> Duration {
    let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `spec` is a valid, writable timespec for the whole call, and the clock exists on every Linux kernel.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut spec) };
    Duration::new(spec.tv_sec.max(0) as u64, spec.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_while_the_thread_works_and_not_while_it_sleeps() {
        let begun = cpu_time();
        std::thread::sleep(Duration::from_millis(50));
        let slept = cpu_time() - begun;
        assert!(slept < Duration::from_millis(25), "{slept:?}");
        let mut sum = 0_u64;
        while cpu_time() - begun < Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0);
    }
}
