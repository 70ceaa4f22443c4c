//! A window on a stream: bytes are read in large pieces, looked at in place, and consumed.

use std::io::{self, Read};

/// Read from the stream at a time: few enough bytes to be still in the core's own cache when their packets are parsed, and
/// enough that the system call costs nothing beside the copy.
///
/// The copy is worth it: where the packets of a mapped file are far apart, each waits for memory once to say where the next
/// one is, which costs more; and a mapped file that somebody cuts off kills its reader.
pub(super) const PIECE: usize = 256 << 10;

/// Bytes more than wanted that a buffer may have and still be used again.
const LARGEST_SPARE: usize = 1 << 20;

pub(super) struct Buffer {
    reader: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    /// First byte that is not consumed.
    from: usize,
    /// First byte behind what was read.
    to: usize,
    /// Bytes of the stream consumed before `bytes[0]`.
    before: u64,
}

impl Buffer {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, bytes: vec![0; PIECE], from: 0, to: 0, before: 0 }
    }

    /// What was read and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// Where [`Buffer::bytes`] begins in the buffer; stable until the next fill.
    pub(super) fn position(&self) -> usize {
        self.from
    }

    /// Offset in the stream of the first byte that is not consumed.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.from as u64
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.to);
    }

    /// Makes at least `wanted` bytes available; false where the stream ends before.
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.to - self.from >= wanted {
            return Ok(true);
        }
        self.bytes.copy_within(self.from..self.to, 0);
        self.before += self.from as u64;
        self.to -= self.from;
        self.from = 0;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted.next_multiple_of(PIECE), 0);
        }
        while self.to < wanted {
            match self.reader.read(&mut self.bytes[self.to..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.to += count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(true)
    }

    /// Takes the bytes out, at the positions that they have, and goes on with what is not consumed in `fresh`, whose contents
    /// don't matter.
    pub(super) fn exchange(&mut self, mut fresh: Vec<u8>) -> Vec<u8> {
        let rest = self.to - self.from;
        let wanted = rest.next_multiple_of(PIECE).max(PIECE);
        // What one large record needed is not kept for all that follow.
        if fresh.len() < wanted || fresh.len() > wanted + LARGEST_SPARE {
            fresh = vec![0; wanted];
        }
        fresh[..rest].copy_from_slice(&self.bytes[self.from..self.to]);
        self.before += self.from as u64;
        (self.from, self.to) = (0, rest);
        std::mem::replace(&mut self.bytes, fresh)
    }

    /// The stream from the first byte that is not consumed.
    pub(super) fn into_reader(self) -> impl Read {
        let unread = self.bytes[self.from..self.to].to_vec();
        io::Cursor::new(unread).chain(self.reader)
    }
}
