//! Which connection the later pieces of a datagram belong to: they have no ports, so the first piece leaves them here.
//!
//! A fixed, direct-mapped cache: a slot that two datagrams want goes to the newer one, and the older one's later pieces
//! are booked on a connection without ports. An attacker can cause that, and no more.
//!
//! Pieces are counted, not put together. Those that repeat bytes of their datagram, and first pieces that hide the transport
//! header's end, are counted apart: no honest sender makes them (RFC 1858, RFC 3128, RFC 5722).

use super::config::{FlowError, reserve};
use super::key::KeyedHash;
use crate::wire::Packet;

/// Datagrams remembered at a time; a power of two.
const SLOTS: usize = 4096;

/// Pieces of one datagram arrive within this time (milliseconds): identifications are used again (RFC 6864).
const LIFE: u32 = 2_000;

/// Stretches of a datagram that are remembered apart: pieces in order need one, a gap or a swap a second.
const STRETCHES: usize = 3;

#[derive(Clone, Copy, Default)]
struct Slot {
    /// 64 bits of a keyed hash name the datagram.
    name: u64,
    tick: u32,
    source: u16,
    destination: u16,
    /// The first piece has been here.
    named: bool,
    /// What has been seen of the datagram: from and to, in units of eight bytes; empty ones are equal.
    seen: [(u16, u16); STRETCHES],
}

/// Pieces that no honest sender makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OddFragments {
    /// Pieces that repeat bytes of their datagram.
    pub overlapping: u64,
    /// First pieces that end inside the transport header.
    pub tiny: u64,
}

pub(super) struct Fragments {
    slots: Vec<Slot>,
    odd: OddFragments,
}

impl Fragments {
    pub(super) fn new() -> Result<Self, FlowError> {
        let mut slots = reserve(SLOTS, 0)?;
        slots.resize(SLOTS, Slot::default());
        Ok(Self { slots, odd: OddFragments::default() })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }

    pub(super) fn odd(&self) -> OddFragments {
        self.odd
    }

    /// Remembers the ports of a first piece.
    pub(super) fn remember(&mut self, hasher: &KeyedHash, packet: &Packet, id: u32, tick: u32) {
        self.odd.tiny += u64::from(packet.tiny);
        let name = hasher.datagram(packet, id);
        let slot = self.slot(name, tick);
        (slot.named, slot.source, slot.destination) = (true, packet.src_port, packet.dst_port);
        self.see(name, packet);
    }

    /// The ports of the datagram that a later piece belongs to.
    pub(super) fn recall(&mut self, hasher: &KeyedHash, packet: &Packet, id: u32, tick: u32) -> Option<(u16, u16)> {
        let name = hasher.datagram(packet, id);
        let slot = self.slot(name, tick);
        let ports = slot.named.then_some((slot.source, slot.destination));
        self.see(name, packet);
        ports
    }

    /// The slot of a datagram, which begins anew where another one had it.
    fn slot(&mut self, name: u64, tick: u32) -> &mut Slot {
        let slot = &mut self.slots[name as usize & (SLOTS - 1)];
        if slot.name != name || tick.wrapping_sub(slot.tick) > LIFE {
            *slot = Slot { name, tick, ..Slot::default() };
        }
        slot
    }

    /// Adds a piece to what was seen of its datagram, or counts it as one that overlaps.
    fn see(&mut self, name: u64, packet: &Packet) {
        let slot = &mut self.slots[name as usize & (SLOTS - 1)];
        let from = packet.piece_offset;
        // Only the last piece's length need not be a multiple of eight.
        let to = from.saturating_add(packet.transport_bytes.div_ceil(8).min(0x2000) as u16);
        let overlaps = |&(start, end): &(u16, u16)| from < end && start < to;
        if slot.seen.iter().any(overlaps) {
            self.odd.overlapping += 1;
        } else if from < to {
            extend(&mut slot.seen, from, to);
        }
    }
}

/// Adds `from .. to` to what it touches, or to an empty stretch; with none of both it is not remembered.
fn extend(seen: &mut [(u16, u16); STRETCHES], from: u16, to: u16) {
    let before = seen.iter().position(|&(start, end)| start != end && end == from);
    let behind = seen.iter().position(|&(start, end)| start != end && start == to);
    match (before, behind) {
        (Some(before), Some(behind)) => {
            seen[before].1 = seen[behind].1;
            seen[behind] = (0, 0);
        }
        (Some(before), None) => seen[before].1 = to,
        (None, Some(behind)) => seen[behind].0 = from,
        (None, None) => {
            if let Some(free) = seen.iter_mut().find(|(start, end)| start == end) {
                *free = (from, to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::packet;
    use super::*;
    use crate::wire::Fragment;

    /// The pieces' counts of overlaps, of pieces given as offset and length in bytes.
    fn overlaps(pieces: &[(u32, u32)]) -> u64 {
        let hasher = KeyedHash::new([1, 2]);
        let mut fragments = Fragments::new().unwrap();
        for &(offset, length) in pieces {
            let mut piece = packet(17, 1, 1000, 2, 53);
            piece.piece_offset = (offset / 8) as u16;
            piece.transport_bytes = length;
            if offset == 0 {
                piece.fragment = Fragment::First { id: 7 };
                fragments.remember(&hasher, &piece, 7, 0);
            } else {
                fragments.recall(&hasher, &piece, 7, 0);
            }
        }
        fragments.odd().overlapping
    }

    #[test]
    fn pieces_in_any_order_do_not_overlap() {
        assert_eq!(overlaps(&[(0, 1480), (1480, 1480), (2960, 5)]), 0);
        assert_eq!(overlaps(&[(2960, 5), (1480, 1480), (0, 1480)]), 0);
        assert_eq!(overlaps(&[(1480, 1480), (0, 1480), (4440, 3), (2960, 1480)]), 0);
    }

    #[test]
    fn pieces_that_repeat_bytes_are_counted_each() {
        assert_eq!(overlaps(&[(0, 1480), (1480, 1480), (1480, 1480)]), 1, "a piece twice");
        assert_eq!(overlaps(&[(0, 24), (8, 16)]), 1, "ports of the first piece overwritten");
        assert_eq!(overlaps(&[(0, 8), (16, 16), (8, 16), (0, 8)]), 2);
    }

    #[test]
    fn a_piece_that_comes_before_the_first_is_remembered_for_overlaps_and_knows_no_ports() {
        let hasher = KeyedHash::new([1, 2]);
        let mut fragments = Fragments::new().unwrap();
        let mut later = packet(17, 1, 0, 2, 0);
        (later.piece_offset, later.transport_bytes) = (3, 8);
        assert_eq!(fragments.recall(&hasher, &later, 9, 0), None);
        let first = Packet { src_port: 1000, dst_port: 53, piece_offset: 0, ..later };
        fragments.remember(&hasher, &first, 9, 5);
        assert_eq!(fragments.recall(&hasher, &later, 9, 6), Some((1000, 53)));
        assert_eq!(fragments.odd().overlapping, 1);
        assert_eq!(fragments.recall(&hasher, &later, 9, 6 + LIFE), None, "an identification that came round");
    }
}
