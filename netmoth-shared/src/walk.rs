//! The header walk of the XDP program: as far into a frame as it takes to say whose it is.
//!
//! It only steers, so it never rejects: what it can't read goes by the stations on the link, and the worker's parser
//! says what is wrong with it. It doesn't look into tunnels: a tunnel's packets keep together.

use crate::fragment::Datagram;
use crate::hash::{Address, Flow, mapped};

/// VLAN tags that are stepped over.
pub const MAX_TAGS: u32 = 4;
/// IPv6 extension headers that are stepped over.
pub const MAX_EXTENSIONS: u32 = 6;

/// Reads integers in network order out of a frame; None where the frame ends before.
///
/// No single bytes: `start + 1 > end` compiles to `start >= end`, of which the kernel's verifier doesn't conclude that
/// there is a byte at `start`.
pub trait Bytes {
    /// Two bytes.
    fn u16(&self, at: usize) -> Option<u16>;
    /// Four bytes.
    fn u32(&self, at: usize) -> Option<u32>;
    /// Eight bytes.
    fn u64(&self, at: usize) -> Option<u64>;
}

impl Bytes for [u8] {
    fn u16(&self, at: usize) -> Option<u16> {
        array(self, at).map(u16::from_be_bytes)
    }
    fn u32(&self, at: usize) -> Option<u32> {
        array(self, at).map(u32::from_be_bytes)
    }
    fn u64(&self, at: usize) -> Option<u64> {
        array(self, at).map(u64::from_be_bytes)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

impl<T: Bytes + ?Sized> Bytes for &T {
    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        (**self).u16(at)
    }
    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        (**self).u32(at)
    }
    #[inline(always)]
    fn u64(&self, at: usize) -> Option<u64> {
        (**self).u64(at)
    }
}

/// What decides where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    /// A whole packet.
    Flow(Flow),
    /// The first piece of a datagram, with its ports.
    FirstFragment {
        /// Whose the datagram is.
        flow: Flow,
        /// Which datagram.
        datagram: Datagram,
    },
    /// A later piece.
    LaterFragment {
        /// Which datagram.
        datagram: Datagram,
    },
    /// No IP, or less of it than a header: by the stations on the link (MAC addresses; 0 where the frame ends before).
    Other {
        /// Source station.
        source: u64,
        /// Destination station.
        destination: u64,
    },
}

const ETHERNET: usize = 14;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;

/// Walks an Ethernet frame.
#[inline(always)]
pub fn steer(frame: &(impl Bytes + ?Sized)) -> Steer {
    let Some((ether_type, at)) = link(frame) else { return other(frame) };
    let steer = match ether_type {
        TYPE_IPV4 => ipv4(frame, at),
        TYPE_IPV6 => ipv6(frame, at),
        _ => None,
    };
    match steer {
        Some(steer) => steer,
        None => other(frame),
    }
}

/// The type of the payload and where it begins, behind any tags.
#[inline(always)]
fn link(frame: &(impl Bytes + ?Sized)) -> Option<(u16, usize)> {
    let mut ether_type = frame.u16(ETHERNET - 2)?;
    let mut at = ETHERNET;
    for _ in 0..MAX_TAGS {
        // 802.1Q, 802.1ad and the type that stacks of tags had before 802.1ad.
        if !matches!(ether_type, 0x8100 | 0x88a8 | 0x9100) {
            break;
        }
        ether_type = frame.u16(at + 2)?;
        at += 4;
    }
    Some((ether_type, at))
}

#[inline(always)]
fn ipv4(frame: &(impl Bytes + ?Sized), at: usize) -> Option<Steer> {
    let first = frame.u16(at)?;
    let header = usize::from(first >> 8 & 0x0f) * 4;
    if first >> 12 != 4 || header < 20 {
        return None;
    }
    let id = frame.u16(at + 4)?;
    let piece = frame.u16(at + 6)?;
    let protocol = frame.u16(at + 8)? as u8;
    let source = mapped(frame.u32(at + 12)?);
    let destination = mapped(frame.u32(at + 16)?);
    let datagram = Datagram { source, destination, id: u32::from(id), protocol: u32::from(protocol) };
    // Thirteen bits of offset, and above them the bit that says that more pieces follow.
    if piece & 0x1fff != 0 {
        return Some(Steer::LaterFragment { datagram });
    }
    let flow = transport(frame, at + header, source, destination, protocol);
    Some(if piece & 0x2000 != 0 { Steer::FirstFragment { flow, datagram } } else { Steer::Flow(flow) })
}

#[inline(always)]
fn ipv6(frame: &(impl Bytes + ?Sized), at: usize) -> Option<Steer> {
    if frame.u16(at)? >> 12 != 6 {
        return None;
    }
    let source = [frame.u64(at + 8)?, frame.u64(at + 16)?];
    let destination = [frame.u64(at + 24)?, frame.u64(at + 32)?];
    let mut next = (frame.u16(at + 6)? >> 8) as u8;
    let mut at = at + 40;
    let mut fragment = None;
    for _ in 0..MAX_EXTENSIONS {
        if !matches!(next, 0 | 43 | 44 | 51 | 60) {
            break;
        }
        // Every extension header begins with the number of the next one, and all but the fragment's with a length.
        let Some(start) = frame.u16(at) else { break };
        let length = usize::from(start & 0xff);
        let size = match next {
            44 => {
                let (Some(piece), Some(id)) = (frame.u16(at + 2), frame.u32(at + 4)) else { break };
                if piece & 0xfff8 != 0 {
                    return Some(Steer::LaterFragment { datagram: Datagram { source, destination, id, protocol: 0 } });
                }
                // An offset of zero and no more pieces is a whole packet (RFC 6946).
                if piece & 1 != 0 {
                    fragment = Some(id);
                }
                8
            }
            // Authentication is counted in words of four bytes (RFC 4302), the others in words of eight (RFC 8200).
            51 => (length + 2) * 4,
            _ => (length + 1) * 8,
        };
        next = (start >> 8) as u8;
        at += size;
    }
    let flow = transport(frame, at, source, destination, next);
    Some(match fragment {
        Some(id) => Steer::FirstFragment { flow, datagram: Datagram { source, destination, id, protocol: 0 } },
        None => Steer::Flow(flow),
    })
}

/// Ports are read of protocols that begin with them. ICMP has none here: an echo and its answer, and errors, meet by
/// their addresses.
#[inline(always)]
fn transport(frame: &(impl Bytes + ?Sized), at: usize, source: Address, destination: Address, protocol: u8) -> Flow {
    let ports = match protocol {
        // TCP, UDP, DCCP, SCTP, UDP-Lite.
        6 | 33 | 132 | 136 => frame.u32(at).unwrap_or(0),
        17 => ports_of_udp(frame.u32(at).unwrap_or(0)),
        _ => 0,
    };
    Flow { source, destination, source_port: (ports >> 16) as u16, destination_port: ports as u16, protocol }
}

/// The ports of a datagram, or none where one of them is a tunnel's.
///
/// VXLAN, Geneve and GRE in UDP choose their source port by the connection inside, and differently in each direction; GTP
/// may. So both directions of what is inside meet only if these ports don't count: between two ends of tunnels, all
/// goes to one socket.
#[inline(always)]
pub(crate) fn ports_of_udp(ports: u32) -> u32 {
    if carries_packets((ports >> 16) as u16) | carries_packets(ports as u16) { 0 } else { ports }
}

/// Whether this is the port of a tunnel whose two directions may have different ports.
pub const fn carries_packets(port: u16) -> bool {
    const GTP: u16 = 2152;
    const GRE: u16 = 4754;
    const VXLAN: u16 = 4789;
    const GENEVE: u16 = 6081;
    (port == GTP) | (port == GRE) | (port == VXLAN) | (port == GENEVE)
}

#[inline(always)]
fn other(frame: &(impl Bytes + ?Sized)) -> Steer {
    match (frame.u64(0), frame.u32(8)) {
        (Some(start), Some(rest)) => {
            Steer::Other { destination: start >> 16, source: (start & 0xffff) << 32 | u64::from(rest) }
        }
        _ => Steer::Other { source: 0, destination: 0 },
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
