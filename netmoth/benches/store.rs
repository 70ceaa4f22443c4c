//! Rows per second into the stores, beside what the stores' own tools reach with the same rows: `cargo bench --bench store`, or
//! `cargo bench --bench store -- sqlite` for one of them (`postgresql` and `sqlite`).
//!
//! The writer pays for encoding and for Community ID in its figure; psql and sqlite3 read a file that holds the result. Rounds
//! alternate, medians of seven are printed. The table is emptied before every round.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/support/postgres.rs"]
#[expect(dead_code, reason = "the tests need more of the server than this does")]
mod postgres;
#[path = "../tests/support/records.rs"]
mod records;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use netmoth::flow::FlowRecord;
use netmoth::sink::{StoreUrl, Writer, WriterConfig};
use postgres::{PASSWORD, PostgresServer};

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 7;
const BATCH: usize = 1_024;
const STORES: [&str; 2] = ["postgresql", "sqlite"];

fn main() {
    // Cargo itself adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(unknown) = wanted.iter().find(|name| !STORES.contains(&name.as_str())) {
        panic!("there is no store '{unknown}' here: postgresql, sqlite, or none for both");
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let rows: Vec<FlowRecord> = (0..ROWS).map(records::record).collect();
    println!("{ROWS} rows a round, median of {ROUNDS} rounds, fastest and slowest\n");
    println!("{:<34} {:>12} {:>9} {:>12} {:>12}", "way", "rows/s", "µs/row", "fastest", "slowest");
    if is_wanted("postgresql")
        && let Some(server) = PostgresServer::start()
    {
        postgresql(&server, &rows);
    }
    if is_wanted("sqlite") {
        sqlite(&rows);
    }
}

fn postgresql(server: &PostgresServer, rows: &[FlowRecord]) {
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
    print("netmoth → PostgreSQL", ours);
    print("psql \\copy (binary) → PostgreSQL", theirs);
}

fn sqlite(rows: &[FlowRecord]) {
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
    print("netmoth → SQLite", ours);
    print("sqlite3 .import (CSV) → SQLite", theirs);
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

fn print(way: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let rate = |at: usize| ROWS as f64 / times[at].as_secs_f64();
    let microseconds = 1e6 / rate(times.len() / 2);
    println!(
        "{way:<34} {:>12.0} {microseconds:>9.2} {:>12.0} {:>12.0}",
        rate(times.len() / 2),
        rate(0),
        rate(times.len() - 1)
    );
}
