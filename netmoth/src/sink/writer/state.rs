//! The writer thread's loop: drain the channel, write what is due, and outlive the store's absences.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::{Deadline, WriterConfig};
use crate::flow::FlowRecord;
use crate::sink::store::{RunIdentity, Store, WriteError};
use crate::sink::{Batch, LostReason, StoreError, WriterCounters};

/// How often the channel is drained while the store works or is away, and the deadline looked at while nothing comes.
const DRAIN_EVERY: Duration = Duration::from_millis(5);
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// The first pause before connecting again, doubled each time up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Records under one number of the ledger, kept until their fate is known.
struct InFlight {
    seq: i64,
    records: Vec<FlowRecord>,
}

pub(super) struct WriterThread {
    config: WriterConfig,
    identity: RunIdentity,
    state: State,
    deadline: Arc<Deadline>,
    store: Option<Store>,
    outage: Option<Outage>,
}

/// The records and where they come from: apart from the store, so that both can be busy at once.
struct State {
    received: Receiver<Batch>,
    recycle: Sender<Vec<FlowRecord>>,
    counters: Arc<WriterCounters>,
    waiting: VecDeque<FlowRecord>,
    in_flight: Option<InFlight>,
    next_seq: i64,
    /// Records of the next transaction at most; halved while the store rejects, doubled when it takes.
    batch_limit: usize,
    max_batch: usize,
    max_waiting: usize,
    oldest: Option<Instant>,
    disconnected: bool,
}

/// The store is away.
struct Outage {
    since: Instant,
    lost_before: u64,
    pause: Duration,
}

impl WriterThread {
    pub(super) fn new(
        config: WriterConfig,
        identity: RunIdentity,
        received: Receiver<Batch>,
        recycle: Sender<Vec<FlowRecord>>,
        counters: Arc<WriterCounters>,
        deadline: Arc<Deadline>,
    ) -> Self {
        let max_batch = config.batch_records.max(1);
        let state = State {
            received,
            recycle,
            counters,
            waiting: VecDeque::new(),
            in_flight: None,
            next_seq: 0,
            batch_limit: max_batch,
            max_batch,
            max_waiting: config.max_waiting_records,
            oldest: None,
            disconnected: false,
        };
        Self { config, identity, state, deadline, store: None, outage: None }
    }

    /// Runs until all senders are gone and all records have their fate.
    pub(super) async fn run(mut self, store: Store) {
        self.store = Some(store);
        loop {
            self.state.drain();
            if self.deadline.has_passed() {
                self.state.give_up();
                break;
            }
            if self.state.is_done() {
                break;
            }
            if self.store.is_none() {
                self.reconnect().await;
            } else if self.state.is_due(self.config.flush_interval) {
                self.write().await;
            } else {
                self.state.wait(self.config.flush_interval);
            }
        }
        if let Some(store) = self.store.take() {
            // A server that hangs must not hold up the end.
            let _ = tokio::time::timeout(Duration::from_secs(1), store.close()).await;
        }
    }

    /// Writes one batch. Whatever goes wrong, its records stay in flight or get a counter.
    async fn write(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        let Some(batch) = self.state.take_batch() else {
            self.store = Some(store);
            return;
        };
        let outcome = self.state.while_draining(&self.deadline, store.write(batch.seq, &batch.records)).await;
        match outcome {
            Some(Ok(())) => {
                self.store = Some(store);
                self.state.committed(batch);
                self.came_back();
            }
            Some(Err(WriteError::Rejected(error))) => {
                self.state.rejected(batch, &error);
                // After an error the connection's state is unsure: a new one is cheap.
                self.went_away(None);
            }
            Some(Err(WriteError::Retry(error))) => {
                self.state.in_flight = Some(batch);
                self.went_away(Some(&error));
            }
            None => self.state.in_flight = Some(batch),
        }
    }

    /// One attempt to connect, after a pause where an earlier one failed.
    async fn reconnect(&mut self) {
        let pause = self.outage.as_ref().map_or(Duration::ZERO, |outage| jittered(outage.pause));
        if self.state.while_draining(&self.deadline, tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        let open = Store::open(&self.config.url, &self.identity, self.config.connect_timeout);
        match self.state.while_draining(&self.deadline, open).await {
            Some(Ok(store)) => self.store = Some(store),
            Some(Err(error)) => self.went_away(Some(&error)),
            None => {}
        }
    }

    /// Notes the start of an outage (said once) or makes the next pause longer.
    fn went_away(&mut self, error: Option<&StoreError>) {
        let Some(error) = error else { return };
        self.state.counters.add_retry();
        if let Some(outage) = &mut self.outage {
            outage.pause = outage.pause.saturating_mul(2).min(LAST_PAUSE);
            return;
        }
        let room = self.state.max_waiting;
        log::warn!("{error}. Capture goes on; up to {room} records wait in memory, and the store is tried again");
        let lost_before = self.state.counters.lost(LostReason::BufferFull);
        self.outage = Some(Outage { since: Instant::now(), lost_before, pause: FIRST_PAUSE });
        self.state.counters.set_store_up(false);
    }

    /// The store took a batch: if it was away, says for how long and what that cost.
    fn came_back(&mut self) {
        let Some(outage) = self.outage.take() else { return };
        let lost = self.state.counters.lost(LostReason::BufferFull) - outage.lost_before;
        let seconds = outage.since.elapsed().as_secs_f64();
        log::warn!("{} takes records again after {seconds:.1} s; {lost} records were lost meanwhile", self.config.url);
        self.state.counters.set_store_up(true);
    }
}

impl State {
    /// Takes what the channel holds into the buffer, and sends the vectors back.
    fn drain(&mut self) {
        loop {
            match self.received.try_recv() {
                Ok(batch) => self.accept(batch),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.disconnected = true;
                    return;
                }
            }
        }
    }

    fn accept(&mut self, batch: Batch) {
        let mut records = batch.records;
        let held = self.waiting.len() + self.in_flight.as_ref().map_or(0, |batch| batch.records.len());
        let taken = records.len().min(self.max_waiting.saturating_sub(held));
        self.waiting.extend(&records[..taken]);
        if taken < records.len() {
            self.counters.add_lost(LostReason::BufferFull, (records.len() - taken) as u64);
        }
        if taken > 0 {
            self.oldest.get_or_insert_with(Instant::now);
        }
        records.clear();
        // A full return channel means that the workers have enough of them.
        let _ = self.recycle.try_send(records);
    }

    /// Waits for a batch until one is due; blocks the thread, which has nothing else to do then.
    fn wait(&mut self, flush_interval: Duration) {
        let left = self.oldest.map_or(IDLE_WAIT, |oldest| flush_interval.saturating_sub(oldest.elapsed()));
        match self.received.recv_timeout(left.min(IDLE_WAIT)) {
            Ok(batch) => self.accept(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.disconnected = true,
        }
    }

    fn is_due(&self, flush_interval: Duration) -> bool {
        self.in_flight.is_some()
            || self.waiting.len() >= self.batch_limit
            || (!self.waiting.is_empty()
                && (self.disconnected || self.oldest.is_some_and(|oldest| oldest.elapsed() >= flush_interval)))
    }

    fn is_done(&self) -> bool {
        self.disconnected && self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// The batch whose fate is open, else a new one.
    fn take_batch(&mut self) -> Option<InFlight> {
        if let Some(batch) = self.in_flight.take() {
            return Some(batch);
        }
        let count = self.waiting.len().min(self.batch_limit);
        if count == 0 {
            return None;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let records = self.waiting.drain(..count).collect();
        self.oldest = (!self.waiting.is_empty()).then(Instant::now);
        Some(InFlight { seq, records })
    }

    fn committed(&mut self, batch: InFlight) {
        self.counters.add_committed(batch.records.len() as u64);
        self.batch_limit = self.batch_limit.saturating_mul(2).min(self.max_batch);
    }

    /// Halves what the store rejects until the record that it does not take stands alone; that one is lost.
    fn rejected(&mut self, batch: InFlight, error: &StoreError) {
        if batch.records.len() == 1 {
            self.counters.add_lost(LostReason::Rejected, 1);
            let lost = self.counters.lost(LostReason::Rejected);
            // Said for the 1st, 2nd, 4th, 8th … of them.
            if lost.is_power_of_two() {
                log::warn!("a record was rejected, the {lost}. of this run: {error}");
            }
            return;
        }
        self.batch_limit = batch.records.len().div_ceil(2);
        for record in batch.records.into_iter().rev() {
            self.waiting.push_front(record);
        }
        self.oldest.get_or_insert_with(Instant::now);
    }

    /// The time is over: whatever has no fate yet is lost.
    fn give_up(&mut self) {
        self.drain();
        let held = self.waiting.len() + self.in_flight.take().map_or(0, |batch| batch.records.len());
        self.waiting.clear();
        if held > 0 {
            log::warn!("{held} records could not be stored before the deadline and are lost");
            self.counters.add_lost(LostReason::ShutdownDeadline, held as u64);
        }
    }

    /// Waits for `work` and drains the channel meanwhile, so that a slow or absent store never fills it. `None` where the deadline passed.
    async fn while_draining<T>(&mut self, deadline: &Deadline, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = tokio::time::sleep(DRAIN_EVERY) => {
                    self.drain();
                    if deadline.has_passed() {
                        return None;
                    }
                }
            }
        }
    }
}

/// Between half of the pause and all of it, so that many sensors do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let random = crate::time::Instant::now().wall_ns.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    pause / 2 + (pause / 2).mul_f64(random as f64 / f64::from(u32::MAX))
}
