//! Who talks to whom: everything of a connection that follows from its number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::profile::Profile;
use crate::random::{below, chance, mix, mix32};

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo; over IPv6, ICMPv6 echo.
    Icmp,
}

/// Ports that responders listen on: none of them announces a tunnel, and dissectors don't take zeros there for
/// malformed messages.
const TCP_PORTS: [u16; 4] = [443, 80, 8080, 993];
const UDP_PORTS: [u16; 2] = [443, 3478];

/// The words of the network that the hosts of each side are in: 198.18.0.0/16 and 198.19.0.0/16,
/// 2001:2:0:1::/112 and 2001:2:0:2::/112.
const NETWORKS_V4: [u16; 2] = [0xc612, 0xc613];
const NETWORKS_V6: [[u16; 7]; 2] = [[0x2001, 2, 0, 1, 0, 0, 0], [0x2001, 2, 0, 2, 0, 0, 0]];

/// What a connection is, packed: its protocol, addresses, ports and VLAN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) protocol: Protocol,
    pub(crate) ipv6: bool,
    pub(crate) vlan: Option<u16>,
    /// Last 16 bits of the addresses of originator and responder.
    pub(crate) hosts: [u16; 2],
    /// Ports of originator and responder; the identifier of an echo is the first.
    pub(crate) ports: [u16; 2],
    /// Whether the responder says good-bye first.
    pub(crate) responder_closes: bool,
    /// First sequence numbers of both sides.
    pub(crate) first: [u32; 2],
}

impl Identity {
    /// The connection `number`. The pair of hosts is another one for each of 2^32 connections in a row, whatever their
    /// protocols.
    #[inline]
    pub(crate) fn of(profile: &Profile, number: u64) -> Self {
        let hosts = mix32(number as u32 ^ profile.seed as u32);
        let (one, two) = (mix(number ^ profile.seed.rotate_left(32)), mix(!number ^ profile.seed));
        let protocol = protocol(profile, (one >> 32) as u32);
        let port = match protocol {
            Protocol::Tcp => TCP_PORTS[one as usize % 4],
            Protocol::Udp => UDP_PORTS[one as usize % 2],
            Protocol::Icmp => 0,
        };
        Self {
            protocol,
            ipv6: chance((one >> 16) as u16, profile.ipv6_percent),
            vlan: chance(one as u16, profile.vlan_percent).then_some(100 + (two & 7) as u16),
            hosts: [hosts as u16, (hosts >> 16) as u16],
            ports: [0x8000 | (two >> 8) as u16, port],
            responder_closes: two & 8 != 0,
            first: [(two >> 32) as u32, !one as u32],
        }
    }

    /// Length of all headers, in bytes.
    #[inline]
    pub(crate) fn headers(&self) -> usize {
        self.link() + self.network() + self.transport()
    }

    #[inline]
    pub(crate) fn link(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }

    #[inline]
    pub(crate) fn network(&self) -> usize {
        if self.ipv6 { 40 } else { 20 }
    }

    #[inline]
    pub(crate) fn transport(&self) -> usize {
        if self.protocol == Protocol::Tcp { 20 } else { 8 }
    }

    /// IANA number of the protocol.
    #[inline]
    pub(crate) fn number(&self) -> u8 {
        match (self.protocol, self.ipv6) {
            (Protocol::Tcp, _) => 6,
            (Protocol::Udp, _) => 17,
            (Protocol::Icmp, false) => 1,
            (Protocol::Icmp, true) => 58,
        }
    }

    /// The first words of a side's IPv4 address and the last.
    #[inline]
    pub(crate) fn v4(&self, side: usize) -> [u16; 2] {
        [NETWORKS_V4[side], self.hosts[side]]
    }

    #[inline]
    pub(crate) fn v6(&self, side: usize) -> [u16; 8] {
        let [a, b, c, d, e, f, g] = NETWORKS_V6[side];
        [a, b, c, d, e, f, g, self.hosts[side]]
    }

    fn address(&self, side: usize) -> IpAddr {
        if self.ipv6 {
            return Ipv6Addr::from(self.v6(side)).into();
        }
        let [high, low] = self.v4(side);
        Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)).into()
    }
}

#[inline]
fn protocol(profile: &Profile, random: u32) -> Protocol {
    let mix = &profile.mix;
    let (tcp, udp) = (u32::from(mix.tcp), u32::from(mix.udp));
    match below(random, tcp + udp + u32::from(mix.icmp)) {
        share if share < tcp => Protocol::Tcp,
        share if share < tcp + udp => Protocol::Udp,
        _ => Protocol::Icmp,
    }
}

/// Who talks to whom over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Protocol.
    pub protocol: Protocol,
    /// Address of the originator.
    pub originator: IpAddr,
    /// Address of the responder.
    pub responder: IpAddr,
    /// Port of the originator; ICMP: the identifier of the echo.
    pub originator_port: u16,
    /// Port of the responder; ICMP: 0.
    pub responder_port: u16,
    /// VLAN, where frames have a tag.
    pub vlan: Option<u16>,
}

impl From<Identity> for Endpoints {
    fn from(identity: Identity) -> Self {
        Self {
            protocol: identity.protocol,
            originator: identity.address(0),
            responder: identity.address(1),
            originator_port: identity.ports[0],
            responder_port: identity.ports[1],
            vlan: identity.vlan,
        }
    }
}
