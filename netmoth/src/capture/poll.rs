//! Sleeping in the kernel until a descriptor has something to read: poll(2).

use std::os::fd::RawFd;

/// Descriptors to sleep on, prepared once.
#[derive(Debug, Default)]
pub(super) struct PollSet(Vec<libc::pollfd>);

impl PollSet {
    /// A set of these descriptors.
    pub(super) fn new(descriptors: impl IntoIterator<Item = RawFd>) -> Self {
        Self(descriptors.into_iter().map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect())
    }

    /// Sleeps for at most `timeout_ms`; true if a descriptor is readable (or in error: reading it will say so).
    #[expect(unsafe_code, reason = "poll is a kernel interface")]
    pub(super) fn wait(&mut self, timeout_ms: u32) -> bool {
        let timeout = libc::c_int::try_from(timeout_ms).unwrap_or(libc::c_int::MAX);
        // SAFETY: pointer and length are those of a live, writable array of pollfd.
        unsafe { libc::poll(self.0.as_mut_ptr(), self.0.len() as libc::nfds_t, timeout) > 0 }
    }

    /// Whether a descriptor was in error when the last sleep ended.
    pub(super) fn in_error(&self) -> bool {
        self.0.iter().any(|one| one.revents & libc::POLLERR != 0)
    }
}
