//! What the traffic is like.

use std::fmt;

use crate::sizes::{MAX_SIZE, MIN_SIZE, Sizes};

/// Most connections that can be open at once (each takes 24 bytes here).
pub const MAX_CONNECTIONS: u32 = 1 << 24;

/// How long a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// For that many packets of both sides; then a new connection takes its place.
    ///
    /// TCP spends three on the handshake and three on the good-bye. With fewer than six there is no good-bye: the
    /// connection falls silent after its last packet (one is a lone SYN, three a handshake).
    Packets(u32),
    /// For ever.
    Endless,
}

/// Shares of the protocols among connections: their ratio counts, not their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// TCP.
    pub tcp: u16,
    /// UDP.
    pub udp: u16,
    /// ICMP echo, or ICMPv6 echo over IPv6.
    pub icmp: u16,
}

/// What the traffic is like. Two equal profiles make the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What everything random follows from.
    pub seed: u64,
    /// Connections that are open at once; each packet belongs to a random one of them.
    pub connections: u32,
    /// How long each lives.
    pub lifetime: Lifetime,
    /// Whether they are opened one after the other before anything else is sent: TCP with its handshake, UDP and ICMP
    /// with a question and its answer. Otherwise each opens when it is first picked.
    pub opened_first: bool,
    /// Lengths of frames with data.
    pub sizes: Sizes,
    /// Shares of the protocols.
    pub mix: Mix,
    /// Connections over IPv6, in percent.
    pub ipv6_percent: u8,
    /// Connections in a VLAN (their frames have an 802.1Q tag), in percent.
    pub vlan_percent: u8,
    /// Packets with data that the responder sends, in percent (TCP and UDP; with ICMP, every request has its reply).
    pub responder_percent: u8,
    /// Packets in a second of the time stamps, on average; the gaps are random.
    pub packets_per_second: u64,
    /// The time stamp that the first packet follows, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
}

impl Default for Profile {
    /// A thousand endless TCP connections over IPv4 with frames of the least length, a million packets a second from
    /// 2026-01-01 on.
    fn default() -> Self {
        Self {
            seed: 1,
            connections: 1_000,
            lifetime: Lifetime::Endless,
            opened_first: false,
            sizes: Sizes::Fixed(MIN_SIZE),
            mix: Mix { tcp: 1, udp: 0, icmp: 0 },
            ipv6_percent: 0,
            vlan_percent: 0,
            responder_percent: 50,
            packets_per_second: 1_000_000,
            start_ns: 1_767_225_600_000_000_000,
        }
    }
}

/// Why there is no such traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// Number of connections.
    Connections(u32),
    /// Connections without a packet.
    Lifetime,
    /// Lengths of frames.
    Sizes(Sizes),
    /// No protocol has a share.
    Mix,
    /// A share of more than all.
    Percent(&'static str, u8),
    /// Packets per second.
    Rate(u64),
    /// No memory for so many connections.
    Memory(u32),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(number) => {
                write!(f, "{number} connections can't be made: choose between 1 and {MAX_CONNECTIONS}")
            }
            Self::Lifetime => f.write_str("a connection has at least one packet"),
            Self::Sizes(sizes) => {
                write!(f, "there are no frames of {sizes} bytes: choose lengths from {MIN_SIZE} to {MAX_SIZE}")
            }
            Self::Mix => f.write_str("no protocol has a share in the mix: give TCP, UDP or ICMP one"),
            Self::Percent(name, percent) => write!(f, "{percent} percent of {name} is more than all: 100 is the most"),
            Self::Rate(rate) => write!(f, "time stamps can't be made for {rate} packets a second: choose 1 to 10^9"),
            Self::Memory(number) => write!(f, "no memory for {number} connections: choose fewer"),
        }
    }
}

impl std::error::Error for ProfileError {}

impl Profile {
    /// Whether there is such traffic.
    ///
    /// # Errors
    /// Names the field that is out of its range.
    pub fn check(&self) -> Result<(), ProfileError> {
        if self.connections == 0 || self.connections > MAX_CONNECTIONS {
            return Err(ProfileError::Connections(self.connections));
        }
        if self.lifetime == Lifetime::Packets(0) {
            return Err(ProfileError::Lifetime);
        }
        if !self.sizes.are_possible() {
            return Err(ProfileError::Sizes(self.sizes));
        }
        if self.mix == (Mix { tcp: 0, udp: 0, icmp: 0 }) {
            return Err(ProfileError::Mix);
        }
        let shares = [
            ("IPv6", self.ipv6_percent),
            ("VLAN", self.vlan_percent),
            ("packets of the responder", self.responder_percent),
        ];
        if let Some((name, percent)) = shares.into_iter().find(|&(_, percent)| percent > 100) {
            return Err(ProfileError::Percent(name, percent));
        }
        if self.packets_per_second == 0 || self.packets_per_second > 1_000_000_000 {
            return Err(ProfileError::Rate(self.packets_per_second));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_impossible_is_refused_by_name() {
        let good = Profile::default();
        assert_eq!(good.check(), Ok(()));
        for (bad, word) in [
            (Profile { connections: 0, ..good }, "0 connections"),
            (Profile { connections: MAX_CONNECTIONS + 1, ..good }, "16777217 connections"),
            (Profile { lifetime: Lifetime::Packets(0), ..good }, "at least one packet"),
            (Profile { sizes: Sizes::Fixed(59), ..good }, "frames of 59 bytes"),
            (Profile { sizes: Sizes::Range(100, 90), ..good }, "frames of 100-90 bytes"),
            (Profile { mix: Mix { tcp: 0, udp: 0, icmp: 0 }, ..good }, "no protocol"),
            (Profile { vlan_percent: 101, ..good }, "101 percent of VLAN"),
            (Profile { packets_per_second: 0, ..good }, "for 0 packets"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
