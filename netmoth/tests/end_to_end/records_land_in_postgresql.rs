//! The same traffic lands in a real PostgreSQL as rows that read back exactly, in partitions made for it.

use crate::postgres::PostgresServer;
use crate::support::lab::{Hub, HubShape};
use crate::support::sensor::{self, Sensor, Settings};
use crate::support::{alone, compare, pcap, root, traffic};

/// As for the comparison of `run` with `read` on SQLite.
const TOLERANCE_NS: i64 = 50_000_000;

#[test]
fn a_live_capture_in_postgresql_equals_the_file_that_tcpdump_wrote() {
    if !root() {
        return;
    }
    let Some(server) = PostgresServer::start() else { return };
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape::default());
    let _servers = traffic::Servers::start(&hub, folder.path());
    let tcpdump = pcap::Tcpdump::start(&mut hub.at_dump("tcpdump"), "dump0", &folder.path().join("all.pcap"));
    let url = server.socket_url();
    let sensor =
        Sensor::start_with_store(hub.at_tap(sensor::NETMOTH), folder.path(), &Settings::workers(2), url.clone());
    traffic::programs(&hub, 0);
    traffic::rarities(&hub, 0);
    traffic::last(&hub);
    hub.silence();
    let file = tcpdump.stop_after(traffic::is_last);
    let outcome = sensor.stop();
    outcome.assert_nothing_lost();

    let records = outcome.records();
    compare::same_sums(&compare::sums(&records), &pcap::sums(&pcap::read(&file).unwrap()));
    compare::same_records(records.clone(), sensor::read(&file), TOLERANCE_NS);

    // The database itself says the same, in its own types.
    let packets: u64 = server.psql("SELECT sum(src_packets + dst_packets) FROM flows").parse().unwrap();
    let booked: u64 =
        records.iter().map(|r| compare::number(r, "src_packets") + compare::number(r, "dst_packets")).sum();
    assert_eq!(packets, booked);
    assert_ne!(server.psql("SELECT count(*) FROM flows WHERE family(src_ip) = 6 AND src_ip << 'fd71::/16'"), "0");
    assert_ne!(
        server.psql("SELECT count(*) FROM flows WHERE family(src_ip) = 4 AND start_time > now() - '1 hour'::interval"),
        "0"
    );
    let today =
        server.psql("SELECT to_regclass('flows_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL");
    assert_eq!(today, "t", "today's partition");
    let tomorrow = server
        .psql("SELECT to_regclass('flows_' || to_char(now() AT TIME ZONE 'UTC' + '1 day', 'YYYYMMDD')) IS NOT NULL");
    assert_eq!(tomorrow, "t", "tomorrow's partition is there before it is needed");
    let indexes = server.psql("SELECT DISTINCT am.amname FROM pg_class i JOIN pg_am am ON am.oid = i.relam JOIN pg_index x ON x.indexrelid = i.oid JOIN pg_class t ON t.oid = x.indrelid WHERE t.relname LIKE 'flows%'");
    assert_eq!(indexes, "brin", "no btree on what is being written");

    // The file, loaded into the same database, is a second set of the same rows.
    let mut read = crate::support::command::command(sensor::NETMOTH);
    read.args(["read", "--store", &url]).arg(&file);
    crate::support::command::run(&mut read, crate::support::command::SHORT).expect_success();
    let rows: usize = server.psql("SELECT count(*) FROM flows").parse().unwrap();
    assert_eq!(rows, 2 * records.len());
}

#[test]
fn days_that_are_older_than_configured_are_dropped_by_run_alone() {
    if !root() {
        return;
    }
    let Some(server) = PostgresServer::start() else { return };
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape::default());
    let url = server.socket_url();
    let old = "SELECT to_regclass('flows_20010101') IS NOT NULL";
    let settings = Settings { more: "retention_days: 30".to_owned(), ..Settings::workers(1) };
    let file = settings.write(folder.path());
    // An empty capture: a pcap header without packets. The tables are made for it.
    let empty = folder.path().join("empty.pcap");
    std::fs::write(&empty, [&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0][..], &[0; 8], &[0, 0, 4, 0, 1, 0, 0, 0]].concat())
        .unwrap();
    let read = || {
        let mut read = crate::support::command::command(sensor::NETMOTH);
        read.args(["read", "--store", &url, "-c"]).args([&file, &empty]);
        crate::support::command::run(&mut read, crate::support::command::SHORT).expect_success();
    };
    read();
    server.psql("CREATE TABLE flows_20010101 PARTITION OF flows FOR VALUES FROM ('2001-01-01 00:00+00') TO ('2001-01-02 00:00+00')");
    read();
    assert_eq!(server.psql(old), "t", "`read` drops nothing");
    let sensor = Sensor::start_with_store(hub.at_tap(sensor::NETMOTH), folder.path(), &settings, url.clone());
    sensor.process().wait_for("dropped what is older than 30 days: flows_20010101", crate::support::command::SHORT);
    assert_eq!(server.psql(old), "f");
    sensor.stop().assert_nothing_lost();
}
