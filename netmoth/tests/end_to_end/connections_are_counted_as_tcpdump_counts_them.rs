//! Every connection that the hosts made is there, with the packets and bytes that a simultaneous tcpdump has, whatever
//! the shape of rings and workers; and `read` makes the same records of tcpdump's file as `run` made of the wire.

use crate::support::lab::{Hub, HubShape};
use crate::support::sensor::{self, Sensor, Settings};
use crate::support::{alone, compare, pcap, root, traffic};

/// Apart by no more than scheduling on a busy machine: tcpdump stamps in the kernel, the sensor once per poll.
const TOLERANCE_NS: i64 = 50_000_000;

fn holds(queues: u32, workers: u32) {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape { queues, ..HubShape::default() });
    let _servers = traffic::Servers::start(&hub, folder.path());
    let tcpdump = pcap::Tcpdump::start(&mut hub.at_dump("tcpdump"), "dump0", &folder.path().join("all.pcap"));
    let settings = Settings::workers(workers);
    let sensor = Sensor::start(hub.at_tap(sensor::NETMOTH), folder.path(), &settings);
    for queue in 0..queues {
        traffic::programs(&hub, queue);
        traffic::rarities(&hub, queue);
    }
    traffic::last(&hub);
    hub.silence();
    let file = tcpdump.stop_after(traffic::is_last);
    let outcome = sensor.stop();

    let packets = pcap::read(&file).unwrap();
    let seen = outcome.assert_nothing_lost();
    assert_eq!(seen, packets.len() as u64, "frames seen by XDP against packets in tcpdump's file");
    let records = outcome.records();
    assert_eq!(outcome.sum("emitted"), records.len() as u64);
    let counted: u64 =
        records.iter().map(|r| compare::number(r, "src_packets") + compare::number(r, "dst_packets")).sum();
    assert_eq!(counted, outcome.sum("tracked"), "packets of all records against packets tracked");
    compare::same_sums(&compare::sums(&records), &pcap::sums(&packets));
    compare::same_records(records, sensor::read(&file), TOLERANCE_NS);
}

#[test]
fn one_worker_on_one_queue() {
    holds(1, 1);
}

#[test]
fn two_workers_on_one_queue() {
    holds(1, 2);
}

#[test]
fn two_workers_on_two_queues() {
    holds(2, 2);
}

#[test]
fn two_workers_on_four_queues() {
    holds(4, 2);
}
