//! The symmetric keyed flow hash: both directions of a connection give the same number, and nobody who doesn't know the
//! key can choose connections that crowd one socket.
//!
//! NH, the universal hash of UMAC (RFC 4418 section 5.2): sums of products of 32-bit halves, each with a word of the
//! key added. Five multiplications and a final mix, which is what a program that runs per frame can afford.

/// Address in host order, upper and lower half; IPv4 in its IPv4-mapped form (RFC 4291 section 2.5.5.2).
pub type Address = [u64; 2];

/// The IPv4-mapped form of an IPv4 address in host order.
#[inline(always)]
pub const fn mapped(v4: u32) -> Address {
    [0, 0x0000_ffff_0000_0000 | v4 as u64]
}

/// Whose a frame is, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port, or 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port, or 0 where the protocol has none.
    pub destination_port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// The expanded key: a word for each word of a flow, and one for the final mix.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKey {
    words: [u64; 6],
}

const _: () = assert!(size_of::<HashKey>() == 48 && align_of::<HashKey>() == 8);

impl HashKey {
    /// Expands 128 random bits.
    pub const fn expand(seed: [u64; 2]) -> Self {
        let mut words = [0; 6];
        let mut state = seed[0];
        let mut index = 0;
        while index < words.len() {
            // The increment of SplitMix64; the second half of the seed enters every word by another rotation.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            words[index] = mix(state ^ mix(seed[1].rotate_left(11 * index as u32).wrapping_add(index as u64)));
            index += 1;
        }
        Self { words }
    }

    /// The hash of a flow; the same for both directions.
    #[inline(always)]
    pub fn flow(&self, flow: &Flow) -> u64 {
        let a = (flow.source, flow.source_port);
        let b = (flow.destination, flow.destination_port);
        let (low, high) = if before(a, b) { (a, b) } else { (b, a) };
        let rest = u64::from(low.1) | u64::from(high.1) << 16 | u64::from(flow.protocol) << 32;
        self.words([low.0[0], low.0[1], high.0[0], high.0[1], rest])
    }

    /// The hash of two stations on a link, for frames that aren't IP; the same for both directions.
    #[inline(always)]
    pub fn stations(&self, a: u64, b: u64) -> u64 {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        // Bit 63 of the last word sets these apart from flows.
        self.words([low, high, 0, 0, 1 << 63])
    }

    #[inline(always)]
    fn words(&self, words: [u64; 5]) -> u64 {
        let [k0, k1, k2, k3, k4, finish] = self.words;
        let [w0, w1, w2, w3, w4] = words;
        let sum = product(w0, k0)
            .wrapping_add(product(w1, k1))
            .wrapping_add(product(w2, k2))
            .wrapping_add(product(w3, k3))
            .wrapping_add(product(w4, k4));
        mix(sum ^ finish)
    }
}

/// Which of `sockets` a hash picks: 0 .. sockets (0 where there are none), without a division.
#[inline(always)]
pub const fn pick(hash: u64, sockets: u32) -> u32 {
    (((hash >> 32) * sockets as u64) >> 32) as u32
}

#[inline(always)]
fn before(a: (Address, u16), b: (Address, u16)) -> bool {
    if a.0[0] != b.0[0] {
        return a.0[0] < b.0[0];
    }
    if a.0[1] != b.0[1] {
        return a.0[1] < b.0[1];
    }
    a.1 <= b.1
}

#[inline(always)]
const fn product(word: u64, key: u64) -> u64 {
    let low = (word as u32).wrapping_add(key as u32);
    let high = ((word >> 32) as u32).wrapping_add((key >> 32) as u32);
    (low as u64).wrapping_mul(high as u64)
}

/// A bijection in which every bit of the input reaches every bit of the output (two xor-shift-multiply rounds).
#[inline(always)]
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flow(source: u32, source_port: u16, destination: u32, destination_port: u16) -> Flow {
        Flow { source: mapped(source), destination: mapped(destination), source_port, destination_port, protocol: 6 }
    }

    proptest! {
        #[test]
        fn both_directions_hash_alike(
            seed: [u64; 2], source: [u64; 2], destination: [u64; 2], ports: (u16, u16), protocol: u8, same: bool,
        ) {
            let destination = if same { source } else { destination };
            let there = Flow { source, destination, source_port: ports.0, destination_port: ports.1, protocol };
            let back = Flow {
                source: destination, destination: source, source_port: ports.1, destination_port: ports.0, protocol,
            };
            let key = HashKey::expand(seed);
            prop_assert_eq!(key.flow(&there), key.flow(&back));
            prop_assert_eq!(key.stations(source[0], destination[0]), key.stations(destination[0], source[0]));
        }

        #[test]
        fn a_pick_is_always_one_of_the_sockets(hash: u64, sockets in 1u32..) {
            prop_assert!(pick(hash, sockets) < sockets);
        }
    }

    /// Flows of one client that counts its ports up, which is what ordinary hosts do.
    fn spread(seed: [u64; 2], sockets: u32, flows: u32) -> [u32; 8] {
        let key = HashKey::expand(seed);
        let mut counts = [0; 8];
        for n in 0..flows {
            let hash = key.flow(&flow(0x0a00_0001 + (n >> 12), 32_768 + (n as u16 & 0x0fff), 0xc0a8_0001, 443));
            counts[pick(hash, sockets) as usize] += 1;
        }
        counts
    }

    #[test]
    fn flows_spread_evenly_over_two_to_eight_sockets_under_any_key() {
        let flows = 16_384;
        for seed in [[0, 0], [1, 0], [0, 1], [u64::MAX, u64::MAX], [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]] {
            for sockets in [2, 3, 4, 8] {
                let fair = flows / sockets;
                let counts = spread(seed, sockets, flows);
                for count in &counts[..sockets as usize] {
                    assert!(count.abs_diff(fair) < fair / 8, "{seed:x?}: {counts:?} over {sockets}");
                }
            }
        }
    }

    #[test]
    fn another_key_moves_about_half_of_the_flows_between_two_sockets() {
        let (one, two) = (HashKey::expand([1, 2]), HashKey::expand([1, 3]));
        let moved = (0..4_096)
            .map(|n| flow(0x0a00_0001, n, 0x0a00_0002, 53))
            .filter(|flow| pick(one.flow(flow), 2) != pick(two.flow(flow), 2))
            .count();
        assert!((1_800..2_300).contains(&moved), "{moved}");
    }

    #[test]
    fn the_protocol_and_each_port_change_the_hash() {
        let key = HashKey::expand([7, 8]);
        let base = flow(1, 1_000, 2, 80);
        let others = [
            Flow { protocol: 17, ..base },
            Flow { source_port: 1_001, ..base },
            Flow { destination_port: 81, ..base },
            Flow { source_port: 80, destination_port: 1_000, ..base },
        ];
        for other in others {
            assert_ne!(key.flow(&base), key.flow(&other), "{other:?}");
        }
    }
}
