//! Frames of the common stack, valid ones and what becomes of them: cut, changed, with lengths that lie.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A frame, its length on the wire, and how much of it was captured.
#[derive(Clone)]
pub(crate) struct Made {
    bytes: Vec<u8>,
    pub(crate) wire_len: u32,
}

impl Made {
    pub(crate) fn captured(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{} bytes on the wire: {hex}", self.wire_len)
    }
}

/// A valid frame, in its parts.
#[derive(Clone, Debug)]
struct Shape {
    /// Types and contents of the tags.
    tags: Vec<(u16, u16)>,
    /// An EtherType that is not IP's, and what stands between it and the packet.
    other: Option<(u16, Vec<u8>)>,
    v6: bool,
    /// Words of IPv4 options.
    options: usize,
    /// IPv6 extension headers, and their length in units.
    extensions: Vec<(u8, u8)>,
    /// Offset and more pieces.
    piece: (u16, bool),
    protocol: u8,
    /// Words of TCP options; the type of an ICMP message.
    detail: u8,
    /// The packet ends so many bytes into its transport.
    short: Option<usize>,
    /// The IP header's length field, where it is not the right one.
    length: Option<u16>,
    payload: Vec<u8>,
    padding: usize,
    /// For addresses, ports and numbers.
    numbers: [u8; 64],
}

/// What happens to a frame.
#[derive(Clone, Debug)]
enum Change {
    Bit(Index, u8),
    Byte(Index, u8),
    /// One of the bytes that hold a type, a length or an offset.
    Field(Index, u8),
    /// The frame ends there on the wire.
    Truncated(Index),
    /// The capture ends there.
    Cut(Index),
}

/// Frames as they come, two of three changed.
pub(crate) fn frames() -> impl Strategy<Value = Made> {
    let changes = prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(change(), 1..4)];
    (shape(), changes).prop_map(|(shape, changes)| make(&shape, &changes))
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Bit(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, value)| Change::Byte(at, value)),
        (at(), prop_oneof![0..16_u8, any::<u8>()]).prop_map(|(at, value)| Change::Field(at, value)),
        at().prop_map(Change::Truncated),
        at().prop_map(Change::Cut),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let tag = (select(vec![0x8100_u16, 0x8100, 0x88a8, 0x9100]), any::<u16>());
    let tags = prop_oneof![30 => prop::collection::vec(tag.clone(), 0..=2), 1 => prop::collection::vec(tag, 3..=5)];
    let types = [0x0806_u16, 0x0026, 0x8847, 0x8864, 0x893f, 0x6558, 0x88e5, 0x88cc];
    let between = prop::collection::vec(any::<u8>(), 0..16);
    let other = prop_oneof![20 => Just(None), 1 => (select(types.to_vec()), between).prop_map(Some)];
    let extension =
        (select(vec![0_u8, 43, 43, 43, 44, 44, 44, 44, 51, 51, 51, 60, 60, 60, 60, 60, 60, 135, 140]), 0..3_u8);
    let extensions = prop_oneof![
        5 => Just(Vec::new()),
        5 => prop::collection::vec(extension.clone(), 1..4),
        1 => prop::collection::vec(extension, 9..13),
    ];
    let piece = prop_oneof![4 => Just((0, false)), 2 => Just((0, true)), 1 => (1..0x2000_u16, any::<bool>())];
    let protocol = prop_oneof![
        8 => select(vec![6_u8, 17]),
        2 => select(vec![1_u8, 58]),
        1 => select(vec![132_u8, 33, 136, 47, 50, 51, 89]),
    ];
    let short = prop_oneof![8 => Just(None), 1 => (0..24_usize).prop_map(Some)];
    let length = prop_oneof![12 => Just(None), 1 => Just(Some(0)), 1 => (0..200_u16).prop_map(Some)];
    let payload = prop::collection::vec(any::<u8>(), 0..48);
    let ip = (any::<bool>(), 0..=10_usize, extensions, piece, length);
    let transport = (protocol, prop_oneof![0..16_u8, any::<u8>()], short, payload, 0..12_usize);
    (tags, other, ip, transport, any::<[[u8; 32]; 2]>()).prop_map(|(tags, other, ip, transport, numbers)| {
        let (v6, options, extensions, piece, length) = ip;
        let (protocol, detail, short, payload, padding) = transport;
        let numbers = numbers.concat().try_into().unwrap_or([0; 64]);
        Shape {
            tags,
            other,
            v6,
            options,
            extensions,
            piece,
            protocol,
            detail,
            short,
            length,
            payload,
            padding,
            numbers,
        }
    })
}

/// A frame that is being written, with the places of what says how the rest is to be read.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    fields: Vec<usize>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Like `put`, for what is worth changing.
    fn field(&mut self, bytes: &[u8]) {
        self.fields.extend(self.bytes.len()..self.bytes.len() + bytes.len());
        self.put(bytes);
    }
}

fn make(shape: &Shape, changes: &[Change]) -> Made {
    let mut out = Writer::default();
    out.put(&shape.numbers[..12]);
    for (kind, contents) in &shape.tags {
        out.field(&kind.to_be_bytes());
        out.put(&contents.to_be_bytes());
    }
    let ip: u16 = if shape.v6 { 0x86dd } else { 0x0800 };
    match &shape.other {
        Some((kind, between)) => {
            out.field(&kind.to_be_bytes());
            out.put(between);
        }
        None => out.field(&ip.to_be_bytes()),
    }
    let mut transport = transport(shape);
    if let Some(short) = shape.short {
        transport.bytes.truncate(short);
    }
    if shape.v6 {
        ipv6(&mut out, shape, &transport)
    } else {
        ipv4(&mut out, shape, &transport)
    }
    out.put(&vec![0; shape.padding]);
    changed(out, changes)
}

fn changed(frame: Writer, changes: &[Change]) -> Made {
    let Writer { mut bytes, fields } = frame;
    let mut cut = None;
    for change in changes {
        match change {
            _ if bytes.is_empty() => break,
            Change::Bit(at, bit) => *at.get_mut(&mut bytes) ^= 1 << bit,
            Change::Byte(at, value) => *at.get_mut(&mut bytes) = *value,
            Change::Field(at, value) => {
                if let Some(byte) = bytes.get_mut(*at.get(&fields)) {
                    *byte = *value;
                }
            }
            Change::Truncated(at) => bytes.truncate(at.index(bytes.len() + 1)),
            Change::Cut(at) => cut = Some(at.index(bytes.len() + 1)),
        }
    }
    let wire_len = bytes.len() as u32;
    bytes.truncate(cut.unwrap_or(bytes.len()));
    Made { bytes, wire_len }
}

fn ipv4(out: &mut Writer, shape: &Shape, transport: &Writer) {
    let header = 20 + 4 * shape.options;
    let start = out.bytes.len();
    let total = shape.length.unwrap_or((header + transport.bytes.len()) as u16);
    out.field(&[0x40 | (header / 4) as u8]);
    out.put(&[0]);
    out.field(&total.to_be_bytes());
    out.put(&shape.numbers[12..14]);
    let (offset, more) = shape.piece;
    out.field(&(offset | if more { 0x2000 } else { 0x4000 }).to_be_bytes());
    out.put(&[64]);
    out.field(&[shape.protocol]);
    out.put(&[0, 0]);
    out.put(&shape.numbers[16..24]);
    out.put(&vec![1; header - 20]);
    let sum: u32 = out.bytes[start..].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !((sum >> 16) + (sum & 0xffff)) as u16;
    out.bytes[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
    append(out, transport);
}

fn ipv6(out: &mut Writer, shape: &Shape, transport: &Writer) {
    let kinds: Vec<u8> = shape.extensions.iter().map(|(kind, _)| *kind).chain([shape.protocol]).collect();
    let mut extensions = Writer::default();
    for ((kind, units), next) in shape.extensions.iter().zip(&kinds[1..]) {
        extensions.field(&[*next]);
        match kind {
            44 => {
                let (offset, more) = shape.piece;
                extensions.put(&[0]);
                extensions.field(&(offset << 3 | u16::from(more)).to_be_bytes());
                extensions.put(&shape.numbers[12..16]);
            }
            51 => {
                extensions.field(&[units + 1]);
                extensions.put(&vec![5; 6 + 4 * usize::from(units + 1)]);
            }
            _ => {
                extensions.field(&[*units]);
                extensions.put(&vec![0; 6 + 8 * usize::from(*units)]);
            }
        }
    }
    out.field(&[0x60]);
    out.put(&[0; 3]);
    let length = shape.length.unwrap_or((extensions.bytes.len() + transport.bytes.len()) as u16);
    out.field(&length.to_be_bytes());
    out.field(&kinds[..1]);
    out.put(&[64]);
    out.put(&shape.numbers[16..48]);
    append(out, &extensions);
    append(out, transport);
}

fn append(out: &mut Writer, inner: &Writer) {
    out.fields.extend(inner.fields.iter().filter(|at| **at < inner.bytes.len()).map(|at| at + out.bytes.len()));
    out.put(&inner.bytes);
}

fn transport(shape: &Shape) -> Writer {
    let mut out = Writer::default();
    let numbers = &shape.numbers[48..];
    match shape.protocol {
        6 => {
            let options = usize::from(shape.detail % 11);
            out.put(&numbers[..12]);
            out.field(&[((5 + options) << 4) as u8]);
            out.put(&numbers[12..15]);
            out.put(&[0; 4]);
            out.put(&vec![1; 4 * options]);
        }
        17 => {
            out.put(&numbers[..4]);
            out.field(&(8 + shape.payload.len() as u16).to_be_bytes());
            out.put(&[0; 2]);
        }
        1 | 58 => {
            out.field(&[shape.detail, 0]);
            out.put(&numbers[..6]);
        }
        _ => out.put(&numbers[..12]),
    }
    out.put(&shape.payload);
    out
}
