//! IPv4: RFC 791 section 3.1.

use super::transport::{self, Transport};
use super::{Fragment, IpVersion, Packet, Reject};

/// Smallest header.
const MINIMUM: usize = 20;

/// Reads the header at `offset`; `end` is where that which carries it ends on the wire.
#[inline]
pub(super) fn parse(data: &[u8], offset: usize, end: u32, packet: &mut Packet) -> Result<(), Reject> {
    let ip = data.get(offset..).ok_or(Reject::TruncatedIpv4)?;
    let fixed: &[u8; MINIMUM] = ip.first_chunk().ok_or(Reject::TruncatedIpv4)?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    if fixed[0] >> 4 != 4 || header < MINIMUM {
        return Err(Reject::MalformedIpv4);
    }
    let on_wire = (end as usize).saturating_sub(offset);
    let total = match usize::from(u16::from_be_bytes([fixed[2], fixed[3]])) {
        // Segmentation offload leaves the field to the card (RFC 791 has no such value): the frame says it.
        0 if end != u32::MAX => on_wire,
        total => total,
    };
    if total < header || total > on_wire {
        return Err(Reject::MalformedIpv4);
    }
    let options = ip.get(..header).ok_or(Reject::TruncatedIpv4)?;
    packet.version = IpVersion::V4;
    packet.src = mapped([fixed[12], fixed[13], fixed[14], fixed[15]]);
    packet.dst = mapped([fixed[16], fixed[17], fixed[18], fixed[19]]);
    packet.protocol = fixed[9];
    packet.ip_bytes = total as u32;
    // Nearly every header has 20 bytes: of a length that is known, the sum is unrolled.
    let sum = if header == MINIMUM { checksum(fixed) } else { checksum(options) };
    packet.bad_checksum = sum != 0xffff;
    let flags = u16::from_be_bytes([fixed[6], fixed[7]]);
    packet.fragment = fragment(flags, u32::from(u16::from_be_bytes([fixed[4], fixed[5]])));
    packet.piece_offset = flags & 0x1fff;
    // What lies behind `total` is link padding; what lies behind the end of `ip` was cut by the snapshot length.
    let captured = &ip[header..total.min(ip.len())];
    let transport =
        Transport { captured, at: offset + header, length: total - header, protocol: packet.protocol, v6: false };
    transport::parse(transport, packet)
}

fn fragment(flags: u16, id: u32) -> Fragment {
    match (flags & 0x1fff, flags & 0x2000 != 0) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First { id },
        _ => Fragment::Later { id },
    }
}

/// RFC 4291 section 2.5.5.2. Made of two words: written in smaller pieces, they would keep whoever reads them soon waiting for
/// the memory.
#[inline(always)]
pub(super) fn mapped(address: [u8; 4]) -> [u8; 16] {
    let low = (u64::from(u32::from_be_bytes(address)) | 0xffff << 32).to_be_bytes();
    let mut mapped = [0; 16];
    mapped[8..].copy_from_slice(&low);
    mapped
}

/// The ones' complement sum of a header with its checksum field in it: 0xffff if it is right (RFC 1071).
#[inline(always)]
pub(super) fn checksum(header: &[u8]) -> u16 {
    // Words of 32 bits add up to the same once folded, in either order of their bytes; 15 of them, the longest header, can't
    // overflow 64 bits.
    let (words, _) = header.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let folded = (sum >> 32) + (sum & 0xffff_ffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    ((folded >> 16) + (folded & 0xffff)) as u16
}
