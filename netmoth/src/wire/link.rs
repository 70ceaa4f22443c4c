//! The link layer: from the frame's first byte to the first byte of IP, through whatever switches and access networks
//! put in between.
//!
//! One loop follows EtherTypes: each header that is passed over says the next one's type and where it begins.
//!
//! Sources: IEEE 802.3, 802.1Q, 802.1ah (PBB), 802.1BR (E-TAG); RFC 3032 and RFC 4385 (MPLS), RFC 2516 (PPPoE), RFC 1661
//! (PPP); the tcpdump project's LINKTYPE_ registry for what capture files hold. VN-Tag and FabricPath are Cisco's.

use super::bytes::{be16, be32};
use super::{LinkType, MAX_LAYERS, NO_VLAN, Reject, wifi};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
pub(super) const MPLS: u16 = 0x8847;

/// Where IP begins and which tags stood before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// Offset of the IP header.
    pub(super) offset: usize,
    /// Version that the link layer announced; `None` where only the header says it.
    pub(super) v6: Option<bool>,
    /// Outer tag.
    pub(super) vlan: u16,
    /// Second tag.
    pub(super) inner_vlan: u16,
    /// Headers passed over so far.
    pub(super) layers: u8,
}

/// Finds the IP header of a frame.
#[inline]
pub(super) fn network(link: LinkType, data: &[u8]) -> Result<Network, Reject> {
    match link {
        LinkType::Ethernet => ethernet(data, 0, 0),
        LinkType::RawIp => Ok(untagged(0, None, 0)),
        // Protocol as an EtherType at 14 (v1) or at 0 (v2): LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2.
        LinkType::LinuxCooked => by_type(data, be16(data, 14).ok_or(Reject::TruncatedLink)?, 16, 1),
        LinkType::LinuxCooked2 => by_type(data, be16(data, 0).ok_or(Reject::TruncatedLink)?, 20, 1),
        LinkType::BsdLoopback => bsd_loopback(data),
        LinkType::Ppp => ppp(data, 0, 1),
        LinkType::CiscoHdlc => by_type(data, be16(data, 2).ok_or(Reject::TruncatedLink)?, 4, 1),
        LinkType::Ieee80211 => wifi::frame(data, 0, 0, false),
        LinkType::Radiotap => wifi::radiotap(data),
    }
}

fn untagged(offset: usize, v6: Option<bool>, layers: u8) -> Network {
    Network { offset, v6, vlan: NO_VLAN, inner_vlan: NO_VLAN, layers }
}

/// An Ethernet frame that begins at `at`, behind `layers` other headers.
#[inline]
pub(super) fn ethernet(data: &[u8], at: usize, layers: u8) -> Result<Network, Reject> {
    let ethertype = be16(data, at + 12).ok_or(Reject::TruncatedLink)?;
    match ethertype {
        IPV4 => Ok(untagged(at + 14, Some(false), layers + 1)),
        IPV6 => Ok(untagged(at + 14, Some(true), layers + 1)),
        other => by_type(data, other, at + 14, layers + 1),
    }
}

/// Follows headers from `offset`, where `ethertype` says what stands there.
pub(super) fn by_type(data: &[u8], mut ethertype: u16, mut offset: usize, mut layers: u8) -> Result<Network, Reject> {
    let type_at = |at: usize| be16(data, at).ok_or(Reject::TruncatedLink);
    let (mut vlan, mut inner_vlan) = (NO_VLAN, NO_VLAN);
    while layers < MAX_LAYERS {
        // How many bytes stand here before the next type, or another way on.
        let before_type = match ethertype {
            IPV4 | IPV6 => return Ok(Network { offset, v6: Some(ethertype == IPV6), vlan, inner_vlan, layers }),
            ARP => return Err(Reject::Arp),
            // 802.1Q, 802.1ad and what was used before it.
            0x8100 | 0x88a8 | 0x9100 => {
                let tag = type_at(offset)? & 0x0fff;
                if vlan == NO_VLAN {
                    vlan = tag;
                } else if inner_vlan == NO_VLAN {
                    inner_vlan = tag;
                }
                2
            }
            0x8926 => 4,      // VN-Tag
            0x893f => 6,      // 802.1BR E-TAG
            0x88e7 => 4 + 12, // 802.1ah: the I-TAG's contents and the customer's addresses
            0x8903 => 2 + 12, // FabricPath: tag and TTL, then a frame of its own
            0x6558 => 12,     // transparent Ethernet (RFC 1701): the addresses of a frame of its own
            MPLS | 0x8848 => {
                (ethertype, offset, layers) = mpls(data, offset, layers)?;
                continue;
            }
            0x8864 => {
                // PPPoE session: six bytes, then the PPP protocol, never compressed.
                (ethertype, offset) = (ppp_type(type_at(offset + 6)?)?, offset + 8);
                layers += 1;
                continue;
            }
            // Below 1536 it is a length: 802.3 with an LLC header, which names an EtherType where SNAP follows.
            0..1536 => {
                (ethertype, offset) = (llc(data, offset)?, offset + 8);
                layers += 1;
                continue;
            }
            _ => return Err(Reject::NotIp),
        };
        ethertype = type_at(offset + before_type)?;
        offset += before_type + 2;
        layers += 1;
    }
    Err(Reject::TooManyLayers)
}

/// The EtherType behind an LLC header with SNAP (IEEE 802.2, RFC 1042).
pub(super) fn llc(data: &[u8], at: usize) -> Result<u16, Reject> {
    match (be32(data, at), be32(data, at + 4)) {
        (Some(0xaaaa_0300), Some(snap)) if snap >> 16 == 0 && snap as u16 >= 1536 => Ok(snap as u16),
        (None, _) => Err(Reject::TruncatedLink),
        _ => Err(Reject::NotIp),
    }
}

/// Passes over a stack of labels (RFC 3032 section 2.1). Returns what lies at its bottom: the first half byte says which IP
/// it is, or that a control word (RFC 4385 section 3) and an Ethernet frame follow.
fn mpls(data: &[u8], mut offset: usize, mut layers: u8) -> Result<(u16, usize, u8), Reject> {
    const TRANSPARENT_ETHERNET: u16 = 0x6558;
    while layers < MAX_LAYERS {
        let label = be32(data, offset).ok_or(Reject::TruncatedLink)?;
        offset += 4;
        layers += 1;
        if label & 0x100 != 0 {
            return Ok(match data.get(offset).ok_or(Reject::TruncatedLink)? >> 4 {
                4 => (IPV4, offset, layers),
                6 => (IPV6, offset, layers),
                0 => (TRANSPARENT_ETHERNET, offset + 4, layers),
                _ => (TRANSPARENT_ETHERNET, offset, layers),
            });
        }
    }
    Err(Reject::TooManyLayers)
}

/// LINKTYPE_NULL and LINKTYPE_LOOP: the address family in four bytes, of the host that wrote it or in network order.
fn bsd_loopback(data: &[u8]) -> Result<Network, Reject> {
    let family = be32(data, 0).ok_or(Reject::TruncatedLink)?;
    match if family > 0xffff { family.swap_bytes() } else { family } {
        2 => Ok(untagged(4, Some(false), 1)),
        // AF_INET6 has another number on each BSD.
        10 | 24 | 28 | 30 => Ok(untagged(4, Some(true), 1)),
        _ => Err(Reject::NotIp),
    }
}

/// PPP (RFC 1661) at `at`, with or without HDLC-like framing (RFC 1662), the protocol in two bytes or compressed to one.
pub(super) fn ppp(data: &[u8], at: usize, layers: u8) -> Result<Network, Reject> {
    let frame = data.get(at..).ok_or(Reject::TruncatedLink)?;
    // LINKTYPE_PPP_HDLC also holds Cisco's framing: address 0x0f (unicast) or 0x8f (multicast), then an EtherType.
    if let [0x0f | 0x8f, 0x00, ..] = frame {
        return by_type(data, be16(frame, 2).ok_or(Reject::TruncatedLink)?, at + 4, layers);
    }
    let skipped = if frame.starts_with(&[0xff, 0x03]) { 2 } else { 0 };
    let first = *frame.get(skipped).ok_or(Reject::TruncatedLink)?;
    let (protocol, length) =
        if first & 1 == 1 { (u16::from(first), 1) } else { (be16(frame, skipped).ok_or(Reject::TruncatedLink)?, 2) };
    by_type(data, ppp_type(protocol)?, at + skipped + length, layers)
}

/// The EtherType of what a PPP protocol carries.
fn ppp_type(protocol: u16) -> Result<u16, Reject> {
    match protocol {
        0x0021 => Ok(IPV4),
        0x0057 => Ok(IPV6),
        0x0281 => Ok(MPLS),
        _ => Err(Reject::NotIp),
    }
}
