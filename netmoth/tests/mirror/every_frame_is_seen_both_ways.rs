//! Both directions are recorded, with exact counts: buffers that the kernel has not cut yet, tags that it keeps beside the
//! frame, pieces of datagrams.

use std::net::{SocketAddr, UdpSocket};

use crate::host::{HOST, Lab, PEER, assert_sums};
use crate::support::command::{Running, SHORT, run, until};
use crate::support::compare::{Record, number, word};
use crate::support::frames::{self, Ethernet};
use crate::support::netns;
use crate::support::sensor::{Outcome, Sensor, Settings};
use crate::support::{alone, root};

/// Receive rings that hold whatever these tests send, however late a worker comes.
fn patient() -> Settings {
    Settings { more: "ring_size: 16384".into(), ..Settings::workers(2) }
}

/// Asserts that no frame went missing anywhere, and that the mirror's sums hold. Returns the frames that it saw.
#[track_caller]
fn assert_all_seen(outcome: &Outcome) -> u64 {
    assert_sums(outcome);
    for name in ["mirror_passed", "mirror_drops"] {
        assert_eq!(outcome.sum(name), 0, "{outcome:?}");
    }
    outcome.assert_nothing_lost();
    outcome.sum("mirror_seen")
}

fn of_protocol(records: &[Record], protocol: u64) -> Vec<&Record> {
    records.iter().filter(|record| number(record, "proto") == protocol).collect()
}

#[test]
fn a_bulk_transfer_is_counted_segment_by_segment_with_offloads_on() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &patient());
    let before = lab.tcp_segments();
    for way in ["--client", "-R"] {
        let peer = Running::start(lab.on_peer("iperf3").args(["-s", "-1", "-p", "5201", "--forceflush"]));
        until("iperf3 listens", SHORT, || lab.wire.ask_out("ss -Hltn 'sport = :5201'").contains(":5201").then_some(()));
        let mut iperf = lab.on_host("iperf3");
        iperf.args(["-c", PEER, "-p", "5201", "-n", "20M", "-b", "200M"]);
        if way == "-R" {
            iperf.arg(way);
        }
        run(&mut iperf, SHORT).expect_success();
        peer.wait(SHORT).expect_success();
    }
    until("the connections are closed at both ends", SHORT, || {
        let ask = "ss -Htan | grep -v LISTEN | grep -v TIME-WAIT || true";
        (lab.script(ask) + &lab.wire.ask_out(ask)).trim().is_empty().then_some(())
    });
    let segments = lab.tcp_segments() - before;
    let buffers: u64 = ["rx", "tx"]
        .map(|way| {
            lab.script(&format!("cat /sys/class/net/tap0/statistics/{way}_packets")).trim().parse::<u64>().unwrap()
        })
        .iter()
        .sum();
    let outcome = sensor.stop();
    assert_all_seen(&outcome);
    assert!(
        buffers < segments,
        "{buffers} buffers, {segments} segments: the offloads are off, and nothing was put to the test"
    );
    let records = outcome.records();
    let tcp = of_protocol(&records, 6);
    assert_eq!(tcp.len(), 4, "a control and a data connection, twice: {tcp:?}");
    assert!(tcp.iter().all(|r| word(r, "conn_state") != "OTH"), "{tcp:?}");
    let packets: u64 = tcp.iter().map(|r| number(r, "src_packets") + number(r, "dst_packets")).sum();
    assert_eq!(packets, segments, "packets of the records against segments that the stacks sent: {tcp:?}");
}

/// What is received has its outer tag taken off by the kernel before traffic control sees it (skb_vlan_untag), and what is
/// sent here has it in the frame.
#[test]
fn vlan_tags_are_in_the_records_wherever_the_kernel_keeps_them() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &patient());
    let (host, peer) = (SocketAddr::new(HOST.parse().unwrap(), 7_000), SocketAddr::new(PEER.parse().unwrap(), 7_001));
    // Two tags are 802.1ad and 802.1Q. Addresses on the link that nobody has: the stacks don't answer.
    for (tags, count) in [(vec![], 2), (vec![(0x8100, 7)], 3), (vec![(0x88a8, 7), (0x8100, 9)], 4)] {
        let ethernet =
            |to, from| Ethernet { to: [2, 0x79, 0, 0, 0, to], from: [2, 0x79, 0, 0, 0, from], tags: tags.clone() };
        lab.send(HOST, false, &vec![frames::udp(&ethernet(2, 1), host, peer, b"out"); count]);
        lab.send(PEER, false, &vec![frames::udp(&ethernet(1, 2), peer, host, b"in"); count + 1]);
    }
    let outcome = sensor.stop();
    assert_eq!(assert_all_seen(&outcome), 2 * (2 + 3 + 4) + 3);
    let records = outcome.records();
    let mut seen: Vec<_> = of_protocol(&records, 17)
        .iter()
        .map(|r| {
            (r["vlan_id"].as_u64(), r["inner_vlan_id"].as_u64(), number(r, "src_packets"), number(r, "dst_packets"))
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(None, None, 2, 3), (Some(7), None, 3, 4), (Some(7), Some(9), 4, 5)]);
}

/// A buffer from a virtual machine says how long its segments are to be, and not how many they are.
#[test]
fn a_buffer_that_does_not_say_how_many_frames_it_is_counts_as_those_that_it_is_cut_into() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &patient());
    let (host, peer) = (SocketAddr::new(HOST.parse().unwrap(), 7_000), SocketAddr::new(PEER.parse().unwrap(), 7_001));
    let ethernet = |to, from| Ethernet { to: [2, 0x79, 0, 0, 0, to], from: [2, 0x79, 0, 0, 0, from], tags: vec![] };
    // struct virtio_net_hdr: VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, headers, segment, where the checksum is.
    let mut header = vec![1, 1];
    for number in [14 + 20 + 20_u16, 1_000, 14 + 20, 16] {
        header.extend(number.to_ne_bytes());
    }
    let buffer = |ethernet: &Ethernet, from, to, first| {
        [header.clone(), frames::tcp(ethernet, from, to, 0x10, [first, 1], &[7; 3_001])].concat()
    };
    lab.send(HOST, true, &[1, 3_002].map(|first| buffer(&ethernet(2, 1), host, peer, first)));
    lab.send(PEER, true, &[buffer(&ethernet(1, 2), peer, host, 1)]);
    let outcome = sensor.stop();
    assert_eq!(assert_all_seen(&outcome), 3 * 4);
    let records = outcome.records();
    let tcp = of_protocol(&records, 6);
    assert_eq!(tcp.len(), 1, "{tcp:?}");
    assert_eq!((number(tcp[0], "src_packets"), number(tcp[0], "dst_packets")), (8, 4), "{}", tcp[0]);
    assert_eq!(
        (number(tcp[0], "src_payload_bytes"), number(tcp[0], "dst_payload_bytes")),
        (6_002, 3_001),
        "{}",
        tcp[0]
    );
}

#[test]
fn pieces_of_datagrams_and_their_whole_neighbours_are_on_one_record_with_two_workers() {
    const CONNECTIONS: u16 = 8;
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let receiver = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            netns::enter(&lab.wire.file("out"));
            UdpSocket::bind((PEER, 7_000)).unwrap()
        });
        inside.join().unwrap()
    });
    receiver.set_read_timeout(Some(SHORT)).unwrap();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &patient());
    lab.within(|| {
        for number in 0..CONNECTIONS {
            let socket = UdpSocket::bind((HOST, 7_100 + number)).unwrap();
            for length in [100, 5_000, 100, 5_000, 100] {
                socket.send_to(&vec![0; length], (PEER, 7_000)).unwrap();
                // Waited for, so that the peer's buffer never overflows; and answered, so that there are two directions.
                let mut buffer = [0; 8_192];
                let (received, from) = receiver.recv_from(&mut buffer).unwrap();
                assert_eq!(received, length);
                receiver.send_to(&buffer[..received], from).unwrap();
            }
        }
    });
    let outcome = sensor.stop();
    assert_all_seen(&outcome);
    let records = outcome.records();
    let udp = of_protocol(&records, 17);
    assert_eq!(udp.len(), usize::from(CONNECTIONS), "{udp:?}");
    for record in udp {
        // 5,000 bytes and a header are four pieces: 1,480 bytes fit.
        assert_eq!((number(record, "src_packets"), number(record, "dst_packets")), (3 + 2 * 4, 3 + 2 * 4), "{record}");
    }
}

#[test]
fn the_capabilities_of_the_unit_suffice() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let netmoth = lab.unprivileged_netmoth(folder.path());
    let sensor = Sensor::start(netmoth, folder.path(), &Settings::workers(2));
    lab.ping(PEER, &["-c", "5"]);
    let outcome = sensor.stop();
    assert_all_seen(&outcome);
    let records = outcome.records();
    let echo: Vec<_> =
        of_protocol(&records, 1).iter().map(|r| (number(r, "src_packets"), number(r, "dst_packets"))).collect();
    assert_eq!(echo, [(5, 5)]);
    assert_eq!((lab.pair(), lab.tcx_programs()), (vec![], 0), "an unprivileged run cleans up, too");
}
