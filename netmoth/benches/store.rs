//! Rows per second into the stores, beside what the stores' own tools reach with the same rows: `cargo bench --bench store`, with
//! `-- --format json` for a program. `NETMOTH_BENCH_STORE=sqlite` or `=postgresql` measures one of them alone.
//!
//! The writer pays for encoding and for Community ID in its figure; psql and sqlite3 read a file that holds the result. Rounds
//! alternate, medians of seven are printed. The table is emptied before every round.

#[path = "../tests/support/postgres.rs"]
#[expect(dead_code, reason = "the tests need more of the server than this does")]
mod postgres;
#[path = "../tests/support/records.rs"]
mod records;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use netmoth::bench::{Column, Format, Report, Spread};
use netmoth::flow::FlowRecord;
use netmoth::sink::{StoreUrl, Writer, WriterConfig};
use postgres::{PASSWORD, PostgresServer};

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 7;
const BATCH: usize = 1_024;
const STORES: [&str; 2] = ["postgresql", "sqlite"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let format = Format::from_arguments()?;
    let only = std::env::var("NETMOTH_BENCH_STORE").ok();
    if let Some(other) = only.as_deref().filter(|only| !STORES.contains(only)) {
        return Err(
            format!("NETMOTH_BENCH_STORE is '{other}'. Set it to postgresql or sqlite, or unset it for both").into()
        );
    }
    let is_wanted = |store: &str| only.as_deref().is_none_or(|only| only == store);
    let rows: Vec<FlowRecord> = (0..ROWS).map(records::record).collect();
    let columns = [
        Column::text("way"),
        Column::number("rate", "rows/s", 0),
        Column::number("cost", "µs/row", 2),
        Column::number("beside the tool", "%", 1),
    ];
    let mut report = Report::new("records into a store", columns);
    if is_wanted("postgresql")
        && let Some(server) = PostgresServer::start()
    {
        let (ours, theirs) = postgresql(&server, &rows);
        add(&mut report, ["netmoth → PostgreSQL", "psql \\copy (binary) → PostgreSQL"], &ours, &theirs);
    }
    if is_wanted("sqlite") {
        let (ours, theirs) = sqlite(&rows);
        add(&mut report, ["netmoth → SQLite", "sqlite3 .import (CSV) → SQLite"], &ours, &theirs);
    }
    report.note(format!(
        "{ROWS} rows a round, {ROUNDS} rounds of each way in turns: the median, the smallest and the largest."
    ));
    report.print(format, &mut std::io::stdout())?;
    Ok(())
}

/// Adds both ways; what is compared is compared round by round, for both met the same noise there.
fn add(report: &mut Report, [way, tool]: [&str; 2], ours: &[Duration], theirs: &[Duration]) {
    let seconds = |times: &[Duration]| Spread::of(&times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>());
    let share: Vec<f64> =
        ours.iter().zip(theirs).map(|(ours, theirs)| 100.0 * theirs.div_duration_f64(*ours)).collect();
    for (name, times, share) in [(way, ours, Some(Spread::of(&share))), (tool, theirs, None)] {
        let (rate, cost) = (|seconds| ROWS as f64 / seconds, |seconds| 1e6 * seconds / ROWS as f64);
        let times = seconds(times);
        report.row([name.into(), times.map(rate).into(), times.map(cost).into(), share.into()]);
    }
}

fn postgresql(server: &PostgresServer, rows: &[FlowRecord]) -> (Vec<Duration>, Vec<Duration>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("rows.bin");
    write_all(server.url(), rows);
    let file_name = file.display();
    let url = server.url_text("postgres", PASSWORD, "postgres");
    psql(&url, &format!("\\copy (select * from flows) to '{file_name}' with (format binary)"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        server.psql("TRUNCATE flows");
        ours.push(write_all(server.url(), rows));
        assert_eq!(server.psql("SELECT count(*) FROM flows"), ROWS.to_string());
        server.psql("TRUNCATE flows");
        let start = Instant::now();
        psql(&url, &format!("\\copy flows from '{file_name}' with (format binary)"));
        theirs.push(start.elapsed());
    }
    (ours, theirs)
}

fn sqlite(rows: &[FlowRecord]) -> (Vec<Duration>, Vec<Duration>) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (file, csv) = (folder.path().join("ours.db"), folder.path().join("rows.csv"));
        ours.push(write_all(StoreUrl::Sqlite(file.clone()), rows));
        sqlite3(&file, &[".mode csv", &format!(".output {}", csv.display()), "SELECT * FROM flows;"]);
        let other = folder.path().join("theirs.db");
        sqlite3(
            &other,
            &[
                "PRAGMA journal_mode=WAL;",
                concat!(".read ", env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/0001_flows.sql"),
            ],
        );
        let start = Instant::now();
        sqlite3(&other, &[".mode csv", &format!(".import {} flows", csv.display())]);
        theirs.push(start.elapsed());
    }
    (ours, theirs)
}

/// From the first record handed over to the last one committed; the connection stands before.
fn write_all(url: StoreUrl, rows: &[FlowRecord]) -> Duration {
    let config = WriterConfig { max_waiting_records: rows.len(), ..WriterConfig::new(url, "bench") };
    let writer = Writer::start(config).expect("a store");
    let mut sender = writer.sender(0);
    let start = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    for rows in rows.chunks(BATCH) {
        batch.extend_from_slice(rows);
        assert!(sender.send(&mut batch), "the channel holds all batches of a round");
    }
    drop(sender);
    let report = writer.finish(Duration::from_secs(600));
    assert_eq!(report.committed, rows.len() as u64);
    start.elapsed()
}

fn psql(url: &str, command: &str) {
    let status = Command::new("psql").args(["-Xq", "-v", "ON_ERROR_STOP=1", url, "-c", command]).status();
    assert!(status.expect("psql").success(), "{command}");
}

fn sqlite3(file: &Path, commands: &[&str]) {
    let output = Command::new("sqlite3").arg("-bail").arg(file).args(commands).output().expect("sqlite3");
    assert!(output.status.success(), "{commands:?}: {}", String::from_utf8_lossy(&output.stderr));
}
