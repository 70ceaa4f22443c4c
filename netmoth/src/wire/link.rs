//! The link layer: from the frame's first byte to the first byte of IP.
//!
//! Sources: IEEE 802.3 and 802.1Q; the tcpdump project's LINKTYPE_ registry for what capture files hold.

use super::bytes::{be16, be32};
use super::{LinkType, NO_VLAN, Reject};

/// Tags that are followed: two are kept, the rest is passed over.
pub(super) const MAX_TAGS: usize = 8;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;

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
}

/// Finds the IP header.
#[inline]
pub(super) fn network(link: LinkType, data: &[u8]) -> Result<Network, Reject> {
    match link {
        LinkType::Ethernet => ethernet(data),
        LinkType::RawIp => Ok(untagged(0, None)),
        // Protocol as an EtherType at 14 (v1) or at 0 (v2): LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2.
        LinkType::LinuxCooked => tagged(data, be16(data, 14).ok_or(Reject::TruncatedLink)?, 16),
        LinkType::LinuxCooked2 => tagged(data, be16(data, 0).ok_or(Reject::TruncatedLink)?, 20),
        LinkType::BsdLoopback => bsd_loopback(data),
        LinkType::Ppp => ppp(data),
        LinkType::CiscoHdlc => tagged(data, be16(data, 2).ok_or(Reject::TruncatedLink)?, 4),
    }
}

fn untagged(offset: usize, v6: Option<bool>) -> Network {
    Network { offset, v6, vlan: NO_VLAN, inner_vlan: NO_VLAN }
}

#[inline]
fn ethernet(data: &[u8]) -> Result<Network, Reject> {
    let ethertype = be16(data, 12).ok_or(Reject::TruncatedLink)?;
    match ethertype {
        IPV4 => Ok(untagged(14, Some(false))),
        IPV6 => Ok(untagged(14, Some(true))),
        // Below 1536 it is a length: 802.3 with an LLC header, which names an EtherType where SNAP follows.
        0..1536 => match (be32(data, 14), be32(data, 18)) {
            (Some(0xaaaa_0300), Some(snap)) if snap >> 16 == 0 => tagged(data, snap as u16, 22),
            (None, _) => Err(Reject::TruncatedLink),
            _ => Err(Reject::NotIp),
        },
        other => tagged(data, other, 14),
    }
}

/// Follows tags from `offset`, where `ethertype` says what stands there.
fn tagged(data: &[u8], mut ethertype: u16, mut offset: usize) -> Result<Network, Reject> {
    let (mut vlan, mut inner_vlan) = (NO_VLAN, NO_VLAN);
    for _ in 0..=MAX_TAGS {
        match ethertype {
            IPV4 | IPV6 => return Ok(Network { offset, v6: Some(ethertype == IPV6), vlan, inner_vlan }),
            ARP => return Err(Reject::Arp),
            // 802.1Q, 802.1ad and what was used before it.
            0x8100 | 0x88a8 | 0x9100 => {
                let tag = be16(data, offset).ok_or(Reject::TruncatedLink)? & 0x0fff;
                if vlan == NO_VLAN {
                    vlan = tag;
                } else if inner_vlan == NO_VLAN {
                    inner_vlan = tag;
                }
                ethertype = be16(data, offset + 2).ok_or(Reject::TruncatedLink)?;
                offset += 4;
            }
            _ => return Err(Reject::NotIp),
        }
    }
    Err(Reject::TooManyTags)
}

/// LINKTYPE_NULL and LINKTYPE_LOOP: the address family in four bytes, of the host that wrote it or in network order.
fn bsd_loopback(data: &[u8]) -> Result<Network, Reject> {
    let family = be32(data, 0).ok_or(Reject::TruncatedLink)?;
    match if family > 0xffff { family.swap_bytes() } else { family } {
        2 => Ok(untagged(4, Some(false))),
        // AF_INET6 has another number on each BSD.
        10 | 24 | 28 | 30 => Ok(untagged(4, Some(true))),
        _ => Err(Reject::NotIp),
    }
}

/// PPP (RFC 1661), with or without HDLC-like framing (RFC 1662), the protocol in two bytes or compressed to one.
fn ppp(data: &[u8]) -> Result<Network, Reject> {
    // LINKTYPE_PPP_HDLC also holds Cisco's framing: address 0x0f (unicast) or 0x8f (multicast), then an EtherType.
    if let [0x0f | 0x8f, 0x00, ..] = data {
        return tagged(data, be16(data, 2).ok_or(Reject::TruncatedLink)?, 4);
    }
    let offset = if data.starts_with(&[0xff, 0x03]) { 2 } else { 0 };
    let first = *data.get(offset).ok_or(Reject::TruncatedLink)?;
    let (protocol, offset) = if first & 1 == 1 {
        (u16::from(first), offset + 1)
    } else {
        (be16(data, offset).ok_or(Reject::TruncatedLink)?, offset + 2)
    };
    match protocol {
        0x0021 => Ok(untagged(offset, Some(false))),
        0x0057 => Ok(untagged(offset, Some(true))),
        _ => Err(Reject::NotIp),
    }
}
