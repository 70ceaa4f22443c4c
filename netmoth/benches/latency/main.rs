//! How long a frame waits until its connection is up to date: at 80 % of the highest rate that goes.
//!
//! `cargo bench --bench latency [-- --format json]` as root. `NETMOTH_BENCH_SECONDS` (default 3) is the length of a
//! round, `NETMOTH_BENCH_ROUNDS` (default 3) their number, `NETMOTH_BENCH_FLOWS` (default 4096) the number of connections.
//!
//! The sender writes the time into each frame right before the system call that sends up to 32 of them. On a veth that
//! call carries them through the XDP program into the receive ring. The worker's own loop (capture source, engine, waiting)
//! reads the clock once more when a batch of up to 64 frames is booked. So the figures are an upper bound of the time from
//! XDP to the flow table: they hold the sender's system call, too. They hold no network card (its DMA, its interrupts, its
//! coalescing) and nothing behind the flow table (the store).

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "shared with the benchmarks that run other programs")]
mod common;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

use common::settings::{self, sending_cpu};
use netmoth::bench::latency::{Measured, STAMP, Worker};
use netmoth::bench::{Cell, Column, Report, Spread};
use netmoth::capture::CaptureConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use support::frames;
use support::lab::Wire;
use support::netns;
use support::sender::{Job, Sender};

/// What is not measured at the beginning of a round: connections begin, caches fill.
const WARM_UP: Duration = Duration::from_millis(500);
/// Naps of the worker, in microseconds (`coalesce`); the first is the configuration's default.
const COALESCE: [u32; 2] = [0, 100];
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Smallest frames of `flows` connections: UDP with room for a time.
fn stamped(flows: u32) -> Vec<Vec<u8>> {
    let ethernet = frames::Ethernet { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1], tags: vec![] };
    (0..flows)
        .map(|flow| {
            let client = Ipv4Addr::from(0x0a48_0000 | (flow & 0xffff));
            let ports = (10_000 + (flow >> 16) as u16, 443);
            let (from, to) = (SocketAddr::from((client, ports.0)), SocketAddr::from(([10, 73, 0, 1], ports.1)));
            frames::udp(&ethernet, from, to, &[0; 18])
        })
        .collect()
}

/// The worker on the first core, in a namespace: its thread is where the thread is that starts it.
fn start(namespace: String, coalesce: Duration) -> Worker {
    let inside = move || {
        netns::enter(&namespace);
        Worker::start(CaptureConfig::new("tap0"), coalesce, 0).unwrap()
    };
    std::thread::spawn(inside).join().unwrap()
}

/// One round: frames a second that were received, and their delays.
fn round(frames: &[Vec<u8>], coalesce: u32, rate: Option<u64>, length: Duration) -> (f64, Measured) {
    let wire = Wire::new(1, 1500);
    let worker = start(wire.file("tap"), Duration::from_micros(coalesce.into()));
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, frames.to_vec())],
        rounds: None,
        cpu: Some(sending_cpu()),
        rate,
    };
    let sender = Sender::start_with(job, Some(STAMP));
    std::thread::sleep(WARM_UP);
    worker.record();
    std::thread::sleep(length);
    let sent = sender.stop();
    let measured = worker.stop().unwrap();
    (measured.frames as f64 / sent.took.as_secs_f64(), measured)
}

#[expect(clippy::print_stderr, reason = "it says why it measures nothing")]
fn main() {
    let Some(format) = settings::asked() else { return };
    if !support::root() {
        eprintln!("nothing was measured");
        return;
    }
    let length = Duration::from_secs(settings::number("NETMOTH_BENCH_SECONDS", 3));
    let flows = settings::number("NETMOTH_BENCH_FLOWS", 4_096).max(4_096) as u32;
    let frames = stamped(flows);
    let highest = COALESCE.map(|coalesce| round(&frames, coalesce, None, length).0);
    let mut measured: [Vec<(f64, Measured)>; COALESCE.len()] = Default::default();
    for _ in 0..settings::number("NETMOTH_BENCH_ROUNDS", 3).max(1) {
        for ((coalesce, highest), into) in COALESCE.iter().zip(highest).zip(&mut measured) {
            into.push(round(&frames, *coalesce, Some((highest * 0.8) as u64), length));
        }
    }
    let report = report(flows, &highest, &measured);
    report.print(format, &mut std::io::stdout()).expect("standard output");
}

fn report(flows: u32, highest: &[f64], measured: &[Vec<(f64, Measured)>]) -> Report {
    let mut columns = vec![
        Column::number("coalesce", "µs", 0),
        Column::number("highest rate", "packets/s", 0),
        Column::number("rate", "packets/s", 0),
    ];
    columns.extend(PERCENTILES.map(|(name, _)| Column::number(name, "µs", 1)));
    columns.extend([Column::number("max", "µs", 1), Column::number("lost", "packets, all rounds", 0)]);
    let title = format!(
        "from the sender's system call (XDP runs in it) to the flow's update, {flows} UDP flows, {}-byte frames",
        frames::SMALLEST
    );
    let mut report = Report::new(title, columns);
    for ((coalesce, highest), rounds) in COALESCE.iter().zip(highest).zip(measured) {
        let spread = |of: &dyn Fn(&Measured) -> u64| {
            Spread::of(&rounds.iter().map(|(_, measured)| of(measured) as f64 / 1e3).collect::<Vec<_>>())
        };
        let rate = Spread::of(&rounds.iter().map(|(rate, _)| *rate).collect::<Vec<_>>());
        let mut row: Vec<Cell> = vec![u64::from(*coalesce).into(), (*highest).into(), rate.median.into()];
        row.extend(PERCENTILES.map(|(_, part)| spread(&|measured| measured.delays.percentile(part)).into()));
        row.extend([spread(&|measured| measured.delays.max()).into()]);
        row.push(rounds.iter().map(|(_, measured)| measured.lost).sum::<u64>().into());
        report.row(row);
    }
    report.note(
        "Upper bound: the time is written into a frame right before the call that sends its batch of up to 32, and read \
         again when the worker has booked the batch of up to 64 that it arrived in. Without network card and store. \
         Percentiles are exact to 1.6 %. The highest rate was found first, with the same loop; measured at 80 % of it.",
    );
    report.note("Copy mode, one queue, worker on CPU 0, sender on the last core.");
    report
}
