//! How much memory this process may lock: what a UMEM counts against (RLIMIT_MEMLOCK, getrlimit(2)).

use std::fs;

use super::CaptureError;

/// CAP_IPC_LOCK lifts the limit (capabilities(7)).
const CAP_IPC_LOCK: u32 = 14;

/// Refuses what the kernel would refuse later with a bare ENOBUFS.
pub(super) fn check(needed: u64) -> Result<(), CaptureError> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match limit(&limits) {
        Some(limit) if limit < needed && !has_capability(&status, CAP_IPC_LOCK) => {
            Err(CaptureError::Memlock { needed, limit })
        }
        _ => Ok(()),
    }
}

/// The soft limit in bytes out of /proc/self/limits; `None` where it is unlimited.
fn limit(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?.split_whitespace().next()?.parse().ok()
}

/// Whether the effective set of /proc/self/status has the capability.
fn has_capability(status: &str, capability: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> capability & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_as_the_kernel_prints_it() {
        let bytes = "Max processes             95690   95690   processes\nMax locked memory         8388608      8388608      bytes\n";
        assert_eq!(limit(bytes), Some(8_388_608));
        assert_eq!(limit("Max locked memory         unlimited    unlimited    bytes\n"), None);
    }

    #[test]
    fn a_capability_is_one_bit_of_the_effective_set() {
        let status = "CapPrm:\t0000000000000000\nCapEff:\t0000000000004000\n";
        assert!(has_capability(status, CAP_IPC_LOCK));
        assert!(!has_capability(status, 12));
    }
}
