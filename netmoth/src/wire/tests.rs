//! The parser against frames made by etherparse, cut at every length, and against noise.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

fn ethernet(frame: &[u8]) -> Result<Packet, Reject> {
    parse(LinkType::Ethernet, frame, frame.len() as u32)
}

fn built(builder: etherparse::PacketBuilderStep<etherparse::UdpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn udp(payload: &[u8]) -> Vec<u8> {
    built(PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(1234, 53), payload)
}

fn tcp_v4(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder.tcp(1000, 80, 7, 9).ack(5).write(&mut frame, payload).unwrap();
    frame
}

fn tcp_v6(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6([1; 16], [2; 16], 64)
        .tcp(443, 50_000, 7, 512)
        .ack(9)
        .psh()
        .write(&mut frame, payload)
        .unwrap();
    frame
}

/// Puts a tag of 4 bytes behind the addresses.
fn tag(frame: &mut Vec<u8>, kind: u16, id: u16) {
    let [a, b] = kind.to_be_bytes();
    let [c, d] = id.to_be_bytes();
    frame.splice(12..12, [a, b, c, d]);
}

/// Puts an IPv6 extension header of 8 bytes behind the fixed header, and mends length and next header.
fn extension(frame: &mut Vec<u8>, kind: u8, mut header: [u8; 8]) {
    header[0] = frame[20];
    frame[20] = kind;
    frame.splice(54..54, header);
    let length = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
}

#[test]
fn udp_over_ipv4_gives_ends_and_lengths() {
    let packet = ethernet(&udp(b"hello")).unwrap();
    assert_eq!(packet.src, ipv4::mapped([10, 0, 0, 1]));
    assert_eq!(packet.dst, ipv4::mapped([10, 0, 0, 2]));
    assert_eq!((packet.src_port, packet.dst_port, packet.protocol), (1234, 53, 17));
    assert_eq!((packet.ip_bytes, packet.payload_bytes), (33, 5));
    assert_eq!((packet.vlan, packet.inner_vlan, packet.fragment), (NO_VLAN, NO_VLAN, Fragment::Whole));
    assert!(!packet.bad_checksum);
}

#[test]
fn tcp_over_ipv6_gives_what_its_state_follows() {
    let packet = ethernet(&tcp_v6(b"abc")).unwrap();
    assert_eq!((packet.tcp_seq, packet.tcp_ack, packet.tcp_window), (7, 9, 512));
    assert_eq!(packet.tcp_flags, tcp_flags::ACK | tcp_flags::PSH);
    assert_eq!((packet.ip_bytes, packet.payload_bytes), (63, 3));
    assert_eq!(packet.version, IpVersion::V6);
}

#[test]
fn ethernet_padding_is_not_payload() {
    let mut frame = udp(b"");
    frame.resize(60, 0);
    assert_eq!(ethernet(&frame).unwrap().payload_bytes, 0);
}

#[test]
fn two_tags_are_kept_and_more_are_passed_over() {
    let mut frame = udp(b"x");
    tag(&mut frame, 0x8100, 0x2007);
    assert_eq!(ethernet(&frame).unwrap().vlan, 7);
    tag(&mut frame, 0x88a8, 100);
    let packet = ethernet(&frame).unwrap();
    assert_eq!((packet.vlan, packet.inner_vlan), (100, 7));
    tag(&mut frame, 0x9100, 200);
    let packet = ethernet(&frame).unwrap();
    assert_eq!((packet.vlan, packet.inner_vlan, packet.payload_bytes), (200, 100, 1));
    (0..11).for_each(|_| tag(&mut frame, 0x8100, 1));
    assert!(ethernet(&frame).is_ok(), "Ethernet, 14 tags and IP are 16 layers");
    tag(&mut frame, 0x8100, 1);
    assert_eq!(ethernet(&frame), Err(Reject::TooManyLayers));
}

#[test]
fn a_wrong_header_checksum_is_counted_and_no_reason_to_drop() {
    let mut frame = udp(b"x");
    frame[24] ^= 0x40;
    assert!(ethernet(&frame).unwrap().bad_checksum);
}

#[test]
fn options_of_ipv4_are_passed_over() {
    let mut frame = udp(b"abcd");
    frame.splice(34..34, [1, 1, 1, 0]);
    frame[14] = 0x46;
    let total = u16::from_be_bytes([frame[16], frame[17]]) + 4;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    let packet = ethernet(&frame).unwrap();
    assert_eq!((packet.src_port, packet.dst_port, packet.payload_bytes), (1234, 53, 4));
}

#[test]
fn extension_headers_of_ipv6_are_passed_over() {
    let mut frame = tcp_v6(b"abc");
    extension(&mut frame, 60, [0, 0, 1, 4, 0, 0, 0, 0]);
    extension(&mut frame, 0, [0, 0, 1, 4, 0, 0, 0, 0]);
    let packet = ethernet(&frame).unwrap();
    assert_eq!((packet.protocol, packet.src_port, packet.payload_bytes, packet.ip_bytes), (6, 443, 3, 79));
    (0..12).for_each(|_| extension(&mut frame, 60, [0, 0, 1, 4, 0, 0, 0, 0]));
    assert_eq!(ethernet(&frame), Err(Reject::TooManyExtensions));
}

#[test]
fn pieces_of_a_datagram_are_told_apart() {
    let mut frame = udp(&[0; 24]);
    frame[18..20].copy_from_slice(&77_u16.to_be_bytes());
    frame[20] = 0x20;
    let first = ethernet(&frame).unwrap();
    assert_eq!((first.fragment, first.src_port), (Fragment::First { id: 77 }, 1234));
    frame[20..22].copy_from_slice(&[0x00, 0x03]);
    let later = ethernet(&frame).unwrap();
    assert_eq!((later.fragment, later.src_port, later.dst_port), (Fragment::Later { id: 77 }, 0, 0));
    assert_eq!(later.payload_bytes, 32, "all of a later piece is payload");

    let mut frame = tcp_v6(&[0; 16]);
    extension(&mut frame, 44, [0, 0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(ethernet(&frame).unwrap().fragment, Fragment::First { id: 9 });
    frame[57] = 8;
    let later = ethernet(&frame).unwrap();
    assert_eq!((later.fragment, later.protocol, later.src_port), (Fragment::Later { id: 9 }, 6, 0));
    frame[57] = 0;
    assert_eq!(ethernet(&frame).unwrap().fragment, Fragment::Whole, "an atomic fragment is a whole datagram");
}

#[test]
fn a_first_piece_that_hides_its_header_still_says_whose_it_is() {
    let mut frame = tcp_v6(&[0; 16]);
    extension(&mut frame, 44, [0, 0, 0, 1, 0, 0, 0, 9]);
    frame.truncate(14 + 40 + 8 + 8);
    frame[18..20].copy_from_slice(&16_u16.to_be_bytes());
    let packet = ethernet(&frame).unwrap();
    assert_eq!((packet.src_port, packet.dst_port, packet.tcp_seq, packet.tcp_flags), (443, 50_000, 7, 0));
    assert_eq!((packet.tiny, packet.payload_bytes, packet.transport_bytes), (true, 0, 8));
    frame[57] = 0;
    assert_eq!(ethernet(&frame), Err(Reject::TruncatedTransport), "a whole packet with so little TCP");
}

#[test]
fn icmp_puts_type_and_code_where_ports_stand() {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([1; 4], [2; 4], 9);
    builder.icmpv4_echo_request(5, 6).write(&mut frame, b"ping").unwrap();
    let packet = ethernet(&frame).unwrap();
    assert_eq!((packet.protocol, packet.src_port, packet.dst_port, packet.payload_bytes), (1, 8, 0, 4));
}

#[test]
fn sctp_and_dccp_have_ports_and_other_protocols_a_number() {
    for (protocol, ports) in [(132, (1234, 53)), (33, (1234, 53)), (136, (1234, 53)), (47, (0, 0)), (255, (0, 0))] {
        let mut frame = udp(&[0; 12]);
        frame[23] = protocol;
        let packet = ethernet(&frame).unwrap();
        assert_eq!((packet.protocol, (packet.src_port, packet.dst_port)), (protocol, ports));
    }
}

#[test]
fn a_length_of_zero_is_that_of_the_frame() {
    let mut frame = udp(b"offloaded");
    frame[16..18].fill(0);
    assert_eq!(ethernet(&frame).unwrap().payload_bytes, 9);
    let mut frame = tcp_v6(b"offloaded");
    frame[18..20].fill(0);
    assert_eq!(ethernet(&frame).unwrap().payload_bytes, 9);
}

#[test]
fn padding_behind_an_ipv6_header_without_a_next_one_is_not_payload() {
    let mut frame = tcp_v6(b"");
    frame.truncate(54);
    frame[18..20].fill(0);
    frame[20] = 59;
    frame.resize(60, 0);
    let packet = ethernet(&frame).unwrap();
    assert_eq!((packet.protocol, packet.ip_bytes, packet.payload_bytes), (59, 40, 0));
}

#[test]
fn every_reason_to_reject_is_given_where_it_holds() {
    let plain = udp(b"x");
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = plain.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    assert_eq!(ethernet(&with(12, &[0x08, 0x06])), Err(Reject::Arp));
    assert_eq!(ethernet(&with(12, &[0x88, 0xcc])), Err(Reject::NotIp));
    assert_eq!(ethernet(&plain[..13]), Err(Reject::TruncatedLink));
    assert_eq!(ethernet(&with(14, &[0x55])), Err(Reject::MalformedIpv4));
    assert_eq!(ethernet(&with(14, &[0x44])), Err(Reject::MalformedIpv4));
    assert_eq!(ethernet(&with(16, &[0xff, 0xff])), Err(Reject::MalformedIpv4));
    assert_eq!(ethernet(&with(16, &[0x00, 0x1b])), Err(Reject::MalformedTransport), "7 bytes of UDP");
    assert_eq!(parse(LinkType::Ethernet, &plain[..30], 60), Err(Reject::TruncatedIpv4));
    assert_eq!(parse(LinkType::Ethernet, &plain[..36], 60), Err(Reject::TruncatedTransport));
    let six = tcp_v6(b"x");
    assert_eq!(parse(LinkType::Ethernet, &six[..50], 75), Err(Reject::TruncatedIpv6));
    let mut wrong = six.clone();
    wrong[14] = 0x40;
    assert_eq!(ethernet(&wrong), Err(Reject::MalformedIpv6));
    let mut wrong = six.clone();
    wrong[66] = 0x40;
    assert_eq!(ethernet(&wrong), Err(Reject::MalformedTransport), "a TCP header of 16 bytes");
}

#[test]
fn other_link_layers_lead_to_the_same_packet() {
    let frame = udp(b"same");
    // Only how deep the headers stand differs.
    let shallow = |packet: Packet| Packet { inside: Inside::NOTHING, ..packet };
    let wanted = shallow(ethernet(&frame).unwrap());
    let ip = &frame[14..];
    let behind = |header: &[u8]| [header, ip].concat();
    let sll = behind(&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0]);
    let sll2 = behind(&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0]);
    for (link, data) in [
        (LinkType::RawIp, behind(&[])),
        (LinkType::LinuxCooked, sll),
        (LinkType::LinuxCooked2, sll2),
        (LinkType::BsdLoopback, behind(&[2, 0, 0, 0])),
        (LinkType::BsdLoopback, behind(&[0, 0, 0, 2])),
        (LinkType::Ppp, behind(&[0xff, 0x03, 0x00, 0x21])),
        (LinkType::Ppp, behind(&[0x21])),
        (LinkType::Ppp, behind(&[0x8f, 0x00, 0x08, 0x00])),
        (LinkType::CiscoHdlc, behind(&[0x0f, 0x00, 0x08, 0x00])),
    ] {
        assert_eq!(parse(link, &data, data.len() as u32).map(shallow), Ok(wanted), "{link:?}");
    }
    let snap = [&frame[..12], &[0, 50, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip].concat();
    assert_eq!(ethernet(&snap).map(shallow), Ok(wanted));
}

#[test]
fn a_frame_cut_anywhere_is_rejected_or_parsed_but_never_a_panic() {
    let mut tagged = tcp_v6(b"some payload");
    extension(&mut tagged, 44, [0, 0, 0, 1, 0, 0, 0, 9]);
    tag(&mut tagged, 0x88a8, 3);
    for frame in [udp(b"some payload"), tcp_v6(b""), tagged] {
        for length in 0..frame.len() {
            let _ = ethernet(&frame[..length]);
            let cut = parse(LinkType::Ethernet, &frame[..length], frame.len() as u32);
            assert!(cut.is_err() || cut == ethernet(&frame), "what can be parsed is the same whole or cut");
        }
    }
}

proptest! {
    #[test]
    fn noise_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200), link in 0..LinkType::ALL.len(), wire in 0u32..3000) {
        let _ = parse(LinkType::ALL[link], &data, wire);
    }

    #[test]
    fn etherparse_agrees_on_the_checksum_of_every_ipv4_header(mut header in any::<[u8; 20]>(), options in proptest::collection::vec(any::<u8>(), 40), words in 0usize..11, flip in proptest::option::of(0usize..20)) {
        header[0] = 0x40 | (5 + words as u8);
        header[2..4].copy_from_slice(&[0x04, 0x00]);
        header[6] &= 0x40;
        header[7] = 0;
        header[9] = 255;
        let mut packet = header.to_vec();
        packet.extend(&options[..words * 4]);
        let sum = etherparse::Ipv4HeaderSlice::from_slice(&packet).unwrap().to_header().calc_header_checksum();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        if let Some(at) = flip.filter(|at| !matches!(at, 0 | 2 | 3 | 6 | 7 | 9)) {
            packet[at] ^= 0x10;
        }
        let wrong = flip.is_some_and(|at| !matches!(at, 0 | 2 | 3 | 6 | 7 | 9));
        packet.resize(1024, 0);
        let ours = parse(LinkType::RawIp, &packet, 1024).unwrap();
        prop_assert_eq!(ours.bad_checksum, wrong);
    }

    #[test]
    fn etherparse_agrees_on_what_it_made(
        addresses in any::<([u8; 4], [u8; 4])>(), six in any::<Option<([u8; 16], [u8; 16])>>(),
        ports in any::<(u16, u16)>(), vlan in proptest::option::of(0u16..4095),
        payload in proptest::collection::vec(any::<u8>(), 0..100), padding in 0usize..20,
    ) {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let mut frame = match six {
            Some((from, to)) => built(builder.ipv6(from, to, 64).udp(ports.0, ports.1), &payload),
            None => built(builder.ipv4(addresses.0, addresses.1, 64).udp(ports.0, ports.1), &payload),
        };
        let unpadded = frame.len();
        frame.resize(unpadded + padding, 0);
        if let Some(vlan) = vlan {
            tag(&mut frame, 0x8100, vlan);
        }
        let ours = ethernet(&frame).unwrap();
        let theirs = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(TransportSlice::Udp(udp)) = theirs.transport else { panic!("no UDP in what was made") };
        prop_assert_eq!((ours.src_port, ours.dst_port), (udp.source_port(), udp.destination_port()));
        prop_assert_eq!(ours.payload_bytes as usize, udp.payload().len());
        prop_assert_eq!(ours.ip_bytes as usize, unpadded - 14);
        prop_assert_eq!(ours.vlan, vlan.unwrap_or(NO_VLAN));
        match six {
            Some((from, to)) => prop_assert_eq!((ours.src, ours.dst), (from, to)),
            None => prop_assert_eq!((ours.src, ours.dst), (ipv4::mapped(addresses.0), ipv4::mapped(addresses.1))),
        }
    }

    #[test]
    fn etherparse_agrees_on_mutated_frames_that_both_take(flips in proptest::collection::vec((14usize..60, any::<u8>()), 1..4)) {
        let mut frame = tcp_v6(b"twelve bytes");
        for (at, value) in flips {
            frame[at] = value;
        }
        if let (Ok(ours), Ok(theirs)) = (ethernet(&frame), SlicedPacket::from_ethernet(&frame))
            && let Some(TransportSlice::Tcp(tcp)) = theirs.transport
            && ours.protocol == 6
        {
            prop_assert_eq!((ours.src_port, ours.dst_port), (tcp.source_port(), tcp.destination_port()));
            prop_assert_eq!((ours.tcp_seq, ours.tcp_ack), (tcp.sequence_number(), tcp.acknowledgment_number()));
        }
    }

    #[test]
    fn the_common_way_gives_what_the_long_way_gives(
        which in 0usize..4, payload in proptest::collection::vec(any::<u8>(), 0..40), tagged in proptest::bool::weighted(0.1),
        flips in proptest::collection::vec((12usize..60, any::<u8>()), 0..4), cut in 0usize..30, missing in 0u32..30,
    ) {
        let datagram = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let mut frame = match which {
            0 => tcp_v4(&payload),
            1 => udp(&payload),
            2 => built(datagram.udp(1000, 4789), &payload),
            _ => tcp_v6(&payload),
        };
        frame.resize(frame.len().max(60), 0);
        if tagged {
            tag(&mut frame, 0x8100, 5);
        }
        for (at, value) in flips {
            frame[at] = value;
        }
        let wire_len = (frame.len() as u32).saturating_sub(if cut % 3 == 0 { missing } else { 0 });
        let captured = &frame[..frame.len() - if cut % 2 == 0 { cut } else { 0 }];
        let (mut common, mut long) = (Packet::BLANK, Packet::BLANK);
        let outcome = parse_any(LinkType::Ethernet, captured, wire_len, &mut long);
        if parse_common(captured, wire_len, &mut common) {
            prop_assert_eq!((outcome, common), (Ok(()), long));
        }
    }
}

#[test]
fn ordinary_frames_go_the_common_way() {
    let mut packet = Packet::BLANK;
    for frame in [tcp_v4(b""), udp(b"a payload of some length")] {
        let length = frame.len() as u32;
        assert!(parse_common(&frame, length, &mut packet), "{frame:x?}");
    }
}
