//! Waiting that ends when somebody asks to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::bench::BenchError;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Whether to go on.
#[derive(Debug)]
pub(super) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// SIGINT, SIGTERM and SIGHUP are asked to end it from now on.
    ///
    /// # Errors
    /// Where they can't be caught.
    pub(super) fn until_signal() -> Result<Self, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|cause| BenchError::Signal(cause.into()))?;
        }
        Ok(Self(stop))
    }

    /// An error where somebody asked to stop.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        if self.0.load(Ordering::Relaxed) { Err(BenchError::Stopped) } else { Ok(()) }
    }

    /// Sleeps so long, less where somebody asks to stop.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + time;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_where_somebody_asks() {
        let patience = Patience(Arc::new(AtomicBool::new(false)));
        assert!(patience.sleep(Duration::from_millis(1)).is_ok());
        patience.0.store(true, Ordering::Relaxed);
        assert!(matches!(patience.sleep(Duration::from_secs(3_600)), Err(BenchError::Stopped)));
    }
}
