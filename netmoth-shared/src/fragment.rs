//! All pieces of one datagram go to one socket, though only the first carries ports.
//!
//! The first piece takes its flow's socket, where it meets its connection's whole packets, and the later ones follow it.
//! A later piece that comes before its first one takes a socket by its addresses, and the first one follows that.

use crate::hash::Address;

/// A datagram in pieces: what reassembly keys on (RFC 791 section 3.2, RFC 8200 section 4.5).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// IPv4 protocol; 0 in IPv6, whose pieces may name different next headers.
    pub protocol: u32,
}

/// What is remembered of a datagram in pieces.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// When its first-come piece was seen, CLOCK_MONOTONIC nanoseconds.
    pub seen_ns: u64,
    /// The socket within the queue that its pieces go to.
    pub socket: u32,
    /// 1 where the first-come piece was the one with the ports, else 0.
    pub by_first: u32,
}

const _: () = assert!(size_of::<Datagram>() == 40 && align_of::<Datagram>() == 8);
const _: () = assert!(size_of::<Piece>() == 16 && align_of::<Piece>() == 8);

/// Datagrams in flight that the program remembers; beyond, the least recently used one is forgotten.
pub const REMEMBERED: u32 = 16_384;

/// Pieces further apart than this belong to different datagrams: identifications come round, and one that does must not
/// tie a new datagram to the socket of an old one. Pieces of one datagram leave their sender back to back.
pub const STALE_NS: u64 = 2_000_000_000;

/// Which socket a piece goes to, and what to remember (None: what is known stays).
///
/// `own` is the socket that the piece would take if nothing were known, `first` whether it has the ports.
#[inline(always)]
pub fn settle(known: Option<Piece>, now_ns: u64, own: u32, first: bool, sockets: u32) -> (u32, Option<Piece>) {
    if let Some(known) = known
        && now_ns.wrapping_sub(known.seen_ns) < STALE_NS
        && known.socket < sockets
        // A first piece after a first piece opens a new datagram, and decides anew (a repeated one decides the same).
        && !(first && known.by_first == 1)
    {
        return (known.socket, None);
    }
    (own, Some(Piece { seen_ns: now_ns, socket: own, by_first: first as u32 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000_000;

    #[test]
    fn later_pieces_follow_the_first() {
        let (socket, known) = settle(None, NOW, 2, true, 4);
        assert_eq!(socket, 2);
        assert_eq!(settle(known, NOW + 10, 0, false, 4), (2, None));
    }

    #[test]
    fn a_first_piece_follows_a_later_one_that_came_before_it() {
        let (socket, known) = settle(None, NOW, 1, false, 4);
        assert_eq!(socket, 1);
        assert_eq!(settle(known, NOW + 10, 3, true, 4), (1, None));
    }

    #[test]
    fn an_identification_that_comes_round_starts_a_new_datagram() {
        let (_, by_first) = settle(None, NOW, 2, true, 4);
        assert_eq!(settle(by_first, NOW + 10, 3, true, 4).0, 3);
        let (_, by_later) = settle(None, NOW, 2, false, 4);
        assert_eq!(settle(by_later, NOW + STALE_NS, 3, true, 4).0, 3);
        assert_eq!(settle(by_later, NOW + STALE_NS, 0, false, 4).0, 0);
    }

    #[test]
    fn a_socket_that_the_queue_no_longer_has_is_not_taken() {
        let known = Some(Piece { seen_ns: NOW, socket: 3, by_first: 1 });
        assert_eq!(settle(known, NOW, 1, false, 2).0, 1);
    }
}
