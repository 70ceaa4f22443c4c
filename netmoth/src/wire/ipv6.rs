//! IPv6 with its extension headers: RFC 8200 sections 3 and 4.

use super::bytes::{address, be16, be32};
use super::transport::{self, Transport};
use super::{Fragment, IpVersion, Packet, Reject};

/// Length of the fixed header.
const FIXED: usize = 40;

/// Extension headers that are followed.
const MAX_EXTENSIONS: usize = 10;

/// Reads the header at `offset`; `end` is where that which carries it ends on the wire.
#[inline]
pub(super) fn parse(data: &[u8], offset: usize, end: u32, packet: &mut Packet) -> Result<(), Reject> {
    let ip = data.get(offset..).ok_or(Reject::TruncatedIpv6)?;
    if ip.len() < FIXED {
        return Err(Reject::TruncatedIpv6);
    }
    if ip[0] >> 4 != 6 {
        return Err(Reject::MalformedIpv6);
    }
    let on_wire = (end as usize).saturating_sub(offset);
    let total = match be16(ip, 4) {
        // A jumbogram (RFC 2675) or segmentation offload: the frame says it. Other protocols may well carry nothing.
        Some(0) | None if matches!(ip[6], 0 | 6 | 17) && end != u32::MAX => on_wire,
        length => FIXED + usize::from(length.unwrap_or(0)),
    };
    if total > on_wire {
        return Err(Reject::MalformedIpv6);
    }
    packet.version = IpVersion::V6;
    packet.src = address(ip, 8).ok_or(Reject::TruncatedIpv6)?;
    packet.dst = address(ip, 24).ok_or(Reject::TruncatedIpv6)?;
    packet.ip_bytes = total as u32;
    packet.bad_checksum = false;
    let captured = &ip[..total.min(ip.len())];
    let (header, protocol, fragment, piece_offset) = extensions(captured, ip[6])?;
    packet.protocol = protocol;
    packet.fragment = fragment;
    packet.piece_offset = piece_offset;
    let length = total.checked_sub(header).ok_or(Reject::MalformedIpv6)?;
    let captured = captured.get(header..).unwrap_or(&[]);
    transport::parse(Transport { captured, at: offset + header, length, protocol, v6: true }, packet)
}

/// Walks the chain from next-header value `next`. Returns the offset of the transport header, its protocol, which piece
/// of a datagram this is, and where it stands in there.
#[inline]
fn extensions(ip: &[u8], mut next: u8) -> Result<(usize, u8, Fragment, u16), Reject> {
    let mut offset = FIXED;
    let mut piece_offset = 0;
    let mut fragment = Fragment::Whole;
    for _ in 0..=MAX_EXTENSIONS {
        let length = match next {
            // Hop-by-hop, routing, destination, mobility, HIP, shim6: units of 8 bytes behind the first 8.
            0 | 43 | 60 | 135 | 139 | 140 => 8 + 8 * extension_length(ip, offset)?,
            // Authentication header: units of 4 bytes, less 2 (RFC 4302 section 2.2).
            51 => 8 + 4 * extension_length(ip, offset)?,
            44 => {
                let piece = be16(ip, offset + 2).ok_or(Reject::TruncatedIpv6)?;
                let id = be32(ip, offset + 4).ok_or(Reject::TruncatedIpv6)?;
                piece_offset = piece >> 3;
                fragment = match (piece >> 3, piece & 1) {
                    // An atomic fragment (RFC 6946) is the whole datagram.
                    (0, 0) => Fragment::Whole,
                    (0, _) => Fragment::First { id },
                    _ => Fragment::Later { id },
                };
                8
            }
            _ => return Ok((offset, next, fragment, piece_offset)),
        };
        next = *ip.get(offset).ok_or(Reject::TruncatedIpv6)?;
        offset += length;
        if matches!(fragment, Fragment::Later { .. }) {
            // What follows is the middle of something: only the fragment header knows its protocol.
            return Ok((offset, next, fragment, piece_offset));
        }
    }
    Err(Reject::TooManyExtensions)
}

#[inline]
fn extension_length(ip: &[u8], offset: usize) -> Result<usize, Reject> {
    ip.get(offset + 1).map(|length| usize::from(*length)).ok_or(Reject::TruncatedIpv6)
}
