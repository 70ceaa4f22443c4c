//! `bpf:` with the strategies that copy frames: the kernel shows what tcpdump would show, and nothing else is counted.

use netmoth::capture::{CaptureConfig, CaptureError, Live, Strategy};
use std::net::{IpAddr, SocketAddr};

use crate::packets::{Packets, inside};
use crate::receiving::{Running, config};
use crate::support::frames::{self, Ethernet};
use crate::support::lab::Wire;
use crate::support::{alone, root};

/// Frames by name: to two ports, with a tag and without, IPv6, and one that is no IP.
fn traffic() -> Vec<(&'static str, Vec<u8>)> {
    let plain = Ethernet { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1], tags: vec![] };
    let tagged = Ethernet { tags: vec![(0x8100, 7)], ..plain.clone() };
    let v4 = |last: u8, port: u16| SocketAddr::new(IpAddr::from([10, 0, 0, last]), port);
    let v6 = |last: u16, port: u16| SocketAddr::new(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]), port);
    let mut arp = [&[0xff; 6][..], &plain.from, &[8, 6]].concat();
    arp.resize(60, 0);
    vec![
        ("dns", frames::udp(&plain, v4(1, 4_000), v4(2, 53), b"question")),
        ("web", frames::tcp(&plain, v4(1, 4_001), v4(2, 80), 0x02, [1, 0], b"")),
        ("tagged dns", frames::udp(&tagged, v4(1, 4_000), v4(2, 53), b"question")),
        ("dns6", frames::udp(&plain, v6(1, 4_000), v6(2, 53), b"question")),
        ("arp", arp),
    ]
}

#[test]
fn the_kernel_shows_what_tcpdump_would_show() {
    if !root() {
        return;
    }
    let _alone = alone();
    let traffic = traffic();
    let cases: [(&str, &[&str]); 6] = [
        // As with tcpdump on a live interface, a tag that the kernel keeps beside the frame does not hide what is behind it.
        ("port 53", &["dns", "tagged dns", "dns6"]),
        ("vlan 7 and port 53", &["tagged dns"]),
        ("vlan", &["tagged dns"]),
        ("tcp[tcpflags] & tcp-syn != 0", &["web"]),
        ("not ip and not vlan", &["dns6", "arp"]),
        ("greater 61", &["dns6"]),
    ];
    for strategy in [Strategy::AfPacket, Strategy::Pcap] {
        for (expression, expected) in cases {
            let wire = Wire::new(1, 1500);
            let packets = Packets::open(&wire.file("out"), "out0");
            let ended = inside(&wire.file("tap"), || {
                let running = Running::start(&CaptureConfig { filter: expression.into(), ..config(strategy, 1) });
                traffic.iter().for_each(|(_, frame)| packets.send(frame));
                running.wait_seen(expected.len() as u64);
                running.end()
            });
            ended.expect_all(expected.len() as u64);
            let names =
                |data: &[u8]| traffic.iter().find(|(_, frame)| frame == data).map_or("unknown", |(name, _)| name);
            let seen: Vec<&str> = ended.workers[0].iter().map(|seen| names(&seen.data)).collect();
            assert_eq!(seen, expected, "{strategy:?} with {expression:?}");
        }
    }
}

#[test]
fn an_expression_that_is_none_is_refused_in_the_words_of_libpcap() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    inside(&wire.file("tap"), || {
        for strategy in [Strategy::AfPacket, Strategy::Pcap] {
            let config = CaptureConfig { filter: "port http or or".into(), ..config(strategy, 1) };
            match Live::open(&config) {
                Err(error @ CaptureError::Pcap(_)) => {
                    let words = error.to_string();
                    assert!(words.contains("port http or or") && words.contains("syntax error"), "{words}");
                }
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("that is no filter"),
            }
        }
    });
}
