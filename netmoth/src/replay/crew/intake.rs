//! The bytes of the file, a piece at a time, and whose turn it is.
//!
//! Each piece that is read takes a number, its turn. In this order the pieces are walked through, and in this order every worker
//! books what is in them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::capture::file::{Piece, Stream};

/// Where pieces come from.
#[derive(Default)]
pub(super) struct Intake {
    reading: Mutex<Reading>,
    /// Number of the last file of which nothing more is read.
    closed: AtomicU64,
}

#[derive(Default)]
struct Reading {
    stream: Option<Stream>,
    /// Counts the files.
    file: u64,
    /// Of the next piece.
    turn: u64,
}

/// A piece that was read.
pub(super) struct Taken {
    pub(super) turn: u64,
    pub(super) file: u64,
    /// False where nothing follows it.
    pub(super) read: io::Result<bool>,
}

/// What became of the wish for a piece.
pub(super) enum Wish<'a> {
    /// Here it is. Where the next one may be long in coming, nobody reads on until the guard is let go: what is wrong with this
    /// one is told before.
    Granted(Taken, Option<Guard<'a>>),
    /// Another worker reads, or is about to.
    Busy,
    /// There is nothing to read.
    Nothing,
}

/// Keeps others from reading.
pub(super) struct Guard<'a>(#[expect(dead_code, reason = "held, not looked at")] MutexGuard<'a, Reading>);

impl Intake {
    /// Begins with a file, and gives its number.
    pub(super) fn put(&self, stream: Stream) -> u64 {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.file += 1;
        reading.stream = Some(stream);
        reading.file
    }

    /// Reads the next piece: of a regular file beside others that read theirs, of anything else unless another worker reads.
    pub(super) fn take(&self, piece: &mut Piece) -> Wish<'_> {
        let mut reading = match self.reading.try_lock() {
            Ok(reading) => reading,
            Err(TryLockError::WouldBlock) => return Wish::Busy,
            // Who panicked while it read has ended, and the main thread knows.
            Err(TryLockError::Poisoned(_)) => return Wish::Nothing,
        };
        let Reading { stream, file, turn } = &mut *reading;
        let Some(bytes) = stream.as_mut().filter(|_| self.closed.load(Ordering::Acquire) < *file) else {
            return Wish::Nothing;
        };
        let mut taken = Taken { turn: *turn, file: *file, read: Ok(false) };
        *turn += 1;
        if let Some(claim) = bytes.claim() {
            drop(reading);
            taken.read = claim.read(piece);
            return Wish::Granted(taken, None);
        }
        taken.read = bytes.read(piece);
        let waits = bytes.waits();
        if !matches!(taken.read, Ok(true)) {
            *stream = None;
        }
        Wish::Granted(taken, waits.then_some(Guard(reading)))
    }

    /// Nothing more is read of this file: it has ended, or made no sense.
    pub(super) fn close(&self, file: u64) {
        self.closed.fetch_max(file, Ordering::Release);
    }

    /// How many pieces were read, of all files.
    pub(super) fn turns(&self) -> u64 {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).turn
    }
}
