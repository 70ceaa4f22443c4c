//! What few connections have: retransmissions, gaps, zero windows, tunnels. It stands in a pool of its own, so that the others
//! need no room for it.
//!
//! The pool has room for every connection, but a page of it takes memory only when a connection uses it, and those that were
//! used before are used again first.

use super::config::{FlowError, reserve};
use crate::wire::Tunnel;

/// No place in the pool.
pub(super) const NOTHING_ODD: u32 = u32::MAX;

/// Arrays are by side, as in an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odd {
    /// TCP: the first range that the side has jumped over and not sent yet, as far as seen here. Where there is none, both
    /// are equal and say up to where acknowledged bytes that were never seen have been told.
    pub(super) hole: [(u32, u32); 2],
    /// Segments of this part that repeat sequence space, for the record.
    pub(super) repeated: [u32; 2],
    /// Segments with payload that ends where the side has been before, for the letter `T`.
    pub(super) retransmissions: [u16; 2],
    pub(super) zero_windows: [u16; 2],
    pub(super) gaps: [u16; 2],
    /// Of the first packet.
    pub(super) tunnel_id: Option<u32>,
    pub(super) tunnel: Option<Tunnel>,
    /// How often the way of tunnels changed that the packets came.
    pub(super) carrier_changes: u8,
    /// The way of tunnels that the last packet came.
    pub(super) carrier: u16,
    /// Packets with a wrong checksum, for the letter `C`.
    pub(super) corrupt: [u16; 2],
}

const _: () = assert!(size_of::<Odd>() == 52);

impl Odd {
    /// That of a connection without anything odd whose sides began with these sequence numbers.
    pub(super) fn new(start_seq: [u32; 2]) -> Self {
        Self {
            hole: start_seq.map(|start| (start, start)),
            repeated: [0; 2],
            retransmissions: [0; 2],
            zero_windows: [0; 2],
            gaps: [0; 2],
            tunnel_id: None,
            tunnel: None,
            carrier_changes: 0,
            carrier: 0,
            corrupt: [0; 2],
        }
    }
}

/// The pool.
pub(super) struct Odds {
    places: Vec<Odd>,
    /// First of the places that were used before; each says the next one in `tunnel_id`.
    free: u32,
}

impl Odds {
    /// Room for `max_flows` connections.
    pub(super) fn new(max_flows: u32) -> Result<Self, FlowError> {
        Ok(Self { places: reserve(max_flows as usize, max_flows)?, free: NOTHING_ODD })
    }

    /// Bytes in use by connections so far, at their fullest.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.places.as_slice())
    }

    /// A place with `odd` in it. There is one for every connection.
    pub(super) fn take(&mut self, odd: Odd) -> u32 {
        if self.free == NOTHING_ODD {
            self.places.push(odd);
            return self.places.len() as u32 - 1;
        }
        let place = self.free;
        self.free = self.places[place as usize].tunnel_id.unwrap_or(NOTHING_ODD);
        self.places[place as usize] = odd;
        place
    }

    /// Gives a place back; [`NOTHING_ODD`] is none.
    pub(super) fn give_back(&mut self, place: u32) {
        if place != NOTHING_ODD {
            self.places[place as usize].tunnel_id = Some(self.free);
            self.free = place;
        }
    }

    pub(super) fn get(&self, place: u32) -> Option<&Odd> {
        self.places.get(place as usize)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> &mut Odd {
        &mut self.places[place as usize]
    }

    /// Places that connections hold, for checks.
    pub(super) fn held(&self) -> usize {
        let (mut free, mut place) = (0, self.free);
        while place != NOTHING_ODD && free <= self.places.len() {
            free += 1;
            place = self.places[place as usize].tunnel_id.unwrap_or(NOTHING_ODD);
        }
        self.places.len().saturating_sub(free)
    }
}
