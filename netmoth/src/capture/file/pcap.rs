//! The classic format: draft-ietf-opsawg-pcap.

use super::{Located, Step, linktype};
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
    number: u32,
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
        Some(Ok(Self { big_endian, nanoseconds, minor, link: linktype::parsed(number), number }))
    }

    pub(super) fn unsupported(&self) -> Option<u32> {
        self.link.is_none().then_some(self.number)
    }

    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, &'static str> {
        if bytes.len() < RECORD {
            return Ok(Step::Need(RECORD));
        }
        let field = |offset| u32_at(bytes, offset, self.big_endian).unwrap_or(0);
        let (captured, wire_len) = match (field(8), field(12)) {
            // As libpcap reads them: swapped before 2.3, and in 2.3 where the order would make no sense.
            (first, second) if self.minor < 3 || (self.minor == 3 && first > second) => (second, first),
            lengths => lengths,
        };
        if captured > LONGEST {
            return Err("a record claims more than 16 MiB");
        }
        let end = RECORD + captured as usize;
        if bytes.len() < end {
            return Ok(Step::Need(end));
        }
        let fraction = i64::from(field(4)) * if self.nanoseconds { 1 } else { 1_000 };
        let packet = Located {
            start: RECORD,
            end,
            link: self.link,
            // A record whose length on the wire is below what was captured was made by a careless tool.
            wire_len: wire_len.max(captured),
            wall_ns: i64::from(field(0)) * 1_000_000_000 + fraction,
        };
        Ok(Step::Packet(packet, end))
    }
}

pub(super) fn u32_at(bytes: &[u8], offset: usize, big_endian: bool) -> Option<u32> {
    let four = *bytes.get(offset..)?.first_chunk()?;
    Some(if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
}
