//! The live path at the sender's maximum: `netmoth run` beside a loop that only receives and returns frames, taking
//! turns on the same wire, medians of the rounds.
//!
//! `cargo bench --bench live` as root. `NETMOTH_BENCH_SECONDS` (default 5) is the length of a round,
//! `NETMOTH_BENCH_ROUNDS` (default 5) their number. On a veth the sender is what limits the rate, so packets per second
//! say that the sensor keeps up; what it costs is in the nanoseconds per packet of its own core.

mod receiver;

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

use receiver::Receiver;
use std::time::Duration;
use support::frames;
use support::lab::Wire;
use support::sender::{Job, Sender};
use support::sensor::{NETMOTH, Sensor, Settings};

const FLOWS: u32 = 4_096;

/// One round of one side.
#[derive(Clone, Copy)]
struct Round {
    sent_per_second: f64,
    received_per_second: f64,
    nanoseconds: f64,
    lost: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn flood(wire: &Wire, cpu: usize, length: Duration) -> support::sender::Sent {
    let sender = Sender::start(Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, frames::load(FLOWS, 0))],
        rounds: None,
        cpu: Some(cpu),
        rate: None,
    });
    std::thread::sleep(length);
    sender.stop()
}

fn sensor_round(length: Duration, sending_cpu: usize) -> Round {
    let (wire, folder) = (Wire::new(1, 1500), tempfile::tempdir().unwrap());
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings::workers(1));
    let sent = flood(&wire, sending_cpu, length);
    let outcome = sensor.stop();
    let seen = outcome.assert_sums();
    let received = outcome.sum("received");
    Round {
        sent_per_second: sent.frames as f64 / sent.took.as_secs_f64(),
        received_per_second: received as f64 / sent.took.as_secs_f64(),
        nanoseconds: outcome.sum("busy_ns") as f64 / received as f64,
        lost: seen - received,
    }
}

fn receiver_round(length: Duration, sending_cpu: usize) -> Round {
    let wire = Wire::new(1, 1500);
    let receiver = Receiver::start(wire.file("tap"), 0);
    let sent = flood(&wire, sending_cpu, length);
    let received = receiver.stop();
    Round {
        sent_per_second: sent.frames as f64 / sent.took.as_secs_f64(),
        received_per_second: received.frames as f64 / sent.took.as_secs_f64(),
        nanoseconds: received.busy.as_nanos() as f64 / received.frames as f64,
        lost: received.seen - received.frames,
    }
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    // `cargo test --all-targets` runs benchmarks too, with this argument: that is no time to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let length = Duration::from_secs(number("NETMOTH_BENCH_SECONDS", 5));
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(cpus > 1, "the sender and the sensor need a core each");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..number("NETMOTH_BENCH_ROUNDS", 5).max(1) {
        ours.push(sensor_round(length, cpus - 1));
        bare.push(receiver_round(length, cpus - 1));
    }
    println!(
        "{FLOWS} flows, {}-byte frames, one queue, one worker; medians of {} rounds",
        frames::SMALLEST,
        ours.len()
    );
    println!("{:<20} {:>14} {:>14} {:>12} {:>12}", "", "sent/s", "received/s", "ns/packet", "lost (sum)");
    for (name, rounds) in [("netmoth run", &ours), ("receive and return", &bare)] {
        println!(
            "{name:<20} {:>14.0} {:>14.0} {:>12.1} {:>12}",
            median(rounds, |round| round.sent_per_second),
            median(rounds, |round| round.received_per_second),
            median(rounds, |round| round.nanoseconds),
            rounds.iter().map(|round| round.lost).sum::<u64>()
        );
    }
}
