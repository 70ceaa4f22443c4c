//! One connection in memory: the 128 bytes that every packet touches, and the rest, which few packets do.

use std::mem::offset_of;

use super::history::{self, FLIP, Letter};
use super::key::Key;
use super::odd::{NOTHING_ODD, Odd, Odds};
use super::tcp::{Sides, State};
use super::wheel::Class;
use crate::prefetch;

/// No round trip time was measured.
pub(super) const NO_RTT: u32 = u32::MAX;

/// What a packet reads and writes. Arrays are by side: 0 is the key's first endpoint.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(128))]
pub(super) struct Entry {
    pub(super) key: Key,
    /// First packet of this part, wall time.
    pub(super) start_ns: i64,
    /// Last packet, wall time.
    pub(super) last_ns: i64,
    /// What expiry counts from, monotonic milliseconds: the last packet, but for attempts and closed connections.
    pub(super) last_tick: u32,
    /// First packet of this part, monotonic milliseconds.
    pub(super) part_tick: u32,
    pub(super) packets: [u32; 2],
    bytes_low: [u32; 2],
    payload_low: [u32; 2],
    bytes_high: [u16; 2],
    payload_high: [u16; 2],
    /// TCP: one past the highest sequence number seen; after a RST, the RST's own.
    pub(super) last_seq: [u32; 2],
    /// Letters that each side has shown, by [`Letter::bit`]; other protocols use [`Letter::Data`] for "has sent".
    pub(super) seen: [u16; 2],
    pub(super) flags: [u8; 2],
    /// TCP states, the side of the originator, the class, whether a side has an open hole.
    packed: u16,
    pub(super) part: u32,
    /// SYN to the ACK that completes the handshake, or [`NO_RTT`].
    pub(super) rtt_us: u32,
}

const _: () = assert!(size_of::<Entry>() == 128);

/// What steady traffic leaves alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cold {
    pub(super) letters: [u64; 2],
    pub(super) flow_id: i64,
    /// TCP: first sequence number.
    pub(super) start_seq: [u32; 2],
    /// Place in the pool of what few connections have, or [`NOTHING_ODD`].
    pub(super) odd: u32,
}

const _: () = assert!(size_of::<Cold>() == 40);

/// All of a connection but its [`Entry`].
pub(super) struct Rest<'a> {
    pub(super) cold: &'a mut Cold,
    pub(super) odds: &'a mut Odds,
}

const ORIGINATOR: u16 = 1 << 12;
const CLASS_SHIFT: u16 = 13;
const HOLE: u16 = 1 << 15;

impl Entry {
    /// A connection without packets.
    pub(super) fn new(key: Key, originator: usize) -> Self {
        Self {
            key,
            start_ns: 0,
            last_ns: i64::MIN,
            last_tick: 0,
            part_tick: 0,
            packets: [0; 2],
            bytes_low: [0; 2],
            payload_low: [0; 2],
            bytes_high: [0; 2],
            payload_high: [0; 2],
            last_seq: [0; 2],
            seen: [0; 2],
            flags: [0; 2],
            packed: if originator == 1 { ORIGINATOR } else { 0 },
            part: 0,
            rtt_us: NO_RTT,
        }
    }

    /// Asks for both of its lines.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        const { assert!(offset_of!(Self, last_tick) == 64) };
        prefetch::line(self);
        prefetch::line(&self.last_tick);
    }

    /// The side of the originator.
    pub(super) fn originator(&self) -> usize {
        usize::from(self.packed & ORIGINATOR != 0)
    }

    /// Swaps originator and responder.
    pub(super) fn flip(&mut self) {
        self.packed ^= ORIGINATOR;
    }

    pub(super) fn class(&self) -> Class {
        Class::from_bits((self.packed >> CLASS_SHIFT) as u8)
    }

    pub(super) fn set_class(&mut self, class: Class) {
        self.packed = self.packed & !(3 << CLASS_SHIFT) | u16::from(class as u8) << CLASS_SHIFT;
    }

    /// Whether [`Rest::hole`] is worth a look.
    pub(super) fn has_hole(&self) -> bool {
        self.packed & HOLE != 0
    }

    pub(super) fn set_hole(&mut self, open: bool) {
        self.packed = if open { self.packed | HOLE } else { self.packed & !HOLE };
    }

    /// TCP state of one side.
    #[inline]
    pub(super) fn state(&self, side: usize) -> State {
        State::from_bits(self.packed >> (3 * side))
    }

    /// Both sides came through the handshake and none has ended.
    #[inline]
    pub(super) fn is_established(&self) -> bool {
        self.state(0) == State::Established && self.state(1) == State::Established
    }

    /// An established TCP connection without a hole.
    #[inline(always)]
    pub(super) fn is_open_and_whole(&self) -> bool {
        const BOTH: u16 = 0o77;
        const ESTABLISHED: u16 = State::Established as u16 * 0o11;
        const OPEN: u16 = (Class::Open as u16) << CLASS_SHIFT;
        self.packed & (BOTH | 3 << CLASS_SHIFT | HOLE) == ESTABLISHED | OPEN
    }

    pub(super) fn sides(&self) -> Sides {
        Sides::from_bits(self.packed & Sides::MASK)
    }

    pub(super) fn set_sides(&mut self, sides: Sides) {
        self.packed = self.packed & !Sides::MASK | sides.bits();
    }

    /// Counts one packet of `side`.
    #[inline]
    pub(super) fn count(&mut self, side: usize, bytes: u32, payload: u32) {
        self.packets[side] = self.packets[side].saturating_add(1);
        add(&mut self.bytes_low[side], &mut self.bytes_high[side], bytes);
        add(&mut self.payload_low[side], &mut self.payload_high[side], payload);
    }

    /// Whether one more packet might not fit: a part then ends early.
    #[inline]
    pub(super) fn is_full(&self, side: usize) -> bool {
        self.packets[side] == u32::MAX || (self.bytes_high[side] | self.payload_high[side]) >= 1 << 15
    }

    pub(super) fn bytes(&self, side: usize) -> u64 {
        u64::from(self.bytes_high[side]) << 32 | u64::from(self.bytes_low[side])
    }

    pub(super) fn payload(&self, side: usize) -> u64 {
        u64::from(self.payload_high[side]) << 32 | u64::from(self.payload_low[side])
    }

    /// Begins the next part: counters and flags are per part, states and history go on.
    pub(super) fn next_part(&mut self) {
        self.part = self.part.saturating_add(1);
        self.packets = [0; 2];
        self.bytes_low = [0; 2];
        self.bytes_high = [0; 2];
        self.payload_low = [0; 2];
        self.payload_high = [0; 2];
        self.flags = [0; 2];
    }

    /// Whether this part has no packet yet.
    pub(super) fn is_empty(&self) -> bool {
        self.packets == [0; 2]
    }
}

fn add(low: &mut u32, high: &mut u16, bytes: u32) {
    let (sum, carry) = low.overflowing_add(bytes);
    *low = sum;
    *high = high.saturating_add(u16::from(carry));
}

impl Cold {
    /// That of a connection without packets.
    pub(super) fn new(flow_id: i64) -> Self {
        Self { letters: history::NO_LETTERS, flow_id, start_seq: [0; 2], odd: NOTHING_ODD }
    }
}

impl Rest<'_> {
    /// Appends a letter; what does not fit is not kept.
    pub(super) fn push(&mut self, letter: Letter, responder: bool) {
        history::push(&mut self.cold.letters, letter.code(responder));
    }

    /// Notes that the direction was flipped.
    pub(super) fn push_flip(&mut self) {
        history::push(&mut self.cold.letters, FLIP);
    }

    /// What is odd about the connection, to be changed.
    pub(super) fn odd(&mut self) -> &mut Odd {
        if self.cold.odd == NOTHING_ODD {
            self.cold.odd = self.odds.take(Odd::new(self.cold.start_seq));
        }
        self.odds.get_mut(self.cold.odd)
    }

    /// See [`Odd::hole`].
    pub(super) fn hole(&self, side: usize) -> (u32, u32) {
        match self.odds.get(self.cold.odd) {
            Some(odd) => odd.hole[side],
            None => (self.cold.start_seq[side], self.cold.start_seq[side]),
        }
    }

    /// The side's sequence space begins at `start`, and nothing of it is missing.
    pub(super) fn set_start(&mut self, side: usize, start: u32) {
        self.cold.start_seq[side] = start;
        if self.cold.odd != NOTHING_ODD {
            self.odd().hole[side] = (start, start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counters_carry_past_32_bits() {
        let (mut low, mut high) = (0, 0);
        for _ in 0..10 {
            add(&mut low, &mut high, u32::MAX);
        }
        assert_eq!(u64::from(high) << 32 | u64::from(low), 10 * u64::from(u32::MAX));
    }
}
