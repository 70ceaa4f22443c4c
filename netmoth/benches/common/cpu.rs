//! CPU time: of processes while they run, and of the kernel's soft interrupts, which belong to no process.

use std::fs;
use std::time::Duration;

/// CPU time of a process and of all its descendants that run, to the nanosecond.
pub(crate) fn of_tree(process: u32) -> Duration {
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

/// What all threads of a process have used; nothing where it has ended.
#[expect(unsafe_code, reason = "the clock of another process is a kernel interface")]
fn of_process(process: u32) -> Duration {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: writes to a live clock id, and takes the process by value; one that is gone is an error.
    let known = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &raw mut clock) } == 0;
    // SAFETY: writes to a live timespec; a clock whose process is gone is an error.
    let read = known && unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    if read { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
}

/// Time that all cores have spent in soft interrupts since the start of the machine (proc(5), /proc/stat). The kernel
/// looks what a core does at every tick of its clock: a second of it is known to a few milliseconds.
pub(crate) fn soft_interrupts() -> Duration {
    /// What user space is told (USER_HZ), whatever the kernel's own ticks are.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/stat").expect("/proc/stat");
    let ticks = stat.lines().next().and_then(|all| all.split_whitespace().nth(7)?.parse::<u64>().ok());
    Duration::from_millis(ticks.expect("a column of soft interrupts") * 1000 / TICKS_PER_SECOND)
}
