//! What a worker emits, gathered into batches and handed to the writer.

use std::sync::Arc;

use crate::flow::{FlowRecord, RecordSink};
use crate::metrics::WorkerCounters;
use crate::sink::BatchSender;

/// Records per batch: large enough that the channel costs nothing per record, small enough (about 220 KiB) to stay
/// inside a core's cache.
pub const BATCH_RECORDS: usize = 1024;

/// What to do where the channel to the writer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Live capture never waits: the batch is counted as lost, and its memory used again.
    Lose,
    /// A file can wait for the store.
    Wait,
}

/// The worker's end of the channel to the writer.
pub struct Outbox {
    records: Vec<FlowRecord>,
    sender: BatchSender,
    counters: Arc<WorkerCounters>,
    when_full: WhenFull,
}

impl Outbox {
    /// An outbox that sends with `sender` and counts in `counters`.
    pub fn new(sender: BatchSender, counters: Arc<WorkerCounters>, when_full: WhenFull) -> Self {
        Self { records: Vec::with_capacity(BATCH_RECORDS), sender, counters, when_full }
    }

    /// Sends what has gathered, full or not.
    pub fn flush(&mut self) {
        // What is lost is in the writer's counters, with its reason.
        match self.when_full {
            WhenFull::Lose => self.sender.send(&mut self.records),
            WhenFull::Wait => self.sender.send_and_wait(&mut self.records),
        };
        // A vector that has been to the writer keeps its room; a new one has none yet.
        self.records.reserve(BATCH_RECORDS);
    }
}

impl RecordSink for Outbox {
    fn emit(&mut self, record: FlowRecord) {
        self.counters.emitted[record.end_reason as usize].add(1);
        self.records.push(record);
        if self.records.len() == BATCH_RECORDS {
            self.flush();
        }
    }
}
