//! The stream as a whole: that it is the same everywhere, and that it is what its profile says.

use std::collections::HashSet;

use netmoth_traffic::{BLANK, Lifetime, Mix, Profile, Protocol, Sizes, Traffic};

fn everything() -> Profile {
    Profile {
        seed: 42,
        connections: 10_000,
        lifetime: Lifetime::Packets(20),
        sizes: Sizes::Imix,
        mix: Mix { tcp: 70, udp: 25, icmp: 5 },
        ipv6_percent: 30,
        vlan_percent: 20,
        responder_percent: 60,
        ..Profile::default()
    }
}

/// A digest of frames and of what is said about them.
fn digest(profile: &Profile, packets: u32) -> u64 {
    let (mut traffic, mut frame) = (Traffic::new(profile).unwrap(), BLANK);
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |word: u64| digest = (digest ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    for _ in 0..packets {
        let meta = traffic.next_into(&mut frame);
        [meta.length as u64, meta.ip_bytes as u64, meta.at_ns, meta.connection].into_iter().for_each(&mut add);
        add(u64::from(meta.from_originator) | u64::from(meta.ends) << 1);
        for word in frame[..meta.length].chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            add(u64::from_le_bytes(bytes));
        }
    }
    digest
}

#[test]
fn the_same_profile_makes_the_same_bytes_for_ever() {
    // Figures that others have measured rest on these bytes: who changes them changes the meaning of a seed.
    assert_eq!(digest(&everything(), 1_000_000), 0x5222_9814_6e84_21d9);
    assert_eq!(digest(&everything(), 1_000_000), 0x5222_9814_6e84_21d9);
    assert_ne!(digest(&Profile { seed: 43, ..everything() }, 1_000), digest(&everything(), 1_000));
}

#[test]
fn shares_are_those_of_the_profile() {
    let profile = everything();
    let (mut traffic, mut frame) = (Traffic::new(&profile).unwrap(), BLANK);
    let (mut seen, mut protocols, mut v6, mut vlans, mut packets) = (HashSet::new(), [0; 3], 0, 0, [0_u32; 2]);
    let mut last_ns = profile.start_ns;
    for _ in 0..400_000 {
        let meta = traffic.next_into(&mut frame);
        assert!(meta.at_ns >= last_ns);
        last_ns = meta.at_ns;
        packets[usize::from(meta.from_originator)] += 1;
        if seen.insert(meta.connection) {
            let ends = traffic.endpoints(meta.connection);
            protocols[ends.protocol as usize] += 1;
            v6 += u32::from(ends.originator.is_ipv6());
            vlans += u32::from(ends.vlan.is_some());
        }
    }
    let near = |is: u32, of: u32, percent: f64| (100.0 * f64::from(is) / f64::from(of) - percent).abs() < 2.0;
    let all = seen.len() as u32;
    assert!(all > 20_000, "{all} connections of 20 packets");
    assert!(near(protocols[Protocol::Tcp as usize], all, 70.0), "{protocols:?}");
    assert!(near(protocols[Protocol::Udp as usize], all, 25.0) && near(v6, all, 30.0) && near(vlans, all, 20.0));
    // Data is shared 60 to 40, opening and closing packets about half and half.
    assert!(near(packets[0], 400_000, 57.0), "{packets:?}");
    let seconds = (last_ns - profile.start_ns) as f64 / 1e9;
    assert!((seconds - 0.4).abs() < 0.004, "{seconds} s for 400,000 packets at 1 M a second");
}

#[test]
fn connections_have_as_many_packets_as_they_live_and_the_last_one_says_so() {
    let profile = Profile { connections: 50, ..everything() };
    let (mut traffic, mut frame) = (Traffic::new(&profile).unwrap(), BLANK);
    let mut counts = std::collections::HashMap::<u64, u32>::new();
    let mut ended = 0;
    for _ in 0..20_000 {
        let meta = traffic.next_into(&mut frame);
        let count = counts.entry(meta.connection).or_default();
        *count += 1;
        assert_eq!(meta.ends, *count == 20);
        ended += u32::from(meta.ends);
    }
    assert!(ended > 900, "{ended}");
    assert_eq!(traffic.connections(), counts.len() as u64);
}

#[test]
fn no_two_connections_share_their_hosts() {
    let traffic = Traffic::new(&everything()).unwrap();
    let mut pairs = HashSet::new();
    for number in 0..300_000 {
        let ends = traffic.endpoints(number);
        let low = |address| match address {
            std::net::IpAddr::V4(address) => address.to_bits() as u16,
            std::net::IpAddr::V6(address) => address.to_bits() as u16,
        };
        assert!(pairs.insert((low(ends.originator), low(ends.responder))), "{number}");
    }
}

#[test]
fn the_opening_comes_first_where_it_is_wanted() {
    for (mix, packets) in [(Mix { tcp: 1, udp: 0, icmp: 0 }, 3), (Mix { tcp: 0, udp: 1, icmp: 1 }, 2)] {
        let profile = Profile { connections: 100, opened_first: true, mix, ..Profile::default() };
        let (mut traffic, mut frame) = (Traffic::new(&profile).unwrap(), BLANK);
        for number in 0..100 {
            for _ in 0..packets {
                assert!(traffic.is_opening());
                assert_eq!(traffic.next_into(&mut frame).connection, number);
            }
        }
        assert!(!traffic.is_opening());
        let after: HashSet<u64> = (0..50).map(|_| traffic.next_into(&mut frame).connection).collect();
        assert!(after.len() > 25, "then connections are picked at random");
    }
}

#[test]
fn an_opening_of_connections_that_end_in_it_comes_to_its_end() {
    let profile = Profile { connections: 10, opened_first: true, lifetime: Lifetime::Packets(1), ..Profile::default() };
    let (mut traffic, mut frame) = (Traffic::new(&profile).unwrap(), BLANK);
    for number in 0..10 {
        assert!(traffic.is_opening());
        let meta = traffic.next_into(&mut frame);
        assert_eq!((meta.connection, meta.ends), (number, true));
    }
    assert!(!traffic.is_opening());
}

#[test]
fn frames_have_the_lengths_asked_for_and_nothing_is_written_behind_them() {
    let profile = Profile { sizes: Sizes::Range(200, 210), opened_first: true, ..everything() };
    let profile = Profile { lifetime: Lifetime::Endless, connections: 20, ..profile };
    let mut traffic = Traffic::new(&profile).unwrap();
    let mut lengths = HashSet::new();
    for _ in 0..2_000 {
        let (opening, mut frame) = (traffic.is_opening(), [0xaa; 2048]);
        let meta = traffic.next_into(&mut frame);
        if !opening {
            lengths.insert(meta.length);
        }
        assert!(frame[meta.length..].iter().all(|&byte| byte == 0xaa));
    }
    assert!(lengths.iter().all(|length| (200..=210).contains(length)), "{lengths:?}");
    assert_eq!(lengths.len(), 11);
}

/// The sum over all words of what a checksum covers is 0xffff (RFC 1071).
fn is_right(parts: &[&[u8]]) -> bool {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u64 = parts.iter().flat_map(|part| part.chunks(2)).map(word).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum == 0xffff
}

#[test]
fn lengths_and_checksums_are_right() {
    let profile = Profile { connections: 500, sizes: Sizes::Range(60, 1514), ..everything() };
    let (mut traffic, mut frame) = (Traffic::new(&profile).unwrap(), BLANK);
    for number in 0..50_000 {
        let meta = traffic.next_into(&mut frame);
        let frame = &frame[..meta.length];
        let link = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
        let packet = &frame[link..link + meta.ip_bytes];
        assert!(frame[link + meta.ip_bytes..].iter().all(|&byte| byte == 0), "padding");
        let length = |at: usize| usize::from(packet[at]) << 8 | usize::from(packet[at + 1]);
        let (header, addresses, protocol) = if packet[0] == 0x45 {
            assert!(is_right(&[&packet[..20]]), "IPv4 header of packet {number}");
            assert_eq!(length(2), packet.len());
            (20, &packet[12..20], packet[9])
        } else {
            assert_eq!((packet[0], length(4) + 40), (0x60, packet.len()));
            (40, &packet[8..40], packet[6])
        };
        let segment = &packet[header..];
        let pseudo = [0, protocol, (segment.len() >> 8) as u8, segment.len() as u8];
        let covered: &[&[u8]] = if protocol == 1 { &[segment] } else { &[addresses, &pseudo, segment] };
        assert!(is_right(covered), "protocol {protocol} of packet {number}");
        if protocol == 17 {
            assert_eq!(length(header + 4), segment.len());
            assert_ne!(segment[6..8], [0, 0]);
        }
    }
}
