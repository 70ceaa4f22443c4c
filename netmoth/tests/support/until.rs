//! Waiting for a condition, as long as a loaded machine may take.

use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// Returns when `holds` does.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
