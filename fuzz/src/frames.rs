//! Frames made by hand, from the inside out: a transport header, IP around it, a link layer or tunnel around that.
//!
//! Checksums are zero: Netmoth counts wrong ones and drops nothing for them.

use netmoth::wire::LinkType;

/// IANA numbers.
pub(super) const ICMP: u8 = 1;
pub(super) const IP_IN_IP: u8 = 4;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const GRE: u8 = 47;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;

/// Ports of the tunnels that run over UDP.
const VXLAN: u16 = 4789;
const GENEVE: u16 = 6081;
const GTP_U: u16 = 2152;
const TEREDO: u16 = 3544;
const AYIYA: u16 = 5072;

/// The two ends of a packet: a small number each, the last byte of an address.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) v6: bool,
    pub(super) from: u8,
    pub(super) to: u8,
}

/// The numbers of a TCP segment.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
}

/// What stands around an IP packet in a frame, link layer first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    Ethernet,
    Vlan,
    QinQ,
    Mpls,
    Pppoe,
    Snap,
    Gre,
    IpInIp,
    Vxlan,
    Geneve,
    GtpU,
    Teredo,
    Erspan,
    Ayiya,
    RawIp,
    LinuxCooked,
    LinuxCooked2,
    BsdLoopback,
    Ppp,
    CiscoHdlc,
    Wifi,
    Radiotap,
}

impl Wrapping {
    pub(super) const ALL: [Self; 22] = [
        Self::Ethernet,
        Self::Vlan,
        Self::QinQ,
        Self::Mpls,
        Self::Pppoe,
        Self::Snap,
        Self::Gre,
        Self::IpInIp,
        Self::Vxlan,
        Self::Geneve,
        Self::GtpU,
        Self::Teredo,
        Self::Erspan,
        Self::Ayiya,
        Self::RawIp,
        Self::LinuxCooked,
        Self::LinuxCooked2,
        Self::BsdLoopback,
        Self::Ppp,
        Self::CiscoHdlc,
        Self::Wifi,
        Self::Radiotap,
    ];

    /// The link type of the frame.
    pub(super) fn link(self) -> LinkType {
        match self {
            Self::RawIp => LinkType::RawIp,
            Self::LinuxCooked => LinkType::LinuxCooked,
            Self::LinuxCooked2 => LinkType::LinuxCooked2,
            Self::BsdLoopback => LinkType::BsdLoopback,
            Self::Ppp => LinkType::Ppp,
            Self::CiscoHdlc => LinkType::CiscoHdlc,
            Self::Wifi => LinkType::Ieee80211,
            Self::Radiotap => LinkType::Radiotap,
            _ => LinkType::Ethernet,
        }
    }

    /// The frame with `packet` in it; `id` is the VLAN, label, session, key or VNI.
    pub(super) fn around(self, packet: &[u8], id: u8) -> Vec<u8> {
        let v6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
        let ethertype = if v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        let ethernet = |kind: &[u8], rest: &[u8]| [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], kind, rest].concat();
        match self {
            Self::Ethernet => ethernet(&ethertype, packet),
            Self::Vlan => ethernet(&[0x81, 0, 0, id], &[&ethertype, packet].concat()),
            Self::QinQ => {
                ethernet(&[0x88, 0xa8, 0, id, 0x81, 0, 0, id.wrapping_add(1)], &[&ethertype, packet].concat())
            }
            // Two labels, the second with the bottom-of-stack bit (RFC 3032).
            Self::Mpls => ethernet(&[0x88, 0x47], &[&[0, 0, 0x10, 64, 0, id, 0x01, 64], packet].concat()),
            Self::Pppoe => ethernet(&[0x88, 0x64], &pppoe(packet, v6, id)),
            Self::Snap => {
                let length = (packet.len() as u16 + 8).to_be_bytes();
                ethernet(&length, &[&[0xaa, 0xaa, 3, 0, 0, 0], ethertype.as_slice(), packet].concat())
            }
            Self::RawIp => packet.to_vec(),
            Self::LinuxCooked => [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], ethertype.as_slice(), packet].concat(),
            Self::LinuxCooked2 => {
                [ethertype.as_slice(), &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], packet].concat()
            }
            Self::BsdLoopback => [&[if v6 { 30 } else { 2 }, 0, 0, 0], packet].concat(),
            Self::Ppp => [&[0xff, 3, 0, if v6 { 0x57 } else { 0x21 }], packet].concat(),
            Self::CiscoHdlc => [&[0x0f, 0], ethertype.as_slice(), packet].concat(),
            Self::Wifi => wifi(packet, ethertype),
            // Without a field before the frame.
            Self::Radiotap => [&[0, 0, 8, 0, 0, 0, 0, 0], wifi(packet, ethertype).as_slice()].concat(),
            _ => ethernet(&[0x08, 0x00], &self.tunnelled(packet, &ethertype, id)),
        }
    }

    /// An IPv4 packet between two tunnel ends with `packet` in it.
    fn tunnelled(self, packet: &[u8], ethertype: &[u8; 2], id: u8) -> Vec<u8> {
        let ends = Ends { v6: false, from: 101, to: 102 };
        let over_udp =
            |port, header: &[u8], rest: &[u8]| ip(ends, UDP, &[], &udp(50_000, port, &[header, rest].concat()));
        let inner_ethernet = [&[2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3], ethertype.as_slice(), packet].concat();
        match self {
            // With a key (RFC 2890).
            Self::Gre => {
                let header = [0x20, 0, ethertype[0], ethertype[1], 0, 0, 0, id];
                ip(ends, GRE, &[], &[header.as_slice(), packet].concat())
            }
            // Type II (draft-foschiano-erspan).
            Self::Erspan => {
                let header = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, id, 0, 0, 0, 0];
                ip(ends, GRE, &[], &[header.as_slice(), &inner_ethernet].concat())
            }
            // An identity of 16 bytes, a signature of 20, to be forwarded (draft-massar-v6ops-ayiya).
            Self::Ayiya => {
                let header = [[0x41, 0x52, 1, if ethertype[0] == 0x86 { 41 } else { 4 }].as_slice(), &[0; 40]].concat();
                over_udp(AYIYA, &header, packet)
            }
            Self::Vxlan => over_udp(VXLAN, &[8, 0, 0, 0, 0, 0, id, 0], &inner_ethernet),
            // One option of four bytes (RFC 8926).
            Self::Geneve => over_udp(GENEVE, &[2, 0, 0x65, 0x58, 0, 0, id, 0, 1, 2, 3, 1, 9, 9, 9, 9], &inner_ethernet),
            // A G-PDU with a sequence number (3GPP TS 29.281).
            Self::GtpU => {
                let length = (packet.len() as u16 + 4).to_be_bytes();
                over_udp(GTP_U, &[0x32, 255, length[0], length[1], 0, 0, 0, id, 0, 1, 0, 0], packet)
            }
            Self::Teredo => over_udp(TEREDO, &[], packet),
            _ => ip(ends, if ethertype[0] == 0x86 { 41 } else { IP_IN_IP }, &[], packet),
        }
    }
}

/// A data frame of IEEE 802.11 to an access point.
fn wifi(packet: &[u8], ethertype: [u8; 2]) -> Vec<u8> {
    [&[8, 1], [2; 22].as_slice(), &[0xaa, 0xaa, 3, 0, 0, 0], &ethertype, packet].concat()
}

/// A PPPoE session's frame (RFC 2516).
fn pppoe(packet: &[u8], v6: bool, id: u8) -> Vec<u8> {
    let length = (packet.len() as u16 + 2).to_be_bytes();
    [&[0x11, 0, 0, id, length[0], length[1], 0, if v6 { 0x57 } else { 0x21 }], packet].concat()
}

/// An IP packet. `extensions` are IPv6 extension headers, each its number and its bytes behind the next-header field.
pub(super) fn ip(ends: Ends, protocol: u8, extensions: &[(u8, &[u8])], rest: &[u8]) -> Vec<u8> {
    if !ends.v6 {
        return ipv4(ends, protocol, [0, 0], 0, rest);
    }
    let mut behind = Vec::new();
    for (position, (_, body)) in extensions.iter().enumerate() {
        behind.push(extensions.get(position + 1).map_or(protocol, |(number, _)| *number));
        behind.extend(*body);
    }
    behind.extend(rest);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((behind.len() as u16).to_be_bytes());
    packet.extend([extensions.first().map_or(protocol, |(number, _)| *number), 64]);
    for end in [ends.from, ends.to] {
        packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end]);
    }
    packet.extend(behind);
    packet
}

/// An IPv4 packet with the given fragment field and identification.
fn ipv4(ends: Ends, protocol: u8, fragment: [u8; 2], id: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((rest.len() as u16 + 20).to_be_bytes());
    packet.extend([0, id, fragment[0], fragment[1], 64, protocol, 0, 0, 10, 0, 0, ends.from, 10, 0, 0, ends.to]);
    packet.extend(rest);
    packet
}

/// A piece of a datagram: the first, with the transport header in it, or a later one.
pub(super) fn piece(ends: Ends, protocol: u8, id: u8, first: bool, rest: &[u8]) -> Vec<u8> {
    if ends.v6 {
        let place = if first { [0, 1] } else { [0, 0x40] };
        return ip(ends, protocol, &[(44, &[0, place[0], place[1], 0, 0, 0, id])], rest);
    }
    ipv4(ends, protocol, if first { [0x20, 0] } else { [0, 8] }, id, rest)
}

/// A TCP segment.
pub(super) fn tcp(from: u16, to: u16, segment: Segment, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(segment.seq.to_be_bytes());
    bytes.extend(segment.ack.to_be_bytes());
    bytes.extend([0x50, segment.flags]);
    bytes.extend(segment.window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A UDP datagram.
pub(super) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes(), (payload.len() as u16 + 8).to_be_bytes(), [0, 0]].concat();
    bytes.extend(payload);
    bytes
}

/// An SCTP packet with one chunk.
pub(super) fn sctp(from: u16, to: u16, kind: u8) -> Vec<u8> {
    [from.to_be_bytes().as_slice(), &to.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 0, kind, 0, 0, 4]].concat()
}

/// A message of ICMP or ICMPv6.
pub(super) fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 1, 0, 1], rest].concat()
}
