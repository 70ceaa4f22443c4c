//! How long a frame waits until its connection is up to date: the loop of a worker, with a clock at its end.
//!
//! Whoever sends writes the time into each frame, [`STAMP`] bytes from its beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::BenchError;
use super::chunk::{Count, SECRET, pin};
use super::histogram::Histogram;
use crate::capture::{CaptureConfig, Frame, Live, Source};
use crate::flow::FlowConfig;
use crate::metrics::WorkerCounters;
use crate::time::Instant;
use crate::wire::LinkType;
use crate::worker::{Arrival, Engine, Idle};

/// Where the time stands in a frame: behind Ethernet, IPv4 and UDP. Eight bytes in the machine's order, nanoseconds of
/// CLOCK_MONOTONIC.
pub const STAMP: usize = 14 + 20 + 8;

/// Connections that its table has room for: what the configuration has by default.
const MAX_FLOWS: u32 = 1_000_000;

/// What a round gave.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Frames that came.
    pub frames: u64,
    /// Frames that the kernel saw and that did not come.
    pub lost: u64,
    /// Their delays, in nanoseconds.
    pub delays: Histogram,
}

/// What the loop is told: nothing is measured yet, delays are, and what is left in the ring is the last.
const RUN: u8 = 0;
const RECORD: u8 = 1;
const STOP: u8 = 2;

/// The loop at work. Dropping it ends it.
#[derive(Debug)]
pub struct Worker {
    phase: Arc<AtomicU8>,
    thread: Option<JoinHandle<Result<Measured, BenchError>>>,
}

impl Worker {
    /// Starts capture on a CPU, in the calling thread's network namespace, and returns when frames can come.
    ///
    /// # Errors
    /// A CPU that this process may not use; an interface that can't be captured on in this way, and why.
    pub fn start(config: CaptureConfig, coalesce: Duration, cpu: usize) -> Result<Self, BenchError> {
        let phase = Arc::new(AtomicU8::new(RUN));
        let told = Arc::clone(&phase);
        let (ready, is_ready) = channel();
        let thread = std::thread::Builder::new()
            .name("latency".into())
            .spawn(move || work(&config, coalesce, cpu, &told, ready))
            .map_err(|cause| BenchError::Network { step: "watched", cause: cause.into() })?;
        let mut worker = Self { phase, thread: Some(thread) };
        if is_ready.recv().is_ok() {
            return Ok(worker);
        }
        // It has ended before it was ready: its error says why.
        worker.end().and_then(|_| Err(BenchError::Worthless("a worker ended before it had begun".into())))
    }

    /// From now on delays are measured.
    pub fn record(&self) {
        self.phase.store(RECORD, Ordering::Relaxed);
    }

    /// Takes what is left in the ring, and says what came.
    ///
    /// # Errors
    /// Counters of the kernel that can't be read.
    pub fn stop(mut self) -> Result<Measured, BenchError> {
        self.end()
    }

    fn end(&mut self) -> Result<Measured, BenchError> {
        self.phase.store(STOP, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(measured)) => measured,
            _ => Err(BenchError::Worthless("a worker did not come to its end".into())),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Nobody asks any more what came.
            let _ = self.end();
        }
    }
}

/// The thread: capture, the loop, and what the kernel has counted.
fn work(
    config: &CaptureConfig,
    coalesce: Duration,
    cpu: usize,
    phase: &AtomicU8,
    ready: Sender<()>,
) -> Result<Measured, BenchError> {
    pin(Some(cpu))?;
    let (mut capture, mut sources) = Live::open(config)?;
    let Some(mut source) = sources.pop() else {
        return Err(BenchError::Worthless("a capture without a worker".into()));
    };
    let counters = Arc::new(WorkerCounters::default());
    let mut engine = Engine::new(&FlowConfig::new(MAX_FLOWS, SECRET), Arc::clone(&counters))?;
    capture.start()?;
    // Whoever waits for it may have gone.
    let _ = ready.send(());
    let delays = turn(&mut source, &mut engine, phase, coalesce);
    let (seen, frames) = (capture.counts()?.fates.iter().sum::<u64>(), counters.frames.get());
    Ok(Measured { frames, lost: seen.saturating_sub(frames), delays })
}

/// As [`crate::worker::Worker`] does it; records go nowhere.
fn turn(source: &mut Source, engine: &mut Engine, phase: &AtomicU8, coalesce: Duration) -> Histogram {
    let (mut idle, mut delays, mut records) = (Idle::new(coalesce), Histogram::new(), Count::default());
    let mut now = Instant::now();
    loop {
        let told = phase.load(Ordering::Relaxed);
        let received = source.poll(|frames| {
            let arrivals = frames.iter().map(|frame| Arrival {
                link: Some(LinkType::Ethernet),
                data: frame.data,
                wire_len: frame.wire_len,
                at: now,
            });
            engine.process_scattered(frames.iter().map(|frame| frame.data), arrivals, &mut records);
            // What was under way at the end belongs to it: it has waited longest.
            if told != RUN {
                let booked = Instant::now().mono_ns;
                frames.iter().filter_map(sent_at).for_each(|sent| delays.add(booked.saturating_sub(sent)));
            }
        });
        engine.advance(now, &mut records);
        now = Instant::now();
        if received > 0 {
            now = idle.came(received, now);
        } else if told == STOP {
            return delays;
        } else {
            now = idle.wait(source, now);
        }
    }
}

/// When the sender sent a frame, in nanoseconds of CLOCK_MONOTONIC.
fn sent_at(frame: &Frame<'_>) -> Option<u64> {
    Some(u64::from_ne_bytes(*frame.data.get(STAMP..)?.first_chunk()?))
}
