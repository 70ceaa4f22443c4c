//! The records that wait, and where they wait: in the channel, in memory, on the disk.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::aside::set_aside;
use super::disk::Disk;
use super::pending::{Open, Pending};
use super::{Deadline, WriterConfig};
use crate::flow::FlowRecord;
use crate::sink::counters::Place;
use crate::sink::spool::Spool;
use crate::sink::store::{RunIdentity, Unit};
use crate::sink::{Batch, LostReason, StoreError, WriterCounters};

/// How often the channel is drained while the store works or is away, and the deadline looked at while nothing comes.
pub(super) const DRAIN_EVERY: Duration = Duration::from_millis(5);
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// A store that does not answer for longer is treated as away until it does.
pub(super) const SLOW: Duration = Duration::from_secs(2);

/// The records and where they come from: apart from the store, so that both can be busy at once.
pub(super) struct State {
    received: Receiver<Batch>,
    recycle: Sender<Vec<FlowRecord>>,
    counters: Arc<WriterCounters>,
    run: RunIdentity,
    waiting: VecDeque<FlowRecord>,
    /// Batches whose fate is open, and parts of batches that the store refused as a whole: they come first.
    open: Open,
    next_seq: i64,
    batch_records: usize,
    flush_interval: Duration,
    max_waiting: usize,
    oldest: Option<Instant>,
    disconnected: bool,
    /// The store is away: what waits goes to the spool.
    pub(super) away: bool,
    disk: Disk,
}

impl State {
    pub(super) fn new(
        config: &WriterConfig,
        run: RunIdentity,
        (received, recycle): (Receiver<Batch>, Sender<Vec<FlowRecord>>),
        spool: Option<Spool>,
        counters: Arc<WriterCounters>,
    ) -> Self {
        let mut state = Self {
            received,
            recycle,
            counters,
            run,
            waiting: VecDeque::new(),
            open: Open::default(),
            next_seq: 0,
            batch_records: config.batch_records,
            flush_interval: config.flush_interval,
            max_waiting: config.max_waiting_records,
            oldest: None,
            disconnected: false,
            away: false,
            disk: Disk::new(config.spool.clone()),
        };
        if let Some(spool) = spool {
            state.adopt(spool);
        }
        state
    }

    /// Counts what an earlier run has left in the spool.
    fn adopt(&mut self, spool: Spool) {
        let (records, damage) = (spool.records(), spool.damage());
        self.counters.add_recovered(records + damage.records);
        if records > 0 {
            log::info!("{records} records of an earlier run wait in the spool {}", spool.path().display());
        }
        self.disk.spool = Some(spool);
        self.after_spool();
    }

    /// Takes what the channel holds into the buffer, and sends the vectors back.
    pub(super) fn drain(&mut self) {
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
        let held = self.waiting.len() + self.open.held();
        let taken = records.len().min(self.max_waiting.saturating_sub(held));
        self.waiting.extend(&records[..taken]);
        if taken < records.len() {
            self.counters.add_lost(Place::Memory, LostReason::BufferFull, (records.len() - taken) as u64);
        }
        if taken > 0 {
            self.oldest.get_or_insert_with(Instant::now);
        }
        records.clear();
        // A full return channel means that the workers have enough of them.
        let _ = self.recycle.try_send(records);
    }

    /// Waits for a batch until one is due; blocks the thread, which has nothing else to do then.
    pub(super) fn wait(&mut self) {
        let left = self.oldest.map_or(IDLE_WAIT, |oldest| self.flush_interval.saturating_sub(oldest.elapsed()));
        match self.received.recv_timeout(left.min(IDLE_WAIT)) {
            Ok(batch) => self.accept(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.disconnected = true,
        }
    }

    fn is_due(&self) -> bool {
        self.waiting.len() >= self.batch_records
            || (!self.waiting.is_empty()
                && (self.disconnected || self.oldest.is_some_and(|oldest| oldest.elapsed() >= self.flush_interval)))
    }

    /// Nothing will come, and nothing is left but what is safe on the disk.
    pub(super) fn is_done(&self) -> bool {
        self.disconnected && self.waiting.is_empty() && self.open.waiting() == 0 && !self.open.is_writing()
    }

    /// What the store gets next where it is writing nothing: what is open, then what is new, then what waits on the disk.
    pub(super) fn next(&mut self) -> Option<Pending> {
        let next = match self.open.pop() {
            Some(pending) => pending,
            None if self.is_due() => self.batch(),
            None => self.front_of_spool()?,
        };
        Some(self.open.start(next))
    }

    /// What the store gets beside a batch that it is writing: a whole one of memory, where more wait than one connection takes.
    pub(super) fn beside(&mut self) -> Option<Pending> {
        if !self.has_backlog() {
            return None;
        }
        let next = self.open.pop().unwrap_or_else(|| self.batch());
        Some(self.open.start(next))
    }

    /// A whole batch waits, and the store is there. What was rejected, and what comes from the spool, is written alone: the first is
    /// rare, and the second leaves the spool in its order.
    pub(super) fn has_backlog(&self) -> bool {
        !self.away
            && match self.open.front() {
                Some(pending) => pending.from == Place::Memory && pending.unit.node == 1,
                None => self.waiting.len() >= self.batch_records,
            }
    }

    fn front_of_spool(&mut self) -> Option<Pending> {
        let front = self.disk.ready()?.front();
        self.after_spool();
        match front {
            Ok(unit) => unit.map(|unit| Pending::new(unit, Place::Spool)),
            Err(error) => {
                self.disk.refuses(&error);
                None
            }
        }
    }

    fn batch(&mut self) -> Pending {
        let count = self.waiting.len().min(self.batch_records);
        let seq = self.next_seq;
        self.next_seq += 1;
        let records = self.waiting.drain(..count).collect();
        self.oldest = (!self.waiting.is_empty()).then(Instant::now);
        Pending::new(Unit { run: self.run.clone(), seq, node: 1, records }, Place::Memory)
    }

    /// Its fate is open: it comes again, before what is new.
    pub(super) fn again(&mut self, pending: Pending) {
        self.open.put(pending);
    }

    pub(super) fn committed(&mut self, pending: &Pending) {
        self.open.end(pending);
        self.counters.add_committed(pending.from, pending.unit.records.len() as u64);
        self.finished(pending.from);
    }

    /// A batch of the spool, or the last part of one, has its fate.
    fn finished(&mut self, from: Place) {
        if from == Place::Memory || self.open.is_from_spool() {
            return;
        }
        if let Some(spool) = &mut self.disk.spool
            && let Err(error) = spool.consumed()
        {
            self.disk.refuses(&error);
        }
        self.after_spool();
    }

    /// Halves what the store rejects until the record that it does not take stands alone; that one is set aside.
    pub(super) fn rejected(&mut self, pending: &Pending, error: &StoreError) {
        self.open.end(pending);
        let Pending { unit, from } = pending;
        if let Some(halves) = Unit::clone(unit).halves() {
            for half in halves {
                self.open.put(Pending::new(half, *from));
            }
            return;
        }
        self.counters.add_lost(*from, LostReason::Rejected, unit.records.len() as u64);
        let lost = self.counters.lost(LostReason::Rejected);
        let kept = self.disk.config.as_ref().map(|config| set_aside(&config.path, unit, &error.to_string()));
        // Said for the 1st, 2nd, 4th, 8th … of them.
        if lost.is_power_of_two() {
            let place = match kept {
                Some(Ok(path)) => format!("it is in {}", path.display()),
                Some(Err(error)) => format!("it could not be set aside: {error}"),
                None => "there is no spool to set it aside in".to_owned(),
            };
            log::warn!("a record was rejected, number {lost} of this run; {place}. {error}");
        }
        self.finished(*from);
    }

    /// While the store does not take records, those that are due go to the disk.
    pub(super) fn keep(&mut self) {
        while self.is_due() || self.open.waiting() > 0 {
            if !self.keep_one() {
                return;
            }
        }
    }

    /// Moves one batch to the disk; false where that is not possible now.
    fn keep_one(&mut self) -> bool {
        if self.disk.ready().is_none() {
            self.reopen();
        }
        if self.disk.ready().is_none() {
            return false;
        }
        let pending = self.open.pop_from_memory().unwrap_or_else(|| self.batch());
        let Some(spool) = self.disk.ready() else {
            self.again(pending);
            return false;
        };
        match spool.append(&pending.unit) {
            Ok(()) => {
                self.counters.add_spooled(pending.unit.records.len() as u64);
                self.disk.works_again();
                self.after_spool();
                true
            }
            Err(error) => {
                self.again(pending);
                self.disk.refuses(&error);
                false
            }
        }
    }

    /// A spool that could not be opened at the start is tried again.
    fn reopen(&mut self) {
        if self.disk.spool.is_some() || self.disk.is_pausing() {
            return;
        }
        let Some(config) = self.disk.config.clone() else { return };
        match Spool::open(config) {
            Ok(spool) => {
                self.disk.works_again();
                self.adopt(spool);
            }
            Err(error) => self.disk.refuses(&error),
        }
    }

    /// Tells the counters what became of the spool.
    fn after_spool(&mut self) {
        let Some(spool) = &self.disk.spool else { return };
        self.counters.set_spool_bytes(spool.bytes());
        let damage = spool.damage();
        let news = damage.records - self.disk.damage.records;
        if damage != self.disk.damage {
            let bytes = damage.bytes - self.disk.damage.bytes;
            log::error!("{bytes} bytes in the spool {} are damaged, {news} records with them", spool.path().display());
            self.counters.add_lost(Place::Spool, LostReason::SpoolDamaged, news);
            self.disk.damage = damage;
        }
    }

    /// The end: what the store did not take goes to the disk, and what that does not take is lost.
    pub(super) fn give_up(&mut self) {
        self.drain();
        self.disconnected = true;
        self.disk.try_now();
        self.open.put_all();
        while self.open.waiting() + self.waiting.len() > 0 && self.keep_one() {}
        let held = self.open.waiting() + self.waiting.len();
        self.waiting.clear();
        self.open.clear();
        if held > 0 {
            log::warn!("{held} records could not be stored before the deadline and are lost");
            self.counters.add_lost(Place::Memory, LostReason::ShutdownDeadline, held as u64);
        }
        let spooled = self.counters.spooled();
        if spooled > 0
            && let Some(spool) = &self.disk.spool
        {
            log::info!("{spooled} records wait in the spool {} for the next start", spool.path().display());
        }
    }

    /// Nothing will come, the store is away, and there is a disk to keep the rest on.
    pub(super) fn is_to_be_kept(&self) -> bool {
        self.disconnected && self.away && self.disk.spool.is_some()
    }

    /// Where records wait while the store is away, for the log.
    pub(super) fn refuge(&self) -> String {
        match &self.disk.spool {
            Some(spool) => format!("records wait in the spool {}", spool.path().display()),
            None => format!("up to {} records wait in memory", self.max_waiting),
        }
    }

    /// Waits for `work` and drains the channel meanwhile, so that an absent store never fills it. `None` where the deadline
    /// passed.
    pub(super) async fn while_draining<T>(&mut self, deadline: &Deadline, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let begun = Instant::now();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = tokio::time::sleep(DRAIN_EVERY) => {
                    self.drain();
                    if self.away || begun.elapsed() >= SLOW {
                        self.keep();
                    }
                    if deadline.has_passed() || self.is_to_be_kept() {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
