//! The loop of one pinned core: poll, parse, track, expire, emit.
//!
//! What enters: frames of the rings that this worker owns. What leaves: batches of records for the writer. A worker
//! owns its rings, its flow table, its timers and its counters; it shares nothing but what others may read, and takes
//! one order, [`Phase`], from the main thread.

mod ahead;
mod engine;
mod idle;
mod outbox;
mod parsed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::capture::Source;
use crate::metrics::WorkerCounters;
use crate::time::Instant;
use crate::wire::LinkType;

pub use engine::{Arrival, Engine};
pub use idle::Idle;
pub use outbox::{BATCH_RECORDS, Outbox, WhenFull};
pub use parsed::{Parsed, Parser};

/// Records are handed on after this long even if the batch is not full.
const FLUSH_NS: u64 = 500_000_000;

/// What the main thread asks of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Capture.
    Run = 0,
    /// The program is detached, no frame will follow: empty the rings, end all connections, return.
    Drain = 1,
}

/// The order that all workers read, once per poll.
#[derive(Debug, Default)]
pub struct Orders(AtomicU8);

impl Orders {
    /// Gives the order.
    pub fn give(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    fn drain(&self) -> bool {
        self.0.load(Ordering::Acquire) == Phase::Drain as u8
    }
}

/// One worker, built on the main thread and moved into its own.
pub struct Worker {
    /// The rings that it owns.
    pub source: Source,
    /// How it waits while they are empty.
    pub idle: Idle,
    /// Its flow table.
    pub engine: Engine,
    /// Its way to the writer.
    pub outbox: Outbox,
    /// Its counters.
    pub counters: Arc<WorkerCounters>,
    /// What it is told.
    pub orders: Arc<Orders>,
}

impl Worker {
    /// Captures until told to drain; then empties the rings, ends all connections and hands on the last records.
    pub fn run(mut self) {
        let mut now = Instant::now();
        let mut flush_due = now.mono_ns + FLUSH_NS;
        loop {
            let received = self.turn(now);
            let before = now.mono_ns;
            // The one clock reading of this turn: the end of this poll is the beginning of the next.
            now = Instant::now();
            if received > 0 {
                self.counters.busy_ns.add(now.mono_ns.saturating_sub(before));
                now = self.idle.came(received, now);
            } else if self.orders.drain() {
                break;
            } else {
                now = self.idle.wait(&mut self.source, now);
            }
            if now.mono_ns >= flush_due {
                self.outbox.flush();
                flush_due = now.mono_ns + FLUSH_NS;
            }
        }
        self.engine.finish(&mut self.outbox);
        self.outbox.flush();
    }

    fn turn(&mut self, now: Instant) -> usize {
        let Self { source, engine, outbox, .. } = self;
        let received = source.poll(|frames| {
            let arrivals = frames.iter().map(|frame| Arrival {
                link: Some(LinkType::Ethernet),
                data: frame.data,
                wire_len: frame.wire_len,
                at: Instant { wall_ns: if frame.wall_ns == 0 { now.wall_ns } else { frame.wall_ns }, ..now },
            });
            engine.process_scattered(frames.iter().map(|frame| frame.data), arrivals, outbox);
        });
        engine.advance(now, outbox);
        self.counters.polls.add(1);
        received
    }
}
