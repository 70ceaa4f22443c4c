//! One batch in a segment: a header that can be found again among damaged bytes, and the records.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `NMB1` |
//! | 4 | length of the contents |
//! | 4 | records in them |
//! | 4 | CRC-32 of the contents |
//! | 4 | CRC-32 of the 16 bytes before |
//! | … | contents: sensor (length, UTF-8), run, seq, node, seed, records |

use super::codec::{self, Reader};
use crate::flow::FlowRecord;
use crate::sink::store::{RunIdentity, Unit};

const MAGIC: &[u8; 4] = b"NMB1";
pub(super) const HEADER: usize = 20;

/// No batch is longer: 262,144 records of at most 200 bytes are 52 MB.
const LONGEST: usize = 64 << 20;

/// Appends a batch.
pub(super) fn encode(out: &mut Vec<u8>, unit: &Unit) {
    let start = out.len();
    out.resize(start + HEADER, 0);
    let name = unit.run.sensor.as_bytes();
    out.extend((name.len() as u32).to_le_bytes());
    out.extend(name);
    out.extend(unit.run.run.to_le_bytes());
    out.extend(unit.seq.to_le_bytes());
    out.extend(unit.node.to_le_bytes());
    out.extend(unit.run.community_id_seed.to_le_bytes());
    unit.records.iter().for_each(|record| codec::encode(out, record));
    let contents = &out[start + HEADER..];
    let (length, sum) = (contents.len() as u32, crc32fast::hash(contents));
    let header = &mut out[start..start + HEADER];
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..12].copy_from_slice(&(unit.records.len() as u32).to_le_bytes());
    header[12..16].copy_from_slice(&sum.to_le_bytes());
    let check = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&check.to_le_bytes());
}

/// What stands at one place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A batch: where its contents begin, how long they are, how many records they hold, their checksum.
    Entry { contents: usize, length: usize, records: u32, sum: u32 },
    /// A batch whose header is whole and whose contents end before they should.
    Torn { records: u32 },
    /// No header; the next one begins here, or the segment ends there.
    Damage { until: usize },
    /// The end.
    End,
}

/// Looks at `at`.
pub(super) fn look(segment: &[u8], at: usize) -> Found {
    if at >= segment.len() {
        return Found::End;
    }
    let Some((length, records, sum)) = header(segment, at) else {
        let next = (at + 1..segment.len()).find(|&next| header(segment, next).is_some());
        return Found::Damage { until: next.unwrap_or(segment.len()) };
    };
    if segment.len() - at - HEADER < length {
        return Found::Torn { records };
    }
    Found::Entry { contents: at + HEADER, length, records, sum }
}

fn header(segment: &[u8], at: usize) -> Option<(usize, u32, u32)> {
    let header = segment.get(at..)?.get(..HEADER)?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let mut fields = Reader(&header[4..]);
    let (length, records, sum, check) = (fields.u32()? as usize, fields.u32()?, fields.u32()?, fields.u32()?);
    (crc32fast::hash(&header[..16]) == check && length <= LONGEST).then_some((length, records, sum))
}

/// The batch of an entry; none where its bytes are not those that were written.
pub(super) fn decode(contents: &[u8], records: u32, sum: u32) -> Option<Unit> {
    if crc32fast::hash(contents) != sum {
        return None;
    }
    let mut from = Reader(contents);
    let name = from.u32()? as usize;
    let sensor = std::str::from_utf8(from.bytes(name)?).ok()?.to_owned();
    let (run, seq, node, community_id_seed) = (from.i64()?, from.i64()?, from.u32()?, from.u16()?);
    let records: Option<Vec<FlowRecord>> = (0..records).map(|_| codec::decode(&mut from)).collect();
    let unit = Unit { run: RunIdentity { sensor, run, community_id_seed }, seq, node, records: records? };
    from.0.is_empty().then_some(unit)
}
