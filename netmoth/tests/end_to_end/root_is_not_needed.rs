//! A user without any right captures with exactly the capabilities that the systemd unit grants, and several workers
//! share a queue as they do for root.

use std::os::unix::fs::PermissionsExt;

use crate::support::command::{SHORT, run};
use crate::support::lab::{Host, Hub, HubShape};
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, compare, root};

const CAPABILITIES: &str = "+bpf,+net_admin,+net_raw,+ipc_lock";

#[test]
fn the_capabilities_of_the_unit_suffice_for_two_workers_on_one_queue() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // The binary may lie where only root can look, so it is run from a copy.
    let binary = folder.path().join("netmoth");
    std::fs::copy(NETMOTH, &binary).unwrap();
    let hub = Hub::new(HubShape::default());
    let mut netmoth = hub.at_tap("setpriv");
    netmoth.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
    netmoth.args(["--inh-caps", CAPABILITIES, "--ambient-caps", CAPABILITIES, "--bounding-set"]);
    netmoth.arg(format!("-all,{CAPABILITIES}")).arg(&binary);
    let sensor = Sensor::start(netmoth, folder.path(), &Settings::workers(2));
    run(hub.on(Host::A, "ping").args(["-c", "5", "-i", "0.01", &Host::B.v4(0)]), SHORT).expect_success();
    // 5,000 bytes do not fit one frame: four pieces each way, which must meet on one record.
    run(hub.on(Host::A, "ping").args(["-c", "1", "-s", "5000", &Host::B.v6(0)]), SHORT).expect_success();
    let outcome = sensor.stop();
    outcome.assert_nothing_lost();
    let echo = |protocol: u64| -> Vec<(u64, u64)> {
        let records = outcome.records();
        let those = records
            .iter()
            .filter(|r| compare::number(r, "proto") == protocol && matches!(compare::number(r, "src_port"), 8 | 128));
        those.map(|r| (compare::number(r, "src_packets"), compare::number(r, "dst_packets"))).collect()
    };
    assert_eq!(echo(1), [(5, 5)]);
    assert_eq!(echo(58), [(4, 4)], "each piece is a packet of the echo that it belongs to");
}
