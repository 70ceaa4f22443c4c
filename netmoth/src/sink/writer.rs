//! The writer: one thread that owns the connections to the store, and the records while they wait for it.

mod aside;
mod disk;
mod lanes;
mod pending;
mod state;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use self::thread::WriterThread;
use super::spool::{Spool, SpoolConfig, SpoolError};
use super::store::{MAX_BATCH, RunIdentity, Store};
use super::{Batch, BatchSender, StoreError, StoreUrl, WriterCounters, WriterReport};
use crate::flow::FlowRecord;

/// How the writer works; [`WriterConfig::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// The store.
    pub url: StoreUrl,
    /// The sensor's name, for the column `sensor`.
    pub sensor: String,
    /// The Community ID's seed, 0 unless all tools of a site use another.
    pub community_id_seed: u16,
    /// Records that may wait in memory while neither the store nor the spool takes them, about 250 bytes each. What comes when they
    /// are that many is lost and counted. Default 1,000,000.
    pub max_waiting_records: usize,
    /// Records of one transaction at most. Default 65,536.
    pub batch_records: usize,
    /// How long a record waits at most while the store is there. Default 1 s.
    pub flush_interval: Duration,
    /// How long one attempt to connect may take. Default 10 s.
    pub connect_timeout: Duration,
    /// How long the store may take for one batch before the connection that it goes over is given up. Default 30 s.
    pub write_timeout: Duration,
    /// Batches that the channel from the workers holds. Default 1,024.
    pub channel_batches: usize,
    /// Where records wait on disk while the store does not take them; `None` for memory alone.
    pub spool: Option<SpoolConfig>,
}

impl WriterConfig {
    /// The defaults for one store and sensor.
    pub fn new(url: StoreUrl, sensor: impl Into<String>) -> Self {
        Self {
            url,
            sensor: sensor.into(),
            community_id_seed: 0,
            max_waiting_records: 1_000_000,
            batch_records: 65_536,
            flush_interval: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            channel_batches: 1_024,
            spool: None,
        }
    }
}

/// When the writer has to be done: set once, by [`Writer::finish`].
#[derive(Debug)]
struct Deadline {
    start: Instant,
    /// Milliseconds after `start`; `i64::MAX` while there is none.
    at_ms: AtomicI64,
}

impl Deadline {
    fn set(&self, after: Duration) {
        let at = self.start.elapsed().saturating_add(after).as_millis();
        self.at_ms.store(i64::try_from(at).unwrap_or(i64::MAX - 1), Ordering::Release);
    }

    fn has_passed(&self) -> bool {
        let now = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX - 1);
        now >= self.at_ms.load(Ordering::Acquire)
    }
}

/// The handle of the running writer thread.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    batches: Sender<Batch>,
    recycled: Receiver<Vec<FlowRecord>>,
    counters: Arc<WriterCounters>,
    deadline: Arc<Deadline>,
}

impl Writer {
    /// Connects, brings the tables up to date, and only then returns. Where there is a spool, a store that does not answer now
    /// is waited for while records go to the spool.
    ///
    /// # Errors
    /// Why the store can't be used, with the remedy.
    pub fn start(config: WriterConfig) -> Result<Self, StoreError> {
        let mut config = config;
        config.batch_records = config.batch_records.clamp(1, MAX_BATCH);
        let spool = open_spool(&config)?;
        let (batches, received) = crossbeam_channel::bounded(config.channel_batches.max(1));
        let (recycle, recycled) = crossbeam_channel::bounded(config.channel_batches.max(1));
        let counters = Arc::new(WriterCounters::default());
        let deadline = Arc::new(Deadline { start: Instant::now(), at_ms: AtomicI64::new(i64::MAX) });
        let (ready, started) = crossbeam_channel::bounded(1);
        let (thread_counters, thread_deadline) = (Arc::clone(&counters), Arc::clone(&deadline));
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = ready.send(Err(StoreError::Start { cause: error.to_string() }));
                    return;
                }
            };
            runtime.block_on(async move {
                // Positive, and another one for every start of this sensor.
                let run = crate::time::Instant::now().wall_ns.max(1);
                let identity =
                    RunIdentity { sensor: config.sensor.clone(), run, community_id_seed: config.community_id_seed };
                match Store::open(&config.url, config.connect_timeout).await {
                    // With a disk to wait on, a store that is away is no reason not to capture.
                    Err(error) if spool.is_none() || !error.may_pass() => {
                        let _ = ready.send(Err(error));
                    }
                    store => {
                        let channel = (received, recycle);
                        let thread =
                            WriterThread::new(config, identity, channel, spool, thread_counters, thread_deadline);
                        // What an earlier run left behind is counted by now: whoever starts a writer finds it in the counters.
                        let _ = ready.send(Ok(()));
                        thread.run(store).await;
                    }
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("netmoth-writer".to_owned())
            .spawn(body)
            .map_err(|error| StoreError::Start { cause: error.to_string() })?;
        started.recv().unwrap_or_else(|_| Err(StoreError::Start { cause: "its thread ended".to_owned() }))?;
        Ok(Self { thread, batches, recycled, counters, deadline })
    }

    /// One worker's end of the channel.
    pub fn sender(&self, worker: u16) -> BatchSender {
        BatchSender::new(worker, self.batches.clone(), self.recycled.clone(), Arc::clone(&self.counters))
    }

    /// The fate of the records, readable at any time.
    pub fn counters(&self) -> Arc<WriterCounters> {
        Arc::clone(&self.counters)
    }

    /// Stores what is still waiting and ends the thread; what the store does not take goes to the spool, at the deadline at the
    /// latest, and is lost where there is none. Drop all [`BatchSender`]s before: the writer waits for them as it waits for
    /// the store. A batch whose COMMIT was under way at the deadline is looked up when the spool is drained; without a spool it
    /// is counted as lost although it may be stored.
    pub fn finish(self, deadline: Duration) -> WriterReport {
        self.deadline.set(deadline);
        drop(self.batches);
        if self.thread.join().is_err() {
            log::error!("the writer thread panicked: what still waited is not stored");
        }
        self.counters.report()
    }
}

/// The spool, where one is asked for. One that another process has is refused; one that can't be used now is tried again while
/// the sensor runs.
fn open_spool(config: &WriterConfig) -> Result<Option<Spool>, StoreError> {
    let Some(wanted) = &config.spool else { return Ok(None) };
    match Spool::open(wanted.clone()) {
        Ok(spool) => Ok(Some(spool)),
        Err(error @ SpoolError::Taken { .. }) => Err(StoreError::Spool(error)),
        Err(error) => {
            log::warn!("{error}. Until then records of an outage wait in memory alone");
            Ok(None)
        }
    }
}
