//! Byte for byte, with the tags that the kernel takes out, and cut where the kernel has joined.

use std::process::Command;

use netmoth::capture::{CaptureConfig, Strategy};

use crate::packets::{Packets, inside};
use crate::receiving::{Running, config};
use crate::support::command::{Running as Program, SHORT, command, run, until};
use crate::support::lab::Wire;
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, compare, root};

/// Strategies that copy frames.
const COPYING: [Strategy; 2] = [Strategy::AfPacket, Strategy::Pcap];

/// A frame of `length` bytes whose every byte follows from `number`.
fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|place| (place as u32).wrapping_mul(31).wrapping_add(number) as u8));
    frame
}

#[test]
fn frames_of_every_length_arrive_byte_for_byte_and_in_order() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in COPYING {
        let wire = Wire::new(1, 1500);
        let packets = Packets::open(&wire.file("out"), "out0");
        let sent: Vec<_> = (18..=1514).map(|length| numbered(length, length as usize)).collect();
        let ended = inside(&wire.file("tap"), || {
            let running = Running::start(&config(strategy, 1));
            running.feed(&packets, &sent);
            running.end()
        });
        ended.expect_all(sent.len() as u64);
        for (sent, seen) in sent.iter().zip(&ended.workers[0]) {
            assert_eq!((&seen.data, seen.wire_len as usize), (sent, sent.len()));
        }
    }
}

#[test]
fn the_parser_sees_as_much_as_the_snapshot_length_says_and_is_told_the_whole() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in COPYING {
        let wire = Wire::new(1, 1500);
        let packets = Packets::open(&wire.file("out"), "out0");
        let ended = inside(&wire.file("tap"), || {
            let running = Running::start(&CaptureConfig { snapshot_length: 96, ..config(strategy, 1) });
            [60, 96, 97, 1514].iter().for_each(|length| packets.send(&numbered(7, *length)));
            running.wait_seen(4);
            running.end()
        });
        let seen: Vec<_> = ended.workers[0].iter().map(|seen| (seen.data.len(), seen.wire_len)).collect();
        assert_eq!(seen, [(60, 60), (96, 96), (96, 97), (96, 1514)]);
        assert_eq!(ended.workers[0][3].data, numbered(7, 1514)[..96]);
    }
}

#[test]
fn a_tag_that_the_kernel_keeps_beside_the_frame_is_put_back() {
    if !root() {
        return;
    }
    let _alone = alone();
    let tagged = |tags: &[u8], frame: &[u8]| [&frame[..12], tags, &frame[12..]].concat();
    for strategy in COPYING {
        let wire = Wire::new(1, 1500);
        let packets = Packets::open(&wire.file("out"), "out0");
        // Every kernel takes the outer tag of a frame that comes in out of it (skb_vlan_untag).
        let sent = [
            tagged(&[0x81, 0, 0x60, 5], &numbered(3, 200)),
            tagged(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 6], &numbered(4, 1_400)),
            numbered(5, 60),
        ];
        let ended = inside(&wire.file("tap"), || {
            let running = Running::start(&config(strategy, 1));
            running.feed(&packets, &sent);
            running.end()
        });
        ended.expect_all(3);
        for (sent, seen) in sent.iter().zip(&ended.workers[0]) {
            assert_eq!((&seen.data, seen.wire_len as usize), (sent, sent.len()), "{strategy:?}");
        }
    }
}

/// A command that will run where `out0` is.
fn at_out(wire: &Wire, program: &str) -> Command {
    let mut command = command("ip");
    command.args(["netns", "exec", wire.file("out").trim_start_matches("/run/netns/"), program]);
    command
}

/// Packets that the host of `tap0` has received by IP so far, each piece of a joined frame by itself.
fn received(wire: &Wire) -> u64 {
    let text = wire.script_tap("cat /proc/net/netstat");
    let rows: Vec<Vec<&str>> =
        text.lines().filter(|line| line.starts_with("IpExt:")).map(|line| line.split(' ').collect()).collect();
    let column = rows[0].iter().position(|name| *name == "InNoECTPkts").unwrap();
    rows[1][column].parse().unwrap()
}

#[test]
fn frames_of_many_count_as_the_segments_that_the_wire_has() {
    const LARGE: usize = 3_000_000;
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large"), vec![b'm'; LARGE]).unwrap();
    let wire = Wire::new(1, 1500);
    wire.script_out("ip address add 10.72.0.1/24 dev out0; ethtool -K out0 tso on gso on >/dev/null");
    // An interface that the host uses: its frames stay with it.
    wire.script_tap("ip address add 10.72.0.2/24 dev tap0; ethtool -K tap0 gro on >/dev/null");
    let mut server = at_out(&wire, "busybox");
    let _server = Program::start(server.args(["httpd", "-f", "-p", "80", "-h"]).arg(folder.path()));
    until("the server listens", SHORT, || {
        let listening = run(at_out(&wire, "ss").arg("-Hltn"), SHORT).expect_success().stdout;
        listening.contains(":80 ").then_some(())
    });
    let settings = Settings { more: "strategy: afpacket\nring_size: 65536".into(), ..Settings::workers(1) };
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
    let before = received(&wire);
    let mut curl = wire.at_tap("curl");
    run(curl.args(["-sS", "-o", "/dev/null", "http://10.72.0.1/large"]), SHORT).expect_success();
    until("the connection is over", SHORT, || {
        let open = run(wire.at_tap("ss").arg("-Htan"), SHORT).expect_success().stdout;
        open.lines().all(|line| line.starts_with("TIME-WAIT")).then_some(())
    });
    let packets = received(&wire) - before;
    let outcome = sensor.stop();
    outcome.assert_nothing_lost();
    let records = outcome.records();
    let web: Vec<_> = records.iter().filter(|record| compare::number(record, "dst_port") == 80).collect();
    assert_eq!(web.len(), 1);
    let of = |column| compare::number(web[0], column);
    assert_eq!(of("dst_packets"), packets, "what the receiver's own counter says");
    assert!(of("dst_bytes") <= of("dst_packets") * 1_500, "no packet is longer than the wire allows");
    assert!(packets > LARGE as u64 / 1_460, "{packets}");
    // What was sent twice counts twice.
    assert!(of("dst_payload_bytes") > LARGE as u64, "{}", web[0]);
    assert_eq!(compare::word(web[0], "conn_state"), "SF");
    assert_eq!(outcome.sum("bad_checksums"), 0);
}

#[test]
fn on_the_loopback_each_frame_counts_once() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in ["afpacket", "pcap"] {
        let folder = tempfile::tempdir().unwrap();
        let wire = Wire::new(1, 1500);
        let settings = Settings { interface: "lo", more: format!("strategy: {strategy}"), ..Settings::workers(2) };
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
        run(wire.at_tap("ping").args(["-q", "-c", "5", "-i", "0.01", "127.0.0.1"]), SHORT).expect_success();
        let outcome = sensor.stop();
        assert_eq!(outcome.assert_nothing_lost(), 10, "{strategy}");
        let both = |r: &compare::Record| compare::number(r, "src_packets") + compare::number(r, "dst_packets");
        assert_eq!(outcome.records().iter().map(both).sum::<u64>(), 10);
    }
}
