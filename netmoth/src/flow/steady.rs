//! The short way of nearly all packets: they belong to a connection that is open and that goes on as it went before.
//!
//! [`book`] either does all that the long way ([`FlowTable::update`](super::FlowTable::update)) would do, or nothing. A test
//! drives two tables, one of which knows the long way alone, and compares them after every packet.

use super::config::Limits;
use super::entry::Entry;
use super::history::Letter;
use super::table::{TCP, UDP, elapsed};
use crate::time::Instant;
use crate::wire::Packet;
use crate::wire::tcp_flags::{ACK, FIN, RST, SYN};

/// Books a packet whose fields say nothing unusual, see [`Packet::is_plain`], where that changes nothing but counters and
/// times. False, and nothing changed, where the long way has to be taken.
#[inline(always)]
pub(super) fn book(hot: &mut Entry, packet: &Packet, side: usize, tick: u32, now: Instant, limits: &Limits) -> bool {
    let (idle, goes_on) = match packet.protocol {
        TCP => (limits.tcp_established, segment_goes_on(hot, packet, side)),
        UDP => (limits.udp, hot.seen[side] & Letter::Data.bit() != 0),
        _ => return false,
    };
    // Without branches between them: nearly always all of it holds.
    let in_time = elapsed(tick, hot.last_tick) < idle;
    let part_goes_on = elapsed(tick, hot.part_tick) < limits.active;
    if !(goes_on & in_time & part_goes_on & !hot.is_full(side)) {
        return false;
    }
    hot.last_ns = hot.last_ns.max(now.wall_ns);
    hot.last_tick = tick;
    hot.count(side, packet.ip_bytes, packet.payload_bytes);
    if packet.protocol == TCP {
        hot.flags[side] |= packet.tcp_flags;
        let end = packet.tcp_seq.wrapping_add(packet.payload_bytes);
        if packet.payload_bytes > 0 {
            hot.last_seq[side] = end;
        }
    }
    true
}

/// A segment of an established connection that brings the next bytes, or none, and acknowledges what was seen: no letter, no
/// state, no gap comes of it.
#[inline(always)]
fn segment_goes_on(hot: &Entry, packet: &Packet, side: usize) -> bool {
    let flags = packet.tcp_flags;
    let has_data = packet.payload_bytes > 0;
    let letter = if has_data { Letter::Data.bit() } else { Letter::Ack.bit() };
    let jump = packet.tcp_seq.wrapping_sub(hot.last_seq[side]) as i32;
    let advance = jump.wrapping_add(packet.payload_bytes as i32);
    let beyond = packet.tcp_ack.wrapping_sub(hot.last_seq[1 - side]) as i32;
    hot.is_open_and_whole()
        & (flags & (SYN | FIN | RST | ACK) == ACK)
        & (packet.tcp_window != 0)
        & (hot.seen[side] & letter != 0)
        & (jump <= 0)
        & (!has_data | (advance > 0))
        & (beyond <= 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Bench, at, packet};
    use super::*;

    /// What comes next on one of four connections, as it differs from the next segment in sequence.
    #[derive(Clone, Debug)]
    struct Step {
        connection: u8,
        reply: bool,
        gap_ms: u64,
        payload: u32,
        /// Added to the next sequence number and to what would be acknowledged.
        off: (i32, i32),
        flags: u8,
        window: u16,
        udp: bool,
    }

    fn step() -> impl Strategy<Value = Step> {
        let gap_ms = prop_oneof![30 => 0u64..20, 1 => 0u64..400_000];
        let payload = prop_oneof![2 => Just(0u32), 3 => Just(10), 1 => 1u32..1500];
        let off = prop_oneof![12 => Just((0, 0)), 1 => (-12i32..12, -12i32..12), 1 => (Just(0), -12i32..12)];
        let flags = prop_oneof![20 => Just(ACK), 2 => Just(ACK | 8), 1 => any::<u8>()];
        let window = prop_oneof![20 => Just(1000u16), 1 => Just(0)];
        ((0u8..4, any::<bool>(), gap_ms, payload, off), (flags, window, prop::bool::weighted(0.2))).prop_map(
            |((connection, reply, gap_ms, payload, off), (flags, window, udp))| Step {
                connection,
                reply,
                gap_ms,
                payload,
                off,
                flags,
                window,
                udp,
            },
        )
    }

    /// The packets of `steps`, the TCP connections after their handshakes, with the times at which they come.
    fn packets(steps: &[Step]) -> Vec<(u64, Packet)> {
        let mut made = Vec::new();
        let mut next = [[u32::MAX - 20, 5]; 4];
        let mut segment = |connection: u8, reply: bool, flags: u8, payload: u32, off: (i32, i32)| {
            let both = &mut next[usize::from(connection)];
            let mut made = if reply { packet(6, 2, 80, 1, 1000) } else { packet(6, 1, 1000, 2, 80) };
            (made.src_port, made.dst_port) =
                if reply { (80, 1000 + u16::from(connection)) } else { (1000 + u16::from(connection), 80) };
            let side = usize::from(reply);
            made.tcp_seq = both[side].wrapping_add_signed(off.0);
            made.tcp_ack = both[1 - side].wrapping_add_signed(off.1);
            (made.tcp_flags, made.payload_bytes, made.ip_bytes) = (flags, payload, 40 + payload);
            let end = made.tcp_seq.wrapping_add(payload).wrapping_add(u32::from(flags & (SYN | FIN) != 0));
            if end.wrapping_sub(both[side]) as i32 > 0 {
                both[side] = end;
            }
            made
        };
        for connection in 0..4 {
            made.push((0, segment(connection, false, SYN, 0, (0, 0))));
            made.push((0, segment(connection, true, SYN | ACK, 0, (0, 0))));
            made.push((0, segment(connection, false, ACK, 0, (0, 0))));
        }
        let mut now = 0;
        for step in steps {
            now += step.gap_ms;
            let mut packet = segment(step.connection, step.reply, step.flags, step.payload, step.off);
            packet.tcp_window = step.window;
            if step.udp {
                (packet.protocol, packet.tcp_flags, packet.tcp_seq, packet.tcp_ack) = (17, 0, 0, 0);
            }
            made.push((now, packet));
        }
        made
    }

    fn state(bench: &Bench) -> String {
        format!("{:?} {:?}", bench.table.entries, bench.table.cold)
    }

    proptest! {
        #[test]
        fn the_short_way_does_what_the_long_way_does(steps in prop::collection::vec(step(), 1..150)) {
            let (mut both, mut long) = (Bench::new(8), Bench::new(8));
            for (ms, packet) in packets(&steps) {
                both.late(ms, &packet);
                let mut hash = long.table.hash(&packet, at(ms));
                hash.plain = false;
                long.table.update(&packet, &hash, at(ms), &mut long.out);
                prop_assert_eq!(state(&both), state(&long), "after {:?}", packet);
            }
            prop_assert_eq!(both.drain(), long.drain());
        }
    }

    #[test]
    fn an_ordinary_exchange_takes_the_short_way() {
        let mut bench = Bench::new(8);
        let ask = Step {
            connection: 1,
            reply: false,
            gap_ms: 1,
            payload: 10,
            off: (0, 0),
            flags: ACK,
            window: 9,
            udp: false,
        };
        let answer = Step { reply: true, ..ask.clone() };
        let heard = Step { payload: 0, ..ask.clone() };
        let exchange = [ask, answer, heard];
        let steps: Vec<Step> = exchange.iter().cycle().take(30).cloned().collect();
        let mut short = 0;
        for (ms, packet) in packets(&steps) {
            let hash = bench.table.hash(&packet, at(ms));
            short += u32::from(bench.table.entries.iter().any(|entry| {
                let limits = bench.table.limits;
                entry.key.is(&hash.key)
                    && book(&mut entry.clone(), &packet, usize::from(hash.side), ms as u32, at(ms), &limits)
            }));
            bench.packet(ms, &packet);
        }
        assert_eq!(short, 28, "of 30 segments, the first with data of each side has a letter to note");
    }
}
