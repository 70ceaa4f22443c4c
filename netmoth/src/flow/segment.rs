//! What one TCP segment adds to its connection: history, retransmissions, gaps, the round trip, the states.
//!
//! Sequence numbers wrap (RFC 9293 section 3.4): only differences are compared. The letters and when they are noted
//! follow Zeek's documentation of `history`.

use super::entry::{Entry, NO_RTT, Rest};
use super::history::{Letter, is_noted};
use super::tcp::State;
use crate::time::Instant;
use crate::wire::Packet;
use crate::wire::tcp_flags::{ACK, FIN, RST, SYN};

/// Books a segment of `side`.
#[inline]
pub(super) fn book(hot: &mut Entry, rest: &mut Rest<'_>, packet: &Packet, side: usize, now: Instant) {
    let flags = packet.tcp_flags;
    hot.flags[side] |= flags;
    let length = sequence_length(packet);
    // Nearly all segments: both sides came through the handshake, and nobody starts or ends anything.
    let steady = flags & (SYN | FIN | RST) == 0 && hot.is_established();
    let fresh = !steady && begin(hot, rest, packet, side);
    let end = packet.tcp_seq.wrapping_add(length);
    let advance = difference(end, hot.last_seq[side]);
    let spoke = hot.seen[side] & (Letter::Ack.bit() | Letter::Data.bit()) != 0;
    note_flags(hot, rest, packet, side, advance);
    if packet.tcp_window == 0 && flags & RST == 0 {
        zero_window(hot, rest, side);
    }
    let gaps = if flags & ACK != 0 { acknowledged_gaps(hot, rest, packet, side) } else { 0 };
    if !follow(hot, rest, packet, side, end, advance) && !fresh && length > 0 && flags & RST == 0 {
        let repeated = &mut rest.odd().repeated[side];
        *repeated = repeated.saturating_add(1);
    }
    if flags & RST != 0 {
        hot.last_seq[side] = packet.tcp_seq;
    }
    if !spoke {
        measure(hot, packet, side, now);
    }
    if steady {
        (0..gaps).for_each(|_| counted(hot, rest, Letter::Gap, 1 - side));
        return;
    }
    let mut sides = hot.sides();
    let flip = sides.segment(side, hot.originator(), flags, packet.payload_bytes);
    hot.set_sides(sides);
    if flip {
        hot.flip();
        rest.push_flip();
    }
    // In the middle of a connection, and after a RST, numbers that do not fit prove nothing.
    if gaps > 0 && sides.is_clean(0) && sides.is_clean(1) {
        (0..gaps).for_each(|_| counted(hot, rest, Letter::Gap, 1 - side));
    }
}

/// A later piece of a segment: its bytes follow on those of the first.
pub(super) fn book_later_piece(hot: &mut Entry, packet: &Packet, side: usize) {
    if !matches!(hot.state(side), State::Inactive | State::Reset) {
        hot.last_seq[side] = hot.last_seq[side].wrapping_add(packet.payload_bytes);
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

/// Sets up a side's sequence space with its first segment, and again with a SYN that starts over. True where it did.
fn begin(hot: &mut Entry, rest: &mut Rest<'_>, packet: &Packet, side: usize) -> bool {
    let syn = packet.tcp_flags & SYN != 0;
    let (start, last) = match hot.state(side) {
        State::Inactive if !syn => (packet.tcp_seq.wrapping_sub(1), packet.tcp_seq), // as if a SYN had stood before it
        State::Inactive => (packet.tcp_seq, packet.tcp_seq.wrapping_add(sequence_length(packet))),
        State::SynSent | State::SynAckSent | State::Established | State::Partial
            if syn && packet.tcp_seq != rest.cold.start_seq[side] =>
        {
            (packet.tcp_seq, packet.tcp_seq.wrapping_add(sequence_length(packet)))
        }
        _ => return false,
    };
    hot.last_seq[side] = last;
    set_start(hot, rest, side, start);
    true
}

fn set_start(hot: &mut Entry, rest: &mut Rest<'_>, side: usize, start: u32) {
    rest.set_start(side, start);
    note_hole(hot, rest);
}

/// The letters of flags and payload.
fn note_flags(hot: &mut Entry, rest: &mut Rest<'_>, packet: &Packet, side: usize, advance: i32) {
    let flags = packet.tcp_flags;
    match (flags & SYN != 0, flags & FIN != 0, flags & RST != 0) {
        (_, true, true) => once(hot, rest, Letter::Inconsistent, side),
        (true, true, _) | (true, _, true) => once(hot, rest, Letter::MultiFlag, side),
        (true, false, false) => {
            let letter = if flags & ACK != 0 { Letter::Handshake } else { Letter::Syn };
            // One bit for both: a side sends one of them. Another one is noted if it starts elsewhere.
            let again = hot.seen[side] & Letter::Syn.bit() != 0;
            if !again || packet.tcp_seq != rest.cold.start_seq[side] {
                hot.seen[side] |= Letter::Syn.bit();
                rest.push(letter, side != hot.originator());
            }
        }
        (false, true, false) => {
            let again = hot.seen[side] & Letter::Fin.bit() != 0;
            if !again || advance != 0 {
                hot.seen[side] |= Letter::Fin.bit();
                rest.push(Letter::Fin, side != hot.originator());
            }
        }
        (false, false, true) => {
            let again = hot.seen[side] & Letter::Reset.bit() != 0;
            if !again || packet.tcp_seq != hot.last_seq[side] {
                hot.seen[side] |= Letter::Reset.bit();
                rest.push(Letter::Reset, side != hot.originator());
            }
        }
        (false, false, false) if packet.payload_bytes > 0 => once(hot, rest, Letter::Data, side),
        (false, false, false) if flags & ACK != 0 => once(hot, rest, Letter::Ack, side),
        _ => {}
    }
}

fn once(hot: &mut Entry, rest: &mut Rest<'_>, letter: Letter, side: usize) {
    if hot.seen[side] & letter.bit() == 0 {
        hot.seen[side] |= letter.bit();
        rest.push(letter, side != hot.originator());
    }
}

/// Zero windows are of interest while somebody may still send.
fn zero_window(hot: &Entry, rest: &mut Rest<'_>, side: usize) {
    let sides = hot.sides();
    if sides.state(1 - side) != State::Closed && sides.state(side) != State::Reset {
        counted(hot, rest, Letter::ZeroWindow, side);
    }
}

/// Notes an event that is counted on a logarithmic scale.
pub(super) fn counted(hot: &Entry, rest: &mut Rest<'_>, letter: Letter, side: usize) {
    let odd = rest.odd();
    let counter = match letter {
        Letter::ZeroWindow => &mut odd.zero_windows[side],
        Letter::Corrupt => &mut odd.corrupt[side],
        Letter::Gap => &mut odd.gaps[side],
        _ => &mut odd.retransmissions[side],
    };
    *counter = counter.saturating_add(1);
    let count = u32::from(*counter);
    if is_noted(count) {
        rest.push(letter, side != hot.originator());
    }
}

/// How many stretches of the peer's bytes the segment acknowledges that were never seen here, each told once.
fn acknowledged_gaps(hot: &mut Entry, rest: &mut Rest<'_>, packet: &Packet, side: usize) -> u32 {
    let (peer, ack) = (1 - side, packet.tcp_ack);
    if hot.state(peer) == State::Inactive {
        // The peer's numbering is known from here on.
        hot.last_seq[peer] = ack.wrapping_sub(1);
        set_start(hot, rest, peer, ack.wrapping_sub(1));
        return 0;
    }
    if packet.tcp_flags & (RST | SYN) != 0 {
        return 0;
    }
    let mut gaps = 0;
    if hot.has_hole() {
        let (from, to) = rest.hole(peer);
        if from != to && difference(ack, from) > 0 {
            close_hole(hot, rest, peer, to);
            gaps += 1;
        }
    }
    let beyond = difference(ack, hot.last_seq[peer]);
    // A jump of a quarter of the space, or a large one to 0, is a broken number and no gap.
    if beyond > 0 && beyond < 1 << 30 && (ack != 0 || beyond < FAR) && difference(ack, rest.hole(peer).1) > 0 {
        close_hole(hot, rest, peer, ack);
        gaps += 1;
    }
    gaps
}

/// From here on the side has no hole, and what is missing up to `told` is told.
fn close_hole(hot: &mut Entry, rest: &mut Rest<'_>, side: usize, told: u32) {
    rest.odd().hole[side] = (told, told);
    note_hole(hot, rest);
}

/// Whether nothing is missing in a [hole](super::odd::Odd::hole).
fn is_closed(hole: (u32, u32)) -> bool {
    hole.0 == hole.1
}

fn note_hole(hot: &mut Entry, rest: &Rest<'_>) {
    hot.set_hole((0..2).map(|side| rest.hole(side)).any(|hole| !is_closed(hole)));
}

/// SYNs and RSTs whose numbers lie farther off than this are not trusted.
const FAR: i32 = 1 << 20;

/// Moves the end of the side's sequence space on, or counts a retransmission. False where the segment brings nothing that
/// was not seen before.
fn follow(hot: &mut Entry, rest: &mut Rest<'_>, packet: &Packet, side: usize, end: u32, advance: i32) -> bool {
    let flags = packet.tcp_flags;
    let far = !(-FAR..=FAR).contains(&advance);
    if flags & (SYN | RST) != 0 && far || hot.state(side) == State::Reset {
        return true;
    }
    if advance > 0 {
        let jump = difference(packet.tcp_seq, hot.last_seq[side]);
        if jump > 0 && flags & (SYN | RST) == 0 && is_closed(rest.hole(side)) {
            rest.odd().hole[side] = (hot.last_seq[side], packet.tcp_seq);
            hot.set_hole(true);
        }
        hot.last_seq[side] = end;
        return true;
    }
    let fills = hot.has_hole() && fill(hot, rest, packet.tcp_seq, end, side);
    if packet.payload_bytes > 0 && flags & RST == 0 {
        counted(hot, rest, Letter::Retransmission, side);
    }
    fills
}

/// Takes a segment that came late out of the side's hole; true where it was in there.
fn fill(hot: &mut Entry, rest: &mut Rest<'_>, start: u32, end: u32, side: usize) -> bool {
    let (from, to) = rest.hole(side);
    if from == to || difference(end, from) <= 0 || difference(start, to) >= 0 {
        return false;
    }
    // What lies in the middle leaves two holes; the first of them is kept.
    let left = if difference(start, from) > 0 { (from, start) } else { (end, to) };
    if difference(left.1, left.0) > 0 {
        rest.odd().hole[side] = left;
    } else {
        close_hole(hot, rest, side, to);
    }
    true
}

/// The time from the first SYN to the ACK that completes the handshake: the first that the originator sends.
fn measure(hot: &mut Entry, packet: &Packet, side: usize, now: Instant) {
    let (sides, originator) = (hot.sides(), hot.originator());
    let completes = side == originator
        && hot.part == 0
        && packet.tcp_flags & (ACK | SYN | RST) == ACK
        && sides.state(originator) == State::Established
        && sides.state(1 - originator) == State::Established
        && hot.seen[originator] & Letter::Syn.bit() != 0
        && hot.seen[1 - originator] & Letter::Syn.bit() != 0;
    if completes {
        let us = now.wall_ns.saturating_sub(hot.start_ns).max(0) / 1_000;
        hot.rtt_us = u32::try_from(us).unwrap_or(NO_RTT - 1).min(NO_RTT - 1);
    }
}
