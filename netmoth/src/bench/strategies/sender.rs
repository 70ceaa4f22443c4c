//! Whoever sends: [`send`](crate::bench::send) on a thread and a core of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use netmoth_traffic::Profile;

use super::wire::OUT;
use crate::bench::BenchError;
use crate::bench::latency::STAMP;
use crate::bench::send::{SendConfig, Sent, transmit};
use crate::progress::Progress;

/// It, at work. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Sent, BenchError>>>,
}

impl Sender {
    /// Begins to send in the calling thread's namespace: so many frames a second, or as many as go; with the time in each
    /// where it is `stamped`.
    pub(super) fn start(profile: Profile, rate: Option<u64>, cpu: usize, stamped: bool) -> Result<Self, BenchError> {
        let config =
            SendConfig { interface: OUT.into(), queue: 0, profile, rate, packets: None, time: None, core: Some(cpu) };
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let work = move || transmit(&config, stamped.then_some(STAMP), &told, &mut Progress::silent());
        let thread = std::thread::Builder::new().name("sender".into()).spawn(work);
        let thread = thread.map_err(|cause| BenchError::Network { step: "sent on", cause: cause.into() })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops it, and says what was sent.
    pub(super) fn stop(mut self) -> Result<Sent, BenchError> {
        self.end()
    }

    fn end(&mut self) -> Result<Sent, BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(sent)) => sent,
            _ => Err(BenchError::Worthless("the sender did not come to its end".into())),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Nobody asks any more what was sent.
            let _ = self.end();
        }
    }
}
