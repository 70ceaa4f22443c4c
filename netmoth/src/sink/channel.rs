//! The way from a worker to the writer: full batches one way, empty ones back, and never a wait.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::counters::Place;
use super::{LostReason, WriterCounters};
use crate::flow::FlowRecord;

/// Records of one worker, in the order in which they were emitted.
#[derive(Debug, Default)]
pub struct Batch {
    /// The worker.
    pub worker: u16,
    /// 0, 1, 2, … of this worker.
    pub sequence: u64,
    /// The records.
    pub records: Vec<FlowRecord>,
}

/// One worker's end of the channel. The writer ends once all of them are dropped.
#[derive(Debug)]
pub struct BatchSender {
    worker: u16,
    sequence: u64,
    batches: Sender<Batch>,
    recycled: Receiver<Vec<FlowRecord>>,
    counters: Arc<WriterCounters>,
}

impl BatchSender {
    pub(crate) fn new(
        worker: u16,
        batches: Sender<Batch>,
        recycled: Receiver<Vec<FlowRecord>>,
        counters: Arc<WriterCounters>,
    ) -> Self {
        Self { worker, sequence: 0, batches, recycled, counters }
    }

    /// Hands all of `records` over and leaves an empty vector in its place, one that the writer is done with where there is
    /// one. Never blocks: a full channel loses the batch, counts it ([`LostReason::ChannelFull`]) and gives false.
    pub fn send(&mut self, records: &mut Vec<FlowRecord>) -> bool {
        if records.is_empty() {
            return true;
        }
        let count = records.len() as u64;
        self.counters.add_emitted(count);
        let fresh = self.recycled.try_recv().unwrap_or_default();
        let batch = Batch { worker: self.worker, sequence: self.sequence, records: std::mem::replace(records, fresh) };
        self.sequence += 1;
        match self.batches.try_send(batch) {
            Ok(()) => true,
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                self.counters.add_lost(Place::Memory, LostReason::ChannelFull, count);
                *records = batch.records;
                records.clear();
                false
            }
        }
    }

    /// Batches that the channel takes before it is full.
    pub fn room(&self) -> usize {
        self.batches.capacity().map_or(usize::MAX, |capacity| capacity.saturating_sub(self.batches.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;

    #[test]
    fn a_full_channel_loses_the_batch_and_counts_it_and_vectors_come_back() {
        let (batches, received) = crossbeam_channel::bounded(1);
        let (recycle, recycled) = crossbeam_channel::bounded(1);
        let counters = Arc::new(WriterCounters::default());
        let mut sender = BatchSender::new(3, batches, recycled, Arc::clone(&counters));
        recycle.send(Vec::with_capacity(100)).unwrap();

        let mut records = vec![record(); 5];
        assert!(sender.send(&mut records));
        assert!(records.is_empty() && records.capacity() >= 100);
        records.extend([record(); 7]);
        assert!(!sender.send(&mut records));
        assert!(records.is_empty());

        let batch = received.recv().unwrap();
        assert_eq!((batch.worker, batch.sequence, batch.records.len()), (3, 0, 5));
        let report = counters.report();
        assert_eq!((report.emitted, report.waiting, report.lost), (12, 5, [7, 0, 0, 0, 0]));
        assert!(report.is_balanced());
    }
}
