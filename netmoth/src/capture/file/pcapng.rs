//! The block format: draft-ietf-opsawg-pcapng. Sections, interfaces with their own link types and clocks, packets.

use super::linktype::{self, Written};
use super::pcap::{LONGEST, u32_at};
use super::{Located, Stop};
use crate::wire::LinkType;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Interfaces of one section that are remembered; a file with more is damaged.
const MOST_INTERFACES: usize = 65_536;

/// What the next bytes are.
enum Step {
    /// A packet; so many bytes are done with.
    Packet(Located, usize),
    /// Something without a packet in it.
    Skip(usize),
    /// Not there yet: this many bytes are needed at once.
    Need(usize),
}

/// One interface description block.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Option<LinkType>,
    written: Written,
    number: u32,
    snapshot: u32,
    /// if_tsresol as written: a power of ten, or of two with the top bit.
    resolution: u8,
    /// if_tsoffset, seconds.
    offset: i64,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Bytes of a block without packets that are still to be passed over.
    skip: u64,
    last_ns: i64,
    unsupported: Option<u32>,
}

impl Reader {
    pub(super) fn recognises(bytes: &[u8]) -> bool {
        bytes.starts_with(&SECTION.to_be_bytes())
            && matches!(bytes.get(8..12), Some([0x1a, 0x2b, 0x3c, 0x4d] | [0x4d, 0x3c, 0x2b, 0x1a]))
    }

    pub(super) fn inside_a_block(&self) -> bool {
        self.skip > 0
    }

    pub(super) fn unsupported(&mut self) -> Option<u32> {
        self.unsupported.take()
    }

    /// Hands the packets of the next blocks of `bytes`, up to `most`, to `each`. Returns how many bytes are done with, and why
    /// it stops.
    #[inline]
    pub(super) fn walk(&mut self, bytes: &[u8], most: usize, mut each: impl FnMut(Located)) -> (usize, Stop) {
        let (mut at, mut left) = (0, most);
        while left > 0 {
            match self.step(&bytes[at..]) {
                Ok(Step::Packet(packet, done)) => {
                    each(Located { start: packet.start + at, end: packet.end + at, ..packet });
                    at += done;
                    left -= 1;
                }
                Ok(Step::Skip(done)) => at += done,
                Ok(Step::Need(wanted)) => return (at, Stop::Need(wanted)),
                Err(what) => return (at, Stop::Damaged(what)),
            }
        }
        (at, Stop::Full)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Step, &'static str> {
        if self.skip > 0 {
            return Ok(self.pass_over(bytes));
        }
        if bytes.len() < 12 {
            return Ok(Step::Need(12));
        }
        let field = |offset| u32_at(bytes, offset, self.big_endian).unwrap_or(0);
        let kind = field(0);
        if kind == SECTION {
            // The byte order of everything, this block's length too, is that of the magic number.
            self.big_endian = match bytes[8..12] {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ => return Err("a section header without its byte-order magic"),
            };
        }
        let length = u32_at(bytes, 4, self.big_endian).unwrap_or(0);
        if length < 12 || !length.is_multiple_of(4) {
            return Err("a block whose length is impossible");
        }
        if !matches!(kind, SECTION | INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
            self.skip = u64::from(length);
            return Ok(self.pass_over(bytes));
        }
        if length > LONGEST + 4096 {
            return Err("a block of more than 16 MiB");
        }
        let length = length as usize;
        if bytes.len() < length {
            return Ok(Step::Need(length));
        }
        let body = &bytes[8..length - 4];
        match kind {
            SECTION => {
                self.interfaces.clear();
                Ok(Step::Skip(length))
            }
            INTERFACE => self.interface(body).map(|()| Step::Skip(length)),
            _ => self.packet(kind, body).map(|packet| Step::Packet(packet, length)),
        }
    }

    fn pass_over(&mut self, bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            return Step::Need(1);
        }
        let here = self.skip.min(bytes.len() as u64);
        self.skip -= here;
        Step::Skip(here as usize)
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), &'static str> {
        if body.len() < 8 {
            return Err("an interface description that is too short");
        }
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err("more than 65,536 interfaces");
        }
        let number = u32::from(self.u16(body, 0));
        let snapshot = u32_at(body, 4, self.big_endian).unwrap_or(0);
        let written = Written { number: number as u16, big_endian: self.big_endian };
        let mut interface =
            Interface { link: linktype::parsed(number), written, number, snapshot, resolution: 6, offset: 0 };
        let mut at = 8;
        while at + 4 <= body.len() {
            let (code, length) = (self.u16(body, at), usize::from(self.u16(body, at + 2)));
            let value = body.get(at + 4..at + 4 + length).ok_or("an option that leaves its block")?;
            match (code, value) {
                (0, _) => break,
                (9, [resolution, ..]) => interface.resolution = *resolution,
                (14, value) if value.len() >= 8 => {
                    let eight: [u8; 8] = *value.first_chunk().ok_or("an option that is too short")?;
                    interface.offset =
                        if self.big_endian { i64::from_be_bytes(eight) } else { i64::from_le_bytes(eight) };
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// A packet block of one of the three kinds. Offsets are counted from the block's start, 8 bytes before the body.
    fn packet(&mut self, kind: u32, body: &[u8]) -> Result<Located, &'static str> {
        let field = |offset| u32_at(body, offset, self.big_endian).ok_or("a packet block that is too short");
        let (index, stamp, captured, wire_len, header) = match kind {
            SIMPLE_PACKET => {
                let wire_len = field(0)?;
                let snapshot = self.interfaces.first().map_or(0, |interface| interface.snapshot);
                let most = if snapshot == 0 { wire_len } else { wire_len.min(snapshot) };
                (0, None, most.min(body.len() as u32 - 4), wire_len, 4)
            }
            PACKET => {
                let stamp = u64::from(field(4)?) << 32 | u64::from(field(8)?);
                (u32::from(self.u16(body, 0)), Some(stamp), field(12)?, field(16)?, 20)
            }
            _ => {
                let stamp = u64::from(field(4)?) << 32 | u64::from(field(8)?);
                (field(0)?, Some(stamp), field(12)?, field(16)?, 20)
            }
        };
        let interface =
            *self.interfaces.get(index as usize).ok_or("a packet of an interface that was not described")?;
        let end = header + captured as usize;
        if end > body.len() {
            return Err("a packet that leaves its block");
        }
        if interface.link.is_none() {
            self.unsupported = Some(interface.number);
        }
        // A simple packet has no time: it is as old as the one before it.
        let wall_ns = stamp.map_or(self.last_ns, |stamp| interface.nanoseconds(stamp));
        self.last_ns = wall_ns;
        let wire_len = wire_len.max(captured);
        Ok(Located {
            start: 8 + header,
            end: 8 + end,
            link: interface.link,
            written: interface.written,
            wire_len,
            wall_ns,
        })
    }

    fn u16(&self, bytes: &[u8], offset: usize) -> u16 {
        let two = bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }
    }
}

impl Interface {
    /// A time stamp in units of this interface's clock, as nanoseconds since the epoch; saturates.
    fn nanoseconds(&self, stamp: u64) -> i64 {
        let nanoseconds = match self.resolution {
            // Microseconds and nanoseconds, which nearly every writer has.
            6 => stamp.saturating_mul(1_000).into(),
            9 => stamp.into(),
            other => rescaled(stamp, other),
        };
        let nanoseconds = i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        nanoseconds.saturating_add(self.offset.saturating_mul(1_000_000_000))
    }
}

/// A stamp in units of any if_tsresol, in nanoseconds.
#[cold]
fn rescaled(stamp: u64, resolution: u8) -> u128 {
    let stamp = u128::from(stamp);
    let power = u32::from(resolution & 0x7f);
    if resolution & 0x80 != 0 {
        // Units of 2^-power seconds; beyond 2^-64 nothing is left of a 64-bit stamp.
        (stamp * 1_000_000_000).checked_shr(power).unwrap_or(0)
    } else if power <= 9 {
        stamp * 10_u128.pow(9 - power)
    } else {
        10_u128.checked_pow(power - 9).map_or(0, |unit| stamp / unit)
    }
}
