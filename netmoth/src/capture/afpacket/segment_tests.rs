//! Segments against the packets that a card would have sent: built by another crate, and read by our own parser.

use etherparse::PacketBuilder;

use super::*;
use crate::wire::{LinkType, parse};

fn description(kind: u8, size: u16) -> [u8; DESCRIPTION] {
    let mut description = [0; DESCRIPTION];
    description[1] = kind;
    description[4..6].copy_from_slice(&size.to_ne_bytes());
    description
}

/// All segments: what is shown of each, and its length.
fn cut(description: &[u8; DESCRIPTION], frame: &[u8]) -> Vec<(Vec<u8>, u32)> {
    let big = Big::of(description, frame, frame.len() as u32).expect("a frame of many");
    (0..big.count())
        .map(|index| {
            let mut slot = [0xee; SHOWN];
            let (shown, wire_len) = big.write(index, frame, &mut slot);
            (slot[..shown].to_vec(), wire_len)
        })
        .collect()
}

fn tcp(v6: bool, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let mut frame = Vec::new();
    let segment = if v6 { ethernet.ipv6([1; 16], [2; 16], 9) } else { ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9) };
    segment.tcp(1_000, 80, u32::MAX - 100, 4_096).ack(7).psh().fin().write(&mut frame, payload).unwrap();
    frame
}

#[test]
fn tcp_is_cut_as_a_card_cuts_it() {
    let payload: Vec<u8> = (0..3_500).map(|n| n as u8).collect();
    for (v6, kind, headers) in [(false, 1, 54), (true, 4, 74), (false, 0x81, 54)] {
        let segments = cut(&description(kind, 1_000), &tcp(v6, &payload));
        let lengths: Vec<u32> = segments.iter().map(|(_, length)| *length - headers).collect();
        assert_eq!(lengths, [1_000, 1_000, 1_000, 500]);
        for (index, (shown, length)) in segments.iter().enumerate() {
            assert_eq!(shown.len(), SHOWN);
            assert_eq!(shown[headers as usize..], payload[index * 1_000..index * 1_000 + SHOWN - headers as usize]);
            let packet = parse(LinkType::Ethernet, shown, *length).unwrap();
            let last = index == 3;
            assert_eq!(packet.ip_bytes, *length - 14);
            assert_eq!(packet.tcp_flags, if last { 0x19 } else { 0x10 });
            assert_eq!(packet.tcp_seq, (u32::MAX - 100).wrapping_add(index as u32 * 1_000));
            assert!(!packet.bad_checksum, "the IPv4 header is summed anew");
        }
    }
}

#[test]
fn datagrams_of_one_call_are_told_apart() {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).udp(5, 6);
    builder.write(&mut frame, &[0xaa; 25]).unwrap();
    let segments = cut(&description(5, 10), &frame);
    let lengths: Vec<_> = segments.iter().map(|(shown, length)| (shown.len(), *length)).collect();
    // A byte short each, so that nobody verifies what is not computed yet.
    assert_eq!(lengths, [(51, 52), (51, 52), (46, 47)]);
    assert_eq!(half(&segments[2].0, 14 + 20 + 4), Some(13));
}

#[test]
fn tags_and_options_keep_their_place() {
    let plain = tcp(false, &[1; 300]);
    let tagged = [&plain[..12], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9], &plain[12..]].concat();
    let segments = cut(&description(1, 200), &tagged);
    assert_eq!(segments.len(), 2);
    let packet = parse(LinkType::Ethernet, &segments[1].0, segments[1].1).unwrap();
    assert_eq!((packet.vlan, packet.inner_vlan), (7, 9));
    assert_eq!(packet.ip_bytes, 140);
}

#[test]
fn what_is_one_frame_stays_one() {
    let frame = tcp(false, &[0; 900]);
    let one = |description: [u8; DESCRIPTION], frame: &[u8]| Big::of(&description, frame, frame.len() as u32);
    assert_eq!(one(description(0, 0), &frame), None, "not to be cut");
    assert_eq!(one(description(1, 900), &frame), None, "one segment");
    assert_eq!(one(description(1, 0), &frame), None, "no size");
    assert_eq!(one(description(5, 100), &frame), None, "another protocol: a tunnel");
    for end in 0..54 {
        assert_eq!(one(description(1, 100), &frame[..end]), None, "cut at {end}");
    }
}

#[test]
fn a_frame_that_was_cut_by_the_snapshot_still_gives_all_its_segments() {
    let frame = tcp(false, &[5; 5_000]);
    let big = Big::of(&description(1, 1_000), &frame[..60], frame.len() as u32).unwrap();
    let mut slot = [0; SHOWN];
    assert_eq!(big.count(), 5);
    assert_eq!(big.write(4, &frame[..60], &mut slot), (54, 1_054));
    assert_eq!(big.write(0, &frame[..60], &mut slot), (60, 1_054));
}
