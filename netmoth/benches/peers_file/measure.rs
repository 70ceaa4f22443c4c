//! Runs a program to its end and says what it used.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a program used, with the children that it waited for (wait4(2)).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory of the largest process at its largest.
    pub(crate) peak_bytes: u64,
}

/// Runs it. What it says on both streams goes to a file in `folder`, and comes back.
///
/// Panics where it does not start or does not end with 0.
#[expect(unsafe_code, reason = "wait4 is a kernel interface that the standard library lacks")]
#[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
pub(crate) fn run(command: &mut Command, folder: &Path) -> (Used, String) {
    let log = folder.join("said");
    let file = File::create(&log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let begun = Instant::now();
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut status = 0;
    // SAFETY: a struct of plain numbers may be all zeros.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables of the right types. The child is ours, and nobody else waits for it:
    // dropping `child` does not.
    let ended = unsafe { libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, &raw mut usage) };
    let wall = begun.elapsed();
    let said = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    assert!(ended > 0 && status == 0, "{command:?} failed (wait status {status}); it said:\n{said}");
    let time = |value: libc::timeval| Duration::new(value.tv_sec as u64, value.tv_usec as u32 * 1_000);
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    (Used { wall, cpu, peak_bytes: usage.ru_maxrss as u64 * 1024 }, said)
}
