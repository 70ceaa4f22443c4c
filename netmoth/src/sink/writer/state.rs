//! The records that wait, and where they wait: in the channel, in memory, on the disk.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::aside::set_aside;
use super::{Deadline, WriterConfig};
use crate::flow::FlowRecord;
use crate::sink::counters::Place;
use crate::sink::spool::{Damage, Spool, SpoolConfig, SpoolError};
use crate::sink::store::{RunIdentity, Unit};
use crate::sink::{Batch, LostReason, StoreError, WriterCounters};

/// How often the channel is drained while the store works or is away, and the deadline looked at while nothing comes.
const DRAIN_EVERY: Duration = Duration::from_millis(5);
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// A store that takes longer for a batch is treated as away until it answers.
const SLOW: Duration = Duration::from_secs(2);
/// Between two attempts at a disk that refuses.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// What is to be written, and where its records are counted until it is.
pub(super) struct Pending {
    pub(super) unit: Unit,
    pub(super) from: Place,
}

/// The records and where they come from: apart from the store, so that both can be busy at once.
pub(super) struct State {
    received: Receiver<Batch>,
    recycle: Sender<Vec<FlowRecord>>,
    counters: Arc<WriterCounters>,
    run: RunIdentity,
    waiting: VecDeque<FlowRecord>,
    /// Batches whose fate is open, and parts of batches that the store refused as a whole: they come first.
    pending: VecDeque<Pending>,
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

/// The spool and how it does.
struct Disk {
    config: Option<SpoolConfig>,
    spool: Option<Spool>,
    /// What it refused last, and when it is tried again.
    trouble: Option<(String, Instant)>,
    /// Damage that is counted already.
    damage: Damage,
}

impl State {
    pub(super) fn new(
        config: &WriterConfig,
        run: RunIdentity,
        (received, recycle): (Receiver<Batch>, Sender<Vec<FlowRecord>>),
        spool: Option<Spool>,
        counters: Arc<WriterCounters>,
    ) -> Self {
        let disk = Disk { config: config.spool.clone(), spool: None, trouble: None, damage: Damage::default() };
        let mut state = Self {
            received,
            recycle,
            counters,
            run,
            waiting: VecDeque::new(),
            pending: VecDeque::new(),
            next_seq: 0,
            batch_records: config.batch_records,
            flush_interval: config.flush_interval,
            max_waiting: config.max_waiting_records,
            oldest: None,
            disconnected: false,
            away: false,
            disk,
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
        let held = self.waiting.len() + self.held_in_batches();
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

    fn held_in_batches(&self) -> usize {
        self.pending.iter().filter(|pending| pending.from == Place::Memory).map(|p| p.unit.records.len()).sum()
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
        self.disconnected && self.waiting.is_empty() && self.held_in_batches() == 0
    }

    /// What the store gets next: what is open, then what is new, then what waits on the disk.
    pub(super) fn next(&mut self) -> Option<Pending> {
        if let Some(pending) = self.pending.pop_front() {
            return Some(pending);
        }
        if self.is_due() {
            return Some(Pending { unit: self.batch(), from: Place::Memory });
        }
        let spool = self.disk.ready()?;
        let front = spool.front();
        self.after_spool();
        match front {
            Ok(unit) => unit.map(|unit| Pending { unit, from: Place::Spool }),
            Err(error) => {
                self.disk.refuses(&error);
                None
            }
        }
    }

    fn batch(&mut self) -> Unit {
        let count = self.waiting.len().min(self.batch_records);
        let seq = self.next_seq;
        self.next_seq += 1;
        let records = self.waiting.drain(..count).collect();
        self.oldest = (!self.waiting.is_empty()).then(Instant::now);
        Unit { run: self.run.clone(), seq, node: 1, records }
    }

    /// Its fate is open: it comes again, first of all.
    pub(super) fn again(&mut self, pending: Pending) {
        self.pending.push_front(pending);
    }

    pub(super) fn committed(&mut self, pending: &Pending) {
        self.counters.add_committed(pending.from, pending.unit.records.len() as u64);
        self.finished(pending.from);
    }

    /// A batch of the spool, or the last part of one, has its fate.
    fn finished(&mut self, from: Place) {
        if from == Place::Memory || self.pending.iter().any(|pending| pending.from == Place::Spool) {
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
    pub(super) fn rejected(&mut self, pending: Pending, error: &StoreError) {
        let Pending { unit, from } = pending;
        if let Some([first, second]) = unit.clone().halves() {
            self.pending.push_front(Pending { unit: second, from });
            self.pending.push_front(Pending { unit: first, from });
            return;
        }
        self.counters.add_lost(from, LostReason::Rejected, unit.records.len() as u64);
        let lost = self.counters.lost(LostReason::Rejected);
        let kept = self.disk.config.as_ref().map(|config| set_aside(&config.path, &unit, &error.to_string()));
        // Said for the 1st, 2nd, 4th, 8th … of them.
        if lost.is_power_of_two() {
            let place = match kept {
                Some(Ok(path)) => format!("it is in {}", path.display()),
                Some(Err(error)) => format!("it could not be set aside: {error}"),
                None => "there is no spool to set it aside in".to_owned(),
            };
            log::warn!("a record was rejected, number {lost} of this run; {place}. {error}");
        }
        self.finished(from);
    }

    /// While the store does not take records, those that are due go to the disk.
    fn keep(&mut self) {
        while self.is_due() || self.held_in_batches() > 0 {
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
        let open = self.pending.iter().position(|pending| pending.from == Place::Memory);
        let unit = match open.and_then(|at| self.pending.remove(at)) {
            Some(pending) => pending.unit,
            None => self.batch(),
        };
        let Some(spool) = self.disk.ready() else {
            self.again(Pending { unit, from: Place::Memory });
            return false;
        };
        match spool.append(&unit) {
            Ok(()) => {
                self.counters.add_spooled(unit.records.len() as u64);
                self.disk.works_again();
                self.after_spool();
                true
            }
            Err(error) => {
                self.pending.push_back(Pending { unit, from: Place::Memory });
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
        while self.held_in_batches() + self.waiting.len() > 0 && self.keep_one() {}
        let held = self.held_in_batches() + self.waiting.len();
        self.waiting.clear();
        self.pending.clear();
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

    /// Waits for `work` and drains the channel meanwhile, so that a slow or absent store never fills it. `None` where the deadline passed.
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
                    if deadline.has_passed() || (self.away && self.is_to_be_kept()) {
                        return None;
                    }
                }
            }
        }
    }
}

impl Disk {
    fn is_pausing(&self) -> bool {
        self.trouble.as_ref().is_some_and(|(_, again)| Instant::now() < *again)
    }

    /// The spool, unless it has just refused.
    fn ready(&mut self) -> Option<&mut Spool> {
        if self.is_pausing() { None } else { self.spool.as_mut() }
    }

    /// No time is left to wait for the disk.
    fn try_now(&mut self) {
        if let Some((_, again)) = &mut self.trouble {
            *again = Instant::now();
        }
    }

    /// Says what is wrong once, and again when it changes.
    fn refuses(&mut self, error: &SpoolError) {
        let told = self.trouble.as_ref().map(|(told, _)| told.as_str());
        let now = error.to_string();
        if told != Some(&now) {
            log::error!("{now}. Capture goes on, and it is tried again");
        }
        self.trouble = Some((now, Instant::now() + DISK_PAUSE));
    }

    fn works_again(&mut self) {
        if self.trouble.take().is_some() {
            log::warn!("the spool takes records again");
        }
    }
}
