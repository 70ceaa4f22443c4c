//! SQLite gives back what was written, and says what is wrong with a file.

#[path = "support/records.rs"]
mod records;

use std::time::Duration;

use netmoth::flow::FlowRecord;
use netmoth::sink::{FlowQuery, StoreUrl, Writer, WriterConfig, query_flows};
use records::{START_NS, record};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor};

const DRAIN: Duration = Duration::from_secs(60);

fn start_error(url: &StoreUrl) -> String {
    Writer::start(WriterConfig::new(url.clone(), "edge")).expect_err("a store that can't be used").to_string()
}

#[test]
fn rows_come_back_exactly_and_the_sum_holds() {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("netmoth.db"));
    let writer = Writer::start(WriterConfig { batch_records: 100, ..WriterConfig::new(url.clone(), "edge") }).unwrap();
    let mut written: Vec<FlowRecord> = (0..1_003).map(record).collect();
    written[0].start_ns += 123;
    for worker in 0..2 {
        let mut sender = writer.sender(worker);
        for records in written.iter().skip(usize::from(worker)).step_by(2).copied().collect::<Vec<_>>().chunks(90) {
            assert!(sender.send(&mut records.to_vec()));
        }
    }
    let report = writer.finish(DRAIN);
    assert_eq!((report.emitted, report.committed, report.waiting, report.lost_total()), (1_003, 1_003, 0, 0));

    let rows = query_flows(&url, FlowQuery { since_ns: None, limit: 10_000 }).unwrap();
    assert!(rows.iter().all(|row| row.sensor == "edge"));
    assert_eq!(rows.iter().map(|row| row.record).collect::<Vec<_>>(), written);
    let newest = query_flows(&url, FlowQuery { since_ns: Some(START_NS + 1_000_000), limit: 2 }).unwrap();
    assert_eq!(newest.iter().map(|row| row.record).collect::<Vec<_>>(), written[1_001..]);
}

#[test]
fn a_second_run_appends_to_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("netmoth.db"));
    for run in 0..2 {
        let writer = Writer::start(WriterConfig::new(url.clone(), "edge")).unwrap();
        assert!(writer.sender(0).send(&mut vec![record(run)]));
        assert_eq!(writer.finish(DRAIN).committed, 1);
    }
    let rows = query_flows(&url, FlowQuery { since_ns: None, limit: 10 }).unwrap();
    assert_eq!(rows.iter().map(|row| row.record).collect::<Vec<_>>(), [record(0), record(1)]);
}

#[test]
fn a_file_that_can_not_be_used_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are notes, not a database, and long enough to be looked at. ".repeat(20)).unwrap();
    let error = start_error(&StoreUrl::Sqlite(text.clone()));
    assert!(error.contains("not an SQLite database") && error.contains("notes.txt"), "{error}");
    let error = start_error(&StoreUrl::Sqlite(folder.path().join("absent/netmoth.db")));
    assert!(error.contains("can't be opened or made") && error.contains("Make its folder"), "{error}");
    let absent = StoreUrl::Sqlite(folder.path().join("absent.db"));
    let error = query_flows(&absent, FlowQuery { since_ns: None, limit: 1 }).unwrap_err().to_string();
    assert!(error.contains("there is no SQLite file"), "{error}");
    assert!(!folder.path().join("absent.db").exists());
}

/// Runs statements in a file.
fn alter(url: &StoreUrl, sql: &'static str) {
    let StoreUrl::Sqlite(path) = url else { panic!("{url} is not a file") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn tables_that_were_altered_are_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = |name: &str| {
        let url = StoreUrl::Sqlite(folder.path().join(name));
        Writer::start(WriterConfig::new(url.clone(), "edge")).unwrap().finish(DRAIN);
        url
    };
    for (number, (sql, words)) in [
        ("ALTER TABLE flows DROP COLUMN history", "flows has no column history"),
        (
            "ALTER TABLE flows DROP COLUMN vlan_id; ALTER TABLE flows ADD COLUMN vlan_id TEXT",
            "flows.vlan_id is of type TEXT instead of INTEGER",
        ),
        (
            "ALTER TABLE flows DROP COLUMN tunnel; ALTER TABLE flows ADD COLUMN tunnel TEXT NOT NULL DEFAULT ''",
            "flows.tunnel has become NOT NULL",
        ),
        ("DROP TABLE flows", "the table flows is missing"),
        (
            "DROP TABLE batches; CREATE TABLE batches \
             (sensor TEXT NOT NULL, run INTEGER NOT NULL, seq INTEGER NOT NULL, records INTEGER NOT NULL, site TEXT NOT NULL)",
            "batches has a column site that is NOT NULL without a default, batches has no PRIMARY KEY (sensor, run, seq)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let url = fresh(&format!("{number}.db"));
        alter(&url, sql);
        let error = start_error(&url);
        assert!(error.contains(words) && error.contains("Undo what was altered"), "{sql}: {error}");
    }

    let url = fresh("own.db");
    alter(
        &url,
        "ALTER TABLE flows ADD COLUMN note TEXT; ALTER TABLE flows ADD COLUMN site TEXT NOT NULL DEFAULT 'here'",
    );
    let writer = Writer::start(WriterConfig::new(url.clone(), "edge")).unwrap();
    assert!(writer.sender(0).send(&mut vec![record(1)]));
    assert_eq!(writer.finish(DRAIN).committed, 1, "columns of the user's own are no difference");
}
