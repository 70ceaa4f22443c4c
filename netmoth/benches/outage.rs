//! The store goes away for a while at the full live rate: `cargo bench --bench outage` as root. `NETMOTH_BENCH_SECONDS` (default 20)
//! is how long it is away, and up to a minute of that how long it is there before; `NETMOTH_BENCH_RATE` (default 400,000) the frames a second: on two
//! cores sender, worker and PostgreSQL share them, and at the sender's maximum all three lose.
//!
//! What capture must not notice: packets per second, frames lost and resident memory with the store and without it. What
//! follows: how long the spool takes to drain.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/support/postgres.rs"]
#[expect(dead_code, reason = "the tests need more of the server than this does")]
mod postgres;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

use std::time::{Duration, Instant};

use postgres::PostgresServer;
use support::frames;
use support::lab::Wire;
use support::metrics::Metrics;
use support::sender::{Job, Sender};
use support::sensor::{NETMOTH, Sensor, Settings};

/// Connections, each of which is reported in parts of a second: so many records a second are made.
const FLOWS: u32 = 10_000;
const ADDRESS: &str = "127.0.0.1:9187";

/// What the sensor says of itself at one moment.
#[derive(Clone, Copy)]
struct Moment {
    frames: u64,
    dropped: u64,
    emitted: u64,
    spooled: u64,
    spool_bytes: u64,
    lost: u64,
    resident: u64,
}

fn moment(wire: &Wire, sensor: &Sensor) -> Moment {
    // The page is a quarter of a second old at most.
    std::thread::sleep(Duration::from_millis(600));
    let page = Metrics::fetch(wire.at_tap("curl"), ADDRESS);
    let sum = |name: &str| page.sum(name, &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", sensor.process().id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    Moment {
        frames: sum("netmoth_received_frames_total"),
        dropped: sum("netmoth_kernel_dropped_frames_total"),
        emitted: sum("netmoth_records_emitted_total"),
        spooled: sum("netmoth_records_spooled"),
        spool_bytes: sum("netmoth_spool_bytes"),
        lost: sum("netmoth_records_lost_total"),
        resident: line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024,
    }
}

/// Sends for `length`, and says what came of it.
fn phase(name: &str, wire: &Wire, sensor: &Sensor, rate: u64, length: Duration) -> f64 {
    let before = moment(wire, sensor);
    let cpus = std::thread::available_parallelism().unwrap().get();
    let sender = Sender::start(Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, frames::load(FLOWS, 0))],
        rounds: None,
        cpu: Some(cpus - 1),
        rate: Some(rate),
    });
    std::thread::sleep(length);
    let sent = sender.stop();
    let after = moment(wire, sensor);
    let received = (after.frames - before.frames) as f64 / sent.took.as_secs_f64();
    println!(
        "{name:<24} {received:>12.0} {:>12} {:>12.0} {:>12} {:>14} {:>8} {:>10}",
        after.dropped - before.dropped,
        (after.emitted - before.emitted) as f64 / sent.took.as_secs_f64(),
        after.spooled,
        after.spool_bytes,
        after.lost,
        format!("{}/{}", before.resident, after.resident),
    );
    received
}

fn main() {
    // `cargo test --all-targets` runs benchmarks too, with this argument: that is no time to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    let (seconds, rate) = (number("NETMOTH_BENCH_SECONDS", 20), number("NETMOTH_BENCH_RATE", 400_000));
    let length = Duration::from_secs(seconds);
    let server = PostgresServer::start().expect("PostgreSQL");
    let (wire, folder) = (Wire::new(1, 1500), tempfile::tempdir().unwrap());
    wire.script_tap("ip link set lo up");
    let more = format!("active_timeout: 1\nstatus_interval: 0\nring_size: 16384\nmetrics: {ADDRESS}");
    let settings = Settings { more, spool_bytes: 8 << 30, ..Settings::workers(1) };
    let sensor = Sensor::start_with_store(wire.at_tap(NETMOTH), folder.path(), &settings, server.socket_url());
    println!(
        "{FLOWS} connections in parts of a second, {}-byte frames, one worker, away for {seconds} s",
        frames::SMALLEST
    );
    println!(
        "{:<24} {:>12} {:>12} {:>12} {:>12} {:>14} {:>8} {:>10}",
        "", "packets/s", "frames lost", "records/s", "in spool", "spool bytes", "lost", "MiB"
    );
    phase("warming up", &wire, &sensor, rate, Duration::from_secs(5));
    let there = phase("store there", &wire, &sensor, rate, length.min(Duration::from_secs(60)));
    server.stop();
    let away = phase("store away", &wire, &sensor, rate, length);
    let kept = moment(&wire, &sensor).spooled;
    server.resume();
    let begun = Instant::now();
    while moment(&wire, &sensor).spooled > 0 {}
    let took = begun.elapsed().as_secs_f64();
    println!(
        "away / there: {:.2} %; {kept} records drained in {took:.1} s: {:.0} records/s",
        100.0 * away / there,
        kept as f64 / took
    );
    let outcome = sensor.stop();
    outcome.assert_sums();
    assert_eq!(outcome.sum("lost"), 0, "records");
}
