//! The live path at the sender's maximum: `netmoth run` beside a loop that only receives and returns frames, taking
//! turns on the same wire.
//!
//! `cargo bench --bench live [-- --format json]` as root. `NETMOTH_BENCH_SECONDS` (default 3) is the length of a round,
//! `NETMOTH_BENCH_ROUNDS` (default 3) their number. On a veth the sender is what limits the rate, so packets per second
//! say that the sensor keeps up; what it costs is in the nanoseconds per packet of its own core.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "shared with the benchmarks that run other programs")]
mod common;
mod receiver;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

use common::settings::{self, sending_cpu};
use netmoth::bench::{Cell, Column, Report, Spread};
use receiver::Receiver;
use std::time::Duration;
use support::frames;
use support::lab::Wire;
use support::sender::{Job, Sender, Sent};
use support::sensor::{NETMOTH, Sensor, Settings};

/// Connections, each with a frame in both directions.
const FLOWS: [u32; 3] = [4_096, 65_536, 1_048_576];

/// One round of one side.
#[derive(Clone, Copy)]
struct Round {
    sent_per_second: f64,
    received_per_second: f64,
    nanoseconds: f64,
    lost: u64,
    /// Connections that it followed, where it follows any.
    connections: Option<u64>,
}

/// Every frame once, so that connections have begun and memory is mapped; then for `length`.
fn flood(wire: &Wire, frames: &[Vec<u8>], length: Duration) -> (Sent, Sent) {
    let job = |rounds| Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, frames.to_vec())],
        rounds,
        cpu: Some(sending_cpu()),
        rate: None,
    };
    let warm = Sender::start(job(Some(1))).wait();
    let sender = Sender::start(job(None));
    std::thread::sleep(length);
    (warm, sender.stop())
}

/// What came of what was sent. Frames that were lost are taken to be as many of each thousand in the warm-up as later.
fn round((warm, sent): (Sent, Sent), seen: u64, received: u64, busy: Duration) -> Round {
    let sent_per_second = sent.frames as f64 / sent.took.as_secs_f64();
    Round {
        sent_per_second,
        received_per_second: sent_per_second * received as f64 / (warm.frames + sent.frames) as f64,
        nanoseconds: busy.as_nanos() as f64 / received as f64,
        lost: seen - received,
        connections: None,
    }
}

fn sensor_round(frames: &[Vec<u8>], flows: u32, length: Duration) -> Round {
    let (wire, folder) = (Wire::new(1, 1500), tempfile::tempdir().unwrap());
    let mut settings = Settings::workers(1);
    settings.more = format!("status_interval: 0\nmax_flows: {}", flows.max(500_000) * 2);
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
    let sent = flood(&wire, frames, length);
    let outcome = sensor.stop();
    let seen = outcome.assert_sums();
    let busy = Duration::from_nanos(outcome.sum("busy_ns"));
    Round { connections: Some(outcome.sum("flows_started")), ..round(sent, seen, outcome.sum("received"), busy) }
}

fn receiver_round(frames: &[Vec<u8>], length: Duration) -> Round {
    let wire = Wire::new(1, 1500);
    let receiver = Receiver::start(wire.file("tap"), 0);
    let sent = flood(&wire, frames, length);
    let received = receiver.stop();
    round(sent, received.seen, received.frames, received.busy)
}

#[expect(clippy::print_stderr, reason = "it says why it measures nothing")]
fn main() {
    let Some(format) = settings::asked() else { return };
    if !support::root() {
        eprintln!("nothing was measured");
        return;
    }
    let length = Duration::from_secs(settings::number("NETMOTH_BENCH_SECONDS", 3));
    let rounds = settings::number("NETMOTH_BENCH_ROUNDS", 3).max(1);
    let mut report = report();
    for flows in FLOWS {
        let frames = frames::load(flows, 0);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(sensor_round(&frames, flows, length));
            bare.push(receiver_round(&frames, length));
        }
        report.row(row(flows, "netmoth run", &ours, Some(&bare)));
        report.row(row(flows, "receive and return", &bare, None));
    }
    report.print(format, &mut std::io::stdout()).expect("standard output");
}

fn report() -> Report {
    let mut report = Report::new(
        format!("the live path, {}-byte frames, one queue, one worker, copy mode", frames::SMALLEST),
        [
            Column::number("flows", "", 0),
            Column::text("side"),
            Column::number("sent", "packets/s", 0),
            Column::number("received", "packets/s", 0),
            Column::number("beside the loop", "%", 1),
            Column::number("busy", "ns/packet", 1),
            Column::number("lost", "packets, all rounds", 0),
            Column::number("followed", "connections, fewest", 0),
        ],
    );
    report.note(
        "beside the loop: packets received per second, as a part of what the loop that only receives and returns frames \
         received in the same round. busy: of the worker's core, in polls that had frames. The sender has the last core, \
         the worker CPU 0.",
    );
    report
}

fn row(flows: u32, side: &str, rounds: &[Round], beside: Option<&[Round]>) -> Vec<Cell> {
    let spread = |of: fn(&Round) -> f64| Spread::of(&rounds.iter().map(of).collect::<Vec<_>>());
    let ratio = beside.map(|bare| {
        let pairs = rounds.iter().zip(bare);
        Spread::of(
            &pairs.map(|(our, bare)| our.received_per_second * 100.0 / bare.received_per_second).collect::<Vec<_>>(),
        )
    });
    vec![
        u64::from(flows).into(),
        side.into(),
        spread(|round| round.sent_per_second).into(),
        spread(|round| round.received_per_second).into(),
        ratio.into(),
        spread(|round| round.nanoseconds).into(),
        rounds.iter().map(|round| round.lost).sum::<u64>().into(),
        rounds.iter().filter_map(|round| round.connections).min().into(),
    ]
}
