//! PostgreSQL gets every record once, whatever happens to the server, and what users meet has a sentence.

#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest of it")]
mod postgres;
#[path = "support/records.rs"]
mod records;

use std::time::Duration;

use netmoth::flow::FlowRecord;
use netmoth::sink::{FlowQuery, LostReason, StoreUrl, Writer, WriterConfig, WriterReport, query_flows};
use postgres::{PASSWORD, PostgresServer};
use records::{START_NS, record};

const DRAIN: Duration = Duration::from_secs(120);

fn start_error(url: &str) -> String {
    let url: StoreUrl = url.parse().unwrap();
    let error = Writer::start(WriterConfig::new(url, "edge")).expect_err("a store that can't be used").to_string();
    assert!(!error.contains(PASSWORD) && !error.contains("wrong-horse"), "{error}");
    error
}

fn config(server: &PostgresServer) -> WriterConfig {
    WriterConfig { flush_interval: Duration::from_millis(20), ..WriterConfig::new(server.url(), "edge") }
}

fn assert_balanced(report: &WriterReport) {
    assert_eq!((report.waiting, report.is_balanced()), (0, true), "{report:?}");
}

#[test]
fn rows_come_back_exactly_from_partitions_with_brin() {
    let Some(server) = PostgresServer::start() else { return };
    let mut written: Vec<FlowRecord> = (0..2_000).map(record).collect();
    // Two captures of other days, one of them from before PostgreSQL's own epoch.
    written.extend([record(1), record(2)]);
    written[2_000].start_ns = 915_148_799_999_999_000;
    written[2_001].start_ns = 1_709_164_800_000_000_000;
    let writer = Writer::start(config(&server)).unwrap();
    assert!(writer.sender(0).send(&mut written.clone()));
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.lost_total()), (2_002, 0));

    let rows = query_flows(&server.url(), FlowQuery { since_ns: None, limit: 10_000 }).unwrap();
    written.sort_by_key(|record| (record.start_ns, record.flow_id));
    assert_eq!(rows.iter().map(|row| row.record).collect::<Vec<_>>(), written);
    assert!(rows.iter().all(|row| row.sensor == "edge"));
    let newest = query_flows(&server.url(), FlowQuery { since_ns: Some(START_NS + 1_000), limit: 3 }).unwrap();
    assert_eq!(newest.iter().map(|row| row.record).collect::<Vec<_>>(), written[1_999..]);

    let partitions = server.psql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'flows'::regclass");
    for day in ["flows_19981231", "flows_20240229", "flows_20261127"] {
        assert!(partitions.contains(day), "{partitions}");
    }
    let ahead =
        server.psql("SELECT to_regclass('flows_' || to_char((now() + '3 days') AT TIME ZONE 'UTC', 'YYYYMMDD'))");
    assert!(ahead.starts_with("flows_"), "{ahead}");
    let indexes = "SELECT DISTINCT a.amname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam \
                   WHERE i.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'flows'::regclass)";
    assert_eq!(server.psql(indexes), "brin");
    assert_eq!(server.psql("SELECT count(*) FROM pg_partitioned_table WHERE partdefid <> 0"), "0");
    let columns = "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 'flows'";
    assert_eq!(server.psql(columns), netmoth::sink::COLUMNS.join(","));
}

#[test]
fn two_writers_share_one_database() {
    let Some(server) = PostgresServer::start() else { return };
    let threads: Vec<_> = ["edge", "core"]
        .map(|sensor| {
            let config = WriterConfig { sensor: sensor.to_owned(), batch_records: 300, ..config(&server) };
            std::thread::spawn(move || {
                let writer = Writer::start(config).unwrap();
                let mut sender = writer.sender(0);
                for from in (0..3_000).step_by(100) {
                    assert!(sender.send(&mut (from..from + 100).map(record).collect()));
                }
                drop(sender);
                writer.finish(DRAIN)
            })
        })
        .into();
    for thread in threads {
        assert_eq!(thread.join().unwrap().committed, 3_000);
    }
    let counted =
        server.psql("SELECT sensor, count(*), count(DISTINCT flow_id) FROM flows GROUP BY sensor ORDER BY sensor");
    assert_eq!(counted, "core|3000|3000\nedge|3000|3000");
    assert_eq!(server.psql("SELECT sum(records) FROM batches"), "6000");
}

#[test]
fn a_server_that_crashes_and_comes_back_gets_every_record_once() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = Writer::start(WriterConfig { batch_records: 500, ..config(&server) }).unwrap();
    let counters = writer.counters();
    let mut sender = writer.sender(0);
    let mut next = 0;
    let mut send = |count: u64| {
        for from in (next..next + count).step_by(250) {
            assert!(sender.send(&mut (from..from + 250).map(record).collect()));
        }
        next += count;
    };
    for _ in 0..2 {
        send(20_000);
        server.stop();
        send(5_000);
        // The writer notices when it writes.
        while counters.store_up() {
            std::thread::yield_now();
        }
        send(5_000);
        server.resume();
        while !counters.store_up() {
            std::thread::yield_now();
        }
    }
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, report.lost_total()), (60_000, 0));
    assert!(report.retries > 0);
    assert_eq!(server.psql("SELECT count(*), count(DISTINCT flow_id) FROM flows"), "60000|60000");
}

#[test]
fn what_overflows_or_is_left_at_the_deadline_is_counted() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = Writer::start(WriterConfig { max_waiting_records: 1_000, ..config(&server) }).unwrap();
    let counters = writer.counters();
    server.stop();
    let mut sender = writer.sender(0);
    assert!(sender.send(&mut (0..600).map(record).collect()));
    assert!(sender.send(&mut (600..1_500).map(record).collect()));
    while counters.lost(LostReason::BufferFull) == 0 {
        std::thread::yield_now();
    }
    drop(sender);
    let report = writer.finish(Duration::from_millis(300));
    assert_balanced(&report);
    assert_eq!((report.emitted, report.committed, report.lost), (1_500, 0, [0, 500, 0, 1_000, 0]));
}

#[test]
fn a_record_that_the_server_rejects_is_lost_alone() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = Writer::start(config(&server)).unwrap();
    server.psql("ALTER TABLE flows ADD CHECK (flow_id <> 78)");
    assert!(writer.sender(0).send(&mut (0..200).map(record).collect()));
    let report = writer.finish(DRAIN);
    assert_balanced(&report);
    assert_eq!((report.committed, report.lost[LostReason::Rejected as usize]), (199, 1));
    assert_eq!(server.psql("SELECT count(*), count(DISTINCT flow_id) FROM flows"), "199|199");
}

#[test]
fn what_users_meet_has_cause_and_remedy() {
    let Some(server) = PostgresServer::start() else { return };
    let error = start_error(&server.url_text("postgres", "wrong-horse", "postgres"));
    assert!(error.contains("refuses the password of user 'postgres'"), "{error}");
    let error = start_error(&server.url_text("postgres", PASSWORD, "absent"));
    assert!(error.contains("no database 'absent'") && error.contains("createdb"), "{error}");
    server.psql("CREATE ROLE guest LOGIN PASSWORD 'right-horse'");
    server.psql("REVOKE CREATE ON SCHEMA public FROM public");
    let error = start_error(&server.url_text("guest", PASSWORD, "postgres"));
    assert!(error.contains("lacks a privilege") && error.contains("GRANT CREATE"), "{error}");
    let error = start_error(&format!("{}?sslmode=require", server.url_text("postgres", PASSWORD, "postgres")));
    assert!(error.contains("encrypted connection") && error.contains("sslmode=disable"), "{error}");

    Writer::start(config(&server)).unwrap().finish(DRAIN);
    server.psql("INSERT INTO _sqlx_migrations VALUES (99, 'later', now(), true, '', 0)");
    let error = start_error(&server.url_text("postgres", PASSWORD, "postgres"));
    assert!(error.contains("newer netmoth (schema version 99"), "{error}");

    server.replace_hba("hostssl all all 127.0.0.1/32 scram-sha-256\n");
    let error = start_error(&format!("{}?sslmode=disable", server.url_text("postgres", PASSWORD, "postgres")));
    assert!(error.contains("encrypted connections only") && error.contains("sslmode=require"), "{error}");
    server.stop();
    let error = start_error(&server.url_text("postgres", PASSWORD, "postgres"));
    assert!(error.contains("nothing answers") && error.contains("systemctl start postgresql"), "{error}");
}

#[test]
fn the_command_line_ends_with_one_and_names_what_to_mend() {
    let Some(server) = PostgresServer::start() else { return };
    let refused = |url: &str, words: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        // An empty capture: a pcap header without packets. The store is opened first.
        let file = folder.path().join("empty.pcap");
        let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        header.extend([0; 8]);
        header.extend([0, 0, 4, 0, 1, 0, 0, 0]);
        std::fs::write(&file, header).unwrap();
        let mut netmoth = std::process::Command::new(env!("CARGO_BIN_EXE_netmoth"));
        let ended = netmoth.args(["read", "--store", url]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
        assert!(!said.contains(PASSWORD) && !said.contains("wrong-horse") && !said.contains("panicked"), "{said}");
    };
    refused(&server.url_text("postgres", "wrong-horse", "postgres"), &["password", "postgres"]);
    refused(&server.url_text("postgres", PASSWORD, "nowhere"), &["no database 'nowhere'", "createdb"]);
    server.stop();
    refused(&server.url_text("postgres", PASSWORD, "postgres"), &["127.0.0.1", "systemctl start postgresql"]);
}
