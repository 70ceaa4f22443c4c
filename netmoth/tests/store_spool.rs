//! While the store is away, records wait on disk: they outlive the writer, and each comes into the store once.

#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod postgres;
#[path = "support/records.rs"]
mod records;

use std::path::Path;
use std::time::{Duration, Instant};

use netmoth::sink::{
    LostReason, SpoolConfig, SpoolFacts, StoreUrl, Writer, WriterConfig, WriterCounters, WriterReport,
};
use postgres::PostgresServer;
use records::record;

const DRAIN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(60);

fn config(url: StoreUrl, folder: &Path) -> WriterConfig {
    WriterConfig {
        flush_interval: Duration::from_millis(20),
        batch_records: 500,
        spool: Some(SpoolConfig { path: folder.join("spool"), max_bytes: 1 << 30 }),
        ..WriterConfig::new(url, "edge")
    }
}

fn send(writer: &Writer, records: std::ops::Range<u64>) {
    let mut sender = writer.sender(0);
    for from in records.clone().step_by(250) {
        assert!(sender.send(&mut (from..(from + 250).min(records.end)).map(record).collect()));
    }
}

#[track_caller]
fn until(what: &str, counters: &WriterCounters, ready: impl Fn(&WriterCounters) -> bool) {
    let begun = Instant::now();
    while !ready(counters) {
        assert!(begun.elapsed() < SOON, "{what}: {:?}", counters.report());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[track_caller]
fn assert_balanced(report: &WriterReport) {
    assert_eq!((report.waiting, report.is_balanced()), (0, true), "{report:?}");
}

fn stored(server: &PostgresServer) -> String {
    server.psql("SELECT count(*), count(DISTINCT flow_id) FROM flows")
}

#[test]
fn records_of_an_outage_wait_on_disk_and_the_spool_empties_when_the_store_is_back() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    // More than memory may hold: what is kept can only be on the disk.
    let writer =
        Writer::start(WriterConfig { max_waiting_records: 2_000, ..config(server.url(), folder.path()) }).unwrap();
    let counters = writer.counters();
    send(&writer, 0..1_000);
    until("the first are stored", &counters, |c| c.committed() == 1_000);
    server.stop();
    for thousand in 1..21 {
        send(&writer, thousand * 1_000..(thousand + 1) * 1_000);
        until("they are kept", &counters, |c| c.waiting() == 0);
    }
    assert_eq!((counters.spooled(), counters.lost_total(), counters.store_up()), (20_000, 0, false));
    assert!(SpoolFacts::of(&folder.path().join("spool")).unwrap().bytes > 20_000 * 100);
    server.resume();
    until("the spool is empty", &counters, |c| c.spooled() == 0);
    send(&writer, 21_000..22_000);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, stored(&server).as_str()), (22_000, "22000|22000"));
    assert_eq!(SpoolFacts::of(&folder.path().join("spool")).unwrap(), SpoolFacts::default());
}

#[test]
fn what_is_left_at_the_end_goes_to_the_spool_and_the_next_start_stores_it() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::start(config(server.url(), folder.path())).unwrap();
    server.stop();
    send(&writer, 0..3_000);
    let begun = Instant::now();
    let report = writer.finish(DRAIN);
    assert!(begun.elapsed() < Duration::from_secs(10), "a store that is away is not waited for");
    assert_balanced(&report);
    assert_eq!((report.spooled, report.lost_total()), (3_000, 0));
    server.resume();
    let writer = Writer::start(config(server.url(), folder.path())).unwrap();
    let counters = writer.counters();
    assert_eq!(counters.recovered(), 3_000);
    until("the spool is empty", &counters, |c| c.spooled() == 0);
    send(&writer, 3_000..3_100);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, stored(&server).as_str()), (3_100, "3100|3100"));
}

#[test]
fn it_starts_while_the_store_is_away_but_not_with_a_wrong_password() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let wrong = server.url_text("postgres", "wrong-horse", "postgres").parse().unwrap();
    let error = Writer::start(config(wrong, folder.path())).expect_err("a wrong password").to_string();
    assert!(error.contains("refuses the password"), "{error}");
    server.stop();
    let writer = Writer::start(config(server.url(), folder.path())).unwrap();
    let counters = writer.counters();
    send(&writer, 0..1_000);
    until("they are kept", &counters, |c| c.spooled() == 1_000);
    assert!(!counters.store_up());
    server.resume();
    until("the spool is empty", &counters, |c| c.spooled() == 0);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, stored(&server).as_str()), (1_000, "1000|1000"));
}

#[test]
fn a_frozen_server_is_as_good_as_a_dead_one_and_gets_nothing_twice_when_it_thaws() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(300);
    let config =
        WriterConfig { write_timeout: patience, connect_timeout: patience, ..config(server.url(), folder.path()) };
    let writer = Writer::start(config).unwrap();
    let counters = writer.counters();
    for round in 0..5_u64 {
        send(&writer, round * 2_000..round * 2_000 + 1_000);
        server.signal("STOP");
        send(&writer, round * 2_000 + 1_000..round * 2_000 + 2_000);
        until("it is noticed and they are kept", &counters, |c| !c.store_up() && c.waiting() == 0);
        server.signal("CONT");
        until("the spool is empty", &counters, |c| c.store_up() && c.spooled() == 0);
    }
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, stored(&server).as_str()), (10_000, "10000|10000"));
}

#[test]
fn rows_that_the_server_rejects_are_set_aside_and_hold_up_nobody_from_memory_or_from_the_spool() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::start(config(server.url(), folder.path())).unwrap();
    let counters = writer.counters();
    let [first, second, third] = [78, 700, 1_500].map(|n| record(n).flow_id);
    server.psql(&format!(
        "ALTER TABLE flows ADD CONSTRAINT poisoned CHECK (flow_id NOT IN ({first}, {second}, {third}))"
    ));
    send(&writer, 0..1_000);
    until("the rest is stored", &counters, |c| c.committed() == 998);
    server.stop();
    send(&writer, 1_000..2_000);
    until("they are kept", &counters, |c| c.spooled() == 1_000);
    server.resume();
    until("the spool is empty", &counters, |c| c.spooled() == 0);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, report.lost[LostReason::Rejected as usize]), (1_997, 3));
    assert_eq!(stored(&server), "1997|1997");
    let aside = std::fs::read_to_string(folder.path().join("spool/rejected.jsonl")).unwrap();
    let aside: Vec<serde_json::Value> = aside.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(aside.iter().map(|row| row["flow_id"].as_i64().unwrap()).collect::<Vec<_>>(), [first, second, third]);
    assert!(aside.iter().all(|row| row["rejected"].as_str().unwrap().contains("poisoned")), "{aside:?}");
}

#[test]
fn one_spool_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let url = || format!("sqlite:{}", folder.path().join("flows.db").display()).parse().unwrap();
    let writer = Writer::start(config(url(), folder.path())).unwrap();
    let error = Writer::start(config(url(), folder.path())).expect_err("the spool is taken").to_string();
    assert!(error.contains("belongs to another netmoth") && error.contains("spool.path"), "{error}");
    writer.finish(DRAIN);
}

#[test]
fn a_locked_sqlite_file_is_an_outage_like_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flows.db");
    let url: StoreUrl = format!("sqlite:{}", file.display()).parse().unwrap();
    let writer =
        Writer::start(WriterConfig { write_timeout: Duration::from_millis(200), ..config(url, folder.path()) })
            .unwrap();
    let counters = writer.counters();
    let mut holder = std::process::Command::new("sqlite3")
        .arg(&file)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut hold = holder.stdin.take().unwrap();
    std::io::Write::write_all(&mut hold, b"BEGIN EXCLUSIVE; SELECT 'held';\n").unwrap();
    std::io::Write::flush(&mut hold).unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.as_mut().unwrap()), &mut said).unwrap();
    assert_eq!(said.trim(), "held");
    send(&writer, 0..2_000);
    until("they are kept", &counters, |c| c.spooled() == 2_000);
    drop(hold);
    holder.wait().unwrap();
    until("the spool is empty", &counters, |c| c.spooled() == 0);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!(report.committed, 2_000);
}

/// A small file system of its own, gone with its guard.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(bytes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Self(folder);
        disk.mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "netmoth-test"]);
        disk
    }

    fn mount(&self, arguments: &[&str]) {
        let done = std::process::Command::new("mount").args(arguments).arg(self.0.path()).status().unwrap();
        assert!(done.success(), "mount {arguments:?}");
    }

    fn remount(&self, how: &str) {
        self.mount(&["-o", &format!("remount,{how}")]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[test]
fn a_full_disk_costs_memory_and_recovers_by_itself() {
    if !root() {
        assert!(std::env::var_os("CI").is_none(), "this test mounts file systems, and in CI it may not skip");
        return;
    }
    let Some(server) = PostgresServer::start() else { return };
    let disk = SmallDisk::new("4m");
    std::fs::write(disk.0.path().join("filler"), vec![7; 3 << 20]).unwrap();
    let writer = Writer::start(config(server.url(), disk.0.path())).unwrap();
    let counters = writer.counters();
    server.stop();
    send(&writer, 0..1_000);
    until("they are kept", &counters, |c| c.spooled() == 1_000);
    send(&writer, 1_000..20_000);
    until("the disk is full", &counters, |c| c.spooled() > 1_000 && c.waiting() > 5_000);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((counters.waiting() + counters.spooled(), counters.lost_total()), (20_000, 0), "memory holds the rest");
    std::fs::remove_file(disk.0.path().join("filler")).unwrap();
    until("space was freed", &counters, |c| c.spooled() == 20_000);

    server.resume();
    until("the spool is empty", &counters, |c| c.spooled() == 0);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, stored(&server).as_str()), (20_000, "20000|20000"));
}

#[test]
fn a_disk_that_is_read_only_at_the_start_is_tried_again_until_it_is_not() {
    if !root() {
        assert!(std::env::var_os("CI").is_none(), "this test mounts file systems, and in CI it may not skip");
        return;
    }
    let Some(server) = PostgresServer::start() else { return };
    let disk = SmallDisk::new("4m");
    disk.remount("ro");
    let writer = Writer::start(config(server.url(), disk.0.path())).unwrap();
    let counters = writer.counters();
    send(&writer, 0..1_000);
    until("the store does not need the spool", &counters, |c| c.committed() == 1_000);
    server.stop();
    send(&writer, 1_000..2_000);
    until("the outage is noticed", &counters, |c| !c.store_up());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((counters.waiting(), counters.lost_total()), (1_000, 0), "memory holds what a read-only disk refuses");
    disk.remount("rw");
    until("the disk takes records", &counters, |c| c.spooled() == 1_000);
    server.resume();
    until("the spool is empty", &counters, |c| c.spooled() == 0);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, stored(&server).as_str()), (2_000, "2000|2000"));
}
