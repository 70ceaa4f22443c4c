//! What two hosts say to each other in a VXLAN that their kernels made is recorded as a host in that network sees it,
//! and the tunnel beside it; both directions meet on one worker though each direction's outer ports differ.

use crate::support::command::{SHORT, run};
use crate::support::compare::{self, Record};
use crate::support::lab::{Host, Hub, HubShape};
use crate::support::sensor::{self, Sensor, Settings};
use crate::support::{alone, pcap, root, traffic};

/// A network of its own between the hosts, 10.72.0.1 and 10.72.0.2. Segmentation offload would show tcpdump frames that never
/// were on a wire.
fn network(hub: &Hub) {
    for (host, peer, own) in [(Host::A, Host::B, 1), (Host::B, Host::A, 2)] {
        let remote = peer.v4(0);
        hub.script(host, &format!("ip link add vx0 type vxlan id 4711 remote {remote} dstport 4789 dev eth0"));
        hub.script(
            host,
            "ethtool -K vx0 tso off gso off gro off >/dev/null; sysctl -qw net.ipv6.conf.vx0.disable_ipv6=1",
        );
        hub.script(host, &format!("ip address add 10.72.0.{own}/24 dev vx0; ip link set vx0 up"));
    }
}

fn talk(hub: &Hub) {
    for line in [
        "ping -q -c 5 -i 0.01 10.72.0.2",
        "iperf3 -c 10.72.0.2 -n 4M -b 400M",
        "iperf3 -c 10.72.0.2 -R -n 4M -b 400M",
        "iperf3 -c 10.72.0.2 -u -l 1200 -n 600K -b 100M",
    ] {
        let mut words = line.split(' ');
        run(hub.on(Host::A, words.next().unwrap()).args(words), SHORT).expect_success();
    }
}

#[test]
fn a_vxlan_is_seen_from_inside_and_from_outside() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape::default());
    let _servers = traffic::Servers::start(&hub, folder.path());
    network(&hub);
    let inside = pcap::Tcpdump::start(&mut hub.on(Host::B, "tcpdump"), "vx0", &folder.path().join("inside.pcap"));
    let sensor = Sensor::start(hub.at_tap(sensor::NETMOTH), folder.path(), &Settings::workers(2));
    talk(&hub);
    run(hub.on(Host::A, "ping").args(["-q", "-c", "1", "-s", "777", "10.72.0.2"]), SHORT).expect_success();
    hub.silence();
    let file = inside.stop_after(|packet| packet.bytes == 777 + 28);
    let outcome = sensor.stop();
    outcome.assert_nothing_lost();

    let (inner, outer): (Vec<Record>, Vec<Record>) =
        outcome.records().into_iter().partition(|record| !record["tunnel"].is_null());
    for record in &inner {
        assert_eq!((compare::word(record, "tunnel"), compare::number(record, "tunnel_id")), ("vxlan", 4711));
    }
    compare::same_sums(&compare::sums(&inner), &pcap::sums(&pcap::read(&file).unwrap()));
    // Three transfers, one of them over UDP, and their controls. iperf3 may reset a transfer whose last bytes it does not read.
    let tcp: Vec<_> = inner.iter().filter(|record| record["proto"] == 6).collect();
    assert_eq!(tcp.len(), 5, "{tcp:?}");
    for record in tcp {
        assert!(compare::word(record, "history").starts_with("ShA"), "seen from its first packet: {record:?}");
        assert!(["fin", "rst"].contains(&compare::word(record, "end_reason")), "ended by its hosts: {record:?}");
    }
    let packets = |records: &[Record], port: &str| -> u64 {
        let of = |r: &Record| compare::number(r, "src_packets") + compare::number(r, "dst_packets");
        records.iter().filter(|r| r[port] == 4789).map(of).sum()
    };
    assert_eq!(packets(&outer, "dst_port"), outcome.sum("tunnelled") + outcome.sum("tunnelled_not_tracked"));
}
