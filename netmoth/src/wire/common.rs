//! The common stack in one piece: Ethernet, IPv4 without options and in one piece, TCP or UDP.
//!
//! What the headers say is found where it always stands, behind one check of the length. Anything else, and anything wrong, is
//! left to the long way: [`parse`] gives the same packet as that or none. A test holds both against each other.

use super::packet::Inside;
use super::tunnel::{is_tunnel_port, looks_like_teredo};
use super::{Packet, ipv4};

const ETHERNET: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;
const UDP: u32 = 8;

/// As far as is read: the link layer, IP and TCP without options. A datagram of UDP ends before that, the smallest frame on a
/// wire doesn't.
const LENGTH: usize = ETHERNET + IP + TCP;

/// Reads an Ethernet frame like [`parse_into`](super::parse_into) and returns true, if it is of the common kind: then the packet
/// [is plain](Packet::is_plain) and [no tunnel](Packet::may_be_a_tunnel). `wire_len` is its length on the wire in bytes.
#[inline(always)]
pub fn parse(data: &[u8], wire_len: u32, packet: &mut Packet) -> bool {
    let Some(head) = data.first_chunk::<LENGTH>() else { return false };
    let be16 = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let be32 = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    // EtherType, version and length of the IP header; the flags and the offset of fragments, but for "don't fragment".
    let kind = be32(12) & 0xffff_ff00 ^ 0x0800_4500 | u32::from(be16(20) & 0x3fff);
    let total = u32::from(be16(16));
    let protocol = head[23];
    if kind != 0 || total > wire_len.saturating_sub(ETHERNET as u32) {
        return false;
    }
    let (src_port, dst_port) = (be16(34), be16(36));
    let tcp = protocol == 6;
    let header = match protocol {
        6 if head[46] >> 4 >= 5 => u32::from(head[46] >> 4) * 4,
        // What may be a tunnel is looked at on the long way.
        17 if !(is_tunnel_port(src_port) || is_tunnel_port(dst_port) || may_be_teredo(data, total)) => UDP,
        _ => return false,
    };
    let Some(payload_bytes) = total.checked_sub(IP as u32 + header) else { return false };
    *packet = Packet {
        src: ipv4::mapped([head[26], head[27], head[28], head[29]]),
        dst: ipv4::mapped([head[30], head[31], head[32], head[33]]),
        src_port,
        dst_port,
        protocol,
        ip_bytes: total,
        payload_bytes,
        tcp_seq: if tcp { be32(38) } else { 0 },
        tcp_ack: if tcp { be32(42) } else { 0 },
        tcp_window: if tcp { be16(48) } else { 0 },
        tcp_flags: if tcp { head[47] } else { 0 },
        transport_bytes: total - IP as u32,
        inside: Inside { layers: 2, transport: (ETHERNET + IP) as u32, ..Inside::NOTHING },
        bad_checksum: ipv4::checksum(head[ETHERNET..].first_chunk::<IP>().unwrap_or(&[0; IP])) != 0xffff,
        ..Packet::BLANK
    };
    true
}

#[inline(always)]
fn may_be_teredo(data: &[u8], total: u32) -> bool {
    let payload = data.get(ETHERNET + IP + UDP as usize..).unwrap_or(&[]);
    looks_like_teredo(payload, (total as usize).saturating_sub(IP + UDP as usize))
}
