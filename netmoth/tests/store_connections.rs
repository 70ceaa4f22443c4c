//! A writer that falls behind writes over a second connection to PostgreSQL, and every record still has one fate.

#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod postgres;
#[path = "support/records.rs"]
mod records;
#[path = "support/until.rs"]
mod until;

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use netmoth::flow::FlowRecord;
use netmoth::sink::{
    BatchSender, LostReason, SpoolConfig, StoreUrl, Writer, WriterConfig, WriterCounters, WriterReport,
};
use postgres::{PASSWORD, PostgresServer};
use records::record;
use until::until;

const DRAIN: Duration = Duration::from_secs(120);
/// 2024-02-29 and the days after it: no other record is of that time.
const LEAP_DAY_NS: i64 = 1_709_164_800_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
const LEAP_DAY: &str = "flows_20240229";
/// The lock under which partitions are made.
const PARTITIONS_LOCK: i64 = 0x006e_6574_6d6f_7468;

/// Batches of 100 records, and nothing but whole ones until the end.
fn config(url: StoreUrl) -> WriterConfig {
    WriterConfig {
        batch_records: 100,
        flush_interval: Duration::from_secs(600),
        connect_timeout: Duration::from_secs(600),
        write_timeout: Duration::from_secs(600),
        ..WriterConfig::new(url, "edge")
    }
}

fn begin(config: WriterConfig) -> (Writer, Arc<WriterCounters>, BatchSender) {
    let writer = Writer::start(config).unwrap();
    let (counters, sender) = (writer.counters(), writer.sender(0));
    (writer, counters, sender)
}

fn send(sender: &mut BatchSender, records: impl Iterator<Item = FlowRecord>) {
    assert!(sender.send(&mut records.collect()));
}

/// A session that holds a lock until it is released.
struct Holder(Child);

impl Holder {
    /// Returns once the lock is held.
    fn new(server: &PostgresServer, lock: &str) -> Self {
        let mut psql = Command::new("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", &server.url_text("postgres", PASSWORD, "postgres")])
            .env("PGAPPNAME", "holder")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql");
        let input = psql.stdin.as_mut().expect("its input");
        std::io::Write::write_all(input, format!("BEGIN; {lock};\n").as_bytes()).expect("psql reads");
        let held = "SELECT count(*) FROM pg_stat_activity \
                    WHERE application_name = 'holder' AND state = 'idle in transaction' AND query NOT LIKE 'BEGIN%'";
        until("the lock is held", || server.psql(held) == "1");
        Self(psql)
    }

    fn release(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("psql").success());
    }
}

/// Sessions of the writer's that do what `condition` says.
fn sessions(server: &PostgresServer, condition: &str) -> u32 {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'netmoth' AND {condition}");
    server.psql(&sql).parse().expect("a number")
}

fn connections(server: &PostgresServer) -> u32 {
    sessions(server, "true")
}

/// COPYs that wait for a lock.
const COPY_WAITS: &str = "wait_event_type = 'Lock' AND query LIKE 'COPY flows%'";

#[track_caller]
fn assert_stored_once(server: &PostgresServer, report: &WriterReport, records: u64) {
    assert_eq!((report.committed, report.waiting, report.is_balanced()), (records, 0, true), "{report:?}");
    let stored = server.psql("SELECT count(*), count(DISTINCT flow_id) FROM flows");
    assert_eq!(stored, format!("{records}|{records}"));
    assert_eq!(server.psql("SELECT sum(records) FROM batches"), records.to_string());
}

/// Sends whole batches until some of them were stored over a second connection; returns how many records these were.
fn until_two_connections(server: &PostgresServer, counters: &WriterCounters, sender: &mut BatchSender) -> u64 {
    let mut sent = 0;
    until("a second connection stands", || {
        send(sender, (sent..sent + 2_000).map(record));
        sent += 2_000;
        until("they are stored", || counters.committed() == sent);
        sessions(server, "query = 'COMMIT'") == 2
    });
    sent
}

/// What the writers of this process warn of; the server's port tells whose it is.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            SAID.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).expect("no other logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
}

/// How often something with this in it was said of this server.
fn said(server: &PostgresServer, words: &str) -> usize {
    let port = format!(":{}/", server.port);
    SAID.lock().unwrap().iter().filter(|line| line.contains(&port) && line.contains(words)).count()
}

#[test]
fn a_backlog_is_written_over_two_connections() {
    let Some(server) = PostgresServer::start() else { return };
    let (writer, counters, mut sender) = begin(config(server.url()));
    send(&mut sender, (0..100).map(record));
    until("the day is there", || counters.committed() == 100);
    let lock = Holder::new(&server, "LOCK TABLE flows IN SHARE MODE");
    send(&mut sender, (100..1_130).map(record));
    until("two batches are copied at once", || sessions(&server, COPY_WAITS) == 2);
    assert_eq!((connections(&server), counters.committed()), (2, 100));
    lock.release();
    until("all whole batches are stored", || counters.committed() == 1_100);
    assert_eq!(connections(&server), 2, "both are kept");
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_stored_once(&server, &report, 1_130);
    assert_eq!((report.batches, report.retries), (12, 0));
    assert_eq!(server.psql("SELECT count(DISTINCT seq), max(seq) FROM batches"), "12|11");
}

#[test]
fn a_light_load_keeps_to_one_connection() {
    let Some(server) = PostgresServer::start() else { return };
    let config = WriterConfig { flush_interval: Duration::from_millis(20), ..config(server.url()) };
    let (writer, counters, mut sender) = begin(config);
    for round in 0..20 {
        send(&mut sender, (round * 100..round * 100 + 100).map(record));
        until("they are stored", || counters.committed() == (round + 1) * 100);
    }
    let lock = Holder::new(&server, "LOCK TABLE flows IN SHARE MODE");
    send(&mut sender, (2_000..2_100).map(record));
    until("a batch is copied", || sessions(&server, COPY_WAITS) == 1);
    // Less than a whole batch waits, and is due: time enough to do wrong.
    send(&mut sender, (2_100..2_199).map(record));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(connections(&server), 1);
    lock.release();
    until("they are stored", || counters.committed() == 2_199);
    assert_eq!(connections(&server), 1);
    drop(sender);
    assert_stored_once(&server, &writer.finish(DRAIN), 2_199);
}

/// Two batches are half copied, `victims` of their server processes are killed, and a lock lets go of the rest.
fn kill_while_copying(victims: usize) {
    listen();
    let Some(server) = PostgresServer::start() else { return };
    let (writer, counters, mut sender) = begin(WriterConfig { batch_records: 2_000, ..config(server.url()) });
    // Of each batch the record before the last quarter is of the day that is going to be locked.
    let of_two_days = |n: u64| match n % 2_000 {
        1_500 => FlowRecord { start_ns: LEAP_DAY_NS, ..record(n) },
        _ => record(n),
    };
    send(&mut sender, (0..2_000).map(of_two_days));
    until("the days are there", || counters.committed() == 2_000);
    let lock = Holder::new(&server, &format!("LOCK TABLE {LEAP_DAY} IN SHARE MODE"));
    send(&mut sender, (2_000..12_000).map(of_two_days));
    until("two batches are half copied", || {
        sessions(&server, COPY_WAITS) == 2
            && server.psql("SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 1000") == "2"
    });
    server.psql(&format!(
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
         WHERE application_name = 'netmoth' ORDER BY pid LIMIT {victims}) AS victims"
    ));
    until("that is noticed", || counters.retries() >= victims as u64 && counters.store_up() == (victims == 1));
    // What the other one copies is not given up; where there is no other one, one batch tries the store again.
    until("one batch is copied", || sessions(&server, COPY_WAITS) == 1);
    assert_eq!(counters.committed(), 2_000);
    lock.release();
    until("all are stored", || counters.committed() == 12_000);
    assert!(counters.store_up());
    drop(sender);
    assert_stored_once(&server, &writer.finish(DRAIN), 12_000);
    assert_eq!(said(&server, "That was one of several connections"), 1);
    assert_eq!(said(&server, "takes records again"), victims - 1, "an outage is what leaves no connection");
}

#[test]
fn one_of_two_connections_breaks_in_mid_copy() {
    kill_while_copying(1);
}

#[test]
fn both_connections_break_in_mid_copy() {
    kill_while_copying(2);
}

#[test]
fn connections_that_break_at_any_time_cost_no_record() {
    let Some(server) = PostgresServer::start() else { return };
    let (writer, counters, mut sender) = begin(config(server.url()));
    let mut sent = 0;
    // One of them, then whatever there is: after that, which is an outage, the next backlog has two again.
    for round in 0..20 {
        send(&mut sender, (sent..sent + 1_000).map(record));
        until("the store takes them", || counters.committed() > sent);
        sent += 1_000;
        let some = if round % 2 == 0 { "ORDER BY pid LIMIT 1" } else { "" };
        server.psql(&format!(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
             WHERE application_name = 'netmoth' {some}) AS victims"
        ));
    }
    drop(sender);
    assert_stored_once(&server, &writer.finish(DRAIN), sent);
}

#[test]
fn a_second_connection_that_is_refused_is_done_without_and_said_once() {
    listen();
    let Some(server) = PostgresServer::start() else { return };
    let begun = Instant::now();
    server.psql(&format!("CREATE ROLE narrow LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 1"));
    server.psql("GRANT CREATE ON SCHEMA public TO narrow");
    let (writer, counters, mut sender) =
        begin(config(server.url_text("narrow", PASSWORD, "postgres").parse().unwrap()));
    send(&mut sender, (0..100).map(record));
    until("the day is there", || counters.committed() == 100);
    let lock = Holder::new(&server, "LOCK TABLE flows IN SHARE MODE");
    send(&mut sender, (100..1_000).map(record));
    until("the refusal is said", || said(&server, "lets no more connections in") > 0);
    until("a batch is copied", || sessions(&server, COPY_WAITS) == 1);
    lock.release();
    until("all are stored", || counters.committed() == 1_000);
    send(&mut sender, (1_000..3_000).map(record));
    until("all are stored", || counters.committed() == 3_000);
    assert_eq!((connections(&server), counters.store_up(), counters.retries()), (1, true, 0));
    drop(sender);
    assert_stored_once(&server, &writer.finish(DRAIN), 3_000);
    assert_eq!(said(&server, "CONNECTION LIMIT"), 1);
    assert_eq!(said(&server, "Capture goes on"), 0, "that is no outage");
    let log = std::fs::read_to_string(server.socket_folder().join("log")).unwrap();
    let attempts = log.lines().filter(|line| line.contains("narrow")).count() as u64;
    assert!((1..=1 + begun.elapsed().as_secs() / 60).contains(&attempts), "{attempts} attempts");
}

#[test]
fn two_batches_that_need_the_same_new_days_make_them_one_after_the_other() {
    let Some(server) = PostgresServer::start() else { return };
    let (writer, counters, mut sender) = begin(config(server.url()));
    let lock = Holder::new(&server, &format!("SELECT pg_advisory_xact_lock({PARTITIONS_LOCK})"));
    let of_five_days = |n: u64| FlowRecord { start_ns: LEAP_DAY_NS + n as i64 % 5 * DAY_NS, ..record(n) };
    send(&mut sender, (0..1_000).map(of_five_days));
    until("both are about to make a partition", || sessions(&server, "wait_event = 'advisory'") == 2);
    lock.release();
    until("all are stored", || counters.committed() == 1_000);
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_stored_once(&server, &report, 1_000);
    assert_eq!(report.retries, 0, "nobody was a victim of a deadlock");
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'flows'::regclass AND inhrelid::regclass::text LIKE 'flows_2024%'";
    assert_eq!(server.psql(days), "5");
}

#[test]
fn a_new_day_does_not_wait_for_a_copy_that_is_under_way() {
    let Some(server) = PostgresServer::start() else { return };
    let (writer, counters, mut sender) = begin(config(server.url()));
    let of_leap_day = |n: u64| FlowRecord { start_ns: LEAP_DAY_NS, ..record(n) };
    send(&mut sender, (0..100).map(of_leap_day));
    until("the day is there", || counters.committed() == 100);
    let lock = Holder::new(&server, &format!("LOCK TABLE {LEAP_DAY} IN SHARE MODE"));
    send(&mut sender, (100..200).map(of_leap_day));
    until("a batch is copied", || sessions(&server, COPY_WAITS) == 1);
    send(
        &mut sender,
        (200..500).map(|n| FlowRecord { start_ns: LEAP_DAY_NS + n as i64 % 3 * DAY_NS + DAY_NS, ..record(n) }),
    );
    until("new days are stored beside it", || counters.committed() == 400);
    assert_eq!(sessions(&server, COPY_WAITS), 1);
    lock.release();
    drop(sender);
    let report = writer.finish(DRAIN);
    assert_stored_once(&server, &report, 500);
    assert_eq!(report.retries, 0);
}

/// Ends a writer while two batches are copied and half a one waits; returns its report and how many records were stored before.
fn end_in_mid_copy(server: &PostgresServer, config: WriterConfig) -> (WriterReport, u64) {
    let (writer, counters, mut sender) = begin(config);
    let stored = until_two_connections(server, &counters, &mut sender);
    let lock = Holder::new(server, "LOCK TABLE flows IN SHARE MODE");
    send(&mut sender, (stored..stored + 250).map(record));
    until("two batches are copied", || sessions(server, COPY_WAITS) == 2);
    drop(sender);
    let report = writer.finish(Duration::from_millis(300));
    assert_eq!((report.waiting, report.is_balanced()), (0, true), "{report:?}");
    lock.release();
    until("the server has noticed", || connections(server) == 0);
    assert_eq!(server.psql("SELECT count(*), count(DISTINCT flow_id) FROM flows"), format!("{stored}|{stored}"));
    (report, stored)
}

#[test]
fn a_deadline_in_mid_copy_leaves_both_batches_to_the_next_start() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let spool = Some(SpoolConfig { path: folder.path().join("spool"), max_bytes: 1 << 30 });
    let config = WriterConfig { spool, ..config(server.url()) };
    let (report, stored) = end_in_mid_copy(&server, config.clone());
    assert_eq!((report.committed, report.spooled, report.lost_total()), (stored, 250, 0));
    let writer = Writer::start(config).unwrap();
    let counters = writer.counters();
    assert_eq!(counters.recovered(), 250);
    until("the spool is empty", || counters.spooled() == 0);
    let report = writer.finish(DRAIN);
    assert_eq!((report.committed, report.is_balanced()), (250, true), "{report:?}");
    let all = stored + 250;
    assert_eq!(server.psql("SELECT count(*), count(DISTINCT flow_id) FROM flows"), format!("{all}|{all}"));
    assert_eq!(server.psql("SELECT sum(records) FROM batches"), all.to_string());
}

#[test]
fn a_deadline_in_mid_copy_without_a_spool_is_counted() {
    let Some(server) = PostgresServer::start() else { return };
    let (report, stored) = end_in_mid_copy(&server, config(server.url()));
    assert_eq!((report.committed, report.lost_total()), (stored, 250));
    assert_eq!(report.lost[LostReason::ShutdownDeadline as usize], 250);
}
