//! The next bytes of a stream, read apart from the file that they are of.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::buffer::PIECE;

/// Room before the bytes for what is left of the piece before: the beginning of a record.
const ROOM: usize = 64 << 10;

/// See [`CaptureFile::detach`](super::CaptureFile::detach).
pub struct Piece {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Default for Piece {
    fn default() -> Self {
        Self { bytes: vec![0; ROOM + PIECE], from: ROOM, to: ROOM }
    }
}

impl Piece {
    /// Its bytes, with what was left of the one before.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// Puts what is left of the piece before in front.
    pub(super) fn prepend(&mut self, left: &[u8]) {
        if left.len() > ROOM {
            // A record of many pieces.
            self.bytes.splice(..self.from, left.iter().copied());
            (self.from, self.to) = (0, self.to - ROOM + left.len());
        } else {
            self.from = ROOM - left.len();
            self.bytes[self.from..ROOM].copy_from_slice(left);
        }
    }

    /// Reads until `read`, which is told how much there is, brings nothing more, or as much as it `wants`.
    fn fill(&mut self, wants: usize, mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>) -> io::Result<bool> {
        self.bytes.resize(ROOM + PIECE, 0);
        (self.from, self.to) = (ROOM, ROOM);
        while self.to < ROOM + wants {
            match read(&mut self.bytes[self.to..], self.to - ROOM) {
                Ok(0) => return Ok(false),
                Ok(count) => self.to += count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(true)
    }
}

/// The bytes of a capture file, see [`CaptureFile::detach`](super::CaptureFile::detach).
pub enum Stream {
    /// A regular file, from this offset on: several pieces can be read at a time.
    File(Arc<File>, u64),
    /// Anything else; and whether reading may take as long as somebody needs to write.
    Reader(Box<dyn Read + Send>, bool),
}

/// A piece of a regular file that may be read.
pub struct Claim(Arc<File>, u64);

impl Claim {
    /// Reads the piece. False where nothing follows it.
    ///
    /// # Errors
    /// The system's; what came before is in the piece.
    pub fn read(self, piece: &mut Piece) -> io::Result<bool> {
        let Self(file, offset) = self;
        piece.fill(PIECE, |bytes, done| file.read_at(bytes, offset + done as u64))
    }
}

impl Stream {
    /// The next piece, where that may be read while others read theirs.
    pub fn claim(&mut self) -> Option<Claim> {
        let Self::File(file, offset) = self else { return None };
        let claim = Claim(Arc::clone(file), *offset);
        *offset += PIECE as u64;
        Some(claim)
    }

    /// Reads the next piece. False where nothing follows it.
    ///
    /// # Errors
    /// The system's; what came before is in the piece.
    pub fn read(&mut self, piece: &mut Piece) -> io::Result<bool> {
        match self {
            Self::File(..) => self.claim().map_or(Ok(false), |claim| claim.read(piece)),
            Self::Reader(reader, _) => piece.fill(1, |bytes, _| reader.read(bytes)),
        }
    }

    /// Whether reading may take as long as somebody needs to write.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Reader(_, true))
    }
}
