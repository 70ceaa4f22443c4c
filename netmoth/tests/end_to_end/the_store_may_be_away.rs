//! The sensor ends in order whatever its store does.

use std::time::{Duration, Instant};

use crate::postgres::PostgresServer;
use crate::support::command::until;
use crate::support::lab::Wire;
use crate::support::sender::{Job, Sender};
use crate::support::sensor::{self, Sensor, Settings};
use crate::support::{alone, frames, root};

const FLOWS: u32 = 500;

struct Lab {
    wire: Wire,
    server: PostgresServer,
    folder: tempfile::TempDir,
}

impl Lab {
    fn start(&self) -> Sensor {
        let netmoth = self.wire.at_tap(sensor::NETMOTH);
        Sensor::start_with_store(netmoth, self.folder.path(), &Settings::workers(1), self.server.socket_url())
    }

    /// Frames of connections that are still open when the sensor is stopped.
    fn send(&self) {
        let job = Job {
            namespace: self.wire.file("out"),
            interface: "out0".into(),
            queues: vec![(0, frames::load(FLOWS, 0))],
            rounds: Some(1),
            cpu: None,
            rate: None,
        };
        assert_eq!(Sender::start(job).wait().frames, 2 * u64::from(FLOWS));
    }
}

fn lab() -> Option<Lab> {
    if !root() {
        return None;
    }
    let server = PostgresServer::start()?;
    Some(Lab { wire: Wire::new(1, 1500), server, folder: tempfile::tempdir().unwrap() })
}

#[test]
fn a_frozen_store_delays_the_end_by_less_than_ten_seconds_and_the_next_start_stores_all() {
    let Some(lab) = lab() else { return };
    let _alone = alone();
    let sensor = lab.start();
    lab.server.signal("STOP");
    lab.send();
    let begun = Instant::now();
    let outcome = sensor.stop();
    assert!(begun.elapsed() < sensor::END, "{:?}", begun.elapsed());
    outcome.assert_sums();
    assert_eq!((outcome.sum("spooled"), outcome.sum("lost")), (u64::from(FLOWS), 0));
    lab.server.signal("CONT");
    let sensor = lab.start();
    let rows = || lab.server.psql("SELECT count(*) || '|' || count(DISTINCT flow_id) FROM flows");
    until("the spool is drained", Duration::from_secs(30), || (rows() == format!("{FLOWS}|{FLOWS}")).then_some(()));
    let outcome = sensor.stop();
    outcome.assert_sums();
    assert_eq!((outcome.sum("recovered"), outcome.sum("committed")), (u64::from(FLOWS), u64::from(FLOWS)));
}

#[test]
fn a_second_signal_leaves_at_once_and_says_what_was_left() {
    let Some(lab) = lab() else { return };
    let _alone = alone();
    let sensor = lab.start();
    lab.server.signal("STOP");
    lab.send();
    sensor.process().signal("TERM");
    sensor.process().wait_for("a second signal leaves at once", Duration::from_secs(5));
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    sensor.process().signal("TERM");
    let said = sensor.failed();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(
        said.contains("left at once on a second signal; 500 records were neither in the store nor in the spool"),
        "{said}"
    );
    lab.server.signal("CONT");
}
