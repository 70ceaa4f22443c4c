//! The writer thread's loop: write what is due, and outlive the store's absences.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::lanes::Lanes;
use super::pending::Pending;
use super::state::{DRAIN_EVERY, SLOW, State};
use super::{Deadline, WriterConfig};
use crate::flow::FlowRecord;
use crate::sink::spool::Spool;
use crate::sink::store::{RunIdentity, Store, WriteError};
use crate::sink::{Batch, LostReason, StoreError, WriterCounters};

/// The first pause before connecting again, doubled each time up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct WriterThread {
    config: WriterConfig,
    state: State,
    counters: Arc<WriterCounters>,
    deadline: Arc<Deadline>,
    lanes: Lanes,
    /// When the store answered last, or got its first batch after it had none.
    answered: Instant,
    outage: Option<Outage>,
    /// Since when the spool is drained, and how much was in it then.
    drained: Option<(Instant, u64)>,
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
        run: RunIdentity,
        channel: (Receiver<Batch>, Sender<Vec<FlowRecord>>),
        spool: Option<Spool>,
        counters: Arc<WriterCounters>,
        deadline: Arc<Deadline>,
    ) -> Self {
        let state = State::new(&config, run, channel, spool, Arc::clone(&counters));
        let (lanes, answered) = (Lanes::new(&config), Instant::now());
        Self { config, state, counters, deadline, lanes, answered, outage: None, drained: None }
    }

    /// Runs until all senders are gone and all records have their fate.
    pub(super) async fn run(mut self, store: Result<Store, StoreError>) {
        match store {
            Ok(store) => self.lanes.add(store),
            Err(error) => self.went_away(&error),
        }
        loop {
            self.state.drain();
            if self.state.is_done() {
                break;
            }
            if self.deadline.has_passed() || self.state.is_to_be_kept() {
                self.state.give_up();
                break;
            }
            if self.lanes.are_gone() {
                self.reconnect().await;
                continue;
            }
            self.begin();
            if self.lanes.are_busy() {
                self.progress().await;
            } else {
                self.state.wait();
            }
        }
        self.tell_of_the_spool();
        // A server that hangs must not hold up the end.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.lanes.close()).await;
    }

    /// Gives each connection a batch that may have one now, and sees to a further one where that is not enough.
    fn begin(&mut self) {
        while self.lanes.has_idle() {
            let next = if self.lanes.is_writing() {
                self.state.beside()
            } else {
                self.answered = Instant::now();
                self.state.next()
            };
            let Some(pending) = next else { return };
            if let Err(pending) = self.lanes.write(pending) {
                return self.state.again(pending);
            }
        }
        if self.state.has_backlog() {
            self.lanes.open_further();
        }
    }

    /// Waits a moment for the batches under way. Whatever goes wrong, the records of each stay open or get a counter.
    async fn progress(&mut self) {
        let ended = tokio::select! {
            biased;
            ended = self.lanes.progress() => ended,
            () = tokio::time::sleep(DRAIN_EVERY) => {
                if self.state.away || (self.lanes.is_writing() && self.answered.elapsed() >= SLOW) {
                    self.state.keep();
                }
                None
            }
        };
        if let Some((pending, written)) = ended {
            self.ended(pending, written);
        }
    }

    fn ended(&mut self, pending: Pending, written: Result<(), WriteError>) {
        match written {
            Ok(()) => {
                self.answered = Instant::now();
                self.state.committed(&pending);
                self.came_back();
                self.tell_of_the_spool();
            }
            Err(WriteError::Rejected(error)) => {
                self.answered = Instant::now();
                self.state.rejected(&pending, &error);
            }
            Err(WriteError::Retry(error)) => {
                self.state.again(pending);
                if self.lanes.is_writing() {
                    // What is under way over the other connection tells whether the store is away.
                    self.counters.add_retry();
                    self.lanes.broke(&error);
                } else {
                    self.went_away(&error);
                }
            }
        }
    }

    /// One attempt to connect, after a pause where an earlier one failed.
    async fn reconnect(&mut self) {
        let pause = self.outage.as_ref().map_or(Duration::ZERO, |outage| jittered(outage.pause));
        if self.state.while_draining(&self.deadline, tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        let open = Store::open(&self.config.url, self.config.connect_timeout);
        match self.state.while_draining(&self.deadline, open).await {
            Some(Ok(store)) => self.lanes.add(store),
            Some(Err(error)) => self.went_away(&error),
            None => {}
        }
    }

    /// Notes the start of an outage (said once) or makes the next pause longer.
    fn went_away(&mut self, error: &StoreError) {
        self.counters.add_retry();
        self.lanes.drop_all();
        if let Some(outage) = &mut self.outage {
            outage.pause = outage.pause.saturating_mul(2).min(LAST_PAUSE);
            return;
        }
        log::warn!("{error}. Capture goes on; {}, and the store is tried again", self.state.refuge());
        let lost_before = self.counters.lost(LostReason::BufferFull);
        self.outage = Some(Outage { since: Instant::now(), lost_before, pause: FIRST_PAUSE });
        self.state.away = true;
        self.counters.set_store_up(false);
    }

    /// The store took a batch: if it was away, says for how long and what that cost.
    fn came_back(&mut self) {
        let Some(outage) = self.outage.take() else { return };
        let lost = self.counters.lost(LostReason::BufferFull) - outage.lost_before;
        let (seconds, spooled) = (outage.since.elapsed().as_secs_f64(), self.counters.spooled());
        log::warn!(
            "{} takes records again after {seconds:.1} s; {lost} records were lost meanwhile, {spooled} wait in the spool",
            self.config.url
        );
        self.state.away = false;
        self.counters.set_store_up(true);
    }

    /// Says when the spool is empty again.
    fn tell_of_the_spool(&mut self) {
        let spooled = self.counters.spooled();
        match self.drained {
            None if spooled > 0 => self.drained = Some((Instant::now(), spooled)),
            Some((since, records)) if spooled == 0 => {
                let seconds = since.elapsed().as_secs_f64();
                log::info!("the spool is empty: {records} records were stored in {seconds:.1} s");
                self.drained = None;
            }
            _ => {}
        }
    }
}

/// Between half of the pause and all of it, so that many sensors do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let random = crate::time::Instant::now().wall_ns.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    pause / 2 + (pause / 2).mul_f64(random as f64 / f64::from(u32::MAX))
}
