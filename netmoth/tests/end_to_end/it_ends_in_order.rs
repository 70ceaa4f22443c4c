//! SIGTERM under full load, SIGKILL, and an interface that goes away.

use crate::support::command::SHORT;
use crate::support::lab::Wire;
use crate::support::sender::{Job, Sender};
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, command, compare, frames, root};
use std::time::Duration;

/// Full load on every queue of a wire, until stopped.
fn flood(wire: &Wire, queues: u32) -> Sender {
    let per_queue = 4_096 / queues;
    let queues = (0..queues).map(|queue| (queue, frames::load(per_queue, queue * per_queue))).collect();
    let cpu = std::thread::available_parallelism().unwrap().get() - 1;
    Sender::start(Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues,
        rounds: None,
        cpu: Some(cpu),
        rate: None,
    })
}

/// Waits until the sensor's interface has received that many more frames.
fn let_flow(wire: &Wire, more: u64) {
    let received =
        || -> u64 { wire.script_tap("cat /sys/class/net/tap0/statistics/rx_packets").trim().parse().unwrap() };
    let begin = received();
    command::until("frames flow", SHORT, || (received() >= begin + more).then_some(()));
}

#[test]
fn sigterm_under_full_load_stores_every_record_within_ten_seconds() {
    if !root() {
        return;
    }
    let _alone = alone();
    for (queues, workers) in [(1, 1), (1, 2), (2, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let wire = Wire::new(queues, 1500);
        let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings::workers(workers));
        let sender = flood(&wire, queues);
        let_flow(&wire, 1_000_000);
        let outcome = sensor.stop();
        let sent = sender.stop();
        let seen = outcome.assert_sums();
        assert!(seen >= 1_000_000 && seen <= sent.frames, "{seen} of {}", sent.frames);
        assert_eq!((outcome.sum("lost"), outcome.sum("waiting")), (0, 0));
        let records = outcome.records();
        let count =
            |record: &compare::Record| compare::number(record, "src_packets") + compare::number(record, "dst_packets");
        assert_eq!(records.iter().map(count).sum::<u64>(), outcome.sum("tracked"));
        assert!(records.len() >= 4_096, "{} records of 4,096 connections", records.len());
    }
}

#[test]
fn sigkill_leaves_no_program_and_the_next_start_works_at_once() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 1500);
    let settings = Settings::workers(2);
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
    assert!(wire.script_tap("ip link show tap0").contains("prog/xdp"), "a program is attached while it runs");
    sensor.kill();
    command::until("the program is gone", Duration::from_secs(1), || {
        (!wire.script_tap("ip link show tap0").contains("prog/xdp")).then_some(())
    });

    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
    let load = frames::load(64, 0);
    let count = load.len() as u64;
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, load)],
        rounds: Some(1),
        cpu: None,
        rate: None,
    };
    assert_eq!(Sender::start(job).wait().frames, count);
    assert_eq!(sensor.stop().assert_nothing_lost(), count);
}

#[test]
fn a_link_that_goes_down_is_reported_within_a_second_and_capture_goes_on_when_it_is_back() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 1500);
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings::workers(1));
    wire.script_out("ip link set out0 down");
    sensor.process().wait_for("down", Duration::from_secs(1));
    wire.script_out("ip link set out0 up");
    sensor.process().wait_for("up again", Duration::from_secs(1));
    let load = frames::load(64, 0);
    let count = load.len() as u64;
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, load)],
        rounds: Some(1),
        cpu: None,
        rate: None,
    };
    Sender::start(job).wait();
    assert_eq!(sensor.stop().assert_nothing_lost(), count);
}

#[test]
fn a_removed_interface_ends_it_with_a_message_and_every_record_stored() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 1500);
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings::workers(1));
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, frames::load(64, 0))],
        rounds: Some(1),
        cpu: None,
        rate: None,
    };
    Sender::start(job).wait();
    wire.script_out("ip link delete out0");
    sensor.process().wait_for("removed", Duration::from_secs(1));
    let outcome = sensor.ended(1);
    assert_eq!(outcome.records().len(), 64);
    outcome.assert_sums();
}
