//! The fate of every record: emitted = committed + waiting + lost (by reason).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Why a record never reached the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// The channel to the writer was full, and capture does not wait.
    ChannelFull,
    /// The store was away for so long that the waiting records filled their buffer.
    BufferFull,
    /// The store answered that it will not take this record.
    Rejected,
    /// The time to drain at the end was over.
    ShutdownDeadline,
}

impl LostReason {
    /// All reasons, in the order of their counters.
    pub const ALL: &[Self] = &[Self::ChannelFull, Self::BufferFull, Self::Rejected, Self::ShutdownDeadline];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The word in summaries and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChannelFull => "channel_full",
            Self::BufferFull => "buffer_full",
            Self::Rejected => "rejected",
            Self::ShutdownDeadline => "shutdown_deadline",
        }
    }
}

/// What the status line, the summary and the metrics read. Counts are records unless they say otherwise.
#[derive(Debug, Default)]
pub struct WriterCounters {
    emitted: AtomicU64,
    committed: AtomicU64,
    waiting: AtomicU64,
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

    /// Records that waited are in the store.
    pub(crate) fn add_committed(&self, records: u64) {
        self.waiting.fetch_sub(records, Relaxed);
        self.committed.fetch_add(records, Relaxed);
        self.batches.fetch_add(1, Relaxed);
    }

    /// Records that waited are lost.
    pub(crate) fn add_lost(&self, reason: LostReason, records: u64) {
        self.waiting.fetch_sub(records, Relaxed);
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
        self.emitted == self.committed + self.waiting + self.lost_total()
    }
}
