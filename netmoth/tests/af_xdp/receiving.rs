//! A capture with its workers, started and ended in the order in which the sensor does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use netmoth::capture::{Capture, CaptureConfig, CaptureCounts, Frame, XskSource};
use netmoth_shared::fate::Fate;

use crate::support::command::{SHORT, until};

/// Rings of this size fill soon, and the tokens of their UMEM go round often.
pub(crate) const RING: u32 = 256;

/// The configuration that most tests start from.
pub(crate) fn config(workers: usize) -> CaptureConfig {
    CaptureConfig { workers, zero_copy: false, promiscuous: false, ring_size: RING, ..CaptureConfig::new("tap0") }
}

/// A frame as a worker saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The bytes that the parser would get.
    pub(crate) data: Vec<u8>,
    /// Its length on the wire.
    pub(crate) wire_len: u32,
}

/// What a capture that ended had.
pub(crate) struct Ended {
    /// The frames of each worker, in order.
    pub(crate) workers: Vec<Vec<Seen>>,
    /// The kernel's counts, read after the rings were empty.
    pub(crate) counts: CaptureCounts,
}

impl Ended {
    /// Frames of all workers.
    pub(crate) fn received(&self) -> u64 {
        self.workers.iter().map(|seen| seen.len() as u64).sum()
    }

    /// The sums of the conservation law, exact: everything sent was redirected, everything redirected was received or
    /// counted as dropped.
    #[track_caller]
    pub(crate) fn expect_sums(&self, sent: u64) {
        let Self { counts, .. } = self;
        assert_eq!(counts.fates[Fate::Redirected as usize], sent, "{counts:?}");
        assert_eq!(counts.fates.iter().sum::<u64>(), sent, "{counts:?}");
        assert_eq!(self.received() + counts.sockets.dropped + counts.sockets.ring_full, sent, "{counts:?}");
        assert_eq!(counts.sockets.invalid_descriptors, 0);
    }
}

/// A capture at work.
pub(crate) struct Running {
    /// The kernel's side.
    pub(crate) capture: Capture,
    idle: Vec<XskSource>,
    workers: Vec<JoinHandle<Vec<Seen>>>,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Running {
    /// Opens and attaches; nobody reads the rings before [`Running::read`].
    pub(crate) fn open(config: &CaptureConfig) -> Self {
        let (mut capture, idle) = Capture::open(config).unwrap_or_else(|error| panic!("{error}"));
        capture.attach().unwrap_or_else(|error| panic!("{error}"));
        Self { capture, idle, workers: Vec::new(), received: Arc::default(), stop: Arc::default() }
    }

    /// Opens, attaches, and lets the workers read.
    pub(crate) fn start(config: &CaptureConfig) -> Self {
        let mut this = Self::open(config);
        this.read();
        this
    }

    /// Lets each worker read its rings on a thread of its own.
    pub(crate) fn read(&mut self) {
        for source in self.idle.drain(..) {
            let (received, stop) = (Arc::clone(&self.received), Arc::clone(&self.stop));
            self.workers.push(std::thread::spawn(move || work(source, &received, &stop)));
        }
    }

    /// Waits until the workers have received `frames` frames in all.
    #[track_caller]
    pub(crate) fn wait_received(&self, frames: u64) {
        // Mostly the frames are there within microseconds.
        for _ in 0..10_000 {
            if self.received.load(Ordering::Relaxed) >= frames {
                return;
            }
            std::thread::yield_now();
        }
        until(&format!("{frames} frames are received"), SHORT, || {
            (self.received.load(Ordering::Relaxed) >= frames).then_some(())
        });
    }

    /// Waits until the XDP program has seen `frames` frames: a veth hands them on after the send has returned.
    #[track_caller]
    pub(crate) fn wait_seen(&self, frames: u64) {
        until(&format!("{frames} frames are seen"), SHORT, || {
            (self.capture.counts().unwrap().fates.iter().sum::<u64>() >= frames).then_some(())
        });
    }

    /// Ends in order: no new frames, rings read until empty, counts, sockets closed.
    pub(crate) fn end(mut self) -> Ended {
        self.capture.detach();
        self.read();
        self.stop.store(true, Ordering::Release);
        let workers = self.workers.drain(..).map(|worker| worker.join().unwrap()).collect();
        Ended { workers, counts: self.capture.counts().unwrap() }
    }
}

fn work(mut source: XskSource, received: &AtomicU64, stop: &AtomicBool) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        // Asked before the poll: what is in the rings when the capture ends is still read.
        let last = stop.load(Ordering::Acquire);
        let count = source.poll(|frames| seen.extend(frames.iter().map(keep)));
        received.fetch_add(count as u64, Ordering::Relaxed);
        match count {
            0 if last => return seen,
            0 => {
                source.wait(10);
            }
            _ => {}
        }
    }
}

fn keep(frame: &Frame<'_>) -> Seen {
    Seen { data: frame.data.to_vec(), wire_len: frame.wire_len }
}
