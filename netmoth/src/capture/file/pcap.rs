//! The classic format: draft-ietf-opsawg-pcap.

use super::linktype::{self, Written};
use super::{Located, Stop};
use crate::wire::LinkType;

/// No link layer has longer frames; libpcap's own bound for most is 256 KiB.
pub(super) const LONGEST: u32 = 16 << 20;

const RECORD: usize = 16;

#[derive(Debug)]
pub(super) struct Reader {
    big_endian: bool,
    nanoseconds: bool,
    /// Minor version: up to 2.3 writers put the length on the wire before the captured one.
    minor: u16,
    link: Option<LinkType>,
    written: Written,
    number: u32,
}

/// What the header of a record says.
struct Record {
    captured: u32,
    wire_len: u32,
    wall_ns: i64,
}

impl Reader {
    /// Reads the file header (24 bytes) if it is one; an error names a variant that is not read.
    pub(super) fn begin(bytes: &[u8]) -> Option<Result<Self, &'static str>> {
        let magic: [u8; 4] = *bytes.first_chunk()?;
        let (big_endian, nanoseconds) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
            [0x34, 0xcd, 0xb2, 0xa1] | [0xa1, 0xb2, 0xcd, 0x34] => return Some(Err("a modified pcap (Kuznetzov)")),
            _ => return None,
        };
        let version = u32_at(bytes, 4, big_endian)?;
        let minor = if big_endian { version as u16 } else { (version >> 16) as u16 };
        let network = u32_at(bytes, 20, big_endian)?;
        // The upper bits tell of a frame check sequence; the link type has 16.
        let number = network & 0xffff;
        let (link, written) = (linktype::parsed(number), Written { number: number as u16, big_endian });
        Some(Ok(Self { big_endian, nanoseconds, minor, link, written, number }))
    }

    pub(super) fn unsupported(&self) -> Option<u32> {
        self.link.is_none().then_some(self.number)
    }

    /// Hands the next records of `bytes`, up to `most`, to `each`. Returns how many bytes are done with, and why it stops.
    #[inline]
    pub(super) fn walk(&self, bytes: &[u8], most: usize, mut each: impl FnMut(Located)) -> (usize, Stop) {
        let (mut at, mut left) = (0, most);
        while left > 0 {
            let Some((header, rest)) = bytes[at..].split_first_chunk::<RECORD>() else {
                return (at, Stop::Need(RECORD));
            };
            let record = self.record(header);
            if record.captured > LONGEST {
                return (at, Stop::Damaged("a record claims more than 16 MiB"));
            }
            let captured = record.captured as usize;
            if rest.len() < captured {
                return (at, Stop::Need(RECORD + captured));
            }
            let start = at + RECORD;
            at = start + captured;
            left -= 1;
            // A record whose length on the wire is below what was captured was made by a careless tool.
            let wire_len = record.wire_len.max(record.captured);
            each(Located { start, end: at, link: self.link, written: self.written, wire_len, wall_ns: record.wall_ns });
        }
        (at, Stop::Full)
    }

    #[inline]
    fn record(&self, header: &[u8; RECORD]) -> Record {
        let words = header.as_chunks::<4>().0;
        let [seconds, fraction, first, second] = std::array::from_fn(|index| {
            if self.big_endian { u32::from_be_bytes(words[index]) } else { u32::from_le_bytes(words[index]) }
        });
        // As libpcap reads them: swapped before 2.3, and in 2.3 where the order would make no sense.
        let swapped = self.minor < 3 || (self.minor == 3 && first > second);
        let (captured, wire_len) = if swapped { (second, first) } else { (first, second) };
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        Record { captured, wire_len, wall_ns: i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * unit }
    }
}

pub(super) fn u32_at(bytes: &[u8], offset: usize, big_endian: bool) -> Option<u32> {
    let four = *bytes.get(offset..)?.first_chunk()?;
    Some(if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
}
