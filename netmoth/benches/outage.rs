//! The store goes away for a while at the full live rate: `cargo bench --bench outage` as root. `NETMOTH_BENCH_SECONDS` (default 20)
//! is how long it is away, and up to a minute of that how long it is there before; `NETMOTH_BENCH_RATE` (default 400,000) the frames a second: on two
//! cores sender, worker and PostgreSQL share them, and at the sender's maximum all three lose.
//!
//! What capture must not notice: packets per second, frames lost and resident memory with the store and without it. What
//! follows: how long the spool takes to drain. `-- --format json` prints one object.

#[path = "../tests/support/postgres.rs"]
#[expect(dead_code, reason = "the tests need more of the server than this does")]
mod postgres;
#[path = "common/settings.rs"]
mod settings;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

use std::time::{Duration, Instant};

use netmoth::bench::{Cell, Column, Report};
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

/// Sends for `length`. The row that says what came of it, and the packets received per second.
fn phase(name: &str, wire: &Wire, sensor: &Sensor, rate: u64, length: Duration) -> (Vec<Cell>, f64) {
    let before = moment(wire, sensor);
    let sender = Sender::start(Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, frames::load(FLOWS, 0))],
        rounds: None,
        cpu: Some(settings::sending_cpu()),
        rate: Some(rate),
    });
    std::thread::sleep(length);
    let sent = sender.stop();
    let after = moment(wire, sensor);
    let received = (after.frames - before.frames) as f64 / sent.took.as_secs_f64();
    let records = (after.emitted - before.emitted) as f64 / sent.took.as_secs_f64();
    let row = vec![
        name.into(),
        received.into(),
        (after.dropped - before.dropped).into(),
        records.into(),
        after.spooled.into(),
        after.spool_bytes.into(),
        after.lost.into(),
        before.resident.into(),
        after.resident.into(),
    ];
    (row, received)
}

fn report(seconds: u64) -> Report {
    Report::new(
        format!(
            "the store away for {seconds} s: {FLOWS} connections in parts of a second, {}-byte frames, one worker",
            frames::SMALLEST
        ),
        [
            Column::text("while"),
            Column::number("received", "packets/s", 0),
            Column::number("frames lost", "", 0),
            Column::number("emitted", "records/s", 0),
            Column::number("in the spool", "records", 0),
            Column::number("spool", "bytes", 0),
            Column::number("records lost", "", 0),
            Column::number("resident before", "MiB", 0),
            Column::number("resident after", "MiB", 0),
        ],
    )
}

fn main() {
    let Some(format) = settings::asked() else { return };
    let (seconds, rate) =
        (settings::number("NETMOTH_BENCH_SECONDS", 20), settings::number("NETMOTH_BENCH_RATE", 400_000));
    let length = Duration::from_secs(seconds);
    let server = PostgresServer::start().expect("PostgreSQL");
    let (wire, folder) = (Wire::new(1, 1500), tempfile::tempdir().unwrap());
    wire.script_tap("ip link set lo up");
    let more = format!("active_timeout: 1\nstatus_interval: 0\nring_size: 16384\nmetrics: {ADDRESS}");
    let settings = Settings { more, spool_bytes: 8 << 30, ..Settings::workers(1) };
    let sensor = Sensor::start_with_store(wire.at_tap(NETMOTH), folder.path(), &settings, server.socket_url());
    let mut report = report(seconds);
    phase("warming up", &wire, &sensor, rate, Duration::from_secs(5));
    let (row, there) = phase("store there", &wire, &sensor, rate, length.min(Duration::from_secs(60)));
    report.row(row);
    server.stop();
    let (row, away) = phase("store away", &wire, &sensor, rate, length);
    report.row(row);
    let kept = moment(&wire, &sensor).spooled;
    server.resume();
    let begun = Instant::now();
    while moment(&wire, &sensor).spooled > 0 {}
    let took = begun.elapsed().as_secs_f64();
    report.note(format!(
        "away / there: {:.2} %; {kept} records drained in {took:.1} s: {:.0} records/s",
        100.0 * away / there,
        kept as f64 / took
    ));
    report.print(format, &mut std::io::stdout()).expect("standard output");
    let outcome = sensor.stop();
    outcome.assert_sums();
    assert_eq!(outcome.sum("lost"), 0, "records");
}
