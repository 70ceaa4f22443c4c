//! CPU time: of processes while they run, and of the kernel's soft interrupts, which belong to no process.

use std::fs;
use std::time::Duration;

/// CPU time of a process and of all its descendants that run, to the nanosecond.
pub fn of_tree(process: u32) -> Duration {
    let parents = parents();
    let mut tree = vec![process];
    let mut at = 0;
    while let Some(&parent) = tree.get(at) {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    tree.into_iter().map(of_process).sum()
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| {
        let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in brackets may hold anything; behind it come state and parent.
        let parent = line.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((id, parent))
    })
    .collect()
}

/// CPU time of all threads of a process, to the nanosecond (clock_getcpuclockid(3)); nothing where it has ended.
#[expect(unsafe_code, reason = "the clock of another process is a kernel interface")]
pub fn of_process(process: u32) -> Duration {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: writes to a live clock id, and takes the process by value; one that is gone is an error.
    let known = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &raw mut clock) } == 0;
    // SAFETY: writes to a live timespec; a clock whose process is gone is an error.
    let read = known && unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    if read { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
}

/// Time that all cores have spent in soft interrupts since the start of the machine (proc(5), /proc/stat). The kernel
/// looks what a core does at every tick of its clock: a second of it is known to a few milliseconds. `None` where the kernel
/// does not tell.
pub fn soft_interrupts() -> Option<Duration> {
    /// What user space is told (USER_HZ), whatever the kernel's own ticks are.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: u64 = stat.lines().next()?.split_whitespace().nth(7)?.parse().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any process has (PID_MAX_LIMIT of linux/threads.h is 2^22).
    const NOBODY: u32 = (1 << 22) + 1;

    #[test]
    fn this_process_has_used_some_and_one_that_is_not_there_none() {
        assert!(of_process(std::process::id()) > Duration::ZERO);
        assert_eq!(of_process(NOBODY), Duration::ZERO);
        assert!(soft_interrupts().is_some());
    }
}
