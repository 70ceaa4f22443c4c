//! A window on a stream: bytes are read in large pieces, looked at in place, and consumed.

use std::io::{self, Read};

/// Read from the stream at a time: few enough bytes to be still in the core's own cache when their packets are parsed, and
/// enough that the system call costs nothing beside the copy.
///
/// The copy is worth it: where the packets of a mapped file are far apart, each waits for memory once to say where the next
/// one is, which costs more; and a mapped file that somebody cuts off kills its reader.
pub(super) const PIECE: usize = 256 << 10;

pub(super) struct Buffer {
    reader: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    /// First byte that is not consumed.
    from: usize,
    /// First byte behind what was read.
    to: usize,
    /// Offset in the stream of the first byte that is not consumed.
    offset: u64,
}

impl Buffer {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, bytes: vec![0; PIECE], from: 0, to: 0, offset: 0 }
    }

    /// What was read and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// Offset in the stream of the first byte that is not consumed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.to - self.from);
        self.from += count;
        self.pass(count);
    }

    /// Makes at least `wanted` bytes available; false where the stream ends before.
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.to - self.from >= wanted {
            return Ok(true);
        }
        self.bytes.copy_within(self.from..self.to, 0);
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

    /// So many bytes were consumed, of those that are here or of what was taken away.
    pub(super) fn pass(&mut self, count: usize) {
        self.offset += count as u64;
    }

    /// Takes the stream away, with what is not consumed.
    pub(super) fn detach(&mut self) -> Box<dyn Read + Send> {
        let unread = self.bytes[self.from..self.to].to_vec();
        self.to = self.from;
        let reader = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        Box::new(io::Cursor::new(unread).chain(reader))
    }

    /// The stream from the first byte that is not consumed.
    pub(super) fn into_reader(self) -> impl Read {
        let unread = self.bytes[self.from..self.to].to_vec();
        io::Cursor::new(unread).chain(self.reader)
    }
}
