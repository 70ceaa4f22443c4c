//! How much memory this process may lock: what a UMEM counts against (RLIMIT_MEMLOCK, getrlimit(2)).

use tuning::limits::{self, Capability};

use crate::capture::CaptureError;

/// Refuses what the kernel would refuse later with a bare ENOBUFS. Where the limits can't be read, the kernel has the word.
pub(super) fn check(needed: u64) -> Result<(), CaptureError> {
    let Ok(limits) = limits::read() else { return Ok(()) };
    match limits.memlock {
        Some(limit) if limit < needed && !limits.has(Capability::IpcLock) => {
            Err(CaptureError::Memlock { needed, limit })
        }
        _ => Ok(()),
    }
}
