//! Brings a thread of a test into a network namespace.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Moves the calling thread into the namespace behind `file`, for good.
#[expect(unsafe_code, reason = "setns is a kernel interface")]
pub(crate) fn enter(file: &str) {
    let namespace = File::open(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    // SAFETY: setns takes a descriptor, which `namespace` keeps open for the call, and changes this thread alone.
    let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(entered, 0, "can't enter {file}: {}", std::io::Error::last_os_error());
}
