//! A capture with its workers, started and ended in the order in which the sensor does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use netmoth::capture::{CaptureConfig, CaptureCounts, Live, Source, Strategy};
use netmoth_shared::fate::Fate;

use crate::packets::Packets;
use crate::support::command::{SHORT, until};

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
    /// The kernel's counts.
    pub(crate) counts: CaptureCounts,
}

impl Ended {
    /// Asserts that every frame that the kernel has seen was received or counted as dropped, and that none was dropped.
    #[track_caller]
    pub(crate) fn expect_all(&self, sent: u64) {
        let received: u64 = self.workers.iter().map(|seen| seen.len() as u64).sum();
        assert_eq!(self.counts.fates[Fate::Redirected as usize], sent, "{:?}", self.counts);
        assert_eq!((received, self.counts.sockets.ring_full), (sent, 0), "{:?}", self.counts);
    }
}

/// The configuration that the tests start from.
pub(crate) fn config(strategy: Strategy, workers: usize) -> CaptureConfig {
    CaptureConfig { strategy, workers, promiscuous: false, ..CaptureConfig::new("tap0") }
}

/// A capture at work.
pub(crate) struct Running {
    capture: Live,
    workers: Vec<JoinHandle<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Running {
    /// Opens, starts, and lets each worker read on a thread of its own.
    pub(crate) fn start(config: &CaptureConfig) -> Self {
        let (mut capture, sources) = Live::open(config).unwrap_or_else(|error| panic!("{error}"));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |source| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || work(source, &stop))
        };
        let workers = sources.into_iter().map(thread).collect();
        capture.start().unwrap_or_else(|error| panic!("{error}"));
        Self { capture, workers, stop }
    }

    /// Sends frames, never more at a time than a veth's backlog has room for, and waits until the kernel has seen them all.
    #[track_caller]
    pub(crate) fn feed(&self, packets: &Packets, frames: &[Vec<u8>]) {
        let mut sent = 0;
        for burst in frames.chunks(500) {
            burst.iter().for_each(|frame| packets.send(frame));
            sent += burst.len() as u64;
            self.wait_seen(sent);
        }
    }

    /// Waits until the kernel has seen `frames` frames.
    #[track_caller]
    pub(crate) fn wait_seen(&self, frames: u64) {
        until(&format!("{frames} frames are seen"), SHORT, || {
            (self.capture.counts().unwrap().fates.iter().sum::<u64>() >= frames).then_some(())
        });
    }

    /// Ends in order: no new frames, rings read until empty, counts.
    pub(crate) fn end(mut self) -> Ended {
        self.capture.stop();
        self.stop.store(true, Ordering::Release);
        let workers = self.workers.drain(..).map(|worker| worker.join().unwrap()).collect();
        Ended { workers, counts: self.capture.counts().unwrap() }
    }
}

fn work(mut source: Source, stop: &AtomicBool) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        // Asked before the poll: what is in the rings when the capture ends is still read.
        let last = stop.load(Ordering::Acquire);
        let count = source.poll(|frames| {
            seen.extend(frames.iter().map(|frame| Seen { data: frame.data.to_vec(), wire_len: frame.wire_len }));
        });
        match count {
            0 if last => return seen,
            0 => {
                source.wait(10);
            }
            _ => {}
        }
    }
}
