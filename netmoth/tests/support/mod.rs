//! What end-to-end tests stand on: networks, programs, captures, and the sensor itself.

pub(crate) mod command;
pub(crate) mod compare;
pub(crate) mod frames;
pub(crate) mod lab;
pub(crate) mod metrics;
pub(crate) mod netns;
pub(crate) mod pcap;
pub(crate) mod sender;
pub(crate) mod sensor;
pub(crate) mod traffic;

use std::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whether this test can make namespaces and attach programs. Says so where it can't; in CI that is a failure.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn root() -> bool {
    let root = std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:") && line.contains("\t0\t0")));
    if !root {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, and in CI it may not skip");
        eprintln!("skipped: this test needs root (network namespaces, XDP)");
    }
    root
}

/// Held by tests that share the machine's cores with a sensor, so that none starves another.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
