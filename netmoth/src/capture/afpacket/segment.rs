//! Frames that stand for many: the kernel hands one frame of up to 64 KiB from TCP to the card, which cuts it (GSO), and joins
//! what comes in into such frames (GRO). What the wire has are the segments, and those are counted.
//!
//! Each is shown with headers of its own and the first bytes of what it carries, and at least one byte short of the whole: the
//! card computes the checksums of segments, so nobody is to verify them here.
//!
//! Sources: struct virtio_net_hdr (linux/virtio_net.h); net/ipv4/tcp_offload.c (tcp_gso_segment) for what differs between
//! segments; RFC 791, RFC 8200, RFC 9293, RFC 768.

/// Bytes of the kernel's description.
pub(super) const DESCRIPTION: usize = 10;

/// Bytes that are shown of a segment at most.
pub(super) const SHOWN: usize = 256;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A frame that stands for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Big {
    /// Where the IP header begins.
    network: usize,
    /// Where the TCP or UDP header begins.
    transport: usize,
    /// Where what it carries begins: so many bytes of headers has each segment.
    payload: usize,
    v6: bool,
    protocol: u8,
    /// Bytes carried by each segment but the last.
    size: usize,
    /// Bytes carried by all.
    total: usize,
}

impl Big {
    /// What the kernel says of a frame of `wire_len` bytes whose beginning is `frame`; `None` where it is one as it stands, or
    /// one whose headers are not those of TCP or UDP right over IP.
    #[inline]
    pub(super) fn of(description: &[u8; DESCRIPTION], frame: &[u8], wire_len: u32) -> Option<Self> {
        // flags, gso_type, hdr_len, gso_size, …; the highest bit of the type says ECN.
        match description[1] & 0x7f {
            0 => None,
            1 | 4 => Self::walk(frame, wire_len, TCP, u16::from_ne_bytes([description[4], description[5]])),
            5 => Self::walk(frame, wire_len, UDP, u16::from_ne_bytes([description[4], description[5]])),
            _ => None,
        }
    }

    fn walk(frame: &[u8], wire_len: u32, protocol: u8, size: u16) -> Option<Self> {
        let mut network = 14;
        while matches!(half(frame, network - 2)?, 0x8100 | 0x88a8 | 0x9100) {
            network += 4;
        }
        let v6 = match half(frame, network - 2)? {
            0x0800 => false,
            0x86dd => true,
            _ => return None,
        };
        let transport = if v6 { behind_v6(frame, network, protocol)? } else { behind_v4(frame, network, protocol)? };
        let header = if protocol == TCP { usize::from(*frame.get(transport + 12)? >> 4) * 4 } else { 8 };
        let payload = transport + header;
        let total = (wire_len as usize).checked_sub(payload)?;
        let size = usize::from(size);
        let fits = header >= 8 && payload < SHOWN && payload <= frame.len();
        (fits && size > 0 && total > size).then_some(Self { network, transport, payload, v6, protocol, size, total })
    }

    /// How many segments it stands for.
    pub(super) fn count(&self) -> usize {
        self.total.div_ceil(self.size)
    }

    /// Writes segment `index` of `frame`, the first being 0, into `slot`. Returns how many bytes of it are there, and how many
    /// it has on the wire.
    pub(super) fn write(&self, index: usize, frame: &[u8], slot: &mut [u8; SHOWN]) -> (usize, u32) {
        let from = index * self.size;
        let carried = self.size.min(self.total - from);
        let at = self.payload + from;
        let there = frame.get(at..).unwrap_or_default();
        let shown = (SHOWN - self.payload).min(carried.saturating_sub(1)).min(there.len());
        slot[..self.payload].copy_from_slice(&frame[..self.payload]);
        slot[self.payload..self.payload + shown].copy_from_slice(&there[..shown]);
        self.network_header(index, carried, slot);
        if self.protocol == TCP {
            let sequence = &mut slot[self.transport + 4..self.transport + 8];
            let number = u32::from_be_bytes([sequence[0], sequence[1], sequence[2], sequence[3]]);
            sequence.copy_from_slice(&number.wrapping_add(from as u32).to_be_bytes());
            let last = index + 1 == self.count();
            // FIN and PSH belong to the last one, CWR to the first.
            let gone = if last { 0 } else { 0x09 } | if index > 0 { 0x80 } else { 0 };
            slot[self.transport + 13] &= !gone;
        } else {
            put(slot, self.transport + 4, (8 + carried) as u16);
        }
        (self.payload + shown, (self.payload + carried) as u32)
    }

    fn network_header(&self, index: usize, carried: usize, slot: &mut [u8; SHOWN]) {
        let behind = self.payload - self.network + carried;
        if self.v6 {
            put(slot, self.network + 4, (behind - 40) as u16);
            return;
        }
        put(slot, self.network + 2, behind as u16);
        let id = half(slot, self.network + 4).unwrap_or(0);
        put(slot, self.network + 4, id.wrapping_add(index as u16));
        put(slot, self.network + 10, 0);
        let mut sum: u32 = slot[self.network..self.transport]
            .chunks_exact(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        put(slot, self.network + 10, !(sum as u16));
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

fn put(slot: &mut [u8; SHOWN], at: usize, value: u16) {
    slot[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Where TCP or UDP begins behind an IPv4 header.
fn behind_v4(frame: &[u8], network: usize, protocol: u8) -> Option<usize> {
    let first = *frame.get(network)?;
    let header = usize::from(first & 15) * 4;
    let piece = half(frame, network + 6)? & 0x3fff != 0;
    (first >> 4 == 4 && header >= 20 && !piece && *frame.get(network + 9)? == protocol).then_some(network + header)
}

/// Where it begins behind an IPv6 header and its extensions. A length of 0 is that of a jumbogram, whose length stands elsewhere.
fn behind_v6(frame: &[u8], network: usize, protocol: u8) -> Option<usize> {
    if half(frame, network)? >> 12 != 6 || half(frame, network + 4)? == 0 {
        return None;
    }
    let mut next = *frame.get(network + 6)?;
    let mut at = network + 40;
    while matches!(next, 0 | 43 | 60) {
        next = *frame.get(at)?;
        at += (usize::from(*frame.get(at + 1)?) + 1) * 8;
    }
    (next == protocol).then_some(at)
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
