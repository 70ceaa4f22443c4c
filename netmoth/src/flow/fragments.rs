//! Which connection the later pieces of a datagram belong to: they have no ports, so the first piece leaves them here.
//!
//! A fixed, direct-mapped cache: a slot that two datagrams want goes to the newer one, and the older one's later pieces
//! are booked on a connection without ports. An attacker can cause that, and no more.

use super::config::FlowError;
use super::key::KeyedHash;
use super::memory::reserve;
use crate::wire::Packet;

/// Datagrams remembered at a time; a power of two.
const SLOTS: usize = 4096;

/// Pieces of one datagram arrive within this time (milliseconds): identifications are used again (RFC 6864).
const LIFE: u32 = 2_000;

#[derive(Clone, Copy, Default)]
struct Slot {
    /// 64 bits of a keyed hash name the datagram.
    name: u64,
    tick: u32,
    source: u16,
    destination: u16,
}

pub(super) struct Fragments {
    slots: Vec<Slot>,
}

impl Fragments {
    pub(super) fn new() -> Result<Self, FlowError> {
        let mut slots = reserve(SLOTS, 0)?;
        slots.resize(SLOTS, Slot::default());
        Ok(Self { slots })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }

    /// Remembers the ports of a first piece.
    pub(super) fn remember(&mut self, hasher: &KeyedHash, packet: &Packet, id: u32, tick: u32) {
        let name = hasher.datagram(packet, id);
        let slot = Slot { name, tick, source: packet.src_port, destination: packet.dst_port };
        self.slots[name as usize & (SLOTS - 1)] = slot;
    }

    /// The ports of the datagram that a later piece belongs to.
    pub(super) fn recall(&self, hasher: &KeyedHash, packet: &Packet, id: u32, tick: u32) -> Option<(u16, u16)> {
        let name = hasher.datagram(packet, id);
        let slot = self.slots[name as usize & (SLOTS - 1)];
        (slot.name == name && tick.wrapping_sub(slot.tick) <= LIFE).then_some((slot.source, slot.destination))
    }
}
