//! What unit tests share.

/// Whether this process is root, and may load programs. Continuous integration may not skip what it can't run.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    assert!(root || std::env::var_os("CI").is_none(), "this test needs root, and in CI it may not be skipped");
    if !root {
        eprintln!("skipped: this test needs root");
    }
    root
}
