//! Links that come and go, queues that are taken, and what is left when capture ends.

use netmoth::capture::{Capture, CaptureConfig, CaptureError, LinkEvent};

use crate::packets::{Packets, inside};
use crate::receiving::{Running, config};
use crate::support::command::SHORT;
use crate::support::lab::Wire;
use crate::support::{alone, root};

#[test]
fn a_link_that_goes_down_and_comes_back_is_reported_and_frames_arrive_again() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    inside(&wire.file("tap"), || {
        let mut running = Running::start(&config(1));
        let events = running.capture.watch_link().unwrap();
        packets.send(&[1; 100]);
        running.wait_received(1);
        // First the interface itself, then the other end: its carrier.
        let own = |state: &str| drop(wire.script_tap(&format!("ip link set tap0 {state}")));
        let other = |state: &str| wire.script_out(&format!("ip link set out0 {state}"));
        for (name, set) in [("tap0", &own as &dyn Fn(&str)), ("out0", &other)] {
            set("down");
            assert_eq!(events.recv_timeout(SHORT), Ok(LinkEvent::Down), "{name}");
            set("up");
            assert_eq!(events.recv_timeout(SHORT), Ok(LinkEvent::Up), "{name}");
        }
        packets.send(&[2; 100]);
        running.wait_received(2);
        assert!(events.try_recv().is_err(), "nothing else happened");
        running.end().expect_sums(2);
    });
}

#[test]
fn a_device_that_is_removed_is_reported() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    inside(&wire.file("tap"), || {
        let mut running = Running::start(&config(1));
        let events = running.capture.watch_link().unwrap();
        wire.script_tap("ip link del tap0");
        let last = std::iter::from_fn(|| events.recv_timeout(SHORT).ok()).find(|event| *event == LinkEvent::Removed);
        assert_eq!(last, Some(LinkEvent::Removed));
        running.end();
    });
}

/// Between the look at the interface and the start of the watch there is time in which it can change.
#[test]
fn what_happened_before_the_watch_began_is_reported_too() {
    if !root() {
        return;
    }
    let _alone = alone();
    for (change, expected) in [("ip link set tap0 down", LinkEvent::Down), ("ip link del tap0", LinkEvent::Removed)] {
        let wire = Wire::new(1, 1500);
        inside(&wire.file("tap"), || {
            let mut running = Running::start(&config(1));
            wire.script_tap(change);
            let events = running.capture.watch_link().unwrap();
            assert_eq!(events.recv_timeout(SHORT), Ok(expected), "{change}");
            running.end();
        });
    }
}

#[test]
fn a_queue_that_was_just_closed_is_taken_again_at_once() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(2, 1500);
    inside(&wire.file("tap"), || {
        for workers in [1, 2, 3, 4, 1] {
            Running::start(&config(workers)).end();
        }
    });
}

#[test]
fn a_queue_that_stays_taken_is_named() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(2, 1500);
    inside(&wire.file("tap"), || {
        let first = Capture::open(&CaptureConfig { queues: vec![1], ..config(1) }).unwrap();
        let second = Capture::open(&config(1)).err().expect("queue 1 is taken");
        assert!(matches!(second, CaptureError::QueueBusy { queue: 1, .. }), "{second}");
        drop(first);
        Capture::open(&config(1)).unwrap();
    });
}

#[test]
fn promiscuous_mode_lasts_as_long_as_the_capture() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    inside(&wire.file("tap"), || {
        let promiscuity = || {
            let shown = wire.script_tap("ip -d -j link show tap0");
            serde_json::from_str::<serde_json::Value>(&shown).unwrap()[0]["promiscuity"].as_u64().unwrap()
        };
        assert_eq!(promiscuity(), 0);
        let capture = Capture::open(&CaptureConfig { promiscuous: true, ..config(1) }).unwrap();
        assert_eq!(promiscuity(), 1);
        drop(capture);
        assert_eq!(promiscuity(), 0);
    });
}
