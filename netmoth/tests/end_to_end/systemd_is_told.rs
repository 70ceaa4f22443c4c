//! systemd hears when the sensor captures, how it goes, that it lives, and when it stops (sd_notify(3)).

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::support::lab::Wire;
use crate::support::sensor::{self, Sensor, Settings};
use crate::support::{alone, root};

#[test]
fn ready_status_watchdog_and_stopping_arrive_in_their_time() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let hears = |wanted: &str| {
        let until = Instant::now() + Duration::from_secs(10);
        let mut buffer = [0; 4096];
        while Instant::now() < until {
            let length = manager.recv(&mut buffer).expect("a message of the sensor");
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.lines().any(|line| line.starts_with(wanted)) {
                return said;
            }
        }
        panic!("{wanted} never came");
    };
    let wire = Wire::new(1, 1500);
    let mut netmoth = wire.at_tap(sensor::NETMOTH);
    // The watchdog tolerates a second of silence.
    netmoth.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    let settings = Settings { more: "status_interval: 1".into(), ..Settings::workers(1) };
    let sensor = Sensor::start(netmoth, folder.path(), &settings);
    assert!(hears("READY=1").contains("STATUS=capturing on tap0"));
    hears("WATCHDOG=1");
    assert!(hears("STATUS=").contains("packets/s"));
    sensor.process().signal("TERM");
    hears("STOPPING=1");
    sensor.ended(0).assert_sums();
}
