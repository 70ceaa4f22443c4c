//! How much memory a process has in RAM.

use std::fs;

/// Resident bytes (`VmRSS` of proc(5)); `None` where the kernel does not tell.
pub(super) fn resident() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The most bytes that were resident of a process so far (`VmHWM` of proc(5)); `None` where it has ended or the kernel does not
/// tell.
pub fn most(process: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, "VmHWM:")
}

fn parse(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        let status = "Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t   2048 kB\n";
        assert_eq!((parse(status, "VmRSS:"), parse(status, "VmHWM:")), (Some(2 << 20), Some(99 << 10)));
        assert_eq!(parse("Name:\tx\n", "VmRSS:"), None);
        assert!(most(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        // More than any process has (PID_MAX_LIMIT of linux/threads.h is 2^22).
        assert_eq!(most((1 << 22) + 1), None);
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }
}
