//! How much memory this process has in RAM.

use std::fs;

/// Resident bytes (`VmRSS` of proc(5)); `None` where the kernel does not tell.
pub(super) fn resident() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(parse("Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(parse("Name:\tx\n"), None);
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }
}
