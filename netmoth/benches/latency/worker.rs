//! The loop of a worker, with a clock at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use netmoth::capture::{CaptureConfig, Frame, Live, Source};
use netmoth::flow::{FlowConfig, FlowRecord, RecordSink};
use netmoth::metrics::WorkerCounters;
use netmoth::time::Instant;
use netmoth::wire::LinkType;
use netmoth::worker::{Arrival, Engine, Idle};

use crate::STAMP;
use crate::histogram::Histogram;
use crate::support::netns;

/// What a round gave.
pub(crate) struct Measured {
    /// Frames that came.
    pub(crate) frames: u64,
    /// Frames that the kernel saw and that did not come.
    pub(crate) lost: u64,
    /// Their delays, in nanoseconds.
    pub(crate) delays: Histogram,
}

/// What the loop is told.
const RUN: u8 = 0;
const RECORD: u8 = 1;
const STOP: u8 = 2;

/// The loop at work.
pub(crate) struct Worker {
    phase: Arc<AtomicU8>,
    thread: JoinHandle<Measured>,
}

/// Throws records away: none should end while a round lasts.
struct Nowhere;

impl RecordSink for Nowhere {
    fn emit(&mut self, _: FlowRecord) {}
}

impl Worker {
    /// Starts capture in a namespace, on the first core, and returns when frames can come.
    pub(crate) fn start(namespace: String, config: CaptureConfig, coalesce: Duration) -> Self {
        let phase = Arc::new(AtomicU8::new(RUN));
        let told = Arc::clone(&phase);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            netns::enter(&namespace);
            assert!(core_affinity::set_for_current(core_affinity::CoreId { id: 0 }), "can't stay on CPU 0");
            let (mut capture, mut sources) = Live::open(&config).unwrap();
            let mut source = sources.pop().expect("one worker");
            capture.start().unwrap();
            ready.send(()).unwrap();
            let (frames, delays) = work(&mut source, &told, coalesce);
            let counts = capture.counts().unwrap();
            Measured { frames, lost: counts.fates.iter().sum::<u64>() - frames, delays }
        });
        is_ready.recv().expect("the worker starts");
        Self { phase, thread }
    }

    /// From now on delays are measured.
    pub(crate) fn record(&self) {
        self.phase.store(RECORD, Ordering::Relaxed);
    }

    /// Takes what is left in the ring, and says what came.
    pub(crate) fn stop(self) -> Measured {
        self.phase.store(STOP, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// As `netmoth::worker::Worker` does it; records go nowhere.
fn work(source: &mut Source, phase: &AtomicU8, coalesce: Duration) -> (u64, Histogram) {
    let counters = Arc::new(WorkerCounters::default());
    let mut engine = Engine::new(&FlowConfig::new(1_000_000, [1, 2]), Arc::clone(&counters)).unwrap();
    let (mut idle, mut delays) = (Idle::new(coalesce), Histogram::new());
    let mut now = Instant::now();
    loop {
        let told = phase.load(Ordering::Relaxed);
        let received = source.poll(|frames| {
            engine.touch(frames.iter().map(|frame| frame.data));
            let arrivals = frames.iter().map(|frame| Arrival {
                link: Some(LinkType::Ethernet),
                data: frame.data,
                wire_len: frame.wire_len,
                at: now,
            });
            engine.process(arrivals, &mut Nowhere);
            if told == RECORD {
                let booked = Instant::now().mono_ns;
                frames.iter().filter_map(sent_at).for_each(|sent| delays.add(booked.saturating_sub(sent)));
            }
        });
        engine.advance(now, &mut Nowhere);
        now = Instant::now();
        if received > 0 {
            now = idle.came(received, now);
        } else if told == STOP {
            break;
        } else {
            now = idle.wait(source, now);
        }
    }
    (counters.frames.get(), delays)
}

/// When the sender sent a frame, in nanoseconds of CLOCK_MONOTONIC.
fn sent_at(frame: &Frame<'_>) -> Option<u64> {
    Some(u64::from_ne_bytes(*frame.data.get(STAMP..)?.first_chunk()?))
}
