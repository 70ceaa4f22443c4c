//! The table as a whole: what must hold for any packets at any times.

use proptest::prelude::*;

use super::testing::{Bench, at, packet};
use super::wheel::Class;
use super::*;
use crate::time::Instant;
use crate::wire::tcp_flags::{ACK, FIN, PSH, RST, SYN};
use crate::wire::{Fragment, Packet};

/// A TCP segment between two ends, each the last byte of an address and a port.
fn segment(from: (u8, u16), to: (u8, u16), flags: u8, seq: u32, ack: u32, payload: u32) -> Packet {
    Packet {
        tcp_flags: flags,
        tcp_seq: seq,
        tcp_ack: ack,
        payload_bytes: payload,
        ip_bytes: 40 + payload,
        ..packet(6, from.0, from.1, to.0, to.1)
    }
}

/// An ordinary connection from 10.0.0.1 to 10.0.0.2 with `request` and `response` bytes, ten milliseconds a segment.
fn conversation(port: u16, request: u32, response: u32) -> Vec<Packet> {
    let there = |flags, seq, ack, payload| segment((1, port), (2, 80), flags, seq, ack, payload);
    let back = |flags, seq, ack, payload| segment((2, 80), (1, port), flags, seq, ack, payload);
    let (mine, yours) = (1_000, 9_000);
    vec![
        there(SYN, mine, 0, 0),
        back(SYN | ACK, yours, mine + 1, 0),
        there(ACK, mine + 1, yours + 1, 0),
        there(ACK | PSH, mine + 1, yours + 1, request),
        back(ACK, yours + 1, mine + 1 + request, 0),
        back(ACK | PSH, yours + 1, mine + 1 + request, response),
        there(ACK, mine + 1 + request, yours + 1 + response, 0),
        there(FIN | ACK, mine + 1 + request, yours + 1 + response, 0),
        back(FIN | ACK, yours + 1 + response, mine + 2 + request, 0),
        there(ACK, mine + 2 + request, yours + 2 + response, 0),
    ]
}

fn all(bench: &mut Bench, packets: &[Packet]) {
    packets.iter().enumerate().for_each(|(i, packet)| bench.packet(i as u64 * 10, packet));
}

#[test]
fn an_ordinary_connection_is_one_row_with_all_that_is_known_of_it() {
    let mut bench = Bench::new(16);
    all(&mut bench, &conversation(4000, 100, 2_000));
    bench.advance(20_000);
    let [record] = bench.out.as_slice() else { panic!("{:?}", bench.out) };
    assert_eq!(
        (record.conn_state, record.history.as_str(), record.end_reason),
        (ConnState::SF, "ShADadFf", EndReason::Fin)
    );
    assert_eq!((record.src_packets, record.dst_packets), (6, 4));
    assert_eq!((record.src_bytes, record.dst_bytes), (6 * 40 + 100, 4 * 40 + 2_000));
    assert_eq!((record.src_payload_bytes, record.dst_payload_bytes), (100, 2_000));
    assert_eq!((record.src_ip.to_string(), record.src_port, record.dst_port), ("10.0.0.1".into(), 4000, 80));
    assert_eq!((record.tcp_rtt_us, record.part), (Some(20_000), 0));
    assert_eq!((record.src_tcp_flags, record.dst_tcp_flags), (SYN | ACK | PSH | FIN, SYN | ACK | PSH | FIN));
    assert_eq!((record.start_ns, record.end_ns), (at(0).wall_ns, at(90).wall_ns));
    assert!(record.flow_id > 0 && record.src_retransmits == 0);
    bench.check();
}

#[test]
fn a_syn_ack_first_makes_its_sender_the_responder() {
    let mut bench = Bench::new(16);
    all(&mut bench, &conversation(4000, 100, 2_000)[1..]);
    let records = bench.drain();
    assert_eq!(records[0].src_ip.to_string(), "10.0.0.1");
    assert_eq!(records[0].history.as_str(), "^hADadFf");
}

#[test]
fn retransmissions_gaps_and_zero_windows_are_noted_and_counted() {
    let mut story = conversation(4000, 100, 2_000);
    story.insert(4, story[3]);
    story.insert(4, story[3]);
    let mut closed = segment((1, 4000), (2, 80), ACK, 1_101, 9_001, 0);
    closed.tcp_window = 0;
    story.insert(7, closed);
    // The response is lost, its acknowledgement isn't.
    story.remove(8);
    let mut bench = Bench::new(16);
    all(&mut bench, &story);
    let records = bench.drain();
    assert_eq!(records[0].history.as_str(), "ShADTaWgFf");
    assert_eq!((records[0].src_retransmits, records[0].dst_retransmits), (2, 0));
}

#[test]
fn sequence_numbers_wrap_around_without_a_retransmission() {
    let mut bench = Bench::new(16);
    let wrapped: Vec<Packet> = conversation(4000, 600, 2_000)
        .into_iter()
        .map(|mut packet| {
            let shift = |seq: u32| if seq == 0 { 0 } else { seq.wrapping_sub(1_300) };
            packet.tcp_seq = shift(packet.tcp_seq);
            packet.tcp_ack = shift(packet.tcp_ack);
            packet
        })
        .collect();
    all(&mut bench, &wrapped);
    let record = bench.drain()[0];
    assert_eq!((record.history.as_str(), record.src_retransmits, record.dst_retransmits), ("ShADadFf", 0, 0));
}

#[test]
fn each_kind_ends_after_its_own_silence() {
    let limits = [(6, 300_000), (17, 60_000), (1, 60_000), (47, 60_000)];
    for (protocol, limit) in limits {
        let there = packet(protocol, 1, 8, 2, 0);
        let mut back = packet(protocol, 2, 0, 1, 8);
        let mut there = there;
        there.tcp_flags = ACK;
        back.tcp_flags = ACK;
        let mut bench = Bench::new(16);
        bench.packet(0, &there);
        bench.packet(1, &back);
        bench.advance(limit);
        assert!(bench.out.is_empty(), "protocol {protocol}");
        bench.advance(limit + 500);
        assert_eq!(bench.out.len(), 1, "protocol {protocol}");
        assert_eq!(bench.out[0].end_reason, EndReason::Idle);
        bench.check();
    }
}

#[test]
fn an_attempt_ends_five_seconds_after_its_first_syn_however_often_it_is_repeated() {
    let syn = segment((1, 4000), (2, 80), SYN, 5, 0, 0);
    let mut bench = Bench::new(16);
    for ms in [0, 1_000, 3_000, 7_000] {
        bench.packet(ms, &syn);
    }
    let records = bench.drain();
    assert_eq!(records.iter().map(|r| r.src_packets).collect::<Vec<_>>(), [3, 1]);
    assert!(records.iter().all(|r| r.conn_state == ConnState::S0 && r.history.as_str() == "S"));
}

#[test]
fn late_packets_of_a_closed_connection_stay_with_it_and_a_new_syn_begins_another() {
    let mut bench = Bench::new(16);
    let story = conversation(4000, 1, 1);
    all(&mut bench, &story);
    bench.packet(1_000, &story[9]);
    bench.packet(2_000, &story[0]);
    assert_eq!(bench.out.len(), 1, "the old one ends when its ends are used again");
    assert_eq!(bench.out[0].src_packets, 7);
    let records = bench.drain();
    assert_eq!((records[1].src_packets, records[1].conn_state), (1, ConnState::S0));
    assert!(records[1].flow_id > records[0].flow_id);
}

#[test]
fn a_long_connection_is_told_in_parts_whose_sum_is_the_whole() {
    let mut bench = Bench::new(16);
    let there = packet(17, 1, 5000, 2, 53);
    // A packet a second for 1,000 seconds, then silence.
    for second in 0..1_000 {
        bench.packet(second * 1_000, &there);
    }
    bench.advance(2_000_000);
    let records = std::mem::take(&mut bench.out);
    assert_eq!(records.iter().map(|r| r.src_packets).sum::<u64>(), 1_000);
    assert_eq!(records.iter().map(|r| r.part).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(records.iter().all(|r| r.flow_id == records[0].flow_id));
    assert_eq!(records[..3].iter().map(|r| r.end_reason).collect::<Vec<_>>(), [EndReason::Active; 3]);
    assert_eq!(records[3].end_reason, EndReason::Idle);
    for pair in records.windows(2) {
        assert!(pair[1].start_ns > pair[0].end_ns, "parts follow each other");
    }
}

#[test]
fn pieces_of_an_echo_and_of_its_reply_are_one_record() {
    let piece = |from, kind, to, fragment| Packet { fragment, ..packet(58, from, kind, to, 0) };
    let (ask, answer) = (1, 2);
    let mut bench = Bench::new(16);
    all(
        &mut bench,
        &[
            piece(ask, 128, answer, Fragment::First { id: 5 }),
            piece(ask, 0, answer, Fragment::Later { id: 5 }),
            piece(answer, 129, ask, Fragment::First { id: 6 }),
            piece(answer, 0, ask, Fragment::Later { id: 6 }),
        ],
    );
    let records = bench.drain();
    assert_eq!(records.iter().map(|r| (r.src_packets, r.dst_packets, r.src_port)).collect::<Vec<_>>(), [(2, 2, 128)]);
}

#[test]
fn pieces_of_a_datagram_are_booked_on_its_connection() {
    let mut first = packet(17, 1, 5000, 2, 53);
    first.fragment = Fragment::First { id: 9 };
    let mut later = packet(17, 1, 0, 2, 0);
    later.fragment = Fragment::Later { id: 9 };
    let whole = packet(17, 1, 5000, 2, 53);
    let mut stranger = later;
    stranger.fragment = Fragment::Later { id: 10 };
    let mut bench = Bench::new(16);
    all(&mut bench, &[whole, first, later, later, stranger]);
    let mut records = bench.drain();
    records.sort_by_key(|r| std::cmp::Reverse(r.src_packets));
    assert_eq!(records.iter().map(|r| (r.src_packets, r.src_port)).collect::<Vec<_>>(), [(4, 5000), (1, 0)]);
}

#[test]
fn a_flood_of_attempts_evicts_attempts_and_leaves_established_connections_exact() {
    const ROOM: u32 = 1_000;
    let mut bench = Bench::new(ROOM);
    let memory = bench.table.memory_bytes();
    let established: Vec<Vec<Packet>> = (0..100).map(|i| conversation(10_000 + i, 10, 10)).collect();
    for story in &established {
        story[..3].iter().for_each(|packet| bench.packet(0, packet));
    }
    for attempt in 0..10 * ROOM {
        let port = (attempt % 60_000) as u16;
        bench.packet(
            1 + u64::from(attempt) / 10,
            &segment((3 + (attempt / 60_000) as u8, port), (2, 443), SYN, attempt, 0, 0),
        );
        if attempt % 100 == 0 {
            let story = &established[attempt as usize / 100 % 100];
            bench.packet(1 + u64::from(attempt) / 10, &story[3]);
        }
    }
    bench.check();
    assert_eq!(bench.table.len() as u32, ROOM);
    assert_eq!(bench.table.memory_bytes(), memory, "memory is what it was");
    assert_eq!(bench.table.evicted()[Class::Open as usize], 0, "nobody who talks was evicted");
    let records = bench.drain();
    let kept: Vec<_> = records.iter().filter(|r| r.dst_port == 80).collect();
    assert_eq!(kept.len(), 100);
    assert!(kept.iter().all(|r| (r.src_packets, r.dst_packets) == (3, 1)), "each with its four packets");
    let evicted = records.iter().filter(|r| r.end_reason == EndReason::Evicted).count();
    assert_eq!(evicted as u32, 10 * ROOM + 100 - ROOM);
    assert_eq!(records.iter().map(|r| r.src_packets + r.dst_packets).sum::<u64>(), u64::from(10 * ROOM) + 400);
}

#[test]
fn closed_connections_make_room_before_any_other() {
    let mut bench = Bench::new(2);
    all(&mut bench, &conversation(4000, 1, 1));
    bench.packet(200, &packet(17, 1, 1, 2, 2));
    bench.packet(300, &packet(17, 1, 3, 2, 4));
    assert_eq!(bench.out.len(), 1);
    assert_eq!(
        (bench.out[0].dst_port, bench.out[0].end_reason),
        (80, EndReason::Fin),
        "over, and so by its own reason"
    );
}

/// The one record that packets ten milliseconds apart make.
fn only(packets: &[Packet]) -> FlowRecord {
    let mut bench = Bench::new(16);
    all(&mut bench, packets);
    let records = bench.drain();
    assert_eq!(records.len(), 1, "{records:#?}");
    records[0]
}

#[test]
fn datagrams_say_who_spoke() {
    let there = packet(17, 1, 40_000, 2, 9_999);
    let back = packet(17, 2, 9_999, 1, 40_000);
    let state = |packets: &[Packet]| {
        let record = only(packets);
        (record.conn_state, record.history.as_str().to_owned())
    };
    assert_eq!(state(&[there, there]), (ConnState::S0, "D".into()));
    assert_eq!(state(&[there, back]), (ConnState::SF, "Dd".into()));
    let answer = packet(17, 2, 53, 1, 40_000);
    assert_eq!(state(&[answer]), (ConnState::Shr, "^d".into()));
}

#[test]
fn a_connection_that_changes_its_tunnel_again_and_again_says_so_once() {
    let by = |carrier: u16| Packet { carrier, ..packet(17, 1, 40_000, 2, 9_999) };
    let history = |ways: &[u16]| only(&ways.iter().map(|way| by(*way)).collect::<Vec<_>>()).history.as_str().to_owned();
    assert_eq!(history(&[1, 1, 1, 1, 1, 1, 1, 1, 1]), "D");
    assert_eq!(history(&[1, 2, 1, 2, 1, 2]), "D", "five changes are followed");
    assert_eq!(history(&[1, 2, 1, 2, 1, 2, 1, 2, 1]), "DX");
    let deep = Packet { too_deep: true, ..packet(17, 1, 40_000, 2, 9_999) };
    assert_eq!(only(&[deep, deep]).history.as_str(), "XD", "more tunnels than are followed");
}

#[test]
fn what_a_corrupt_packet_says_is_noted_and_not_believed() {
    let story = |corrupt: bool| {
        let reset = Packet { corrupt, ..segment((1, 7), (2, 80), RST, 2, 0, 0) };
        only(&[segment((1, 7), (2, 80), SYN, 1, 0, 0), segment((2, 80), (1, 7), SYN | ACK, 9, 2, 0), reset])
    };
    let (heard, ignored) = (story(false), story(true));
    assert_eq!((heard.conn_state, heard.history.as_str()), (ConnState::Rsto, "ShR"));
    assert_eq!((ignored.conn_state, ignored.history.as_str()), (ConnState::S1, "ShC"));
    assert_eq!((ignored.src_packets, heard.src_packets), (2, 2), "it counts all the same");
}

#[test]
fn an_echo_and_its_replies_are_one_connection_with_type_and_code_as_ports() {
    let record = only(&[packet(1, 1, 8, 2, 0), packet(1, 2, 0, 1, 0)]);
    assert_eq!((record.src_port, record.dst_port), (8, 0));
    assert_eq!((record.src_packets, record.dst_packets), (1, 1));
    assert_eq!((record.conn_state, record.history.as_str()), (ConnState::Oth, ""));
    let unreachable = only(&[packet(1, 2, 3, 1, 1)]);
    assert_eq!((unreachable.src_port, unreachable.dst_port), (3, 1));
}

#[test]
fn a_full_table_gives_up_the_closed_then_the_unanswered_then_the_longest_idle() {
    let mut bench = Bench::new(3);
    let udp = |port: u16, back: bool| if back { packet(17, 2, 9, 1, port) } else { packet(17, 1, port, 2, 9) };
    bench.packet(0, &udp(1_001, false));
    bench.packet(1, &udp(1_001, true));
    bench.packet(1_000, &udp(1_002, false));
    [segment((1, 7), (2, 80), SYN, 1, 0, 0), segment((2, 80), (1, 7), RST | ACK, 0, 2, 0)]
        .iter()
        .for_each(|p| bench.packet(1_001, p));
    bench.packet(1_002, &udp(1_003, false));
    assert_eq!((bench.out[0].proto, bench.out[0].end_reason), (6, EndReason::Rst), "the closed one");
    bench.packet(1_003, &udp(1_003, true));
    bench.packet(1_004, &udp(1_004, false));
    assert_eq!((bench.out[1].src_port, bench.out[1].end_reason), (1_002, EndReason::Evicted), "the unanswered one");
    bench.packet(1_005, &udp(1_004, true));
    bench.packet(1_006, &udp(1_005, false));
    assert_eq!((bench.out[2].src_port, bench.out[2].end_reason), (1_001, EndReason::Evicted), "the longest idle");
    assert_eq!(bench.table.evicted(), [1, 1, 1]);
}

#[test]
fn identifiers_are_positive_grow_and_differ_between_workers() {
    let mut bench = Bench::new(4);
    (1..=4u16).for_each(|port| bench.packet(0, &packet(17, 1, port, 2, 9)));
    let other = FlowConfig { worker: 1, ..FlowConfig::new(4, [7, 11]) };
    let mut second = Bench::with(&other);
    (1..=4u16).for_each(|port| second.packet(0, &packet(17, 1, port, 2, 9)));
    let mut ids: Vec<i64> = bench.drain().iter().chain(&second.drain()).map(|record| record.flow_id).collect();
    assert!(ids.iter().all(|id| *id > 0));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

#[test]
fn many_connections_that_end_together_are_ended_in_several_calls_and_all_of_them() {
    let mut bench = Bench::new(1_000);
    (0..1_000u16).for_each(|port| bench.packet(0, &packet(17, 1, port, 2, 9)));
    bench.advance(70_000);
    let first = bench.out.len();
    assert!((1..1_000).contains(&first), "{first}");
    (0..10).for_each(|_| bench.advance(70_000));
    assert_eq!(bench.out.len(), 1_000);
    assert!(bench.table.is_empty());
    bench.check();
}

#[test]
fn timers_go_on_when_the_millisecond_counter_wraps() {
    let wrap = 1u64 << 32;
    let mut bench = Bench::new(16);
    bench.packet(wrap - 30_000, &packet(17, 1, 1, 2, 2));
    bench.packet(wrap - 1_000, &packet(17, 1, 3, 2, 4));
    bench.advance(wrap + 29_000);
    assert!(bench.out.is_empty());
    bench.advance(wrap + 30_500);
    assert_eq!(bench.out.len(), 1);
    bench.packet(wrap + 58_000, &packet(17, 1, 3, 2, 4));
    bench.advance(wrap + 117_000);
    assert_eq!(bench.out.len(), 1, "the second had a packet since");
    bench.advance(wrap + 118_500);
    assert_eq!(bench.out.len(), 2);
    assert_eq!(bench.out[1].src_packets, 2);
}

#[test]
fn a_wall_clock_that_jumps_an_hour_either_way_moves_no_timer_and_loses_no_packet() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut bench = Bench::new(64);
    let mut ids = std::collections::HashSet::new();
    for (round, jump) in [0, HOUR, -HOUR, 2 * HOUR, 0].into_iter().enumerate() {
        for port in 1..=10u16 {
            let ms = round as u64 * 10_000;
            let now = Instant { wall_ns: at(ms).wall_ns + jump, ..at(ms) };
            let packet = packet(17, 1, port, 2, 9);
            bench.table.advance(now, &mut bench.out);
            let hash = bench.table.hash(&packet, now);
            bench.table.update(&packet, &hash, now, &mut bench.out);
        }
        assert!(bench.out.is_empty(), "ten seconds of silence end nothing, whatever the wall says");
    }
    bench.table.advance(at(101_000), &mut bench.out);
    assert_eq!(bench.out.len(), 10, "a minute does");
    for record in &bench.out {
        assert!(ids.insert(record.flow_id) && record.flow_id > 0);
        assert_eq!(record.src_packets, 5);
        assert!(record.end_ns >= record.start_ns);
    }
}

#[test]
fn numbers_that_make_no_table_are_refused() {
    assert!(matches!(FlowTable::new(&FlowConfig::new(0, [1, 2])), Err(FlowError::MaxFlows(0))));
    assert!(matches!(FlowTable::new(&FlowConfig::new(MAX_FLOWS + 1, [1, 2])), Err(FlowError::MaxFlows(_))));
}

#[test]
fn an_entry_and_all_that_belongs_to_it_take_no_more_than_the_readme_says() {
    let bench = Bench::new(100_000);
    let per_flow = bench.table.memory_bytes() as f64 / 100_000.0;
    assert!(per_flow < 234.0, "{per_flow} bytes per flow");
}

/// Packets of a few hosts and ports, so that they meet, with any flags and numbers.
fn any_packet() -> impl Strategy<Value = Packet> {
    let ends = (1u8..4, 1u8..4, 0u16..3, 0u16..3);
    let tcp = (any::<u8>(), any::<u32>(), any::<u32>(), prop_oneof![Just(0u16), Just(1000)]);
    let protocol = prop_oneof![4 => Just(6u8), 2 => Just(17), 1 => Just(1), 1 => Just(58), 1 => Just(132)];
    let fragment = prop_oneof![
        8 => Just(Fragment::Whole),
        1 => (0u32..3).prop_map(|id| Fragment::First { id }),
        1 => (0u32..3).prop_map(|id| Fragment::Later { id }),
    ];
    (ends, tcp, protocol, fragment, 0u32..2000).prop_map(|(ends, tcp, protocol, fragment, payload)| Packet {
        tcp_flags: tcp.0,
        tcp_seq: tcp.1,
        tcp_ack: tcp.2,
        tcp_window: tcp.3,
        fragment,
        payload_bytes: payload,
        ip_bytes: 40 + payload,
        ..packet(protocol, ends.0, ends.2, ends.1, ends.3)
    })
}

/// Packets with the milliseconds between them.
fn any_traffic() -> impl Strategy<Value = Vec<(u64, Packet)>> {
    let gap = prop_oneof![20 => 0u64..50, 2 => 0u64..10_000, 1 => 0u64..700_000];
    proptest::collection::vec((gap, any_packet()), 1..120)
}

fn replay(traffic: &[(u64, Packet)], room: u32, mut between: impl FnMut(&mut Bench, u64)) -> Vec<FlowRecord> {
    let mut bench = Bench::new(room);
    let mut now = 0;
    for (gap, packet) in traffic {
        now += gap;
        between(&mut bench, now);
        bench.late(now, packet);
        bench.check();
    }
    between(&mut bench, now);
    bench.drain()
}

/// Records in an order of their own, without the identifier.
fn sorted(mut records: Vec<FlowRecord>) -> Vec<FlowRecord> {
    records.iter_mut().for_each(|r| r.flow_id = 0);
    records.sort_by_key(|r| (r.start_ns, r.src_ip, r.dst_ip, r.proto, r.src_port, r.dst_port, r.end_ns, r.part));
    records
}

proptest! {
    #[test]
    fn every_packet_is_in_exactly_one_record(traffic in any_traffic(), room in 1u32..40) {
        let records = replay(&traffic, room, |bench, now| bench.advance(now));
        let packets: u64 = records.iter().map(|r| r.src_packets + r.dst_packets).sum();
        let bytes: u64 = records.iter().map(|r| r.src_bytes + r.dst_bytes).sum();
        prop_assert_eq!(packets, traffic.len() as u64);
        prop_assert_eq!(bytes, traffic.iter().map(|(_, p)| u64::from(p.ip_bytes)).sum::<u64>());
        prop_assert!(records.iter().all(|r| r.start_ns <= r.end_ns));
    }

    #[test]
    fn records_do_not_depend_on_how_often_timers_are_looked_at(traffic in any_traffic()) {
        let often = replay(&traffic, 200, |bench, now| bench.advance(now));
        let never = replay(&traffic, 200, |_, _| {});
        prop_assert_eq!(sorted(often), sorted(never));
    }

    #[test]
    fn shuffling_the_packets_of_different_connections_changes_no_record(
        lengths in proptest::collection::vec(1usize..=10, 1..12),
        order in proptest::collection::vec(any::<proptest::sample::Index>(), 120)
    ) {
        let mut left: Vec<_> = lengths.iter().enumerate()
            .map(|(i, length)| conversation(4000 + i as u16, 10 * i as u32, 7)[..*length].iter().copied().rev().collect::<Vec<_>>())
            .collect();
        let straight: Vec<Packet> = left.iter().flat_map(|story| story.iter().rev()).copied().collect();
        let mut mixed = Vec::new();
        for index in order {
            left.retain(|story| !story.is_empty());
            if left.is_empty() { break }
            let story = index.index(left.len());
            mixed.extend(left[story].pop());
        }
        // One moment for all, so that only the order differs.
        let at_once = |packets: &[Packet]| sorted(replay(&packets.iter().map(|p| (0, *p)).collect::<Vec<_>>(), 64, |_, _| {}));
        prop_assert_eq!(at_once(&straight), at_once(&mixed));
    }

    #[test]
    fn a_clock_that_is_told_wrongly_loses_no_packet(
        traffic in any_traffic(), back in proptest::collection::vec(any::<bool>(), 120), room in 1u32..12
    ) {
        let mut bench = Bench::new(room);
        let mut now = 1_000_000_000u64;
        for ((gap, packet), back) in traffic.iter().zip(back) {
            if back { now -= gap } else { now += gap }
            bench.packet(now, packet);
            bench.check();
        }
        let started = bench.table.flows_started();
        let records = bench.drain();
        prop_assert_eq!(records.iter().map(|r| r.src_packets + r.dst_packets).sum::<u64>(), traffic.len() as u64);
        let connections: std::collections::HashSet<i64> = records.iter().map(|r| r.flow_id).collect();
        prop_assert_eq!(connections.len() as u64, started);
    }

    #[test]
    fn parts_add_up_to_the_uncut_connection(traffic in any_traffic(), active in 1u64..2_000) {
        let key = |r: &FlowRecord| (r.flow_id, r.src_ip, r.dst_ip, r.src_port, r.dst_port, r.proto);
        let total = |records: &[FlowRecord]| {
            let mut sums = std::collections::BTreeMap::new();
            for r in records {
                let sum: &mut [u64; 8] = sums.entry(key(r)).or_default();
                let parts = [r.src_packets, r.dst_packets, r.src_bytes, r.dst_bytes, r.src_payload_bytes,
                    r.dst_payload_bytes, u64::from(r.src_retransmits), u64::from(r.dst_retransmits)];
                sum.iter_mut().zip(parts).for_each(|(sum, n)| *sum += n);
            }
            sums
        };
        let run = |active_ms: u64| {
            let mut config = FlowConfig::new(200, [7, 11]);
            config.active_timeout = std::time::Duration::from_millis(active_ms);
            let mut bench = Bench::with(&config);
            let mut now = 0;
            for (gap, packet) in &traffic {
                now += gap;
                bench.packet(now, packet);
            }
            bench.drain()
        };
        let (cut, whole) = (run(active), run(600_000_000));
        prop_assert_eq!(total(&cut), total(&whole));
        let last = |records: &[FlowRecord]| records.iter().map(|r| (key(r), (r.conn_state, r.history))).collect::<std::collections::BTreeMap<_, _>>();
        prop_assert_eq!(last(&cut), last(&whole), "the last part tells the state of the whole");
    }

    #[test]
    fn the_other_side_first_swaps_originator_and_responder_and_nothing_else(
        gaps in proptest::collection::vec((0u64..1000, any::<bool>(), 0u32..500), 1..40)
    ) {
        let traffic = |swapped: bool| -> Vec<(u64, Packet)> {
            gaps.iter().map(|(gap, forward, payload)| {
                let mut packet = if *forward != swapped { packet(17, 1, 5, 2, 9) } else { packet(17, 2, 9, 1, 5) };
                packet.payload_bytes = *payload;
                packet.ip_bytes = 28 + payload;
                (*gap, packet)
            }).collect()
        };
        let plain = replay(&traffic(false), 8, |bench, now| bench.advance(now));
        let swapped = replay(&traffic(true), 8, |bench, now| bench.advance(now));
        prop_assert_eq!(plain.len(), swapped.len());
        for (a, b) in plain.iter().zip(&swapped) {
            prop_assert_eq!((a.src_ip, a.src_port, a.dst_ip, a.dst_port), (b.dst_ip, b.dst_port, b.src_ip, b.src_port));
            prop_assert_eq!((a.src_packets, a.dst_bytes, a.conn_state, a.history), (b.src_packets, b.dst_bytes, b.conn_state, b.history));
        }
    }
}

#[test]
fn a_reset_is_told_by_who_sent_it() {
    let mut bench = Bench::new(16);
    let story = conversation(4000, 1, 1);
    story[..4].iter().enumerate().for_each(|(i, packet)| bench.packet(i as u64, packet));
    bench.packet(9, &segment((2, 80), (1, 4000), RST | ACK, 9_001, 1_002, 0));
    bench.advance(20_000);
    assert_eq!((bench.out[0].conn_state, bench.out[0].end_reason), (ConnState::Rstr, EndReason::Rst));
    assert_eq!(bench.out[0].history.as_str(), "ShADr");
}

#[test]
fn identifiers_stay_positive_and_different_whatever_the_stamps() {
    let mut bench = Bench::new(64);
    let stamps = [i64::MIN, 0, ((1 << 52) - 1) * 1_000, i64::MAX, 1_700_000_000_000_000_000];
    for (number, wall_ns) in stamps.iter().cycle().take(40).enumerate() {
        let packet = packet(17, 1, number as u16, 2, 53);
        let now = Instant { wall_ns: *wall_ns, mono_ns: 0 };
        let hash = bench.table.hash(&packet, now);
        bench.table.update(&packet, &hash, now, &mut bench.out);
        bench.check();
    }
    assert_eq!(bench.drain().len(), 40);
}

#[test]
fn a_month_of_silence_ends_a_connection_as_a_minute_does() {
    let question = packet(17, 1, 2000, 2, 53);
    let day = 24 * 3600 * 1000;
    // Whether the timers find it first or the next packet.
    for late in [Bench::packet, Bench::late] {
        let mut bench = Bench::new(16);
        bench.packet(0, &question);
        late(&mut bench, 30 * day, &question);
        bench.table.check_timers().unwrap();
        bench.advance(60 * day);
        assert_eq!(bench.out.len(), 2);
        assert!(bench.out.iter().all(|record| record.end_reason == EndReason::Idle && record.src_packets == 1));
    }
}
