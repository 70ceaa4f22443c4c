//! Packets inside packets: what a payload that may be a tunnel's carries.
//!
//! Sources: RFC 2003 and 4213 (IP in IP), RFC 2784 and 2890 (GRE), RFC 2637 (its version 1, PPTP), RFC 8086 (GRE in UDP),
//! draft-foschiano-erspan (ERSPAN), RFC 7348 (VXLAN), RFC 8926 (Geneve), 3GPP TS 29.281 (GTP-U), RFC 4380 (Teredo),
//! draft-massar-v6ops-ayiya (AYIYA).
//!
//! Ports alone prove nothing: what does not read as a tunnel down to an IP header is none, and stays what it was.

use super::bytes::{be16, be32};
use super::link::{self, Network};
use super::packet::Carrier;
use super::{MAX_LAYERS, NO_VLAN, Packet, Reject, Tunnel, ip};

/// Why a packet has nothing inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// It is no tunnel, or carries no packet: keep-alives, control messages, other protocols on a tunnel's port.
    NoTunnel,
    /// It carries something that can't be tracked.
    Rejected(Reject),
}

impl From<Reject> for Nothing {
    fn from(reject: Reject) -> Self {
        Self::Rejected(reject)
    }
}

/// What stands at the end of a tunnel's header.
struct Payload {
    tunnel: Tunnel,
    id: Option<u32>,
    network: Network,
}

/// Server ports of the tunnels over UDP.
pub(super) mod port {
    pub(in crate::wire) const GTP: u16 = 2152;
    pub(in crate::wire) const TEREDO: u16 = 3544;
    pub(in crate::wire) const GRE: u16 = 4754;
    pub(in crate::wire) const VXLAN: u16 = 4789;
    pub(in crate::wire) const AYIYA: u16 = 5072;
    pub(in crate::wire) const GENEVE: u16 = 6081;
}

/// Whether a datagram to or from this port may carry packets.
#[inline(always)]
pub(super) fn is_tunnel_port(port: u16) -> bool {
    matches!(port, port::GTP | port::TEREDO | port::GRE | port::VXLAN | port::AYIYA | port::GENEVE)
}

/// Whether a datagram's payload is IPv6 of or to a Teredo client: they talk to each other on any port. `length` is the
/// payload's on the wire.
#[inline(always)]
pub(super) fn looks_like_teredo(payload: &[u8], length: usize) -> bool {
    const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
    payload.first().is_some_and(|first| first >> 4 == 6)
        && be16(payload, 4).is_some_and(|following| 40 + usize::from(following) == length)
        && (payload.get(8..12) == Some(&PREFIX) || payload.get(24..28) == Some(&PREFIX))
}

/// Reads the packet inside of `outer`, which [`parse`](super::parse) or this function read from the same frame.
///
/// # Errors
/// Where there is none.
pub fn decapsulate(data: &[u8], outer: &Packet) -> Result<Packet, Nothing> {
    let inside = outer.inside;
    if inside.layers >= MAX_LAYERS {
        return Err(Reject::TooManyLayers.into());
    }
    let (at, layers) = (inside.offset as usize, inside.layers + 1);
    let payload = match inside.carrier {
        Carrier::None => None,
        Carrier::Ip => Some(bare(Tunnel::IpInIp, None, at, Some(outer.protocol == 41), layers)),
        Carrier::Gre => gre(data, at, layers)?,
        Carrier::Udp => over_udp(data, outer, at, layers)?,
    };
    let Payload { tunnel, id, network } = payload.ok_or(Nothing::NoTunnel)?;
    let mut inner = Packet { vlan: network.vlan, inner_vlan: network.inner_vlan, ..Packet::BLANK };
    if network.vlan == NO_VLAN {
        // Without tags of its own it is in the VLAN that the tunnel runs in.
        (inner.vlan, inner.inner_vlan) = (outer.vlan, outer.inner_vlan);
    }
    ip(data, &network, inside.end, &mut inner)?;
    // "No next header": a Teredo bubble, which keeps a mapping open and says nothing.
    if inner.protocol == 59 {
        return Err(Nothing::NoTunnel);
    }
    Ok(Packet { tunnel: Some(tunnel), tunnel_id: id, carrier: way(outer), ..inner })
}

/// Names the tunnel that runs between the ends of `outer`, whichever of them sent it; ports matter where it has a connection.
fn way(outer: &Packet) -> u16 {
    let half = |address: &[u8; 16], port: u16| {
        let number = u128::from_be_bytes(*address);
        ((number >> 64) as u64 ^ (number as u64).rotate_left(29) ^ u64::from(port)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let ends = half(&outer.src, outer.src_port) ^ half(&outer.dst, outer.dst_port);
    ((ends >> 48) as u16 ^ outer.carrier.rotate_left(5)).max(1)
}

/// IP right at `at`.
fn bare(tunnel: Tunnel, id: Option<u32>, at: usize, v6: Option<bool>, layers: u8) -> Payload {
    Payload { tunnel, id, network: Network { offset: at, v6, vlan: NO_VLAN, inner_vlan: NO_VLAN, layers } }
}

/// The tunnel that the ports name; none where the payload does not read as one.
fn over_udp(data: &[u8], outer: &Packet, at: usize, layers: u8) -> Result<Option<Payload>, Nothing> {
    for port in [outer.dst_port, outer.src_port] {
        match port {
            port::VXLAN => return vxlan(data, at, layers),
            port::GENEVE => return geneve(data, at, layers),
            port::GTP => return Ok(gtp(data, at, room(outer), layers)),
            port::GRE => return gre(data, at, layers),
            port::AYIYA => return Ok(ayiya(data, at, layers)),
            _ => {}
        }
    }
    Ok(teredo(data, at, layers))
}

/// Bytes on the wire that a tunnel's header and what it carries may take.
fn room(outer: &Packet) -> u32 {
    if outer.inside.end == u32::MAX { u32::MAX } else { outer.payload_bytes }
}

/// RFC 7348 section 5.
fn vxlan(data: &[u8], at: usize, layers: u8) -> Result<Option<Payload>, Nothing> {
    let (Some(flags), Some(network)) = (be32(data, at), be32(data, at + 4)) else { return Ok(None) };
    if flags & 0x0800_0000 == 0 {
        return Ok(None);
    }
    let frame = link::ethernet(data, at + 8, layers)?;
    Ok(Some(Payload { tunnel: Tunnel::Vxlan, id: Some(network >> 8), network: frame }))
}

/// RFC 8926 section 3.4.
fn geneve(data: &[u8], at: usize, layers: u8) -> Result<Option<Payload>, Nothing> {
    let (Some(start), Some(network)) = (be32(data, at), be32(data, at + 4)) else { return Ok(None) };
    // Version 0, and no control packet.
    if start >> 30 != 0 || start & 0x0080_0000 != 0 {
        return Ok(None);
    }
    let options = (start >> 24 & 0x3f) as usize * 4;
    let inner = link::by_type(data, start as u16, at + 8 + options, layers)?;
    Ok(Some(Payload { tunnel: Tunnel::Geneve, id: Some(network >> 8), network: inner }))
}

/// 3GPP TS 29.281 section 5.1; only messages that carry user data (type 255).
fn gtp(data: &[u8], at: usize, room: u32, layers: u8) -> Option<Payload> {
    let (start, id) = (be32(data, at)?, be32(data, at + 4)?);
    // Version 1, GTP and not GTP'.
    if start >> 28 != 3 || start >> 16 & 0xff != 0xff || start & 0xffff > room.saturating_sub(8) {
        return None;
    }
    let mut next = at + 8;
    // Sequence number, N-PDU number and the type of the next extension are there if any of their flags is set.
    if start & 0x0700_0000 != 0 {
        let mut extension = if start & 0x0400_0000 != 0 { *data.get(next + 3)? } else { 0 };
        next += 4;
        let mut headers = 0;
        while extension != 0 {
            let length = usize::from(*data.get(next)?) * 4;
            if length == 0 || headers == MAX_LAYERS {
                return None;
            }
            extension = *data.get(next + length - 1)?;
            next += length;
            headers += 1;
        }
    }
    let v6 = match data.get(next)? >> 4 {
        4 => false,
        6 => true,
        _ => return None,
    };
    Some(bare(Tunnel::Gtp, Some(id), next, Some(v6), layers))
}

/// RFC 4380 section 5.1.1: authentication and origin may stand before the IPv6 header.
fn teredo(data: &[u8], at: usize, layers: u8) -> Option<Payload> {
    let mut at = at;
    if be16(data, at)? == 1 {
        let lengths = [*data.get(at + 2)?, *data.get(at + 3)?];
        at += 13 + usize::from(lengths[0]) + usize::from(lengths[1]);
    }
    if be16(data, at)? == 0 {
        at += 8;
    }
    (data.get(at)? >> 4 == 6).then(|| bare(Tunnel::Teredo, None, at, Some(true), layers))
}

/// The draft's section 3: only what is to be forwarded.
fn ayiya(data: &[u8], at: usize, layers: u8) -> Option<Payload> {
    let start = be32(data, at)?;
    let identity = 1_usize << (start >> 28);
    let signature = (start >> 20 & 0x0f) as usize * 4;
    let (operation, next) = (start >> 8 & 0x0f, start & 0xff);
    let v6 = match next {
        4 => false,
        41 => true,
        _ => return None,
    };
    (operation == 1).then(|| bare(Tunnel::Ayiya, None, at + 8 + identity + signature, Some(v6), layers))
}

/// GRE, versions 0 and 1.
fn gre(data: &[u8], at: usize, layers: u8) -> Result<Option<Payload>, Nothing> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGED: u16 = 0x0080;
    let (Some(flags), Some(protocol)) = (be16(data, at), be16(data, at + 2)) else {
        return Err(Reject::TruncatedTransport.into());
    };
    let version = flags & 7;
    // Source routes were taken out of GRE by RFC 2784; version 1 carries PPP and nothing else.
    if flags & ROUTING != 0 || version > 1 || (version == 1 && (protocol != 0x880b || flags & KEY == 0)) {
        return Ok(None);
    }
    let word = |flag: u16| if flags & flag != 0 { 4 } else { 0 };
    let key_at = at + 4 + word(CHECKSUM);
    let mut next = key_at + word(KEY) + word(SEQUENCE);
    let mut key = if flags & KEY != 0 { be32(data, key_at) } else { None };
    if version == 1 {
        next += word(ACKNOWLEDGED);
        // Without a sequence number it only acknowledges. The key's lower half is the call.
        if flags & SEQUENCE == 0 {
            return Ok(None);
        }
        key = key.map(|key| key & 0xffff);
    }
    Ok(Some(match protocol {
        0x88be if flags & SEQUENCE == 0 => erspan(None, link::ethernet(data, next, layers)?),
        0x88be => erspan(session(data, next), link::ethernet(data, next + 8, layers)?),
        0x22eb => {
            // Type III: twelve bytes, and eight more where the last bit of the third word says so.
            let more = if be32(data, next + 8).ok_or(Reject::TruncatedLink)? & 1 != 0 { 8 } else { 0 };
            erspan(session(data, next), link::ethernet(data, next + 12 + more, layers)?)
        }
        0x880b => Payload { tunnel: Tunnel::Gre, id: key, network: link::ppp(data, next, layers)? },
        // What Aruba's access points forward: the frame as it came over the air.
        0x8200..=0x8210 | 0x9000 => {
            Payload { tunnel: Tunnel::Gre, id: key, network: super::wifi::frame(data, next, layers, false)? }
        }
        other => Payload { tunnel: Tunnel::Gre, id: key, network: link::by_type(data, other, next, layers)? },
    }))
}

fn erspan(id: Option<u32>, network: Network) -> Payload {
    Payload { tunnel: Tunnel::Erspan, id, network }
}

/// The session of ERSPAN types II and III: the lower ten bits of the first word.
fn session(data: &[u8], at: usize) -> Option<u32> {
    be32(data, at).map(|word| word & 0x3ff)
}
