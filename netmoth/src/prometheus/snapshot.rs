//! All counters at one moment.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::families;
use crate::capture::{MirrorCounts, QueueCounts};
use crate::metrics::WorkerTotals;
use crate::sink::WriterReport;

/// How frames are captured: what does not change while the sensor runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The interface.
    pub interface: String,
    /// Its driver.
    pub driver: String,
    /// `native`, `generic` or `mirror`.
    pub mode: String,
    /// Whether frames come without a copy.
    pub zero_copy: bool,
    /// When the sensor started, in nanoseconds of the wall clock.
    pub started_ns: i64,
}

/// All counters at one moment. Whoever takes it reads against the stream, the writer first, then the workers and the XDP
/// program last: then no stage shows more than the one before it has passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How frames are captured.
    pub captured: Captured,
    /// What stands before the XDP program where frames are cloned.
    pub mirror: Option<MirrorCounts>,
    /// The kernel's side, by receive queue.
    pub queues: Vec<QueueCounts>,
    /// Each worker's counters.
    pub workers: Vec<WorkerTotals>,
    /// The records' side behind the workers.
    pub writer: WriterReport,
    /// Whether the store answers.
    pub store_up: bool,
    /// Bytes that the spool takes.
    pub spool_bytes: u64,
}

/// Where the newest snapshot hangs: the sensor's thread puts it there, the page's thread reads it.
#[derive(Clone, Debug)]
pub(super) struct Board(Arc<Mutex<Arc<Snapshot>>>);

impl Board {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(snapshot))))
    }

    /// Puts a newer one there. Held for the exchange of a pointer: neither side ever waits for the other's work.
    pub(super) fn put(&self, snapshot: Snapshot) {
        let _former =
            std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Arc::new(snapshot));
    }

    fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A registry whose one collector shows the newest snapshot, all of it labelled with the interface.
    pub(super) fn registry(&self) -> Registry {
        let interface = ("interface".into(), self.newest().captured.interface.clone().into());
        let mut registry = Registry::with_prefix_and_labels("netmoth", [interface].into_iter());
        registry.register_collector(Box::new(self.clone()));
        registry
    }
}

impl Collector for Board {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::encode(&self.newest(), &mut encoder)
    }
}

/// The page as it stands now.
pub(super) fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    text::encode(&mut text, registry)?;
    Ok(text)
}
