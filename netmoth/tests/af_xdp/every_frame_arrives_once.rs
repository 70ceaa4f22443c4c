//! Frames come out of the rings as they went onto the wire, once each, in every arrangement of queues and workers.

use std::collections::{HashMap, HashSet};

use netmoth_shared::fate::Fate;

use crate::packets::{Packets, inside};
use crate::receiving::{Ended, RING, Running, config};
use crate::support::lab::Wire;
use crate::support::sender::{Job, Sender};
use crate::support::{alone, frames, root};

/// A frame of `length` bytes whose every byte follows from `number`.
fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|place| (place as u32).wrapping_mul(31).wrapping_add(number) as u8));
    frame
}

/// How often each frame arrived.
fn counted(ended: &Ended) -> HashMap<&[u8], u64> {
    let mut counted = HashMap::new();
    ended.workers.iter().flatten().for_each(|seen| *counted.entry(&seen.data[..]).or_default() += 1);
    counted
}

#[test]
fn frames_of_every_length_arrive_byte_for_byte_and_in_order() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    let sent: Vec<_> = (18..=1514).map(|length| numbered(length, length as usize)).collect();
    let ended = inside(&wire.file("tap"), || {
        let running = Running::start(&config(1));
        for (count, burst) in sent.chunks(RING as usize / 2).enumerate() {
            burst.iter().for_each(|frame| packets.send(frame));
            running.wait_received((count * RING as usize / 2 + burst.len()) as u64);
        }
        running.end()
    });
    ended.expect_sums(sent.len() as u64);
    for (sent, seen) in sent.iter().zip(&ended.workers[0]) {
        assert_eq!((&seen.data, seen.wire_len as usize), (sent, sent.len()));
    }
}

#[test]
fn the_parser_sees_as_much_as_the_snapshot_length_says_and_is_told_the_whole() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    let ended = inside(&wire.file("tap"), || {
        let running = Running::start(&netmoth::capture::CaptureConfig { snapshot_length: 96, ..config(1) });
        for length in [60, 96, 97, 1514] {
            packets.send(&numbered(7, length));
        }
        running.wait_received(4);
        running.end()
    });
    let seen: Vec<_> = ended.workers[0].iter().map(|seen| (seen.data.len(), seen.wire_len)).collect();
    assert_eq!(seen, [(60, 60), (96, 96), (96, 97), (96, 1514)]);
    assert_eq!(ended.workers[0][3].data, numbered(7, 1514)[..96]);
}

/// More than a hundred times as many frames as there is memory for: one that is not given back, or given back twice,
/// shows.
#[test]
fn workers_that_share_a_queue_get_each_frame_once_and_their_memory_never_runs_out() {
    const ROUNDS: u64 = 50;
    if !root() {
        return;
    }
    let _alone = alone();
    for workers in [2, 3] {
        let wire = Wire::new(1, 1500);
        let packets = Packets::open(&wire.file("out"), "out0");
        let load = frames::load(2048, 0);
        let ended = inside(&wire.file("tap"), || {
            let running = Running::start(&config(workers));
            let mut sent = 0;
            for _ in 0..ROUNDS {
                // Bursts that every ring has room for, each with frames for every worker.
                for burst in load.chunks(RING as usize / 2) {
                    burst.iter().for_each(|frame| packets.send(frame));
                    sent += burst.len() as u64;
                    running.wait_received(sent);
                }
            }
            running.end()
        });
        ended.expect_sums(ROUNDS * load.len() as u64);
        assert_eq!(ended.received(), ROUNDS * load.len() as u64, "nothing was dropped: {:?}", ended.counts);
        let counted = counted(&ended);
        assert!(load.iter().all(|frame| counted[&frame[..]] == ROUNDS), "each as often as it was sent");
        // Both directions of a connection: its frames stand side by side in the load.
        let homes: Vec<HashSet<&[u8]>> =
            ended.workers.iter().map(|seen| seen.iter().map(|frame| &frame.data[..]).collect()).collect();
        for pair in load.chunks(2) {
            let at = |frame: &Vec<u8>| homes.iter().filter(|home| home.contains(&frame[..])).count();
            assert_eq!((at(&pair[0]), at(&pair[1])), (1, 1), "a flow has one worker");
            assert!(homes.iter().any(|home| pair.iter().all(|frame| home.contains(&frame[..]))), "both ways");
        }
        assert!(homes.iter().all(|home| home.len() > load.len() / workers / 2), "everybody has a share");
    }
}

/// Sends on each queue frames that say which queue it is, and captures with `workers` workers.
fn on_queues(queues: u32, workers: usize, chosen: &[u32]) -> (Ended, u64) {
    let wire = Wire::new(queues, 1500);
    let own = |queue: u32| (0..100).map(|number| numbered(queue << 16 | number, 200)).collect::<Vec<_>>();
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: (0..queues).map(|queue| (queue, own(queue))).collect(),
        rounds: Some(2),
        cpu: None,
        rate: None,
    };
    inside(&wire.file("tap"), || {
        let running = Running::start(&netmoth::capture::CaptureConfig { queues: chosen.to_vec(), ..config(workers) });
        let sent = Sender::start(job).wait().frames;
        running.wait_seen(sent);
        (running.end(), sent)
    })
}

/// The queues whose frames a worker saw.
fn queues_of(ended: &Ended, worker: usize) -> Vec<u8> {
    let all: HashSet<u8> = ended.workers[worker].iter().map(|seen| seen.data[15]).collect();
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_unstable();
    all
}

#[test]
fn one_worker_polls_two_queues() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (ended, sent) = on_queues(2, 1, &[]);
    assert_eq!(sent, 400);
    ended.expect_sums(sent);
    assert_eq!(queues_of(&ended, 0), [0, 1]);
    assert!(counted(&ended).len() == 200 && counted(&ended).values().all(|times| *times == 2));
}

#[test]
fn two_workers_poll_four_queues_each_its_own() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (ended, sent) = on_queues(4, 2, &[]);
    assert_eq!(sent, 800);
    ended.expect_sums(sent);
    assert_eq!((queues_of(&ended, 0), queues_of(&ended, 1)), (vec![0, 2], vec![1, 3]));
    assert!(counted(&ended).len() == 400 && counted(&ended).values().all(|times| *times == 2));
}

#[test]
fn three_workers_on_two_queues_share_one_of_them() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (ended, sent) = on_queues(2, 3, &[]);
    ended.expect_sums(sent);
    assert_eq!(queues_of(&ended, 1), [1], "the second queue has a worker of its own");
    assert_eq!(ended.received(), sent);
}

#[test]
fn frames_of_a_queue_that_is_not_captured_go_to_the_host_and_are_counted() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (ended, sent) = on_queues(2, 1, &[1]);
    assert_eq!(queues_of(&ended, 0), [1]);
    assert_eq!(ended.received(), sent / 2);
    assert_eq!(ended.counts.fates[Fate::QueueNotCaptured as usize], sent / 2);
    assert_eq!(ended.counts.fates[Fate::Redirected as usize], sent / 2);
}

#[test]
fn busy_polling_takes_and_frames_arrive() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    let ended = inside(&wire.file("tap"), || {
        let running = Running::start(&netmoth::capture::CaptureConfig { busy_poll_us: 20, ..config(1) });
        (0..100).for_each(|number| packets.send(&numbered(number, 100)));
        running.wait_received(100);
        running.end()
    });
    ended.expect_sums(100);
    assert_eq!(counted(&ended).len(), 100);
}

#[test]
fn a_driver_without_zero_copy_copies_instead_and_the_mode_is_said() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let packets = Packets::open(&wire.file("out"), "out0");
    for workers in [1, 2] {
        let (ended, described) = inside(&wire.file("tap"), || {
            let running = Running::start(&netmoth::capture::CaptureConfig { zero_copy: true, ..config(workers) });
            (0..50).for_each(|number| packets.send(&numbered(number, 100)));
            running.wait_received(50);
            let described = running.capture.describe();
            (running.end(), described)
        });
        ended.expect_sums(50);
        assert!(described.contains("native XDP") && described.contains("copy mode"), "{described}");
    }
}
