//! What makes two packets the same connection, and the keyed hash of it.

use std::hint::select_unpredictable;

use super::icmp;
use crate::wire::{IpVersion, Packet};

/// The key is of a message that stands alone: its endpoints are not in canonical order, the sender is first.
pub(super) const ONE_WAY: u8 = 0x80;

/// Both endpoints in an order of their own (by address, then by port), the same for both directions, and what else is keyed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// First address (two words), second address (two words), as they stand in memory.
    pub(super) ends: [u64; 4],
    /// First port, second port, outer VLAN, inner VLAN, from the high end.
    pub(super) ports: u64,
    /// From the high end: the network that the packet's tunnel names with the kind of tunnel above it (32 bits; 0 where there
    /// is none or it is not keyed on), protocol (IANA number), kind (IP version in the low half, [`ONE_WAY`]).
    tail: u64,
}

/// What else keeps connections apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyedOn {
    pub(super) vlan: bool,
    pub(super) tunnel: bool,
}

impl KeyedOn {
    /// Outer and inner VLAN as keyed, from the high end.
    #[inline(always)]
    fn vlans(self, packet: &Packet) -> u32 {
        let not_keyed = u32::from(!self.vlan).wrapping_neg();
        u32::from(packet.vlan) << 16 | u32::from(packet.inner_vlan) | not_keyed
    }
}

impl FlowHash {
    /// The hash itself, for measurements.
    pub fn value(&self) -> u32 {
        self.hash
    }
}

impl Key {
    /// No key of any packet: what a batch is filled with before there is one.
    const BLANK: Self = Self { ends: [0; 4], ports: 0, tail: 0 };
}

impl Default for FlowHash {
    fn default() -> Self {
        Self { key: Key::BLANK, hash: 0, side: 0, plain: false, guess: 0 }
    }
}

/// A packet's key with its hash: made by [`FlowTable::hash`](super::FlowTable::hash), used by the table alone.
#[derive(Clone, Copy, Debug)]
pub struct FlowHash {
    pub(super) key: Key,
    pub(super) hash: u32,
    /// 0 where the sender is the key's first endpoint, else 1.
    pub(super) side: u8,
    /// Whether the packet [is plain](Packet::is_plain).
    pub(super) plain: bool,
    /// The entry that [`FlowTable::prefetch`](super::FlowTable::prefetch) took for the right one.
    pub(super) guess: u32,
}

impl Key {
    /// The key of `packet` with the given ports, and the side that sent it. No ports: a later piece of a datagram whose first
    /// piece is not remembered, which stands apart with ports 0.
    pub(super) fn new(packet: &Packet, ports: Option<(u16, u16)>, on: KeyedOn) -> (Self, u8) {
        let (source, mut destination) = ports.unwrap_or((0, 0));
        let mut one_way = false;
        if matches!(packet.protocol, icmp::ICMP | icmp::ICMPV6) && ports.is_some() {
            match icmp::counterpart(packet.protocol, source) {
                Some(answer) => destination = answer,
                None => one_way = true,
            }
        }
        let kind = packet.version as u8 | if one_way { ONE_WAY } else { 0 };
        let tunnel = match (packet.tunnel, packet.tunnel_id) {
            (Some(kind), Some(id)) if on.tunnel && kind.names_a_network() => (kind as u32 + 1) << 24 | id & 0xff_ffff,
            _ => 0,
        };
        Self::of(
            (&packet.src, source),
            (&packet.dst, destination),
            on.vlans(packet),
            tail(tunnel, packet.protocol, kind),
        )
    }

    /// That of a datagram of TCP or UDP which is whole and in no tunnel.
    #[inline(always)]
    pub(super) fn plain(packet: &Packet, on: KeyedOn) -> (Self, u8) {
        let (source, destination) = ((&packet.src, packet.src_port), (&packet.dst, packet.dst_port));
        Self::of(source, destination, on.vlans(packet), tail(0, packet.protocol, packet.version as u8))
    }

    /// Puts the ends in their order. Which of them is first nobody can foretell: exchanged without a branch, they cost
    /// no misprediction.
    #[inline(always)]
    fn of(source: (&[u8; 16], u16), destination: (&[u8; 16], u16), vlans: u32, tail: u64) -> (Self, u8) {
        let (src, dst) = (words(source.0), words(destination.0));
        let (src_port, dst_port) = (u64::from(source.1), u64::from(destination.1));
        let after = |a: u64, b: u64, rest: bool| (a > b) | (a == b) & rest;
        let is_after = after(src[0], dst[0], after(src[1], dst[1], src_port > dst_port));
        let swap = is_after & (tail as u8 & ONE_WAY == 0);
        let exchanged = |a: u64, b: u64| (select_unpredictable(swap, b, a), select_unpredictable(swap, a, b));
        let (first_high, second_high) = exchanged(src[0], dst[0]);
        let (first_low, second_low) = exchanged(src[1], dst[1]);
        let (first_port, second_port) = exchanged(src_port, dst_port);
        let ends = [first_high, first_low, second_high, second_low];
        let ports = first_port << 48 | second_port << 32 | u64::from(vlans);
        (Self { ends, ports, tail }, u8::from(swap))
    }

    /// Whether both are the same. Without a branch for each field: nearly always all are equal.
    #[inline(always)]
    pub(super) fn is(&self, other: &Self) -> bool {
        let ends = self.ends.iter().zip(&other.ends).fold(0, |all, (own, others)| all | own ^ others);
        ends | self.ports ^ other.ports | self.tail ^ other.tail == 0
    }

    /// Makes it the key of no packet.
    pub(super) fn clear(&mut self) {
        *self = Self::BLANK;
    }

    /// IANA number.
    #[inline(always)]
    pub(super) fn protocol(&self) -> u8 {
        (self.tail >> 8) as u8
    }

    /// What stands in `dst_port` of a record whose responder is `side`: its port, or the code of an ICMP message (that of
    /// an echo and its kin is 0, and their key holds the type of the answer there).
    pub(super) fn dst_port(&self, side: usize) -> u16 {
        let paired = matches!(self.protocol(), icmp::ICMP | icmp::ICMPV6) && self.tail as u8 & ONE_WAY == 0;
        if paired { 0 } else { self.port(side) }
    }

    /// Port of one side.
    pub(super) fn port(&self, side: usize) -> u16 {
        (self.ports >> if side == 0 { 48 } else { 32 }) as u16
    }

    /// Outer and inner VLAN as keyed ([`NO_VLAN`] where there is none).
    pub(super) fn vlans(&self) -> (u16, u16) {
        ((self.ports >> 16) as u16, self.ports as u16)
    }

    /// Address of one side, in network order.
    pub(super) fn address(&self, side: usize) -> [u8; 16] {
        let mut address = [0; 16];
        for (half, word) in address.as_chunks_mut::<8>().0.iter_mut().zip(&self.ends[2 * side..]) {
            *half = word.to_ne_bytes();
        }
        address
    }

    /// Whether the addresses are IPv4's.
    pub(super) fn is_v4(&self) -> bool {
        self.tail as u8 & 0x0f == IpVersion::V4 as u8
    }
}

/// See [`Key`].
#[inline(always)]
fn tail(tunnel: u32, protocol: u8, kind: u8) -> u64 {
    u64::from(tunnel) << 32 | u64::from(protocol) << 8 | u64::from(kind)
}

#[inline(always)]
fn words(address: &[u8; 16]) -> [u64; 2] {
    let (halves, _) = address.as_chunks::<8>();
    [u64::from_ne_bytes(halves[0]), u64::from_ne_bytes(halves[1])]
}

/// A keyed hash: folded 64 × 64 → 128 bit multiplications of the key's words, each masked with a secret word of its
/// own. Without the secret nobody can tell which keys collide; it costs three multiplications and one to finish.
#[derive(Clone, Copy)]
pub(super) struct KeyedHash {
    secret: [u64; 8],
}

impl KeyedHash {
    /// Spreads the two secret words over the masks with SplitMix64 (Steele, Lea, Flood 2014).
    pub(super) fn new(hash_key: [u64; 2]) -> Self {
        let mut state = hash_key[0];
        let mut secret = [0; 8];
        for (position, word) in secret.iter_mut().enumerate() {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ if position == 4 { hash_key[1] } else { 0 };
            let mut mixed = state ^ hash_key[1].rotate_left(position as u32 * 7);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *word = mixed ^ (mixed >> 31);
        }
        Self { secret }
    }

    /// Names a datagram among those that are in pieces: addresses, protocol, VLAN and identification.
    pub(super) fn datagram(&self, packet: &Packet, id: u32) -> u64 {
        let (src, dst) = (words(&packet.src), words(&packet.dst));
        let tail = u64::from(id) << 32 | u64::from(packet.vlan) << 16 | u64::from(packet.protocol);
        let secret = &self.secret;
        let first = fold(src[0] ^ secret[0], src[1] ^ secret[2]);
        let second = fold(dst[0] ^ secret[1], dst[1] ^ secret[3]);
        fold(first ^ second.rotate_left(23) ^ secret[5], tail ^ secret[7])
    }

    /// 32 bits that depend on all of the key and all of the secret.
    #[inline(always)]
    pub(super) fn hash(&self, key: &Key) -> u32 {
        let secret = &self.secret;
        let first = fold(key.ends[0] ^ secret[0], key.ends[1] ^ secret[1]);
        let second = fold(key.ends[2] ^ secret[2], key.ends[3] ^ secret[3]);
        let third = fold(key.ports ^ secret[4], key.tail ^ secret[5]);
        let mixed = fold(first ^ second.rotate_left(23) ^ secret[6], third ^ secret[7]);
        (mixed >> 32) as u32 ^ mixed as u32
    }
}

#[inline(always)]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::testing::packet;
    use super::*;
    use crate::wire::Tunnel;

    const ALL: KeyedOn = KeyedOn { vlan: true, tunnel: true };
    const NONE: KeyedOn = KeyedOn { vlan: false, tunnel: false };

    fn key_of(packet: &Packet) -> (Key, u8) {
        Key::new(packet, Some((packet.src_port, packet.dst_port)), ALL)
    }

    #[test]
    fn both_directions_have_one_key_and_opposite_sides() {
        let there = packet(17, 1, 2000, 2, 53);
        let back = packet(17, 2, 53, 1, 2000);
        let ((key, side), (reverse, other)) = (key_of(&there), key_of(&back));
        assert_eq!(key, reverse);
        assert_eq!(side ^ other, 1);
        assert_eq!(key.port(usize::from(side)), 2000);
        assert_eq!(key.address(usize::from(other)), back.src);
    }

    #[test]
    fn an_echo_and_its_reply_share_a_key_and_errors_stay_apart_by_direction() {
        let ask = packet(1, 1, 8, 2, 0);
        let answer = packet(1, 2, 0, 1, 0);
        assert_eq!(key_of(&ask).0, key_of(&answer).0);
        let there = packet(1, 1, 3, 2, 1);
        let back = packet(1, 2, 3, 1, 1);
        assert_ne!(key_of(&there).0, key_of(&back).0);
    }

    #[test]
    fn vlans_separate_connections_only_where_they_are_keyed_on() {
        let mut tagged = packet(17, 1, 2000, 2, 53);
        tagged.vlan = 7;
        let plain = packet(17, 1, 2000, 2, 53);
        assert_ne!(key_of(&tagged).0, key_of(&plain).0);
        let without = |packet: &Packet| Key::new(packet, Some((packet.src_port, packet.dst_port)), NONE).0;
        assert_eq!(without(&tagged), without(&plain));
    }

    #[test]
    fn virtual_networks_separate_connections_and_other_tunnels_do_not() {
        let plain = packet(17, 1, 2000, 2, 53);
        let within = |tunnel, id| Packet { tunnel: Some(tunnel), tunnel_id: Some(id), ..plain };
        let vxlan = within(Tunnel::Vxlan, 7);
        assert_ne!(key_of(&vxlan).0, key_of(&plain).0);
        assert_ne!(key_of(&vxlan).0, key_of(&within(Tunnel::Vxlan, 8)).0);
        assert_ne!(key_of(&vxlan).0, key_of(&within(Tunnel::Geneve, 7)).0);
        assert_eq!(key_of(&within(Tunnel::Gtp, 7)).0, key_of(&plain).0, "each direction has a TEID of its own");
        let without = |packet: &Packet| Key::new(packet, Some((packet.src_port, packet.dst_port)), NONE).0;
        assert_eq!(without(&vxlan), without(&plain));
    }

    #[test]
    fn the_hash_spreads_near_keys_and_depends_on_the_secret() {
        let hasher = KeyedHash::new([1, 2]);
        let other = KeyedHash::new([1, 3]);
        let mut buckets = [0u32; 256];
        let mut same = 0;
        for port in 0..65_535u16 {
            let key = key_of(&packet(6, 1, port, 2, 80)).0;
            buckets[(hasher.hash(&key) >> 24) as usize] += 1;
            same += u32::from(hasher.hash(&key) == other.hash(&key));
        }
        // 256 in the mean; a fair hash stays within six standard deviations (16 each).
        assert!(buckets.iter().all(|&count| (160..352).contains(&count)), "{buckets:?}");
        assert!(same < 4, "{same} of 65,535 hashes do not depend on the second secret word");
    }
}
