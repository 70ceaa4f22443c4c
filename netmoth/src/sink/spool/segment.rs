//! One file of the spool: written once from front to end, read once from front to end, removed.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Damage;
use super::entry::{self, Found};
use crate::sink::store::Unit;

/// The file of a segment.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.seg"))
}

/// The number in a file's name.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".seg")?.parse().ok()
}

/// A segment that is written to.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    number: u64,
    file: File,
    /// Bytes of whole batches.
    good: u64,
    usable: bool,
}

impl SegmentWriter {
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let file = File::options().create_new(true).write(true).open(path(folder, number))?;
        // The name must survive a power cut as the contents do.
        File::open(folder)?.sync_all()?;
        Ok(Self { number, file, good: 0, usable: true })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.good
    }

    /// Whether it may be written to further.
    pub(super) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Takes back what was written of a batch; where that fails, the reader cuts it off.
    fn cut_off(&mut self) -> io::Result<()> {
        self.file.set_len(self.good)?;
        self.file.seek(SeekFrom::Start(self.good)).map(|_| ())
    }

    /// Writes a batch through to the disk; on failure nothing of it stays.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.good += bytes.len() as u64,
            Err(_) => self.usable = self.cut_off().is_ok(),
        }
        written
    }
}

/// A segment as the reader sees it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Bytes that it takes on the disk.
    pub(super) bytes: u64,
    /// Records that are not consumed.
    pub(super) records: u64,
    /// Its contents, while it is the one that is read.
    loaded: Option<Vec<u8>>,
    /// Where the batch at the front begins in there, and its size in records.
    at: usize,
    front: Option<(usize, u64)>,
}

impl Segment {
    pub(super) fn empty(number: u64) -> Self {
        Self { number, bytes: 0, records: 0, loaded: None, at: 0, front: None }
    }

    /// Counts what an earlier run has left in a segment, and what of it is damaged.
    pub(super) fn scan(folder: &Path, number: u64, damage: &mut Damage) -> io::Result<Self> {
        let contents = fs::read(path(folder, number))?;
        let mut segment = Self { bytes: contents.len() as u64, ..Self::empty(number) };
        let mut at = 0;
        loop {
            match entry::look(&contents, at) {
                Found::Entry { contents: start, length, records, .. } => {
                    segment.records += u64::from(records);
                    at = start + length;
                }
                Found::Torn { records } => {
                    damage.records += u64::from(records);
                    damage.bytes += (contents.len() - at) as u64;
                    // Cut off, so that it is counted once.
                    File::options().write(true).open(path(folder, number))?.set_len(at as u64)?;
                    segment.bytes = at as u64;
                    return Ok(segment);
                }
                Found::Damage { until } => {
                    damage.bytes += (until - at) as u64;
                    at = until;
                }
                Found::End => return Ok(segment),
            }
        }
    }

    /// A batch was written to it.
    pub(super) fn appended(&mut self, bytes: u64, records: u64) {
        self.bytes += bytes;
        self.records += records;
    }

    /// Nothing is left to read.
    pub(super) fn is_finished(&self) -> bool {
        self.records == 0
    }

    /// The batch at the front; damaged ones are passed over and counted.
    pub(super) fn front(&mut self, folder: &Path, damage: &mut Damage) -> io::Result<Option<Unit>> {
        if self.loaded.is_none() {
            self.loaded = Some(fs::read(path(folder, self.number))?);
        }
        let contents = self.loaded.as_deref().unwrap_or_default();
        loop {
            match entry::look(contents, self.at) {
                Found::Entry { contents: start, length, records, sum } => {
                    let end = start + length;
                    if let Some(unit) = entry::decode(&contents[start..end], records, sum) {
                        self.front = Some((end, u64::from(records)));
                        return Ok(Some(unit));
                    }
                    damage.records += u64::from(records);
                    damage.bytes += (end - self.at) as u64;
                    self.records = self.records.saturating_sub(u64::from(records));
                    self.at = end;
                }
                // Counted when the segment was scanned; one of this run has none.
                Found::Damage { until } => self.at = until,
                Found::Torn { .. } | Found::End => {
                    self.records = 0;
                    return Ok(None);
                }
            }
        }
    }

    /// The batch at the front is in the store.
    pub(super) fn consumed(&mut self) {
        if let Some((end, records)) = self.front.take() {
            self.at = end;
            self.records = self.records.saturating_sub(records);
        }
    }
}
