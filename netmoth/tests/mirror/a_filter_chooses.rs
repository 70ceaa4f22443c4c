//! `bpf:` in the kernel, on live frames: at the mirror's traffic control, where a tag may stand beside its frame, and in XDP.

use std::net::SocketAddr;

use netmoth::filter::{ETHERNET, Filter};

use crate::host::{HOST, Lab, PEER, assert_sums};
use crate::support::compare::{Record, number};
use crate::support::frames::{self, Ethernet};
use crate::support::sensor::{Outcome, Sensor, Settings};
use crate::support::{alone, root};

/// Datagrams each way: without a tag, with one, with two. Addresses on the link that nobody has, so the stacks don't answer.
fn datagrams() -> [(&'static str, Vec<Vec<u8>>); 2] {
    let (host, peer) = (SocketAddr::new(HOST.parse().unwrap(), 7_000), SocketAddr::new(PEER.parse().unwrap(), 7_001));
    let (mut out, mut back) = (Vec::new(), Vec::new());
    for tags in [vec![], vec![(0x8100, 7)], vec![(0x8100, 8)], vec![(0x88a8, 7), (0x8100, 9)]] {
        let ethernet =
            |to, from| Ethernet { to: [2, 0x79, 0, 0, 0, to], from: [2, 0x79, 0, 0, 0, from], tags: tags.clone() };
        out.push(frames::udp(&ethernet(2, 1), host, peer, b"out"));
        back.push(frames::udp(&ethernet(1, 2), peer, host, b"back"));
    }
    [(HOST, out), (PEER, back)]
}

fn packets(records: &[Record]) -> u64 {
    records.iter().map(|r| number(r, "src_packets") + number(r, "dst_packets")).sum()
}

fn filtered(more: &str, expression: &str) -> Settings {
    Settings { more: format!("{more}\nbpf: {expression:?}"), ..Settings::workers(2) }
}

/// Asserts that all frames were seen, that those that match were recorded, and that the others were counted.
#[track_caller]
fn assert_chosen(outcome: &Outcome, expression: &str, frames: &[Vec<u8>]) {
    assert_sums(outcome);
    outcome.assert_nothing_lost();
    let filter = Filter::compile(expression, ETHERNET).unwrap();
    let matching = frames.iter().filter(|frame| filter.matches(frame, frame.len() as u32)).count() as u64;
    let all = frames.len() as u64;
    assert_eq!(outcome.sum("mirror_seen"), all, "{expression}: {outcome:?}");
    assert_eq!(outcome.sum("mirror_passed"), all - matching, "{expression}: {outcome:?}");
    assert_eq!(packets(&outcome.records()), matching, "{expression}");
}

#[test]
fn the_mirror_sees_tags_where_tcpdump_sees_them() {
    if !root() {
        return;
    }
    let _alone = alone();
    let lab = Lab::new();
    for expression in [
        "vlan 7",
        "not vlan",
        "vlan and vlan 9",
        "vlan and udp dst port 7001",
        "udp port 7000",
        "ether[12:4] = 0x81000008",
        "ether[10:4] & 0xffff = 0x8100 or ether[14:4] & 0xffff = 0x8100",
        "udp or (vlan and ip[2:2] = 31)",
        "len = 46 or len = 49",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sensor = Sensor::start(lab.netmoth(), folder.path(), &filtered("", expression));
        let mut all = Vec::new();
        for (from, frames) in datagrams() {
            lab.send(from, false, &frames);
            all.extend(frames);
        }
        assert_chosen(&sensor.stop(), expression, &all);
    }
}

#[test]
fn what_a_tap_does_not_ask_for_reaches_the_host() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let settings = filtered("mode: tap\nexclusive: true", "udp dst port 7000");
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &settings);
    let [_, (_, frames)] = datagrams();
    lab.send(PEER, false, &frames);
    // Answers come in over the interface that is tapped.
    lab.ping(PEER, &["-c", "20"]);
    let outcome = sensor.stop();
    outcome.assert_nothing_lost();
    assert_eq!((packets(&outcome.records()), outcome.sum("redirected")), (1, 1), "the one without a tag: {outcome:?}");
    assert!(outcome.reason("passed", "not_matched") >= 20 + 3, "{outcome:?}");
}

#[test]
fn the_capabilities_of_the_unit_suffice_for_a_filter() {
    if !root() {
        return;
    }
    let _alone = alone();
    let lab = Lab::new();
    for mode in ["mode: mirror", "mode: tap\nexclusive: true"] {
        let folder = tempfile::tempdir().unwrap();
        let netmoth = lab.unprivileged_netmoth(folder.path());
        let expression = "udp[8:4] = 0x6261636b and not src port 9";
        let sensor = Sensor::start(netmoth, folder.path(), &filtered(mode, expression));
        let [_, (_, frames)] = datagrams();
        lab.send(PEER, false, &frames);
        let outcome = sensor.stop();
        outcome.assert_nothing_lost();
        assert_eq!(packets(&outcome.records()), 1, "{mode}: {outcome:?}");
    }
}
