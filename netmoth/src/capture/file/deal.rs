//! A file whose bytes are read apart from its packets, so that several threads can share that work: its [`Stream`] is read in pieces,
//! and each [`Piece`] is dealt in its turn.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{CaptureFile, CapturedPacket, FileError, Piece, Stop, Stream};

impl CaptureFile {
    /// Takes the stream away, to be read apart from its packets: each [`Piece`] of it is then to be dealt, in its order.
    pub fn detach(&mut self) -> Stream {
        let offset = self.buffer.offset();
        let reader = self.buffer.detach();
        match &self.regular {
            Some(file) if !self.compressed => Stream::File(Arc::clone(file), offset),
            file => Stream::Reader(reader, file.is_none()),
        }
    }

    /// Hands all packets that are whole with the next piece of the stream to `each`, with the places of their bytes in
    /// [`Piece::bytes`].
    ///
    /// # Errors
    /// A file that makes no sense from some offset on; what came before was handed over.
    pub fn deal(
        &mut self,
        piece: &mut Piece,
        mut each: impl FnMut(&CapturedPacket<'_>, Range<usize>),
    ) -> Result<(), FileError> {
        if self.left.len() + piece.bytes().len() < self.needed {
            self.left.extend_from_slice(piece.bytes());
            return Ok(());
        }
        piece.prepend(&self.left);
        let bytes = piece.bytes();
        let (mut count, chooser) = (0, &mut self.chooser);
        let (done, stop) = self.format.walk(bytes, usize::MAX, |at| {
            let packet = CapturedPacket::in_bytes(bytes, &at);
            count += 1;
            if chooser.as_mut().is_none_or(|chooser| chooser.takes(&packet, at.written)) {
                each(&packet, at.start..at.end);
            }
        });
        self.left.clear();
        self.left.extend_from_slice(&bytes[done.min(bytes.len())..]);
        self.buffer.pass(done);
        self.counted(count);
        self.chosen()?;
        self.needed = match stop {
            Stop::Damaged(what) => return Err(self.damaged(what)),
            Stop::Need(bytes) => bytes,
            Stop::Full => 0,
        };
        Ok(())
    }

    /// After the last piece.
    ///
    /// # Errors
    /// A file that ends inside a record, or where `read` says that it could not be read on.
    pub fn ended(&self, read: io::Result<()>) -> Result<(), FileError> {
        match read {
            Ok(()) if self.left.is_empty() && !self.inside_a_block() => Ok(()),
            Ok(()) => Err(self.truncated()),
            Err(cause) => Err(self.unreadable(cause)),
        }
    }
}
