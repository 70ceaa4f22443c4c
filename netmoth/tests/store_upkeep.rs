//! PostgreSQL's tables stay in shape: old days go, closed days get their indexes, the ledger forgets, and no writer notices.

#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod postgres;
#[path = "support/records.rs"]
mod records;
#[path = "support/until.rs"]
mod until;

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netmoth::flow::FlowRecord;
use netmoth::sink::{Upkeep, UpkeepConfig, Writer, WriterConfig};
use postgres::{PASSWORD, PostgresServer};
use records::record;
use until::until;

const DRAIN: Duration = Duration::from_secs(120);
const DAY_NS: i64 = 86_400_000_000_000;
const PARTITIONS: &str = "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'flows'::regclass ORDER BY 1";

fn writer(server: &PostgresServer, sensor: &str) -> Writer {
    let flush_interval = Duration::from_millis(10);
    Writer::start(WriterConfig { flush_interval, ..WriterConfig::new(server.url(), sensor) }).unwrap()
}

fn upkeep(server: &PostgresServer, retention_days: u32) -> Upkeep {
    let every = Duration::from_millis(5);
    Upkeep::start(UpkeepConfig { every, ..UpkeepConfig::new(server.url(), retention_days) }).unwrap().unwrap()
}

/// Waits until a whole turn has begun and ended after this call.
fn turn(upkeep: &Upkeep) {
    let from = upkeep.turns();
    until("a turn of upkeep", || upkeep.turns() >= from + 2);
}

/// Midnight of the server's day, `back` days ago, and the partition of that day.
fn day(server: &PostgresServer, back: i64) -> (i64, String) {
    let days: i64 = server.psql("SELECT floor(extract(epoch FROM now()) / 86400)::int8").parse().unwrap();
    let name = server.psql(&format!("SELECT to_char(to_timestamp({} * 86400.0), 'YYYYMMDD')", days - back));
    ((days - back) * DAY_NS, format!("flows_{name}"))
}

/// Records `from..to`, all of them of the day that begins at `midnight`.
fn of_day(midnight: i64, from: u64, to: u64) -> Vec<FlowRecord> {
    let at = |n: u64| midnight + DAY_NS / 2 + n as i64 * 1_000;
    (from..to).map(|n| FlowRecord { start_ns: at(n), end_ns: at(n), ..record(n) }).collect()
}

/// A session that runs statements beside the test; ended when it is dropped.
struct Session(Child);

impl Session {
    fn start(server: &PostgresServer, sql: &[&str]) -> Self {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", &server.url_text("postgres", PASSWORD, "postgres")]);
        psql.args(sql.iter().flat_map(|sql| ["-c", sql])).stdout(Stdio::null()).stderr(Stdio::null());
        let session = Self(psql.spawn().unwrap());
        until("the session sleeps", || {
            server.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"
        });
        session
    }

    /// Has the server end it, too.
    fn end(mut self, server: &PostgresServer) {
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        self.0.wait().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn retention_drops_the_days_that_are_too_old_and_nothing_else() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let mut sender = writer.sender(0);
    for back in [400, 9, 8, 7, 6, 0] {
        assert!(sender.send(&mut of_day(day(&server, back).0, 0, 10)));
    }
    drop(sender);
    assert_eq!(writer.finish(DRAIN).committed, 60);
    // What netmoth did not make is not its own to drop: other names, and its kind of name with other bounds.
    server.psql("CREATE TABLE archive_1999 PARTITION OF flows FOR VALUES FROM ('1999-01-01 00:00+00') TO ('2000-01-01 00:00+00')");
    server.psql("CREATE TABLE flows_19980101 PARTITION OF flows FOR VALUES FROM ('1998-01-01 00:00+00') TO ('1998-02-01 00:00+00')");
    let before = server.psql(PARTITIONS);

    let keeps_all = upkeep(&server, 0);
    turn(&keeps_all);
    drop(keeps_all);
    assert_eq!(server.psql(PARTITIONS), before, "0 keeps all");

    let keeps_a_week = upkeep(&server, 7);
    turn(&keeps_a_week);
    let gone = [400, 9, 8].map(|back| day(&server, back).1);
    let kept: Vec<&str> = before.lines().filter(|name| !gone.iter().any(|gone| gone == name)).collect();
    assert_eq!(kept.len() + gone.len(), before.lines().count());
    assert_eq!(server.psql(PARTITIONS), kept.join("\n"));
    assert_eq!(server.psql("SELECT count(*) FROM flows"), "30");
}

#[test]
fn a_day_that_can_not_be_dropped_does_not_keep_the_others() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let mut sender = writer.sender(0);
    for back in [32, 31, 30] {
        assert!(sender.send(&mut of_day(day(&server, back).0, 0, 10)));
    }
    drop(sender);
    assert_eq!(writer.finish(DRAIN).committed, 30);
    let needed = day(&server, 31).1;
    server.psql(&format!("CREATE VIEW precious AS SELECT * FROM {needed}"));
    let upkeep = upkeep(&server, 7);
    turn(&upkeep);
    let left = server.psql("SELECT DISTINCT tableoid::regclass FROM flows");
    assert_eq!((left.as_str(), server.psql("SELECT count(*) FROM precious").as_str()), (needed.as_str(), "10"));
}

#[test]
fn who_reads_for_long_is_not_disturbed_and_the_writer_goes_on() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let mut sender = writer.sender(0);
    assert!(sender.send(&mut of_day(day(&server, 30).0, 0, 10)));
    until("the old rows are stored", || writer.counters().report().committed == 10);
    let old = day(&server, 30).1;
    let reader = Session::start(&server, &["BEGIN", "SELECT count(*) FROM flows", "SELECT pg_sleep(600)"]);
    let upkeep = upkeep(&server, 7);
    let today = day(&server, 0).0;
    for from in (0..1_000).step_by(100) {
        assert!(sender.send(&mut of_day(today, from, from + 100)));
        until("new rows are stored while somebody reads", || writer.counters().report().committed == 110 + from);
    }
    turn(&upkeep);
    assert!(server.psql(PARTITIONS).contains(&old), "the reader holds it");
    reader.end(&server);
    until("the old day is dropped after the reader's end", || !server.psql(PARTITIONS).contains(&old));
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.retries, report.lost_total()), (1_010, 0, 0));
    assert_eq!(server.psql("SELECT count(*) FROM flows"), "1000");
}

#[test]
fn a_day_of_its_own_is_made_while_somebody_reads() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let reader = Session::start(&server, &["BEGIN", "SELECT count(*) FROM flows", "SELECT pg_sleep(600)"]);
    let (midnight, name) = day(&server, 30);
    assert!(writer.sender(0).send(&mut of_day(midnight, 0, 10)));
    until("rows of a new day are stored", || writer.counters().report().committed == 10);
    assert_eq!(server.psql(&format!("SELECT count(*) FROM {name}")), "10");
    reader.end(&server);
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.retries, report.lost_total()), (10, 0, 0));
}

#[test]
fn late_rows_of_a_day_that_was_dropped_behind_the_writers_back_are_stored() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let mut sender = writer.sender(0);
    let (midnight, name) = day(&server, 30);
    assert!(sender.send(&mut of_day(midnight, 0, 10)));
    until("the first rows are stored", || writer.counters().report().committed == 10);
    let keeps_a_week = upkeep(&server, 7);
    until("the day is dropped", || !server.psql(PARTITIONS).contains(&name));
    drop(keeps_a_week);
    // Late rows and others in one batch: all of them have to land.
    let mut late = of_day(midnight, 10, 60);
    late.extend(of_day(day(&server, 0).0, 60, 100));
    assert!(sender.send(&mut late));
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.lost_total()), (100, 0));
    assert!(report.retries > 0, "the partition was gone, and the writer has met that: {report:?}");
    assert_eq!(server.psql(&format!("SELECT count(*), count(DISTINCT flow_id) FROM {name}")), "50|50");
    assert_eq!(server.psql("SELECT count(*) FROM flows"), "90");
}

/// Writes small batches of today's and of days that are closed already, with upkeep beside it.
fn sensor(server: &PostgresServer, name: &str) {
    let writer = writer(server, name);
    let upkeep = upkeep(server, 7);
    let mut sender = writer.sender(0);
    let days = [0, 2, 3, 6].map(|back| day(server, back).0);
    for from in (0..6_000).step_by(50) {
        assert!(sender.send(&mut of_day(days[from as usize / 50 % days.len()], from, from + 50)));
        std::thread::sleep(Duration::from_millis(10));
    }
    turn(&upkeep);
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.retries, report.lost_total()), (6_000, 0, 0), "{name}");
}

#[test]
fn two_sensors_with_upkeep_at_every_moment_do_not_disturb_each_other() {
    let Some(server) = PostgresServer::start() else { return };
    Writer::start(WriterConfig::new(server.url(), "first")).unwrap().finish(DRAIN);
    let done = AtomicBool::new(false);
    let mut made = 0;
    std::thread::scope(|scope| {
        let sensors = ["edge", "core"].map(|name| {
            scope.spawn({
                let server = &server;
                move || sensor(server, name)
            })
        });
        // Old days that come up again and again, as late rows make them.
        scope.spawn(|| {
            for thread in sensors {
                let ended = thread.join();
                done.store(true, Ordering::Release);
                ended.unwrap();
            }
        });
        while !done.load(Ordering::Acquire) {
            let back = 30 + made % 3;
            let sql = "DO $$ BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS flows_%s PARTITION OF flows FOR VALUES FROM (%L) TO (%L)', \
                       to_char(now() AT TIME ZONE 'UTC' - interval 'BACK days', 'YYYYMMDD'), \
                       date_trunc('day', now(), 'UTC') - interval 'BACK days', date_trunc('day', now(), 'UTC') - interval 'BACK days' + interval '1 day'); END $$";
            server.psql(&sql.replace("BACK", &back.to_string()));
            let name = day(&server, back).1;
            until("an old day is dropped", || done.load(Ordering::Acquire) || !server.psql(PARTITIONS).contains(&name));
            made += 1;
        }
    });
    assert!(made > 2, "{made} old days came up");
    let counted =
        server.psql("SELECT sensor, count(*), count(DISTINCT flow_id) FROM flows GROUP BY sensor ORDER BY sensor");
    assert_eq!(counted, "core|6000|6000\nedge|6000|6000");
    assert_eq!(server.psql("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), "0");
}

#[test]
fn days_that_are_over_get_their_indexes_and_the_others_do_not() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let mut sender = writer.sender(0);
    let (midnight, closed) = day(&server, 2);
    assert!(sender.send(&mut of_day(midnight, 0, 500)));
    assert!(sender.send(&mut of_day(day(&server, 0).0, 500, 600)));
    until("the rows are stored", || writer.counters().report().committed == 600);
    let upkeep = upkeep(&server, 0);
    turn(&upkeep);
    let indexes = |table: &str| {
        server.psql(&format!(
            "SELECT i.relname, pg_get_indexdef(i.oid) ~ 'btree' FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
             WHERE x.indrelid = '{table}'::regclass AND x.indisvalid ORDER BY 1"
        ))
    };
    let all = format!("{closed}_community_id|t\n{closed}_dst_ip|t\n{closed}_src_ip|t\n{closed}_start_time_idx|f");
    assert_eq!(indexes(&closed), all);
    assert_eq!(server.psql(&format!("SELECT reltuples FROM pg_class WHERE relname = '{closed}'")), "500", "analyzed");
    let definition = server.psql(&format!("SELECT pg_get_indexdef('{closed}_src_ip'::regclass)"));
    assert!(definition.ends_with("USING btree (src_ip, start_time)"), "{definition}");
    let open = day(&server, 0).1;
    assert_eq!(indexes(&open), format!("{open}_start_time_idx|f"));

    // What an interrupted CREATE INDEX CONCURRENTLY leaves is made anew.
    let identity = || server.psql(&format!("SELECT to_regclass('{closed}_dst_ip')::oid"));
    let broken = identity();
    server.psql(&format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = {broken}"));
    until("the index is made anew", || identity() != broken && indexes(&closed) == all);

    assert!(sender.send(&mut of_day(midnight, 600, 700)));
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.retries, report.lost_total()), (700, 0, 0));
    assert_eq!(server.psql(&format!("SELECT count(*) FROM {closed}")), "600", "late rows land in a closed day");
}

#[test]
fn late_rows_for_a_day_that_somebody_detached_bring_it_back() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let mut sender = writer.sender(0);
    let (midnight, name) = day(&server, 30);
    assert!(sender.send(&mut of_day(midnight, 0, 10)));
    until("the rows are stored", || writer.counters().report().committed == 10);
    server.psql(&format!("ALTER TABLE flows DETACH PARTITION {name}"));
    assert!(sender.send(&mut of_day(midnight, 10, 20)));
    drop(sender);
    assert_eq!(writer.finish(DRAIN).committed, 20);
    assert_eq!(server.psql("SELECT count(*) FROM flows"), "20");
}

#[test]
fn late_rows_are_stored_while_an_index_of_their_day_waits() {
    let Some(server) = PostgresServer::start() else { return };
    let writer = writer(&server, "edge");
    let mut sender = writer.sender(0);
    let (midnight, closed) = day(&server, 2);
    assert!(sender.send(&mut of_day(midnight, 0, 100)));
    until("the rows are stored", || writer.counters().report().committed == 100);
    // CREATE INDEX CONCURRENTLY waits for whoever still sees the table as it was.
    let old = ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1", "SELECT pg_sleep(600)"];
    let old = Session::start(&server, &old);
    let upkeep = upkeep(&server, 0);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX%'";
    until("an index waits", || server.psql(waits) == "1");
    assert!(sender.send(&mut of_day(midnight, 100, 200)));
    until("late rows are stored", || writer.counters().report().committed == 200);
    assert_eq!(server.psql(waits), "1");
    old.end(&server);
    turn(&upkeep);
    let valid = format!("SELECT count(*) FROM pg_index WHERE indrelid = '{closed}'::regclass AND indisvalid");
    assert_eq!(server.psql(&valid), "4");
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.retries, report.lost_total()), (200, 0, 0));
}

#[test]
fn the_ledger_forgets_after_ninety_days() {
    let Some(server) = PostgresServer::start() else { return };
    Writer::start(WriterConfig::new(server.url(), "edge")).unwrap().finish(DRAIN);
    server.psql(
        "INSERT INTO batches SELECT 'edge', 1, n, 1, now() - interval '91 days' FROM generate_series(1, 12000) n",
    );
    server
        .psql("INSERT INTO batches SELECT 'edge', 2, n, 1, now() - interval '89 days' FROM generate_series(1, 100) n");
    let upkeep = upkeep(&server, 0);
    turn(&upkeep);
    assert_eq!(server.psql("SELECT run, count(*) FROM batches GROUP BY run"), "2|100");
}

#[test]
fn it_ends_at_once_whatever_it_waits_for() {
    let Some(server) = PostgresServer::start() else { return };
    Writer::start(WriterConfig::new(server.url(), "edge")).unwrap().finish(DRAIN);
    let other = Session::start(&server, &["BEGIN", "LOCK TABLE batches", "SELECT pg_sleep(600)"]);
    let upkeep = upkeep(&server, 7);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'netmoth' AND wait_event_type = 'Lock'";
    until("the upkeep waits for a lock", || server.psql(waits) == "1");
    let begin = Instant::now();
    drop(upkeep);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    other.end(&server);
}

#[test]
fn it_outlives_the_server() {
    let Some(server) = PostgresServer::start() else { return };
    Writer::start(WriterConfig::new(server.url(), "edge")).unwrap().finish(DRAIN);
    let upkeep = upkeep(&server, 7);
    turn(&upkeep);
    server.stop();
    turn(&upkeep);
    server.resume();
    server.psql("CREATE TABLE flows_20010101 PARTITION OF flows FOR VALUES FROM ('2001-01-01 00:00+00') TO ('2001-01-02 00:00+00')");
    until("the old day is dropped", || !server.psql(PARTITIONS).contains("flows_20010101"));
}

#[test]
fn tables_that_were_altered_are_refused_with_the_difference() {
    let Some(server) = PostgresServer::start() else { return };
    let start = || Writer::start(WriterConfig::new(server.url(), "edge"));
    start().unwrap().finish(DRAIN);
    for (sql, undo, words) in [
        (
            "ALTER TABLE flows DROP COLUMN history",
            "ALTER TABLE flows ADD COLUMN history text NOT NULL",
            "flows has no column history",
        ),
        (
            "ALTER TABLE flows ALTER COLUMN src_port TYPE bigint",
            "ALTER TABLE flows ALTER COLUMN src_port TYPE int",
            "flows.src_port is of type bigint instead of integer",
        ),
        (
            "ALTER TABLE flows ADD COLUMN site text NOT NULL",
            "ALTER TABLE flows DROP COLUMN site",
            "flows has a column site that is NOT NULL without a default",
        ),
        (
            "ALTER TABLE flows ALTER COLUMN tunnel SET NOT NULL",
            "ALTER TABLE flows ALTER COLUMN tunnel DROP NOT NULL",
            "flows.tunnel has become NOT NULL",
        ),
        (
            "ALTER TABLE flows ALTER COLUMN sensor DROP NOT NULL",
            "ALTER TABLE flows ALTER COLUMN sensor SET NOT NULL",
            "flows.sensor is not NOT NULL any more",
        ),
        (
            "ALTER TABLE batches DROP CONSTRAINT batches_pkey",
            "ALTER TABLE batches ADD PRIMARY KEY (sensor, run, seq)",
            "batches has no PRIMARY KEY (sensor, run, seq)",
        ),
        (
            "ALTER TABLE batches ALTER COLUMN records TYPE text",
            "ALTER TABLE batches ALTER COLUMN records TYPE int USING records::int",
            "batches.records is of type text instead of integer",
        ),
        (
            "ALTER TABLE batches ALTER COLUMN written_at DROP DEFAULT",
            "ALTER TABLE batches ALTER COLUMN written_at SET DEFAULT now()",
            "batches.written_at has no default any more",
        ),
        (
            "ALTER TABLE flows RENAME TO kept; CREATE TABLE flows (LIKE kept)",
            "DROP TABLE flows; ALTER TABLE kept RENAME TO flows",
            "flows is not partitioned by RANGE (start_time)",
        ),
        (
            "ALTER TABLE flows RENAME TO kept; CREATE TABLE flows (LIKE kept) PARTITION BY LIST (sensor)",
            "DROP TABLE flows; ALTER TABLE kept RENAME TO flows",
            "flows is partitioned by LIST (sensor) instead of RANGE (start_time)",
        ),
        ("ALTER TABLE flows RENAME TO kept", "ALTER TABLE kept RENAME TO flows", "the table flows is missing"),
    ] {
        server.psql(sql);
        let error = start().expect_err(sql).to_string();
        assert!(error.contains(words) && error.contains("Undo what was altered"), "{sql}: {error}");
        server.psql(undo);
        start().expect(undo).finish(DRAIN);
    }

    server.psql("ALTER TABLE flows ADD COLUMN note text, ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid()");
    server.psql("ALTER TABLE batches ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY");
    let writer = start().expect("columns of the user's own");
    assert!(writer.sender(0).send(&mut (0..100).map(record).collect()));
    assert_eq!(writer.finish(DRAIN).committed, 100);
    assert_eq!(server.psql("SELECT count(*), count(DISTINCT id) FROM flows"), "100|100");
}

#[test]
fn check_says_what_the_database_holds() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sensor.yml");
    std::fs::write(&file, "retention_days: 30\n").unwrap();
    let check = || {
        let mut netmoth = Command::new(env!("CARGO_BIN_EXE_netmoth"));
        let url = server.url_text("postgres", PASSWORD, "postgres");
        let ended = netmoth.args(["check", "-i", "lo", "--store", &url, "-c"]).arg(&file).output().unwrap();
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    let said = check();
    assert!(said.contains("answers, its tables will be made; rows are kept for 30 days"), "{said}");
    Writer::start(WriterConfig::new(server.url(), "edge")).unwrap().finish(DRAIN);
    server.psql("CREATE TABLE flows_20010101 PARTITION OF flows FOR VALUES FROM ('2001-01-01 00:00+00') TO ('2001-01-02 00:00+00')");
    let said = check();
    assert!(
        said.contains(": PostgreSQL 1")
            && said.contains("5 partitions of a day (2001-01-01 to ")
            && said.contains(" MB; rows are kept"),
        "{said}"
    );
    server.psql("ALTER TABLE flows DROP COLUMN history");
    let said = check();
    assert!(said.contains("flows has no column history") && said.contains("-> Undo what was altered"), "{said}");
}
