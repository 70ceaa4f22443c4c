//! Frames out of capture files: pcap and pcapng, plain or compressed with gzip, from a file or standard input.
//!
//! What enters: a byte stream. What leaves: batches of [`CapturedPacket`]s that borrow from one buffer, so that reading
//! allocates nothing per packet. What it owns: that buffer, bounded by the largest record that is accepted.

mod buffer;
mod chooser;
mod deal;
mod error;
mod linktype;
mod pcap;
mod pcapng;
mod piece;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::BATCH;
use crate::wire::LinkType;
use buffer::Buffer;
use chooser::Chooser;
pub use piece::{Claim, Piece, Stream};

pub use error::FileError;

/// One packet of a capture file, as long as its batch is in hand.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket<'a> {
    /// Link layer; `None` where the file names one that is not parsed.
    pub link: Option<LinkType>,
    /// The captured bytes.
    pub data: &'a [u8],
    /// Length on the wire, in bytes.
    pub wire_len: u32,
    /// Time stamp, nanoseconds since the Unix epoch.
    pub wall_ns: i64,
}

impl<'a> CapturedPacket<'a> {
    const NONE: Self = Self { link: None, data: &[], wire_len: 0, wall_ns: 0 };

    #[inline]
    fn in_bytes(bytes: &'a [u8], at: &Located) -> Self {
        let data = bytes.get(at.start..at.end).unwrap_or(&[]);
        Self { link: at.link, data, wire_len: at.wire_len, wall_ns: at.wall_ns }
    }
}

/// Where a packet lies in the bytes that are walked through.
#[derive(Clone, Copy)]
struct Located {
    start: usize,
    end: usize,
    link: Option<LinkType>,
    written: linktype::Written,
    wire_len: u32,
    wall_ns: i64,
}

/// Why a walk through the buffer stops.
enum Stop {
    /// As many packets as were wanted.
    Full,
    /// The next ones are not there yet: this many bytes are needed at once.
    Need(usize),
    /// It makes no sense from here on.
    Damaged(&'static str),
}

enum Format {
    Pcap(pcap::Reader),
    PcapNg(pcapng::Reader),
}

impl Format {
    /// Hands the next packets of `bytes`, up to `most`, to `each`. Returns how many bytes are done with, and why it stops.
    #[inline]
    fn walk(&mut self, bytes: &[u8], most: usize, each: impl FnMut(Located)) -> (usize, Stop) {
        match self {
            Self::Pcap(reader) => reader.walk(bytes, most, each),
            Self::PcapNg(reader) => reader.walk(bytes, most, each),
        }
    }
}

/// An open capture file.
pub struct CaptureFile {
    name: String,
    buffer: Buffer,
    format: Format,
    packets: u64,
    chooser: Option<Chooser>,
    warned: Vec<u32>,
    /// The beginning of a record of which the stream, read apart, has not brought the rest yet.
    left: Vec<u8>,
    /// Bytes that it needs at once.
    needed: usize,
    /// The file itself, where it is a regular one.
    regular: Option<Arc<File>>,
    compressed: bool,
}

/// Magic number of gzip (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl CaptureFile {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// A file that can't be read, or that is no capture file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        if path.as_os_str() == "-" {
            return Self::from_reader("standard input".into(), Box::new(io::stdin()));
        }
        let name = path.display().to_string();
        let fail = |cause: io::Error| FileError::Open { name: name.clone(), cause: cause.into() };
        let file = File::open(path).map_err(fail)?;
        let kind = file.metadata().map_err(fail)?;
        if kind.is_dir() {
            return Err(FileError::Folder { name });
        }
        let file = Arc::new(file);
        let regular = kind.is_file().then(|| Arc::clone(&file));
        Ok(Self { regular, ..Self::from_reader(name, Box::new(file))? })
    }

    /// Reads a capture from any stream; `name` stands in messages.
    ///
    /// # Errors
    /// As [`CaptureFile::open`].
    pub fn from_reader(name: String, reader: Box<dyn Read + Send>) -> Result<Self, FileError> {
        let mut buffer = Buffer::new(reader);
        let compressed = buffer.fill(2).is_ok_and(|full| full) && buffer.bytes().starts_with(&GZIP);
        if compressed {
            buffer = Buffer::new(Box::new(MultiGzDecoder::new(buffer.into_reader())));
        }
        // A file shorter than this is judged by what there is.
        buffer.fill(24).map_err(|cause| FileError::Read { name: name.clone(), offset: 0, cause: cause.into() })?;
        let format = match pcap::Reader::begin(buffer.bytes()) {
            Some(Ok(reader)) => {
                buffer.consume(24);
                Format::Pcap(reader)
            }
            Some(Err(what)) => return Err(FileError::Unsupported { name, what }),
            None if pcapng::Reader::recognises(buffer.bytes()) => Format::PcapNg(pcapng::Reader::default()),
            None => return Err(FileError::not_a_capture(name, buffer.bytes())),
        };
        Ok(Self {
            name,
            buffer,
            format,
            packets: 0,
            chooser: None,
            warned: Vec::new(),
            left: Vec::new(),
            needed: 0,
            regular: None,
            compressed,
        })
    }

    /// Has only packets handed over that match an expression in tcpdump's language; the empty one matches all.
    pub fn choose(&mut self, expression: &str) {
        self.chooser = (!expression.is_empty()).then(|| Chooser::new(expression));
    }

    /// Hands the next packets, up to [`BATCH`], to `handle`. Returns false at the end of the file.
    ///
    /// # Errors
    /// A file that ends inside a record or makes no sense from some offset on; what came before was handed over.
    pub fn next_batch(&mut self, handle: impl FnOnce(&[CapturedPacket<'_>])) -> Result<bool, FileError> {
        loop {
            let bytes = self.buffer.bytes();
            let (mut packets, mut count, mut walked) = ([CapturedPacket::NONE; BATCH], 0, 0);
            let chooser = &mut self.chooser;
            let (done, stop) = self.format.walk(bytes, BATCH, |at| {
                let packet = CapturedPacket::in_bytes(bytes, &at);
                walked += 1;
                if chooser.as_mut().is_none_or(|chooser| chooser.takes(&packet, at.written)) {
                    packets[count] = packet;
                    count += 1;
                }
            });
            if count > 0 {
                handle(&packets[..count]);
                self.done(done, walked);
                self.chosen()?;
                // Refilling moves bytes: what borrows from them has been handed over first.
                return self.stopped(stop, true).map(|_| true);
            }
            self.done(done, walked);
            self.chosen()?;
            if !self.stopped(stop, walked > 0)? {
                return Ok(false);
            }
        }
    }

    /// So many bytes with so many packets are done with.
    fn done(&mut self, bytes: usize, packets: usize) {
        self.buffer.consume(bytes);
        self.counted(packets);
    }

    fn counted(&mut self, packets: usize) {
        self.packets += packets as u64;
        if packets > 0 {
            self.warn_of_unsupported();
        }
    }

    /// After a walk that `found` packets, or none: reads on where that is what it wants. Returns false at the end of the file.
    fn stopped(&mut self, stop: Stop, found: bool) -> Result<bool, FileError> {
        match stop {
            Stop::Damaged(what) => Err(self.damaged(what)),
            Stop::Need(bytes) if !found => match self.buffer.fill(bytes) {
                Ok(true) => Ok(true),
                Ok(false) if self.buffer.bytes().is_empty() && !self.inside_a_block() => Ok(false),
                Ok(false) => Err(self.truncated()),
                Err(cause) => Err(self.unreadable(cause)),
            },
            Stop::Need(_) | Stop::Full => Ok(true),
        }
    }

    /// Whether a block that is passed over has not come to its end yet.
    fn inside_a_block(&self) -> bool {
        matches!(&self.format, Format::PcapNg(reader) if reader.inside_a_block())
    }

    /// Says once per link type that its packets are not tracked.
    fn warn_of_unsupported(&mut self) {
        let news = match &mut self.format {
            Format::Pcap(reader) => reader.unsupported(),
            Format::PcapNg(reader) => reader.unsupported(),
        };
        if let Some(number) = news
            && !self.warned.contains(&number)
        {
            self.warned.push(number);
            log::warn!(
                "{}: packets of link type {} are counted, but not tracked: it is not parsed",
                self.name,
                linktype::name(number)
            );
        }
    }

    /// An error where the filter can't be had for a link layer that came up.
    fn chosen(&mut self) -> Result<(), FileError> {
        match self.chooser.as_mut().and_then(Chooser::failure) {
            Some(cause) => Err(FileError::Filter { name: self.name.clone(), cause }),
            None => Ok(()),
        }
    }

    /// Packets read so far: handed over, or not chosen.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Of these, those that did not match.
    pub fn not_matched(&self) -> u64 {
        self.chooser.as_ref().map_or(0, Chooser::not_matched)
    }

    fn damaged(&self, what: &'static str) -> FileError {
        FileError::Damaged { name: self.name.clone(), offset: self.buffer.offset(), what }
    }

    fn truncated(&self) -> FileError {
        FileError::Truncated { name: self.name.clone(), packets: self.packets, offset: self.buffer.offset() }
    }

    fn unreadable(&self, cause: io::Error) -> FileError {
        if cause.kind() == io::ErrorKind::UnexpectedEof {
            return self.truncated();
        }
        FileError::Read { name: self.name.clone(), offset: self.buffer.offset(), cause: cause.into() }
    }
}

#[cfg(test)]
mod tests;
