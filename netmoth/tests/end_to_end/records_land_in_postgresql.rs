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
