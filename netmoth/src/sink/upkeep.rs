//! The upkeep of a store beside its writer: a thread and a connection of its own, so that nothing that takes long here holds up a
//! record.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::oneshot;

use super::postgres::{Turn, describe};
use super::{StoreError, StoreUrl};

/// The ledger is read from end to end for this, so not at every turn.
const LEDGER_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// How long no index is begun after one that could not be finished: all its work was for nothing, and whatever kept it from the end
/// (mostly a transaction that stays open) may last.
const INDEX_PAUSE: Duration = Duration::from_secs(3_600);

/// How the upkeep works; [`UpkeepConfig::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct UpkeepConfig {
    /// The store.
    pub url: StoreUrl,
    /// Days for which rows are kept; 0 keeps all.
    pub retention_days: u32,
    /// Between two turns. Default 10 minutes.
    pub every: Duration,
    /// How long one attempt to connect may take. Default 10 s.
    pub connect_timeout: Duration,
}

impl UpkeepConfig {
    /// The defaults for one store.
    pub fn new(url: StoreUrl, retention_days: u32) -> Self {
        Self { url, retention_days, every: Duration::from_secs(600), connect_timeout: Duration::from_secs(10) }
    }

    /// Whether this store can do what is asked of it; nothing is opened for that.
    ///
    /// # Errors
    /// [`StoreError::NoRetention`] for SQLite, where a silent wish would fill the disk.
    pub fn check(&self) -> Result<(), StoreError> {
        match &self.url {
            StoreUrl::Sqlite(_) if self.retention_days > 0 => Err(StoreError::NoRetention { at: self.url.to_string() }),
            _ => Ok(()),
        }
    }
}

/// The upkeep while it runs. Dropping it ends it at once, in the middle of a turn if need be: every step of it may be interrupted.
#[derive(Debug)]
pub struct Upkeep {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    turns: Arc<AtomicU64>,
}

impl Upkeep {
    /// Begins with a turn at once, and goes on at intervals. `None` for SQLite, which wants none. The tables must be there: start
    /// the [`Writer`](super::Writer) before.
    ///
    /// # Errors
    /// Retention asked of SQLite, or no thread to be had. What fails later is logged, once for each kind, and never ends anything.
    pub fn start(config: UpkeepConfig) -> Result<Option<Self>, StoreError> {
        config.check()?;
        let StoreUrl::Postgres(options) = &config.url else { return Ok(None) };
        let failed = |error: std::io::Error| StoreError::Start { cause: error.to_string() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let turns = Arc::new(AtomicU64::new(0));
        let keeper = Keeper {
            options: (**options).clone(),
            at: config.url.to_string(),
            config,
            ledger: None,
            index_failed: None,
            troubles: Troubles::default(),
            turns: Arc::clone(&turns),
        };
        let body = move || {
            runtime.block_on(async move {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = keeper.run() => {}
                }
            });
            // A name that is being looked up must not hold up the end.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("netmoth-upkeep".to_owned()).spawn(body).map_err(failed)?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread), turns }))
    }

    /// Turns that are over, whether they worked or not; those that another sensor took do not count.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread for the store's upkeep panicked; this is a defect, please report it");
        }
    }
}

/// What the thread has.
struct Keeper {
    options: PgConnectOptions,
    at: String,
    config: UpkeepConfig,
    /// When the ledger was last gone through.
    ledger: Option<Instant>,
    /// When an index last failed.
    index_failed: Option<Instant>,
    troubles: Troubles,
    turns: Arc<AtomicU64>,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            match Turn::begin(&self.options, &self.at, self.config.connect_timeout).await {
                Ok(turn) => {
                    self.troubles.note("connecting", Ok(()));
                    // Without the lock another sensor does it all.
                    if let Some(turn) = turn {
                        self.turn(turn).await;
                        self.turns.fetch_add(1, Ordering::Release);
                    }
                }
                Err(error) => {
                    self.troubles.note("connecting", Err(error.to_string()));
                    self.turns.fetch_add(1, Ordering::Release);
                }
            }
            tokio::time::sleep(self.config.every).await;
        }
    }

    /// All that is due. The steps do not depend on each other: where one fails, the next is tried.
    async fn turn(&mut self, mut turn: Turn) {
        if self.config.retention_days > 0 {
            let outcome = self.retention(&mut turn).await;
            self.troubles.note("dropping old days", outcome);
        }
        if self.ledger.is_none_or(|last| last.elapsed() >= LEDGER_EVERY) {
            let outcome = turn.forget_batches().await;
            if outcome.is_ok() {
                self.ledger = Some(Instant::now());
            }
            let outcome = outcome.map(|count| log::debug!("{count} old entries of the ledger deleted"));
            self.note("clearing the ledger", outcome);
        }
        if self.index_failed.is_none_or(|last| last.elapsed() >= INDEX_PAUSE) {
            let outcome = turn.index_closed(self.config.retention_days).await;
            self.index_failed = outcome.is_err().then(Instant::now);
            let outcome = outcome.map(|partitions| {
                if !partitions.is_empty() {
                    log::info!("indexes made for days that are over: {}", partitions.join(", "));
                }
            });
            self.note("making indexes", outcome);
        }
        if let Err(error) = turn.end().await {
            log::debug!("closing the connection of the upkeep: {error}");
        }
    }

    async fn retention(&self, turn: &mut Turn) -> Result<(), String> {
        let days = self.config.retention_days;
        let dropped = turn.retention(days).await.map_err(|error| self.sentence(&error))?;
        if !dropped.partitions.is_empty() {
            log::info!("dropped what is older than {days} days: {}", dropped.partitions.join(", "));
        }
        if let Some(error) = dropped.failed {
            return Err(self.sentence(&error));
        }
        if dropped.busy {
            return Err(
                "a long query or another command holds the table flows; what is too old stays until it ends".into()
            );
        }
        Ok(())
    }

    fn note(&mut self, step: &'static str, outcome: Result<(), sqlx::Error>) {
        let outcome = outcome.map_err(|error| self.sentence(&error));
        self.troubles.note(step, outcome);
    }

    fn sentence(&self, error: &sqlx::Error) -> String {
        describe(error, &self.at, self.options.get_username()).to_string()
    }
}

/// What went wrong last at each step: said when it begins or changes, and when it is over.
#[derive(Debug, Default)]
struct Troubles {
    told: HashMap<&'static str, String>,
}

impl Troubles {
    fn note(&mut self, step: &'static str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                if self.told.remove(step).is_some() {
                    log::info!("upkeep of the store: {step} works again");
                }
            }
            Err(trouble) if self.told.get(step) == Some(&trouble) => log::debug!("{step}, again: {trouble}"),
            Err(trouble) => {
                log::warn!("upkeep of the store: {step} did not work: {trouble}. Records are written all the same");
                self.told.insert(step, trouble);
            }
        }
    }
}
