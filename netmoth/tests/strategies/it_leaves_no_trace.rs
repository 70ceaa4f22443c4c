//! Promiscuous mode is given back however it ends, and an end under full load loses nothing uncounted.

use crate::support::command::{SHORT, until};
use crate::support::lab::Wire;
use crate::support::sender::{Job, Sender};
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, compare, frames, root};

/// Strategies that copy frames.
const COPYING: [&str; 2] = ["afpacket", "pcap"];

fn settings(strategy: &str, workers: u32) -> Settings {
    Settings { more: format!("strategy: {strategy}\nstatus_interval: 1"), ..Settings::workers(workers) }
}

fn promiscuous(wire: &Wire) -> bool {
    !wire.script_tap("ip -d link show dev tap0").contains("promiscuity 0")
}

#[test]
fn promiscuous_mode_is_given_back_after_sigterm_and_after_sigkill() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in COPYING {
        let folder = tempfile::tempdir().unwrap();
        let wire = Wire::new(1, 1500);
        assert!(!promiscuous(&wire));
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings(strategy, 1));
        assert!(promiscuous(&wire));
        sensor.stop();
        assert!(!promiscuous(&wire));
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings(strategy, 1));
        assert!(promiscuous(&wire));
        sensor.kill();
        until("the kernel has taken it back", SHORT, || (!promiscuous(&wire)).then_some(()));
        let quiet = Settings { more: format!("strategy: {strategy}\npromiscuous: false"), ..Settings::workers(1) };
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &quiet);
        assert!(!promiscuous(&wire));
        sensor.stop();
    }
}

#[test]
fn sigterm_under_full_load_stores_every_record_and_counts_every_frame() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in COPYING {
        for workers in [1, 2] {
            let folder = tempfile::tempdir().unwrap();
            let wire = Wire::new(1, 1500);
            let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings(strategy, workers));
            let load = frames::load(4_096, 0);
            let sender = Sender::start(Job {
                namespace: wire.file("out"),
                interface: "out0".into(),
                queues: vec![(0, load)],
                rounds: None,
                cpu: None,
                rate: None,
            });
            let received =
                || -> u64 { wire.script_tap("cat /sys/class/net/tap0/statistics/rx_packets").trim().parse().unwrap() };
            until("frames flow", SHORT, || (received() > 200_000).then_some(()));
            let outcome = sensor.stop();
            sender.stop();
            assert!(outcome.assert_sums() > 0);
            assert_eq!((outcome.sum("lost"), outcome.sum("waiting")), (0, 0));
            let records = outcome.records();
            let count = |r: &compare::Record| compare::number(r, "src_packets") + compare::number(r, "dst_packets");
            assert_eq!(records.iter().map(count).sum::<u64>(), outcome.sum("tracked"));
        }
    }
}

/// Connections that [`greet`] makes.
const CONNECTIONS: u32 = 65;

/// Sends two frames of each of some connections, and waits until the sensor follows them all: then it has seen all frames, but
/// for the last one perhaps. Returns how many.
fn greet(wire: &Wire, sensor: &Sensor) -> u64 {
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, frames::load(CONNECTIONS, 0))],
        rounds: Some(1),
        cpu: None,
        rate: None,
    };
    let sent = Sender::start(job).wait().frames;
    sensor.process().wait_for(&format!("{CONNECTIONS} flows open"), SHORT);
    sent
}

#[test]
fn a_link_that_goes_down_and_comes_back_is_captured_again() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in COPYING {
        let folder = tempfile::tempdir().unwrap();
        let wire = Wire::new(1, 1500);
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings(strategy, 2));
        wire.script_tap("ip link set tap0 down");
        sensor.process().wait_for("is down or lost", SHORT);
        wire.script_tap("ip link set tap0 up");
        sensor.process().wait_for("is up again", SHORT);
        let sent = greet(&wire, &sensor);
        assert!((sent - 1..=sent).contains(&sensor.stop().assert_nothing_lost()));
    }
}

#[test]
fn a_removed_interface_ends_it_with_a_message_and_every_record_stored() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in COPYING {
        let folder = tempfile::tempdir().unwrap();
        let wire = Wire::new(1, 1500);
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings(strategy, 2));
        let sent = greet(&wire, &sensor);
        wire.script_out("ip link delete out0");
        sensor.process().wait_for("removed", SHORT);
        let outcome = sensor.ended(1);
        assert!((sent - 1..=sent).contains(&outcome.assert_nothing_lost()));
        assert_eq!(outcome.records().len(), CONNECTIONS as usize);
    }
}
