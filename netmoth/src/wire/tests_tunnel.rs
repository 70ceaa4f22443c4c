//! Every way in which a packet can be wrapped, and the bounds of wrapping.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

/// An IPv4 datagram with 5 bytes of payload: 33 bytes from port 1234 to 53.
fn inner() -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(1234, 53).write(&mut packet, b"hello").unwrap();
    packet
}

fn inner_v6() -> Vec<u8> {
    let mut packet = Vec::new();
    let teredo = [0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    PacketBuilder::ipv6(teredo, [9; 16], 64).udp(1234, 53).write(&mut packet, b"hello").unwrap();
    packet
}

/// A frame of Ethernet: addresses, type, contents.
fn ether(ethertype: u16, contents: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &ethertype.to_be_bytes(), contents].concat()
}

/// An IPv4 packet of `protocol`.
fn ipv4(protocol: u8, contents: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64);
    builder.write(&mut packet, etherparse::IpNumber(protocol), contents).unwrap();
    packet
}

fn udp(ports: (u16, u16), contents: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(ports.0, ports.1).write(&mut packet, contents).unwrap();
    packet
}

fn udp_to(port: u16, contents: &[u8]) -> Vec<u8> {
    ether(0x0800, &udp((40_000, port), contents))
}

/// All packets of a frame from the outside in, and why there is none further inside.
fn unwrapped(frame: &[u8]) -> (Vec<Packet>, Nothing) {
    let mut packets = vec![parse(LinkType::Ethernet, frame, frame.len() as u32).unwrap()];
    loop {
        match decapsulate(frame, packets.last().unwrap()) {
            Ok(inner) => packets.push(inner),
            Err(reason) => return (packets, reason),
        }
    }
}

fn innermost(frame: &[u8]) -> Packet {
    *unwrapped(frame).0.last().unwrap()
}

fn assert_inner(packet: &Packet) {
    assert_eq!((packet.src_port, packet.dst_port, packet.protocol), (1234, 53, 17));
    assert_eq!(packet.payload_bytes, 5);
}

#[test]
fn what_switches_and_access_networks_put_around_ip_is_no_tunnel() {
    let ip = inner();
    let label = |label: u8, bottom: bool| [0, 0, label << 4 | u8::from(bottom), 64];
    let pbb = [&[0, 0, 0, 9][..], &ether(0x0800, &ip)].concat();
    for (name, frame) in [
        ("MPLS", ether(0x8847, &[&label(1, true)[..], &ip].concat())),
        ("two labels", ether(0x8848, &[&label(1, false)[..], &label(2, true), &ip].concat())),
        ("pseudowire", ether(0x8847, &[&label(1, true)[..], &[0; 4], &ether(0x0800, &ip)].concat())),
        ("PPPoE", ether(0x8864, &[&[0x11, 0, 0, 1, 0, 35, 0, 0x21][..], &ip].concat())),
        ("PBB", ether(0x88e7, &pbb)),
        ("VN-Tag", ether(0x8926, &[&[0, 1, 0, 2, 8, 0][..], &ip].concat())),
        ("E-TAG", ether(0x893f, &[&[0, 1, 0, 2, 0, 3, 8, 0][..], &ip].concat())),
        ("FabricPath", ether(0x8903, &[&[0, 0x40][..], &ether(0x0800, &ip)].concat())),
        ("LLC in FabricPath", {
            let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &ip].concat();
            ether(0x8903, &[&[0, 0x40][..], &ether(41, &snap)].concat())
        }),
    ] {
        let packet = parse(LinkType::Ethernet, &frame, frame.len() as u32).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_inner(&packet);
        assert_eq!((packet.tunnel, packet.may_be_a_tunnel()), (None, false), "{name}");
    }
    let tagged = ether(
        0x88a8,
        &[&[0, 100, 0x88, 0xe7, 0, 0, 0, 9][..], &ether(0x8100, &[&[0, 7, 8, 0][..], &ip].concat())].concat(),
    );
    let packet = innermost(&tagged);
    assert_eq!((packet.vlan, packet.inner_vlan), (100, 7), "the provider's tag and the customer's");
}

#[test]
fn tunnels_over_udp_give_the_outer_packet_and_the_inner_one() {
    let (ip, six) = (inner(), inner_v6());
    let frame = ether(0x0800, &ip);
    let network = [0, 0, 42, 0];
    let geneve = |kind: [u8; 2], contents: &[u8]| [&[1, 0][..], &kind, &network, &[9; 4], contents].concat();
    let gtp = |flags: u8, more: &[u8]| {
        let length = (more.len() + ip.len()) as u16;
        [&[flags, 0xff][..], &length.to_be_bytes(), &[0, 0, 0, 42], more, &ip].concat()
    };
    let ayiya = [&[0x42, 0x52, 0x11, 4, 0, 0, 0, 0][..], &[0; 16], &[0; 20], &ip].concat();
    let authenticated = [&[0, 1, 2, 3, 1, 1, 2, 2, 2][..], &[0; 9], &[0, 0, 0, 0, 0, 0, 0, 0], &six].concat();
    for (port, contents, tunnel, id) in [
        (4789, [&[8, 0, 0, 0][..], &network, &frame].concat(), Tunnel::Vxlan, Some(42)),
        (6081, geneve([0x65, 0x58], &frame), Tunnel::Geneve, Some(42)),
        (6081, geneve([0x08, 0x00], &ip), Tunnel::Geneve, Some(42)),
        (2152, gtp(0x30, &[]), Tunnel::Gtp, Some(42)),
        (2152, gtp(0x32, &[0, 1, 0, 0]), Tunnel::Gtp, Some(42)),
        (2152, gtp(0x34, &[0, 1, 0, 0x85, 1, 0, 0, 0]), Tunnel::Gtp, Some(42)),
        (4754, [&[0x20, 0, 8, 0, 0, 0, 0, 42][..], &ip].concat(), Tunnel::Gre, Some(42)),
        (3544, six.clone(), Tunnel::Teredo, None),
        (3544, [&[0, 0, 1, 2, 3, 4, 5, 6][..], &six].concat(), Tunnel::Teredo, None),
        (3544, authenticated, Tunnel::Teredo, None),
        (33_333, six.clone(), Tunnel::Teredo, None),
        (5072, ayiya, Tunnel::Ayiya, None),
    ] {
        let frame = udp_to(port, &contents);
        let (packets, _) = unwrapped(&frame);
        let [outer, inner] = packets[..] else { panic!("{port}: {packets:?}") };
        assert_inner(&inner);
        assert_eq!((outer.dst_port, outer.tunnel, outer.is_only_a_tunnel()), (port, None, false));
        assert_eq!((inner.tunnel, inner.tunnel_id), (Some(tunnel), id), "{port}");
        assert_ne!(inner.carrier, 0);
    }
}

#[test]
fn tunnels_right_behind_ip_stand_for_what_they_carry() {
    let (ip, six) = (inner(), inner_v6());
    let frame = ether(0x0800, &ip);
    let ppp = [&[0x30, 1, 0x88, 0x0b, 0, 0, 0, 42, 0, 0, 0, 1, 0xff, 3, 0, 0x21][..], &ip].concat();
    let wifi = [&[8, 1][..], &[0; 22], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip].concat();
    for (protocol, contents, tunnel, id) in [
        (4, ip.clone(), Tunnel::IpInIp, None),
        (41, six.clone(), Tunnel::IpInIp, None),
        (47, [&[0, 0, 8, 0][..], &ip].concat(), Tunnel::Gre, None),
        (47, [&[0xb0, 0, 0x86, 0xdd, 1, 1, 0, 0, 0, 0, 0, 42, 0, 0, 0, 9][..], &six].concat(), Tunnel::Gre, Some(42)),
        (47, [&[0x20, 0, 0x65, 0x58, 0, 0, 0, 42][..], &frame].concat(), Tunnel::Gre, Some(42)),
        (47, ppp, Tunnel::Gre, Some(42)),
        (47, [&[0, 0, 0x82, 0][..], &wifi].concat(), Tunnel::Gre, None),
        (47, [&[0, 0, 0x88, 0x47, 0, 0, 0x11, 64][..], &ip].concat(), Tunnel::Gre, None),
        (47, [&[0, 0, 0x88, 0xbe][..], &frame].concat(), Tunnel::Erspan, None),
        (
            47,
            [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 42, 0, 0, 0, 0][..], &frame].concat(),
            Tunnel::Erspan,
            Some(42),
        ),
        (
            47,
            [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 42][..], &[0; 8], &frame].concat(),
            Tunnel::Erspan,
            Some(42),
        ),
        (
            47,
            [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 42][..], &[0, 0, 0, 0, 0, 0, 0, 1], &[0; 8], &frame]
                .concat(),
            Tunnel::Erspan,
            Some(42),
        ),
    ] {
        let frame = ether(0x0800, &ipv4(protocol, &contents));
        let (packets, _) = unwrapped(&frame);
        let [outer, inner] = packets[..] else { panic!("{protocol} {tunnel:?}: {packets:?}") };
        assert_inner(&inner);
        assert!(outer.is_only_a_tunnel());
        assert_eq!((inner.tunnel, inner.tunnel_id), (Some(tunnel), id), "{protocol}");
    }
    let mut six_in_six = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).write(&mut six_in_six, etherparse::IpNumber(41), &six).unwrap();
    assert_eq!(innermost(&ether(0x86dd, &six_in_six)).tunnel, Some(Tunnel::IpInIp));
}

#[test]
fn what_is_no_tunnel_stays_what_it_is() {
    let ip = inner();
    let dns = [0x30, 0x31, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'c', b'o', b'm', 0, 0, 1, 0, 1];
    for (name, frame) in [
        ("a name asked for from GTP's port", ether(0x0800, &udp((2152, 53), &dns))),
        ("GTP echo", udp_to(2152, &[&[0x32, 1, 0, 4][..], &[0; 8]].concat())),
        ("GTP that claims more than there is", udp_to(2152, &[&[0x30, 0xff, 1, 0, 0, 0, 0, 1][..], &ip].concat())),
        ("VXLAN without a network", udp_to(4789, &[&[0; 8][..], &ether(0x0800, &ip)].concat())),
        ("a control packet of Geneve", udp_to(6081, &[&[0, 0x80, 8, 0, 0, 0, 1, 0][..], &ip].concat())),
        ("a heartbeat of AYIYA", udp_to(5072, &[&[0x42, 0x52, 0x10, 4][..], &[0; 40], &ip].concat())),
        ("IPv6 of nobody's Teredo", udp_to(999, &inner_v6()[..44])),
        ("an acknowledgement of PPTP", ether(0x0800, &ipv4(47, &[0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 1, 0, 0, 0, 9]))),
        ("source routes in GRE", ether(0x0800, &ipv4(47, &[&[0x40, 0, 8, 0, 0, 0, 0, 0][..], &ip].concat()))),
    ] {
        let (packets, reason) = unwrapped(&frame);
        assert_eq!((packets.len(), reason), (1, Nothing::NoTunnel), "{name}");
    }
    let bubble = [&[0x60, 0, 0, 0, 0, 0, 59, 64, 0x20, 1, 0, 0][..], &[3; 28]].concat();
    assert_eq!(unwrapped(&udp_to(3544, &bubble)).0.len(), 1, "a bubble carries nothing");
}

#[test]
fn the_first_piece_of_a_tunnels_datagram_shows_what_it_carries() {
    let mut whole = udp_to(2152, &[&[0x30, 0xff, 0, 33, 0, 0, 0, 1][..], &inner()].concat());
    whole[20] = 0x20; // more pieces follow
    let cut = whole.len() - 3;
    whole[16..18].copy_from_slice(&(cut as u16 - 14).to_be_bytes());
    whole.truncate(cut);
    let (packets, _) = unwrapped(&whole);
    assert!(matches!(packets[0].fragment, Fragment::First { .. }));
    assert_inner(&packets[1]);
    assert_eq!(packets[1].ip_bytes, 33, "what the inner header says, though not all of it is here");
}

#[test]
fn both_directions_of_a_tunnel_are_one_way_and_other_tunnels_another() {
    let contents = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ether(0x0800, &inner())].concat();
    let there = innermost(&udp_to(4789, &contents)).carrier;
    let mut back = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 2], [192, 0, 2, 1], 64).udp(4789, 40_000).write(&mut back, &contents).unwrap();
    assert_eq!(innermost(&ether(0x0800, &back)).carrier, there);
    assert_ne!(innermost(&ether(0x0800, &udp((40_001, 4789), &contents))).carrier, there);
}

#[test]
fn wrapping_has_bounds_and_says_which_one_was_hit() {
    let mut packet = inner();
    (0..20).for_each(|_| packet = ipv4(4, &packet));
    let frame = ether(0x0800, &packet);
    let (packets, reason) = unwrapped(&frame);
    assert_eq!(reason, Nothing::Rejected(Reject::TooManyLayers));
    assert!(packets.len() < usize::from(MAX_LAYERS));
    let labels = ether(0x8847, &[&[0, 0, 0x10, 64].repeat(20)[..], &inner()].concat());
    assert_eq!(parse(LinkType::Ethernet, &labels, labels.len() as u32), Err(Reject::TooManyLayers));
    let mut nested = ether(0x0800, &inner());
    (0..30).for_each(|_| nested = ether(0x8903, &[&[0, 0x40][..], &nested].concat()));
    assert_eq!(parse(LinkType::Ethernet, &nested, nested.len() as u32), Err(Reject::TooManyLayers));
}

proptest! {
    #[test]
    fn noise_in_any_tunnel_never_panics_and_always_ends(
        port in prop_oneof![Just(2152u16), Just(3544), Just(4754), Just(4789), Just(5072), Just(6081)],
        protocol in prop_oneof![Just(4u8), Just(41), Just(47)],
        start in proptest::collection::vec(any::<u8>(), 0..24), cut in 0usize..120,
    ) {
        let contents = [&start[..], &ether(0x0800, &ipv4(47, &[&[0, 0, 8, 0][..], &inner()].concat()))].concat();
        for mut frame in [udp_to(port, &contents), ether(0x0800, &ipv4(protocol, &contents))] {
            prop_assert!(unwrapped(&frame).0.len() <= usize::from(MAX_LAYERS));
            let wire = frame.len() as u32;
            frame.truncate(cut.max(34));
            let mut packet = parse(LinkType::Ethernet, &frame, wire);
            while let Ok(outer) = packet {
                packet = decapsulate(&frame, &outer).map_err(|_| Reject::NotIp);
            }
        }
    }
}
