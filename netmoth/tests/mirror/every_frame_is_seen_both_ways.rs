//! Both directions are recorded, with exact counts: buffers that the kernel has not cut yet, tags that it keeps beside the
//! frame, pieces of datagrams.

use std::net::UdpSocket;

use crate::host::{HOST, Lab, PEER};
use crate::support::command::{Running, SHORT, run};
use crate::support::compare::{Record, number, word};
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
    outcome.assert_nothing_lost();
    let sum = |name| outcome.sum(name);
    assert_eq!(sum("mirror_passed"), 0, "{outcome:?}");
    assert_eq!(sum("mirror_drops"), 0, "{outcome:?}");
    assert_eq!(sum("mirror_seen"), sum("mirrored"), "{outcome:?}");
    assert_eq!(sum("mirrored"), sum("frames_seen"), "{outcome:?}");
    sum("mirror_seen")
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
        let peer = Running::start(lab.wire.at_out("iperf3").args(["-s", "-1", "-p", "5201", "--forceflush"]));
        crate::support::command::until("iperf3 listens", SHORT, || {
            lab.wire.script_out("ss -Hltn 'sport = :5201'").contains(":5201").then_some(())
        });
        let mut iperf = lab.on_host("iperf3");
        iperf.args(["-c", PEER, "-p", "5201", "-n", "20M", "-b", "400M"]);
        if way == "-R" {
            iperf.arg(way);
        }
        run(&mut iperf, SHORT).expect_success();
        peer.wait(SHORT).expect_success();
    }
    crate::support::command::until("the connections are closed both ways", SHORT, || {
        let open =
            lab.script("ss -Htan state fin-wait-1 state fin-wait-2 state last-ack state closing state established");
        open.trim().is_empty().then_some(())
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
    assert_eq!(packets, segments, "packets of the records against segments of the host's stack");
}

#[test]
fn vlan_tags_that_the_kernel_keeps_beside_the_frame_are_in_the_records() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    for (side, number) in [("tap0", 1), ("out0", 2)] {
        let script = format!(
            "ip link add link {side} name {side}.7 type vlan id 7
             ip link add link {side}.7 name {side}.q type vlan id 9
             ip address add 10.80.7.{number}/24 dev {side}.7
             ip address add 10.80.9.{number}/24 dev {side}.q
             ip link set {side}.7 up
             ip link set {side}.q up"
        );
        if side == "tap0" {
            lab.script(&script);
        } else {
            lab.wire.script_out(&script);
        }
    }
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &patient());
    lab.ping("10.80.7.2", &["-c", "5"]);
    lab.ping("10.80.9.2", &["-c", "4"]);
    lab.ping(PEER, &["-c", "3"]);
    let outcome = sensor.stop();
    assert_all_seen(&outcome);
    let records = outcome.records();
    let mut seen: Vec<_> = of_protocol(&records, 1)
        .iter()
        .map(|r| {
            (r["vlan_id"].as_u64(), r["inner_vlan_id"].as_u64(), number(r, "src_packets"), number(r, "dst_packets"))
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(None, None, 3, 3), (Some(7), None, 5, 5), (Some(7), Some(9), 4, 4)]);
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
    use std::os::unix::fs::PermissionsExt;
    const CAPABILITIES: &str = "+bpf,+net_admin,+net_raw,+ipc_lock";
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // The binary may lie where only root can look, so it is run from a copy.
    let binary = folder.path().join("netmoth");
    std::fs::copy(crate::support::sensor::NETMOTH, &binary).unwrap();
    let lab = Lab::new();
    let mut netmoth = lab.on_host("setpriv");
    netmoth.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
    netmoth.args(["--inh-caps", CAPABILITIES, "--ambient-caps", CAPABILITIES, "--bounding-set"]);
    netmoth.arg(format!("-all,{CAPABILITIES}")).arg(&binary);
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
