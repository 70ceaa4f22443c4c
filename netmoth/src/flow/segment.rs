//! What one TCP segment adds to its connection: history, retransmissions, gaps, the round trip, the states.
//!
//! Sequence numbers wrap (RFC 9293 section 3.4): only differences are compared. The letters and when they are noted
//! follow Zeek's documentation of `history`.

use super::entry::{Cold, Entry, NO_RTT};
use super::history::{Letter, is_noted};
use super::tcp::State;
use crate::time::Instant;
use crate::wire::Packet;
use crate::wire::tcp_flags::{ACK, FIN, RST, SYN};

/// Books a segment of `side`.
#[inline]
pub(super) fn book(hot: &mut Entry, cold: &mut Cold, packet: &Packet, side: usize, now: Instant) {
    let flags = packet.tcp_flags;
    hot.flags[side] |= flags;
    let length = sequence_length(packet);
    begin(hot, cold, packet, side);
    let end = packet.tcp_seq.wrapping_add(length);
    let advance = difference(end, hot.last_seq[side]);
    note_flags(hot, cold, packet, side, advance);
    if packet.tcp_window == 0 && flags & RST == 0 {
        zero_window(hot, cold, side);
    }
    let gap = flags & ACK != 0 && acknowledges_unseen(hot, cold, packet, side);
    follow(hot, cold, packet, side, end, advance);
    measure(hot, cold, packet, side, now);
    let flip = {
        let mut sides = hot.sides();
        let flip = sides.segment(side, hot.originator(), flags, packet.payload_bytes);
        hot.set_sides(sides);
        flip
    };
    if flip {
        hot.flip();
        cold.push_flip();
    }
    // A gap that a FIN or RST reveals is no news: those acknowledge what they like.
    let ending = matches!(hot.sides().state(side), State::Closed | State::Reset);
    if gap && !ending {
        counted(hot, cold, Letter::Gap, 1 - side);
    }
}

/// Sequence space that a segment takes: SYN and FIN take one each, a RST's data none.
fn sequence_length(packet: &Packet) -> u32 {
    let flags = packet.tcp_flags;
    let data = if flags & RST != 0 { 0 } else { packet.payload_bytes };
    data.wrapping_add(u32::from(flags & SYN != 0)).wrapping_add(u32::from(flags & FIN != 0))
}

fn difference(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// Sets up a side's sequence space with its first segment, and again with a SYN that starts over.
fn begin(hot: &mut Entry, cold: &mut Cold, packet: &Packet, side: usize) {
    let syn = packet.tcp_flags & SYN != 0;
    match hot.sides().state(side) {
        State::Inactive if syn => {
            cold.start_seq[side] = packet.tcp_seq;
            hot.last_seq[side] = packet.tcp_seq.wrapping_add(sequence_length(packet));
        }
        State::Inactive => {
            // As if a SYN had stood before it.
            cold.start_seq[side] = packet.tcp_seq.wrapping_sub(1);
            hot.last_seq[side] = packet.tcp_seq;
        }
        State::SynSent | State::SynAckSent | State::Established | State::Partial
            if syn && packet.tcp_seq != cold.start_seq[side] =>
        {
            cold.start_seq[side] = packet.tcp_seq;
            hot.last_seq[side] = packet.tcp_seq.wrapping_add(sequence_length(packet));
        }
        _ => {}
    }
}

/// The letters of flags and payload.
fn note_flags(hot: &mut Entry, cold: &mut Cold, packet: &Packet, side: usize, advance: i32) {
    let flags = packet.tcp_flags;
    match (flags & SYN != 0, flags & FIN != 0, flags & RST != 0) {
        (_, true, true) => once(hot, cold, Letter::Inconsistent, side),
        (true, true, _) | (true, _, true) => once(hot, cold, Letter::MultiFlag, side),
        (true, false, false) => {
            let letter = if flags & ACK != 0 { Letter::Handshake } else { Letter::Syn };
            // One bit for both: a side sends one of them. Another one is noted if it starts elsewhere.
            let again = hot.seen[side] & Letter::Syn.bit() != 0;
            if !again || packet.tcp_seq != cold.start_seq[side] {
                hot.seen[side] |= Letter::Syn.bit();
                cold.push(letter, side != hot.originator());
            }
        }
        (false, true, false) => {
            let again = hot.seen[side] & Letter::Fin.bit() != 0;
            if !again || advance != 0 {
                hot.seen[side] |= Letter::Fin.bit();
                cold.push(Letter::Fin, side != hot.originator());
            }
        }
        (false, false, true) => {
            let at = packet.tcp_seq.wrapping_sub(cold.start_seq[side]);
            let again = hot.seen[side] & Letter::Reset.bit() != 0;
            if !again || at != cold.last_reset[side] {
                hot.seen[side] |= Letter::Reset.bit();
                cold.push(Letter::Reset, side != hot.originator());
            }
            cold.last_reset[side] = at;
        }
        (false, false, false) if packet.payload_bytes > 0 => once(hot, cold, Letter::Data, side),
        (false, false, false) if flags & ACK != 0 => once(hot, cold, Letter::Ack, side),
        _ => {}
    }
}

fn once(hot: &mut Entry, cold: &mut Cold, letter: Letter, side: usize) {
    if hot.seen[side] & letter.bit() == 0 {
        hot.seen[side] |= letter.bit();
        cold.push(letter, side != hot.originator());
    }
}

/// Zero windows are of interest while somebody may still send.
fn zero_window(hot: &Entry, cold: &mut Cold, side: usize) {
    let sides = hot.sides();
    if sides.state(1 - side) != State::Closed && sides.state(side) != State::Reset {
        counted(hot, cold, Letter::ZeroWindow, side);
    }
}

/// Notes an event that is counted on a logarithmic scale.
fn counted(hot: &Entry, cold: &mut Cold, letter: Letter, side: usize) {
    let count = match letter {
        Letter::ZeroWindow => {
            cold.zero_windows[side] = cold.zero_windows[side].saturating_add(1);
            u32::from(cold.zero_windows[side])
        }
        Letter::Gap => {
            cold.gaps[side] = cold.gaps[side].saturating_add(1);
            u32::from(cold.gaps[side])
        }
        _ => {
            cold.retransmits[side] = cold.retransmits[side].saturating_add(1);
            cold.retransmits[side]
        }
    };
    if is_noted(count) {
        cold.push(letter, side != hot.originator());
    }
}

/// Whether the segment acknowledges bytes of the peer that were never seen here. They then count as seen, so that each
/// hole is told once.
fn acknowledges_unseen(hot: &mut Entry, cold: &mut Cold, packet: &Packet, side: usize) -> bool {
    let peer = 1 - side;
    match hot.sides().state(peer) {
        State::Inactive => {
            // The peer's numbering is known from here on.
            cold.start_seq[peer] = packet.tcp_ack.wrapping_sub(1);
            hot.last_seq[peer] = packet.tcp_ack.wrapping_sub(1);
            false
        }
        State::Reset => false,
        _ if packet.tcp_flags & (RST | SYN) != 0 => false,
        _ => {
            let beyond = difference(packet.tcp_ack, hot.last_seq[peer]);
            // A jump of half the space is a broken number, not a gap.
            let gap = beyond > 0 && beyond < 1 << 30;
            if gap {
                hot.last_seq[peer] = packet.tcp_ack;
            }
            gap
        }
    }
}

/// Moves the end of the side's sequence space on, or counts a retransmission.
fn follow(hot: &mut Entry, cold: &mut Cold, packet: &Packet, side: usize, end: u32, advance: i32) {
    let flags = packet.tcp_flags;
    let far = !(-(1 << 20)..=1 << 20).contains(&advance);
    if flags & (SYN | RST) != 0 && far || hot.sides().state(side) == State::Reset {
        // Numbers that are not to be trusted.
    } else if advance > 0 {
        hot.last_seq[side] = end;
    } else if packet.payload_bytes > 0 && flags & RST == 0 {
        counted(hot, cold, Letter::Retransmission, side);
    }
}

/// The time from the first SYN to the ACK that completes the handshake.
fn measure(hot: &Entry, cold: &mut Cold, packet: &Packet, side: usize, now: Instant) {
    let sides = hot.sides();
    let originator = hot.originator();
    let completes = cold.rtt_us == NO_RTT
        && side == originator
        && hot.part == 0
        && packet.tcp_flags & (ACK | SYN | RST) == ACK
        && sides.state(originator) == State::Established
        && sides.state(1 - originator) == State::Established
        && hot.seen[originator] & Letter::Syn.bit() != 0
        && hot.seen[1 - originator] & Letter::Syn.bit() != 0;
    if completes {
        let us = now.wall_ns.saturating_sub(hot.start_ns).max(0) / 1_000;
        cold.rtt_us = u32::try_from(us).unwrap_or(NO_RTT - 1).min(NO_RTT - 1);
    }
}
