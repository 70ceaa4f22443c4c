//! The workers as a crew: started on their cores, watched, and called in.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{Level, debug, log, warn};

use super::{SensorConfig, SensorError};
use crate::capture::Source;
use crate::metrics::{WorkerCounters, WorkerTotals};
use crate::sink::Writer;
use crate::worker::{Engine, Idle, Orders, Outbox, Phase, WhenFull, Worker};

/// All workers of one sensor.
pub(super) struct Crew {
    orders: Arc<Orders>,
    counters: Vec<Arc<WorkerCounters>>,
    threads: Vec<Option<JoinHandle<()>>>,
    last_polls: Vec<u64>,
}

impl Crew {
    /// Builds one worker per source and starts each on a core of its own.
    pub(super) fn start(sources: Vec<Source>, config: &SensorConfig, writer: &Writer) -> Result<Self, SensorError> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let orders = Arc::new(Orders::default());
        let mut crew = Self { orders, counters: Vec::new(), threads: Vec::new(), last_polls: Vec::new() };
        for (index, source) in sources.into_iter().enumerate() {
            let counters = Arc::new(WorkerCounters::default());
            let mut flow = config.flow;
            flow.worker = index as u8;
            let worker = Worker {
                source,
                idle: Idle::new(config.coalesce),
                engine: Engine::new(&flow, Arc::clone(&counters))?,
                outbox: Outbox::new(writer.sender(index as u16), Arc::clone(&counters), WhenFull::Lose),
                counters: Arc::clone(&counters),
                orders: Arc::clone(&crew.orders),
            };
            let core = cores.get(index % cores.len().max(1)).copied();
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    pin(index, core);
                    worker.run();
                })
                .map_err(|source| SensorError::Thread { what: "a worker", source })?;
            crew.counters.push(counters);
            crew.threads.push(Some(thread));
            crew.last_polls.push(0);
        }
        Ok(crew)
    }

    /// The workers' counters, summed.
    pub(super) fn totals(&self) -> WorkerTotals {
        self.each().into_iter().sum()
    }

    /// Each worker's counters.
    pub(super) fn each(&self) -> Vec<WorkerTotals> {
        self.counters.iter().map(|counters| counters.snapshot()).collect()
    }

    /// An error where a worker has ended without being told to.
    pub(super) fn check(&self) -> Result<(), SensorError> {
        let ended = self.threads.iter().position(|t| t.as_ref().is_none_or(JoinHandle::is_finished));
        ended.map_or(Ok(()), |worker| Err(SensorError::WorkerEnded(worker)))
    }

    /// Whether every worker has polled since the last call: what the watchdog stands for.
    pub(super) fn alive(&mut self) -> bool {
        let polls: Vec<u64> = self.counters.iter().map(|counters| counters.polls.get()).collect();
        let moved = polls.iter().zip(&self.last_polls).all(|(now, before)| now != before);
        self.last_polls = polls;
        moved
    }

    /// Tells the workers to empty their rings and end, and waits for them; a worker that does not come is left behind
    /// and said so.
    pub(super) fn drain(&mut self, deadline: Duration) {
        self.orders.give(Phase::Drain);
        let until = Instant::now() + deadline;
        for (index, slot) in self.threads.iter_mut().enumerate() {
            let Some(thread) = slot.take() else { continue };
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(2));
            }
            if !thread.is_finished() {
                warn!("worker {index} did not drain within {deadline:?}; its open connections are not recorded");
            } else if thread.join().is_err() {
                warn!("worker {index} ended by a panic; its open connections are not recorded");
            } else {
                debug!("worker {index} has drained");
            }
        }
    }
}

fn pin(index: usize, core: Option<core_affinity::CoreId>) {
    match core {
        Some(core) if core_affinity::set_for_current(core) => debug!("worker {index} runs on CPU {}", core.id),
        Some(core) => {
            // What keeps one from it keeps all: once is enough.
            let level = if index == 0 { Level::Warn } else { Level::Debug };
            log!(
                level,
                "worker {index} could not be pinned to CPU {}: it runs where the scheduler puts it. In the systemd unit \
                 netmoth-pinned.conf allows it",
                core.id
            );
        }
        None => warn!("the allowed CPUs are unknown: worker {index} runs where the scheduler puts it"),
    }
}
