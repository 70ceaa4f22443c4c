//! The way from a worker to the writer: full batches one way, empty ones back, and never a wait.

use std::sync::Arc;

use crossbeam_channel::{Receiver, SendError, Sender, TrySendError};

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
        let Some(batch) = self.batch(records) else { return true };
        match self.batches.try_send(batch) {
            Ok(()) => true,
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => self.lose(batch, records),
        }
    }

    /// The same for who can wait: blocks while the channel is full, and loses nothing as long as there is a writer.
    pub fn send_and_wait(&mut self, records: &mut Vec<FlowRecord>) -> bool {
        let Some(batch) = self.batch(records) else { return true };
        match self.batches.send(batch) {
            Ok(()) => true,
            Err(SendError(batch)) => self.lose(batch, records),
        }
    }

    /// The records as a batch, counted; None where there are none.
    fn batch(&mut self, records: &mut Vec<FlowRecord>) -> Option<Batch> {
        if records.is_empty() {
            return None;
        }
        self.counters.add_emitted(records.len() as u64);
        let fresh = self.recycled.try_recv().unwrap_or_default();
        let batch = Batch { worker: self.worker, sequence: self.sequence, records: std::mem::replace(records, fresh) };
        self.sequence += 1;
        Some(batch)
    }

    fn lose(&self, batch: Batch, records: &mut Vec<FlowRecord>) -> bool {
        self.counters.add_lost(Place::Memory, LostReason::ChannelFull, batch.records.len() as u64);
        *records = batch.records;
        records.clear();
        false
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

    #[test]
    fn who_can_wait_loses_nothing_while_there_is_a_writer() {
        let (batches, received) = crossbeam_channel::bounded(1);
        let (_recycle, recycled) = crossbeam_channel::bounded(1);
        let counters = Arc::new(WriterCounters::default());
        let mut sender = BatchSender::new(0, batches, recycled, Arc::clone(&counters));
        let worker = std::thread::spawn(move || {
            let sent = [3, 4, 5].map(|count| sender.send_and_wait(&mut vec![record(); count]));
            (sent, sender)
        });
        let counts: Vec<_> = received.iter().take(3).map(|batch| batch.records.len()).collect();
        let (sent, mut sender) = worker.join().unwrap();
        assert_eq!((counts, sent), (vec![3, 4, 5], [true; 3]));
        assert_eq!(counters.report().lost, [0; 5]);
        drop(received);
        assert!(!sender.send_and_wait(&mut vec![record(); 6]), "there is no writer any more");
        assert_eq!(counters.report().lost, [6, 0, 0, 0, 0]);
    }
}
