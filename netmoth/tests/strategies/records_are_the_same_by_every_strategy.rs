//! The same traffic by each strategy at the same time, on two ports of a hub: the same records, the sums exact in each.

use crate::support::lab::{Hub, HubShape};
use crate::support::sensor::{self, Sensor, Settings};
use crate::support::{alone, compare, pcap, root, traffic};

/// Packet sockets have the kernel's stamps, as tcpdump has: apart by what the kernel needs from one socket to the next, and by
/// what a host that shares its cores takes from it in between.
const STAMPED_NS: i64 = 1_000_000_000;

/// AF_XDP has the time of the poll, which is as late as the machine is busy: only all other columns are held against it.
const POLLED_NS: i64 = 60_000_000_000;

fn holds(workers: u32) {
    if !root() {
        return;
    }
    let _alone = alone();
    let folders: [_; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let hub = Hub::new(HubShape::default());
    let _servers = traffic::Servers::start(&hub, folders[0].path());
    let tcpdump = pcap::Tcpdump::start(&mut hub.at_dump("tcpdump"), "dump0", &folders[0].path().join("all.pcap"));
    let tap = Sensor::start(hub.at_tap(sensor::NETMOTH), folders[0].path(), &Settings::workers(workers));
    let beside = |strategy: &str, workers: u32, folder: &tempfile::TempDir| {
        let more = format!("strategy: {strategy}\nring_size: 32768");
        let settings = Settings { interface: "dump0", more, ..Settings::workers(workers) };
        Sensor::start(hub.at_dump(sensor::NETMOTH), folder.path(), &settings)
    };
    let mirror = Settings { interface: "dump0", more: "mode: mirror".into(), ..Settings::workers(workers) };
    let mirror = Sensor::start(hub.at_dump(sensor::NETMOTH), folders[3].path(), &mirror);
    let copying = [beside("afpacket", workers, &folders[1]), beside("pcap", 1, &folders[2])];
    traffic::programs(&hub, 0);
    traffic::rarities(&hub, 0);
    traffic::last(&hub);
    hub.silence();
    // tcpdump's socket hears of a frame in the same breath as the sensors on its port.
    let file = tcpdump.stop_after(traffic::is_last);
    let packets = pcap::read(&file).unwrap();

    let outcome = tap.stop();
    assert_eq!(outcome.assert_nothing_lost(), packets.len() as u64);
    let records = outcome.records();
    let outcome = mirror.stop();
    assert_eq!(outcome.assert_nothing_lost(), packets.len() as u64);
    compare::same_records(outcome.records(), records.clone(), POLLED_NS);
    for sensor in copying {
        let outcome = sensor.stop();
        assert_eq!(outcome.assert_nothing_lost(), packets.len() as u64);
        compare::same_sums(&compare::sums(&outcome.records()), &pcap::sums(&packets));
        compare::same_records(outcome.records(), sensor::read(&file), STAMPED_NS);
        compare::same_records(outcome.records(), records.clone(), POLLED_NS);
    }
}

#[test]
fn with_one_worker() {
    holds(1);
}

#[test]
fn with_two_workers() {
    holds(2);
}
