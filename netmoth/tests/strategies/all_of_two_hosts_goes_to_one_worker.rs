//! Both directions of a connection, its pieces and its whole packets, meet on one worker.

use std::collections::HashSet;
use std::net::IpAddr;

use netmoth::capture::Strategy;

use crate::packets::{Packets, inside};
use crate::receiving::{Ended, Running, config};
use crate::support::command::SHORT;
use crate::support::frames::{self, Ethernet};
use crate::support::lab::Wire;
use crate::support::sender::{Job, Sender};
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, compare, root};

/// Captures `sent` with `workers` workers.
fn captured(sent: &[Vec<u8>], workers: usize) -> Ended {
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    let ended = inside(&wire.file("tap"), || {
        let running = Running::start(&config(Strategy::AfPacket, workers));
        running.feed(&packets, sent);
        running.end()
    });
    ended.expect_all(sent.len() as u64);
    ended
}

/// The workers that saw one of these frames.
fn homes(ended: &Ended, frames: &[Vec<u8>]) -> Vec<usize> {
    let all: Vec<HashSet<&[u8]>> =
        ended.workers.iter().map(|seen| seen.iter().map(|frame| &frame.data[..]).collect()).collect();
    (0..all.len()).filter(|worker| frames.iter().any(|frame| all[*worker].contains(&frame[..]))).collect()
}

#[test]
fn both_directions_of_a_connection_have_one_worker_and_every_worker_has_a_share() {
    if !root() {
        return;
    }
    let _alone = alone();
    for workers in [1, 2, 3] {
        let load = frames::load(2_048, 0);
        let ended = captured(&load, workers);
        for pair in load.chunks(2) {
            assert_eq!(homes(&ended, pair).len(), 1);
        }
        for seen in &ended.workers {
            assert!(seen.len() > load.len() / workers / 2, "{} of {}", seen.len(), load.len());
        }
    }
}

/// A datagram between two hosts, whole and in pieces, there and back, with and without tags.
fn conversation(a: IpAddr, b: IpAddr) -> Vec<Vec<u8>> {
    let plain = Ethernet { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1], tags: vec![] };
    let stacked = Ethernet { tags: vec![(0x88a8, 72), (0x8100, 73)], ..plain.clone() };
    let mut all = Vec::new();
    for ethernet in [&plain, &Ethernet { tags: vec![(0x8100, 5)], ..plain.clone() }, &stacked] {
        for (from, to) in [((a, 4_000), (b, 53)), ((b, 53), (a, 4_000))] {
            all.push(frames::udp(ethernet, from.into(), to.into(), b"whole"));
            let behind = 14 + 4 * ethernet.tags.len();
            if a.is_ipv4() {
                for piece in [0x2000u16, 0x2001, 0x0002] {
                    let mut frame = frames::udp(ethernet, from.into(), to.into(), &piece.to_be_bytes());
                    frame[behind + 6..behind + 8].copy_from_slice(&piece.to_be_bytes());
                    all.push(frame);
                }
            } else {
                for piece in [1u16, 9, 16] {
                    let header = [&[17, 0][..], &piece.to_be_bytes(), &[0, 0, 0, 1]].concat();
                    let ports = [u16::to_be_bytes(from.1), u16::to_be_bytes(to.1), [0, 24], [0, 0]].concat();
                    all.push(frames::ip(ethernet, from.0, to.0, 44, &[header, ports].concat()));
                }
            }
        }
    }
    all
}

/// Conversations of 32 pairs of hosts.
fn conversations() -> Vec<Vec<Vec<u8>>> {
    let v4 = |net: u8| (IpAddr::from([10, net, 0, 1]), IpAddr::from([10, net, 0, 2]));
    let v6 = |net: u16| (IpAddr::from([0xfd00, net, 0, 0, 0, 0, 0, 1]), IpAddr::from([0xfd00, net, 0, 0, 0, 0, 0, 2]));
    (0..16).map(v4).chain((0..16).map(v6)).map(|(a, b)| conversation(a, b)).collect()
}

#[test]
fn the_pieces_of_a_datagram_and_its_whole_neighbours_are_booked_on_one_record() {
    if !root() {
        return;
    }
    let _alone = alone();
    let talks = conversations();
    for strategy in ["afpacket", "pcap"] {
        let folder = tempfile::tempdir().unwrap();
        let wire = Wire::new(1, 1500);
        let packets = Packets::open(&wire.file("out"), "out0");
        let more = format!("strategy: {strategy}\nstatus_interval: 1");
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings { more, ..Settings::workers(2) });
        talks.iter().flatten().for_each(|frame| packets.send(frame));
        // A last connection, behind all others.
        packets.send(&frames::load(1, 0)[0]);
        sensor.process().wait_for(&format!("{} flows open", talks.len() * 3 + 1), SHORT);
        let outcome = sensor.stop();
        assert_eq!(outcome.assert_nothing_lost(), talks.concat().len() as u64 + 1);
        let records = outcome.records();
        // Each conversation is held without tags, with one and with two.
        assert_eq!(records.len(), talks.len() * 3 + 1);
        for record in records.iter().filter(|record| compare::number(record, "proto") == 17) {
            let way = |column| compare::number(record, column);
            assert_eq!((way("src_packets"), way("dst_packets"), way("dst_port")), (4, 4, 53), "{record}");
        }
    }
}

/// As a card spreads them that hashes UDP over the addresses alone, which `netmoth tune` asks of it.
#[test]
fn pieces_and_whole_neighbours_are_booked_on_one_record_where_two_queues_have_a_worker_each() {
    if !root() {
        return;
    }
    let _alone = alone();
    let talks = conversations();
    let queue = |of: usize| (of as u32, talks.iter().skip(of).step_by(2).flatten().cloned().collect());
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(2, 1500);
    let more = "mode: tap\nstatus_interval: 0".to_owned();
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings { more, ..Settings::workers(2) });
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![queue(0), queue(1)],
        rounds: Some(1),
        cpu: None,
        rate: None,
    };
    let sent = Sender::start(job).wait().frames;
    let outcome = sensor.stop();
    assert_eq!((sent, outcome.assert_nothing_lost()), (talks.concat().len() as u64, talks.concat().len() as u64));
    let records = outcome.records();
    assert_eq!(records.len(), talks.len() * 3);
    for record in &records {
        let way = |column| compare::number(record, column);
        assert_eq!((way("src_packets"), way("dst_packets"), way("dst_port")), (4, 4, 53), "{record}");
    }
}

#[test]
fn the_pieces_of_a_datagram_go_where_its_whole_neighbours_go() {
    if !root() {
        return;
    }
    let _alone = alone();
    let talks = conversations();
    let ended = captured(&talks.concat(), 2);
    for talk in &talks {
        assert_eq!(homes(&ended, talk).len(), 1);
    }
    assert!(ended.workers.iter().all(|seen| !seen.is_empty()));
}
