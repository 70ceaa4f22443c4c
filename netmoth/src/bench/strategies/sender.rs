//! Whoever sends: [`send`](crate::bench::send) on a thread and a core of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
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
    /// Begins to send in the calling thread's namespace, and returns after the first frame: so many frames a second, or as many as go; with the time in each
    /// where it is `stamped`.
    pub(super) fn start(profile: Profile, rate: Option<u64>, cpu: usize, stamped: bool) -> Result<Self, BenchError> {
        let config =
            SendConfig { interface: OUT.into(), queue: 0, profile, rate, packets: None, time: None, core: Some(cpu) };
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (say, begun) = channel();
        let work = move || {
            let stamp = stamped.then_some(STAMP);
            // Whoever waits for it waits until it comes.
            let first = move || {
                let _ = say.send(());
            };
            transmit(&config, stamp, &told, &mut Progress::silent(), first)
        };
        let thread = std::thread::Builder::new().name("sender".into()).spawn(work);
        let thread = thread.map_err(|cause| BenchError::Network { step: "sent on", cause: cause.into() })?;
        let mut sender = Self { stop, thread: Some(thread) };
        if begun.recv().is_ok() {
            return Ok(sender);
        }
        // It has ended before its first frame: its error says why.
        sender.end().and_then(|_| Err(BenchError::Worthless("the sender ended before it had begun".into())))
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
