//! Before anything is held against these networks: do they carry what the tests take for granted?

use crate::support::command::{SHORT, command, run};
use crate::support::lab::{Host, Hub, HubShape, Wire};
use crate::support::sender::{Job, Sender};
use crate::support::{alone, compare, frames, pcap, root, traffic};
use std::collections::BTreeSet;
use std::net::IpAddr;

#[test]
fn tcpdump_on_the_hub_sees_both_directions_of_everything() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape { queues: 2, ..HubShape::default() });
    let _servers = traffic::Servers::start(&hub, folder.path());
    let tcpdump = pcap::Tcpdump::start(&mut hub.at_dump("tcpdump"), "dump0", &folder.path().join("all.pcap"));
    traffic::programs(&hub, 1);
    traffic::rarities(&hub, 1);
    traffic::last(&hub);
    let file = tcpdump.stop_after(traffic::is_last);
    let packets = pcap::read(&file).unwrap();
    let sums = pcap::sums(&packets);

    // The tests' own reader against tshark: the length of every IP packet, in order.
    let mut tshark = command("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "occurrence=f", "-e", "ip.len", "-e", "ipv6.plen", "-r"]).arg(&file);
    let lengths = run(&mut tshark, SHORT).expect_success().stdout;
    let lengths = lengths.lines().map(|line| match line.split_once('\t') {
        Some(("", "")) | None => 0,
        Some(("", v6)) => v6.parse::<u64>().unwrap() + 40,
        Some((v4, _)) => v4.parse().unwrap(),
    });
    assert!(lengths.eq(packets.iter().map(|packet| packet.bytes)), "tshark reads other lengths");

    let address = |text: String| text.parse::<IpAddr>().unwrap();
    for (a, b) in [(Host::A.v4(1), Host::B.v4(1)), (Host::A.v6(1), Host::B.v6(1))] {
        let (a, b) = (address(a), address(b));
        for (from, to) in [(a, b), (b, a)] {
            let seen: BTreeSet<u8> =
                sums.keys().filter(|way| (way.2.0, way.3.0) == (from, to)).map(|way| way.1).collect();
            let ping = if a.is_ipv4() { 1 } else { 58 };
            assert!([6, 17, ping].iter().all(|protocol| seen.contains(protocol)), "{from} to {to}: {seen:?}");
        }
        // The answer to the large file: more bytes than the file has, in frames of at most the MTU.
        let large = sums.iter().find(|(way, sum)| way.2 == (b, 80) && sum.1 > 3_000_000);
        let (packets, bytes) = large.expect("the large file went over the hub").1;
        assert!(bytes / packets <= 1_500, "{packets} packets with {bytes} bytes can't be frames of a wire");
    }
    assert!(packets.iter().any(|packet| packet.vlan == Some(72)), "the stacked tags arrive");
    assert!(packets.iter().any(|packet| packet.ip.is_none()), "ARP arrives");
    assert!(sums.keys().any(|way| way.1 == frames::SCTP) && sums.keys().any(|way| way.1 == 253));
}

#[test]
fn both_directions_reach_the_tap_queue_of_their_network() {
    if !root() {
        return;
    }
    let _alone = alone();
    let hub = Hub::new(HubShape { queues: 4, ..HubShape::default() });
    // With GRO a veth receives through NAPI, and then it counts by queue.
    run(hub.at_dump("ethtool").args(["-K", "p-tap", "tso", "off"]), SHORT).expect_success();
    run(hub.at_tap("ethtool").args(["-K", "tap0", "gro", "on"]), SHORT).expect_success();
    let counts = || -> Vec<u64> {
        let text = run(hub.at_tap("ethtool").args(["-S", "tap0"]), SHORT).expect_success().stdout;
        let count = |queue| {
            let name = format!("rx_queue_{queue}_xdp_packets: ");
            text.lines().find_map(|line| line.trim().strip_prefix(&name)).unwrap().parse().unwrap()
        };
        (0..4).map(count).collect()
    };
    for queue in 0..4 {
        let before = counts();
        let mut ping = hub.on(Host::A, "ping");
        run(ping.args(["-q", "-c", "50", "-i", "0.002", &Host::B.v4(queue)]), SHORT).expect_success();
        let grown: Vec<u64> = counts().iter().zip(&before).map(|(after, before)| after - before).collect();
        let expected: Vec<u64> = (0..4).map(|other| if other == queue { 100 } else { 0 }).collect();
        assert_eq!(grown, expected, "network {queue}");
    }
}

#[test]
fn everything_that_the_sender_sends_arrives() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(2, 1500);
    let halves = [frames::load(512, 0), frames::load(512, 512)];
    let size = halves.iter().map(|half| half.len() as u64).sum::<u64>();
    assert!(halves.iter().flatten().all(|frame| frame.len() == frames::SMALLEST));
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: (0..).zip(halves).collect(),
        rounds: Some(20),
        cpu: Some(0),
        rate: None,
    };
    let sent = Sender::start(job).wait();
    assert_eq!(sent.frames, 20 * size);
    let received: u64 = wire.script_tap("cat /sys/class/net/tap0/statistics/rx_packets").trim().parse().unwrap();
    assert_eq!(received, sent.frames, "sent within {:?}", sent.took);
}

#[test]
fn times_are_read_exactly() {
    for (text, nanoseconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59.5Z", 951_868_799_500_000_000),
        ("2026-11-27T15:49:33.123456789Z", 1_795_794_573_123_456_789),
    ] {
        assert_eq!(compare::nanoseconds(text), nanoseconds, "{text}");
    }
}
