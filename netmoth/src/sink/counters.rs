//! The fate of every record: emitted + recovered = committed + waiting + spooled + lost (by reason).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Why a record never reached the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// The channel to the writer was full, and capture does not wait.
    ChannelFull,
    /// Neither the store nor the spool took records for so long that those that waited filled their buffer.
    BufferFull,
    /// The store answered that it will not take this record.
    Rejected,
    /// The time to drain at the end was over, and the spool did not take them.
    ShutdownDeadline,
    /// The spool did not give back what it had been given: damaged on the disk.
    SpoolDamaged,
}

impl LostReason {
    /// All reasons, in the order of their counters.
    pub const ALL: &[Self] =
        &[Self::ChannelFull, Self::BufferFull, Self::Rejected, Self::ShutdownDeadline, Self::SpoolDamaged];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The word in summaries and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChannelFull => "channel_full",
            Self::BufferFull => "buffer_full",
            Self::Rejected => "rejected",
            Self::ShutdownDeadline => "shutdown_deadline",
            Self::SpoolDamaged => "spool_damaged",
        }
    }
}

/// Where records wait for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The channel or the writer's buffer.
    Memory,
    /// The spool.
    Spool,
}

/// What the status line, the summary and the metrics read. Counts are records unless they say otherwise.
#[derive(Debug, Default)]
pub struct WriterCounters {
    emitted: AtomicU64,
    committed: AtomicU64,
    waiting: AtomicU64,
    recovered: AtomicU64,
    spooled: AtomicU64,
    spool_bytes: AtomicU64,
    lost: [AtomicU64; LostReason::COUNT],
    batches: AtomicU64,
    retries: AtomicU64,
    down: AtomicBool,
}

impl WriterCounters {
    /// Handed over by the workers.
    pub fn emitted(&self) -> u64 {
        self.emitted.load(Relaxed)
    }

    /// In the store.
    pub fn committed(&self) -> u64 {
        self.committed.load(Relaxed)
    }

    /// In the channel or in the writer's buffer, not yet in the store.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Found in the spool at the start, from an earlier run.
    pub fn recovered(&self) -> u64 {
        self.recovered.load(Relaxed)
    }

    /// On the disk, not yet in the store.
    pub fn spooled(&self) -> u64 {
        self.spooled.load(Relaxed)
    }

    /// Bytes that the spool takes.
    pub fn spool_bytes(&self) -> u64 {
        self.spool_bytes.load(Relaxed)
    }

    /// Lost for one reason.
    pub fn lost(&self, reason: LostReason) -> u64 {
        self.lost[reason as usize].load(Relaxed)
    }

    /// Lost for any reason.
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().map(|counter| counter.load(Relaxed)).sum()
    }

    /// Transactions that the store committed.
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// Attempts to reach the store or to write to it that failed and are made again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// False while the store is away.
    pub fn store_up(&self) -> bool {
        !self.down.load(Relaxed)
    }

    /// A batch goes into the channel. Several workers count here, so this is a read-modify-write: once per batch.
    pub(crate) fn add_emitted(&self, records: u64) {
        self.emitted.fetch_add(records, Relaxed);
        self.waiting.fetch_add(records, Relaxed);
    }

    /// An earlier run left records in the spool.
    pub(crate) fn add_recovered(&self, records: u64) {
        self.recovered.fetch_add(records, Relaxed);
        self.spooled.fetch_add(records, Relaxed);
    }

    /// Records that waited in memory wait on the disk.
    pub(crate) fn add_spooled(&self, records: u64) {
        self.waiting.fetch_sub(records, Relaxed);
        self.spooled.fetch_add(records, Relaxed);
    }

    pub(crate) fn set_spool_bytes(&self, bytes: u64) {
        self.spool_bytes.store(bytes, Relaxed);
    }

    fn place(&self, from: Place) -> &AtomicU64 {
        match from {
            Place::Memory => &self.waiting,
            Place::Spool => &self.spooled,
        }
    }

    /// Records that waited are in the store.
    pub(crate) fn add_committed(&self, from: Place, records: u64) {
        self.place(from).fetch_sub(records, Relaxed);
        self.committed.fetch_add(records, Relaxed);
        self.batches.fetch_add(1, Relaxed);
    }

    /// Records that waited are lost.
    pub(crate) fn add_lost(&self, from: Place, reason: LostReason, records: u64) {
        self.place(from).fetch_sub(records, Relaxed);
        self.lost[reason as usize].fetch_add(records, Relaxed);
    }

    pub(crate) fn add_retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_store_up(&self, up: bool) {
        self.down.store(!up, Relaxed);
    }

    /// All numbers at once.
    pub fn report(&self) -> WriterReport {
        WriterReport {
            emitted: self.emitted(),
            committed: self.committed(),
            waiting: self.waiting(),
            recovered: self.recovered(),
            spooled: self.spooled(),
            lost: std::array::from_fn(|at| self.lost[at].load(Relaxed)),
            batches: self.batches(),
            retries: self.retries(),
        }
    }
}

/// The counters at one moment; exact once the writer has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterReport {
    /// Handed over by the workers.
    pub emitted: u64,
    /// In the store.
    pub committed: u64,
    /// On their way; 0 once the writer has finished.
    pub waiting: u64,
    /// Found in the spool at the start.
    pub recovered: u64,
    /// In the spool.
    pub spooled: u64,
    /// By [`LostReason`], in the order of [`LostReason::ALL`].
    pub lost: [u64; LostReason::COUNT],
    /// Transactions.
    pub batches: u64,
    /// Failed attempts that were made again.
    pub retries: u64,
}

impl WriterReport {
    /// Lost for any reason.
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// True where every record has exactly one fate.
    pub fn is_balanced(&self) -> bool {
        self.emitted + self.recovered == self.committed + self.waiting + self.spooled + self.lost_total()
    }
}
