//! What the kernel drops after the redirect is in its counts, to the frame.

use netmoth::capture::{CaptureConfig, XdpMode};

use crate::packets::{Packets, inside};
use crate::receiving::{RING, Running, config};
use crate::support::lab::Wire;
use crate::support::{alone, frames, root};

#[test]
fn a_receive_ring_that_nobody_reads_fills_and_the_rest_is_counted() {
    const SENT: u64 = 1_000;
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    let ended = inside(&wire.file("tap"), || {
        let running = Running::open(&config(1));
        frames::load(SENT as u32 / 2, 0).iter().for_each(|frame| packets.send(frame));
        running.wait_seen(SENT);
        running.end()
    });
    ended.expect_sums(SENT);
    assert_eq!(ended.received(), u64::from(RING));
    assert_eq!(ended.counts.sockets.ring_full, SENT - u64::from(RING));
}

/// Three receive rings hold more than the fill ring that they share: the memory runs out first.
#[test]
fn a_fill_ring_that_runs_empty_is_counted_and_recovers() {
    const SENT: u64 = 2_000;
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    let ended = inside(&wire.file("tap"), || {
        let mut running = Running::open(&config(3));
        frames::load(SENT as u32 / 2, 0).iter().for_each(|frame| packets.send(frame));
        running.wait_seen(SENT);
        running.read();
        running.wait_received(u64::from(2 * RING));
        // What was held is given back: frames arrive again.
        let again = frames::load(32, 5_000);
        again.iter().for_each(|frame| packets.send(frame));
        running.wait_received(u64::from(2 * RING) + again.len() as u64);
        running.end()
    });
    ended.expect_sums(SENT + 64);
    assert_eq!(ended.received(), u64::from(2 * RING) + 64, "a fill ring of twice the receive ring, once round");
    assert!(ended.counts.sockets.dropped > 0 && ended.counts.sockets.fill_ring_empty > 0, "{:?}", ended.counts);
}

#[test]
fn frames_up_to_the_largest_mtu_of_native_mode_arrive() {
    if !root() {
        return;
    }
    let _alone = alone();
    for (mtu, workers) in [(1_770, 1), (1_771, 1), (3_000, 1), (3_498, 2)] {
        let wire = Wire::new(1, mtu);
        let packets = Packets::open(&wire.file("out"), "out0");
        let (ended, mode) = inside(&wire.file("tap"), || {
            let (mut capture, sources) = netmoth::capture::Capture::open(&config(workers)).unwrap();
            let mode = capture.attach().unwrap();
            drop((capture, sources));
            let running = Running::start(&config(workers));
            (0..40).for_each(|_| packets.send(&vec![0x5a; mtu as usize + 14]));
            running.wait_received(40);
            (running.end(), mode)
        });
        assert_eq!(mode, XdpMode::Native, "MTU {mtu}");
        ended.expect_sums(40);
        assert!(ended.workers.iter().flatten().all(|seen| seen.data == vec![0x5a; mtu as usize + 14]), "MTU {mtu}");
    }
}

#[test]
fn frames_longer_than_a_umem_frame_are_dropped_and_counted() {
    if !root() {
        return;
    }
    let _alone = alone();
    for (mtu, frame_size, longest) in [(9_000, None, 4096 - 256), (3_000, Some(2048), 2048 - 256)] {
        let wire = Wire::new(1, mtu);
        let packets = Packets::open(&wire.file("out"), "out0");
        let ended = inside(&wire.file("tap"), || {
            let running = Running::start(&CaptureConfig { frame_size, ..config(1) });
            for length in [100, longest, longest + 1, mtu as usize + 14, 100] {
                packets.send(&vec![0x5a; length]);
            }
            running.wait_seen(5);
            running.end()
        });
        ended.expect_sums(5);
        let lengths: Vec<_> = ended.workers[0].iter().map(|seen| seen.data.len()).collect();
        assert_eq!(lengths, [100, longest, 100], "MTU {mtu}");
        assert_eq!(ended.counts.sockets.dropped, 2);
    }
}
