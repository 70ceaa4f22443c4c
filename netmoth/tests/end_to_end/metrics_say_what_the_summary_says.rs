//! What `/metrics` shows when all is quiet is what the summary says at the end, and every frame and record has one fate
//! there, too.

use crate::support::command::{SHORT, run, until};
use crate::support::frames::{self, Ethernet};
use crate::support::lab::{Host, Hub, HubShape};
use crate::support::metrics::Metrics;
use crate::support::sender::{Job, Sender};
use crate::support::sensor::{NETMOTH, Outcome, Sensor, Settings};
use crate::support::{alone, compare, root, traffic};
use std::net::{IpAddr, SocketAddr};

const ADDRESS: &str = "127.0.0.1:9470";

/// Connections are over after a second of silence, so that the end of the run has nothing left to record.
const SHORT_LIVED: &str = "connection_timeout: 1\n\
    timeouts: {tcp_attempt: 1, tcp_closed: 1, udp: 1, icmp: 1, other: 1}";

/// What programs don't send: a VXLAN with a datagram and with ARP in it, and twice a first piece that ends inside its TCP
/// header and has a wrong IPv4 checksum besides.
fn oddities(hub: &Hub) {
    let ethernet = Ethernet { to: Host::B.mac(0), from: Host::A.mac(0), tags: vec![] };
    let address = |host: Host| host.v4(0).parse::<IpAddr>().unwrap();
    let (client, tunnel) = (SocketAddr::new(address(Host::A), 40_001), SocketAddr::new(address(Host::B), 4_789));
    let inner = frames::udp(&ethernet, client, SocketAddr::new(address(Host::B), 53), b"inside");
    let mut arp = ethernet.to.to_vec();
    arp.extend(ethernet.from);
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.resize(frames::SMALLEST, 0);
    let vxlan = |inner: &[u8]| frames::udp(&ethernet, client, tunnel, &[&[8, 0, 0, 0, 0, 0, 7, 0], inner].concat());
    let mut piece = frames::ip(&ethernet, client.ip(), tunnel.ip(), frames::TCP, &[0; 8]);
    // More fragments follow, in the flags of the IPv4 header.
    piece[14 + 6] = 0x20;
    let all = vec![vxlan(&inner), vxlan(&arp), piece.clone(), piece];
    let count = all.len() as u64;
    let job = Job {
        namespace: hub.namespace_file(Host::A),
        interface: "eth0".into(),
        queues: vec![(1, all)],
        rounds: Some(1),
        cpu: None,
        rate: None,
    };
    assert_eq!(Sender::start(job).wait().frames, count);
}

/// The page once every connection is over and every record stored.
#[track_caller]
fn quiet(hub: &Hub) -> Metrics {
    until("all connections are over and stored", SHORT, || {
        let page = Metrics::fetch(hub.at_tap("curl"), ADDRESS);
        let sum = |name: &str| page.sum(name, &[]);
        let still = sum("netmoth_flows_open") + sum("netmoth_records_waiting");
        let stored = sum("netmoth_records_emitted_total") == sum("netmoth_records_committed_total");
        (still == 0 && stored).then_some(page)
    })
}

/// Every frame and record has exactly one fate (§10), as the metrics alone tell it.
fn assert_balanced(page: &Metrics) {
    let sum = |name: &str| page.sum(name, &[]);
    let redirected = page.sum("netmoth_seen_frames_total", &[("fate", "redirected")]);
    assert_eq!(redirected, sum("netmoth_received_frames_total") + sum("netmoth_kernel_dropped_frames_total"));
    let tracked = sum("netmoth_tracked_frames_total") + sum("netmoth_not_tracked_frames_total");
    assert_eq!(sum("netmoth_received_frames_total"), tracked);
    let emitted = sum("netmoth_records_emitted_total") + sum("netmoth_records_recovered_total");
    let waiting = sum("netmoth_records_waiting") + sum("netmoth_records_spooled");
    assert_eq!(emitted, sum("netmoth_records_committed_total") + waiting + sum("netmoth_records_lost_total"));
}

/// Each metric against the sum of the summary that it stands for; those marked were moved by the traffic.
fn assert_same_sums(page: &Metrics, outcome: &Outcome) {
    for (metric, sum, moved) in [
        ("netmoth_seen_frames_total", "frames_seen", true),
        ("netmoth_kernel_dropped_frames_total", "kernel_drops", false),
        ("netmoth_received_frames_total", "received", true),
        ("netmoth_received_bytes_total", "bytes", true),
        ("netmoth_tracked_frames_total", "tracked", true),
        ("netmoth_not_tracked_frames_total", "not_tracked", true),
        ("netmoth_tunnelled_packets_total", "tunnelled", true),
        ("netmoth_tunnelled_not_tracked_packets_total", "tunnelled_not_tracked", true),
        ("netmoth_fragments_total", "fragments", true),
        ("netmoth_overlapping_fragments_total", "overlapping_fragments", true),
        ("netmoth_tiny_fragments_total", "tiny_fragments", true),
        ("netmoth_bad_checksums_total", "bad_checksums", true),
        ("netmoth_flows_started_total", "flows_started", true),
        ("netmoth_records_emitted_total", "emitted", true),
        ("netmoth_records_committed_total", "committed", true),
        ("netmoth_records_recovered_total", "recovered", false),
        ("netmoth_records_waiting", "waiting", false),
        ("netmoth_records_spooled", "spooled", false),
        ("netmoth_records_lost_total", "lost", false),
    ] {
        let value = page.sum(metric, &[]);
        assert_eq!(value, outcome.sum(sum), "{metric} against {sum}");
        assert!(value > 0 || !moved, "{metric} stands still");
    }
    for reason in page.values("netmoth_not_tracked_frames_total", "reason") {
        let of = |name: &str| page.sum(name, &[("reason", reason)]);
        assert_eq!(of("netmoth_not_tracked_frames_total"), outcome.reason("not_tracked", reason), "{reason}");
        let inside = of("netmoth_tunnelled_not_tracked_packets_total");
        assert_eq!(inside, outcome.reason("tunnelled_not_tracked", reason), "{reason} in tunnels");
    }
}

#[test]
fn the_page_agrees_with_the_summary_and_with_the_records() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape { queues: 2, ..HubShape::default() });
    // Where the machine has br_netfilter, a bridge drops what has a wrong checksum; -e: where it has not, there is no such key.
    run(hub.at_dump("sysctl").args(["-eqw", "net.bridge.bridge-nf-call-iptables=0"]), SHORT).expect_success();
    let _servers = traffic::Servers::start(&hub, folder.path());
    let settings = Settings { more: format!("metrics: {ADDRESS}\n{SHORT_LIVED}"), ..Settings::workers(2) };
    let sensor = Sensor::start(hub.at_tap(NETMOTH), folder.path(), &settings);
    traffic::programs(&hub, 0);
    traffic::rarities(&hub, 1);
    oddities(&hub);
    hub.silence();
    let page = quiet(&hub);
    let outcome = sensor.stop();
    outcome.assert_sums();
    assert_balanced(&page);
    assert_same_sums(&page, &outcome);

    for queue in ["0", "1"] {
        assert!(
            page.sum("netmoth_seen_frames_total", &[("queue", queue), ("fate", "redirected")]) > 0,
            "queue {queue}"
        );
        assert!(page.sum("netmoth_received_frames_total", &[("worker", queue)]) > 0, "worker {queue}");
    }
    assert_eq!(
        page.sum("netmoth_capture_info", &[("interface", "tap0"), ("mode", "native"), ("zero_copy", "false")]),
        1
    );
    assert_eq!(page.sum("netmoth_store_up", &[("interface", "tap0")]), 1);
    let records = outcome.records();
    for reason in page.values("netmoth_records_emitted_total", "reason") {
        let stored = records.iter().filter(|record| compare::word(record, "end_reason") == reason).count() as u64;
        assert_eq!(page.sum("netmoth_records_emitted_total", &[("reason", reason)]), stored, "{reason}");
    }
}

#[test]
fn an_address_that_others_reach_is_warned_about_once_and_the_port_is_free_again_afterwards() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape::default());
    let settings = Settings { more: "metrics: 0.0.0.0:9470".into(), ..Settings::workers(1) };
    for _ in 0..2 {
        let sensor = Sensor::start(hub.at_tap(NETMOTH), folder.path(), &settings);
        assert_eq!(Metrics::fetch(hub.at_tap("curl"), ADDRESS).sum("netmoth_store_up", &[]), 1);
        assert_eq!(sensor.process().stderr().matches("there is no authentication").count(), 1);
        sensor.stop().assert_nothing_lost();
        let curl = run(hub.at_tap("curl").args(["-sS", ADDRESS]), SHORT);
        assert_eq!(curl.code(), 7, "curl could connect: {}", curl.stdout);
    }
}
