//! What sequence numbers and flags say about a connection, told as stories of one client and one server.

use super::testing::{Bench, packet};
use super::{ConnState, EndReason, FlowRecord};
use crate::wire::tcp_flags::{ACK, FIN, RST, SYN};
use crate::wire::{Fragment, Packet};

const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const PORT: u16 = 40_000;

/// A segment of the client (`true`) or the server on one connection.
fn segment(from_client: bool, flags: u8, seq: u32, ack: u32, payload: u32) -> Packet {
    let ends = if from_client { (CLIENT, PORT, SERVER, 9_999) } else { (SERVER, 9_999, CLIENT, PORT) };
    Packet {
        tcp_flags: flags,
        tcp_seq: seq,
        tcp_ack: ack,
        payload_bytes: payload,
        ip_bytes: 40 + payload,
        ..packet(6, ends.0, ends.1, ends.2, ends.3)
    }
}

/// The three segments of a handshake; the client's first byte is 101, the server's 501.
fn handshake() -> [Packet; 3] {
    [segment(true, SYN, 100, 0, 0), segment(false, SYN | ACK, 500, 101, 0), segment(true, ACK, 101, 501, 0)]
}

/// Runs packets a millisecond apart and ends the table.
fn run(packets: &[Packet]) -> Vec<FlowRecord> {
    let mut bench = Bench::new(16);
    for (ms, packet) in packets.iter().enumerate() {
        bench.packet(ms as u64, packet);
        bench.check();
    }
    bench.drain()
}

fn only(records: &[FlowRecord]) -> &FlowRecord {
    assert_eq!(records.len(), 1, "{records:#?}");
    &records[0]
}

/// What the story says after an established connection.
fn history_after(more: &[Packet]) -> String {
    only(&run(&[&handshake(), more].concat())).history.as_str().to_owned()
}

#[test]
fn a_syn_ack_that_comes_first_is_the_responders() {
    let records = run(&handshake()[1..]);
    let record = only(&records);
    assert_eq!((record.src_port, record.dst_port), (PORT, 9_999));
    assert_eq!((record.conn_state, record.history.as_str()), (ConnState::S1, "^hA"));
    assert_eq!(record.tcp_rtt_us, None);
}

#[test]
fn repeated_bytes_are_retransmissions_across_the_wrap_of_sequence_numbers() {
    let begin = u32::MAX - 4;
    let packets = [
        segment(true, SYN, begin.wrapping_sub(1), 0, 0),
        segment(false, SYN | ACK, 500, begin, 0),
        segment(true, ACK, begin, 501, 10),
        segment(true, ACK, begin, 501, 10),
        segment(false, ACK, 501, 5, 0),
        segment(true, ACK, 5, 501, 10),
    ];
    let records = run(&packets);
    let record = only(&records);
    assert_eq!((record.src_retransmits, record.dst_retransmits), (1, 0));
    assert_eq!(record.history.as_str(), "ShDTa");
}

#[test]
fn retransmissions_are_noted_on_a_logarithmic_scale_and_counted_one_by_one() {
    let again = segment(true, ACK, 101, 501, 10);
    let records = run(&[&handshake()[..], &[again; 101]].concat());
    assert_eq!((only(&records).history.as_str(), only(&records).src_retransmits), ("ShADTTT", 100));
}

#[test]
fn a_repeated_syn_or_fin_repeats_sequence_space_but_no_payload() {
    let [syn, answer, ack] = handshake();
    let fin = segment(true, FIN | ACK, 101, 501, 0);
    let records = run(&[syn, syn, answer, ack, fin, fin]);
    assert_eq!((only(&records).history.as_str(), only(&records).src_retransmits), ("ShAF", 2));
}

#[test]
fn acknowledged_bytes_that_were_never_seen_are_a_gap_told_once() {
    let acked = segment(false, ACK, 501, 201, 0);
    assert_eq!(history_after(&[acked, acked]), "ShAaG");
    let more = segment(false, ACK, 501, 301, 0);
    assert_eq!(history_after(&[acked, more]), "ShAaG", "the second gap is on the scale's way to ten");
}

#[test]
fn a_hole_that_is_acknowledged_unfilled_is_a_gap_and_a_filled_one_is_none() {
    let (lost, next) = (segment(true, ACK, 101, 501, 10), segment(true, ACK, 111, 501, 10));
    let acked = segment(false, ACK, 501, 121, 0);
    assert_eq!(history_after(&[next, acked]), "ShADaG");
    let records = run(&[&handshake()[..], &[next, lost, acked]].concat());
    assert_eq!(only(&records).history.as_str(), "ShADTa", "Zeek notes reordering as T");
    assert_eq!(only(&records).src_retransmits, 0, "reordered bytes were not sent twice");
}

#[test]
fn bytes_that_the_capture_shows_after_their_acknowledgement_are_no_retransmission() {
    let (data, acked) = (segment(true, ACK, 101, 501, 10), segment(false, ACK, 501, 111, 0));
    let records = run(&[&handshake()[..], &[acked, data]].concat());
    assert_eq!((only(&records).history.as_str(), only(&records).src_retransmits), ("ShAaGD", 0));
}

#[test]
fn zero_windows_are_noted_while_somebody_may_still_send() {
    let closed = Packet { tcp_window: 0, ..segment(false, ACK, 501, 101, 0) };
    assert_eq!(history_after(&[closed]), "ShAaw");
    let reset = Packet { tcp_window: 0, ..segment(true, RST, 101, 0, 0) };
    assert_eq!(history_after(&[reset]), "ShAR");
}

#[test]
fn a_segment_in_pieces_leaves_no_gap() {
    let first = Packet { fragment: Fragment::First { id: 7 }, ..segment(true, ACK, 101, 501, 1_000) };
    let later = Packet { fragment: Fragment::Later { id: 7 }, ..packet(6, CLIENT, 0, SERVER, 0) };
    let later = Packet { payload_bytes: 500, ip_bytes: 520, ..later };
    assert_eq!(history_after(&[first, later, segment(false, ACK, 501, 1_601, 0)]), "ShADa");
}

#[test]
fn a_syn_with_another_number_starts_another_connection_and_the_same_one_does_not() {
    let [syn, answer, ack] = handshake();
    assert_eq!(run(&[syn, answer, ack, syn]).len(), 1);
    assert_eq!(run(&[syn, answer, ack, segment(true, SYN, 90_000, 0, 0)]).len(), 2);
    let refused = segment(false, RST | ACK, 0, 101, 0);
    let records = run(&[syn, refused, syn, refused]);
    assert_eq!((only(&records).conn_state, only(&records).history.as_str()), (ConnState::Rej, "Sr"));
    assert_eq!(only(&records).end_reason, EndReason::Rst);
}

#[test]
fn a_connection_that_ended_is_over_five_seconds_later_though_the_other_side_still_speaks() {
    let mut bench = Bench::new(16);
    bench.packet(0, &segment(false, FIN | ACK, 500, 101, 0));
    bench.packet(100, &segment(true, ACK, 101, 501, 0));
    bench.packet(6_000, &segment(true, RST, 101, 0, 0));
    let records = bench.drain();
    assert_eq!(records.iter().map(|record| record.history.as_str()).collect::<Vec<_>>(), ["Fa", "R"]);
    assert_eq!((records[0].conn_state, records[0].end_reason), (ConnState::Sh, EndReason::Fin));
    assert_eq!(records[1].conn_state, ConnState::Oth);
}
