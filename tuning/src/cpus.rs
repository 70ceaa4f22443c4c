//! The CPUs that this process may use.

use serde::Serialize;

use crate::TuningError;
use crate::error::read as read_file;

const STATUS: &str = "/proc/self/status";

/// CPUs by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cpus {
    /// Those that this process may run on (taskset, cgroup cpusets and the unit's CPUAffinity= all show here).
    pub allowed: Vec<u32>,
}

/// Reads the list.
///
/// # Errors
/// Where procfs can't be read.
pub fn read() -> Result<Cpus, TuningError> {
    let status = read_file(STATUS)?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let allowed = list(allowed).filter(|cpus| !cpus.is_empty());
    Ok(Cpus {
        allowed: allowed
            .ok_or_else(|| TuningError::Content { path: STATUS.into(), found: "Cpus_allowed_list".into() })?,
    })
}

/// The CPUs of a NUMA node; empty where there is no such node.
pub fn of_node(node: u32) -> Vec<u32> {
    let path = format!("/sys/devices/system/node/node{node}/cpulist");
    std::fs::read_to_string(path).ok().and_then(|text| list(&text)).unwrap_or_default()
}

/// A list as the kernel prints it (`0-3,8,10-11`); `None` where it is none, or longer than any kernel's.
fn list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last > 65_535 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_ranges_and_numbers() {
        assert_eq!(list("\t0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(list("\n"), Some(vec![]));
        assert_eq!((list("a"), list("0-4294967295")), (None, None));
    }

    #[test]
    fn this_process_may_run_somewhere() {
        assert!(!read().unwrap().allowed.is_empty());
    }
}
