//! Records on disk while the store can't take them: append-only segments in a folder of their own.
//!
//! What enters: batches with the identity under which they will be in the store's ledger. What leaves: the same batches
//! in the same order, once. A segment goes when all of it is in the store; what a crash leaves is offered again from the
//! segment's start, and the ledger knows what it has. What is damaged is cut out and counted, never guessed.

mod codec;
mod entry;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::segment::{Segment, SegmentWriter};
use super::store::Unit;

/// A segment takes no more batches once it has this many bytes.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Where the spool is, and how large it may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Its folder; made where it is missing.
    pub path: PathBuf,
    /// Bytes of all segments together.
    pub max_bytes: u64,
}

/// Why a batch could not be kept, or the spool not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The bound is reached.
    #[error("the spool {path} holds its {max_bytes} bytes; raise spool.max_bytes, or bring the store back")]
    Full {
        /// Its folder.
        path: PathBuf,
        /// Its bound.
        max_bytes: u64,
    },
    /// Another process has it.
    #[error("the spool {path} belongs to another netmoth that runs; give each its own spool.path")]
    Taken {
        /// Its folder.
        path: PathBuf,
    },
    /// The disk.
    #[error("the spool {path} can't be {what} ({cause}); free space, or mend the folder's permissions or its disk")]
    Disk {
        /// Its folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

/// Bytes that were not what had been written, and the records that are known to have been in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records in batches whose header was whole.
    pub records: u64,
    /// Bytes passed over.
    pub bytes: u64,
}

/// An open spool.
#[derive(Debug)]
pub(crate) struct Spool {
    config: SpoolConfig,
    /// Oldest first; the last one may still be written to.
    segments: VecDeque<Segment>,
    writer: Option<SegmentWriter>,
    next_number: u64,
    damage: Damage,
    /// Kept open: its lock goes with the process, however that ends.
    _lock: File,
}

impl Spool {
    /// Opens the folder, with what an earlier run has left there.
    pub(crate) fn open(config: SpoolConfig) -> Result<Self, SpoolError> {
        let failed = |what, cause| SpoolError::Disk { path: config.path.clone(), what, cause };
        fs::create_dir_all(&config.path).map_err(|cause| failed("made", cause))?;
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(config.path.join("lock"))
            .map_err(|cause| failed("opened", cause))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SpoolError::Taken { path: config.path.clone() },
            TryLockError::Error(cause) => failed("locked", cause),
        })?;
        let mut damage = Damage::default();
        let mut segments = VecDeque::new();
        for number in numbers(&config.path).map_err(|cause| failed("read", cause))? {
            let segment = Segment::scan(&config.path, number, &mut damage).map_err(|cause| failed("read", cause))?;
            segments.push_back(segment);
        }
        let next_number = segments.back().map_or(1, |last| last.number + 1);
        let mut spool = Self { config, segments, writer: None, next_number, damage, _lock: lock };
        spool.drop_finished()?;
        Ok(spool)
    }

    /// Keeps a batch: when this returns, it is on the disk.
    pub(crate) fn append(&mut self, unit: &Unit) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        entry::encode(&mut bytes, unit);
        if self.bytes() + bytes.len() as u64 > self.config.max_bytes {
            return Err(SpoolError::Full { path: self.config.path.clone(), max_bytes: self.config.max_bytes });
        }
        if self.writer.as_ref().is_none_or(|writer| writer.bytes() >= SEGMENT_BYTES || !writer.is_usable()) {
            self.begin_segment()?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if let Err(cause) = writer.append(&bytes) {
            return Err(self.failed("written to", cause));
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.appended(bytes.len() as u64, unit.records.len() as u64);
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        self.writer = None;
        let number = self.next_number;
        let writer =
            SegmentWriter::create(&self.config.path, number).map_err(|cause| self.failed("written to", cause))?;
        self.next_number += 1;
        self.writer = Some(writer);
        self.segments.push_back(Segment::empty(number));
        Ok(())
    }

    /// The oldest batch, which stays until [`Spool::consumed`] says that the store has it.
    pub(crate) fn front(&mut self) -> Result<Option<Unit>, SpoolError> {
        loop {
            let Some(segment) = self.segments.front_mut() else { return Ok(None) };
            if self.writer.as_ref().is_some_and(|writer| writer.number() == segment.number) {
                self.writer = None;
            }
            match segment.front(&self.config.path, &mut self.damage) {
                Ok(Some(unit)) => return Ok(Some(unit)),
                Ok(None) => self.drop_finished()?,
                Err(cause) => return Err(self.failed("read", cause)),
            }
        }
    }

    /// The batch at the front is in the store.
    pub(crate) fn consumed(&mut self) -> Result<(), SpoolError> {
        if let Some(segment) = self.segments.front_mut() {
            segment.consumed();
        }
        self.drop_finished()
    }

    /// Removes segments of which nothing is left.
    fn drop_finished(&mut self) -> Result<(), SpoolError> {
        while self.segments.front().is_some_and(Segment::is_finished) {
            let Some(segment) = self.segments.pop_front() else { break };
            if self.writer.as_ref().is_some_and(|writer| writer.number() == segment.number) {
                self.writer = None;
            }
            match fs::remove_file(segment::path(&self.config.path, segment.number)) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(self.failed("cleared", cause)),
                _ => {}
            }
        }
        Ok(())
    }

    fn failed(&self, what: &'static str, cause: io::Error) -> SpoolError {
        SpoolError::Disk { path: self.config.path.clone(), what, cause }
    }

    /// Records that wait in it.
    pub(crate) fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// Bytes of its segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// What was found damaged since it was opened.
    pub(crate) fn damage(&self) -> Damage {
        self.damage
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        &self.config.path
    }
}

/// What another process can tell of a spool without opening it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolFacts {
    /// Bytes of all segments.
    pub bytes: u64,
    /// When the oldest segment was begun.
    pub oldest: Option<SystemTime>,
}

impl SpoolFacts {
    /// Looks into the folder of a spool; an absent one is empty.
    ///
    /// # Errors
    /// A folder that can't be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut facts = Self::default();
        let numbers = match numbers(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(facts),
            other => other?,
        };
        for number in numbers {
            // It may be gone by now: the running sensor drains it.
            let Ok(about) = fs::metadata(segment::path(path, number)) else { continue };
            facts.bytes += about.len();
            let begun = about.created().or_else(|_| about.modified())?;
            facts.oldest = Some(facts.oldest.map_or(begun, |oldest| oldest.min(begun)));
        }
        Ok(facts)
    }
}

/// The numbers of the segments in a folder, ascending.
fn numbers(path: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(path)? {
        if let Some(number) = file?.file_name().to_str().and_then(segment::number) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
