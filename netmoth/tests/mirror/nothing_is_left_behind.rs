//! After SIGTERM and after SIGKILL the interface is as it was; what a killed run leaves of its own goes at the next start.

use crate::host::{Lab, PEER};
use crate::support::command::{SHORT, until};
use crate::support::sensor::{Sensor, Settings};
use crate::support::{alone, root};

#[test]
fn sigterm_leaves_the_interface_as_it_was() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let before = lab.state();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(2));
    assert_eq!((lab.tcx_programs(), lab.pair().len()), (2, 2));
    lab.ping(PEER, &["-c", "3"]);
    sensor.stop().assert_sums();
    assert_eq!((lab.tcx_programs(), lab.pair().len()), (0, 0));
    assert_eq!(lab.state(), before);
}

#[test]
fn sigkill_leaves_a_pair_that_the_next_start_removes_and_nothing_else() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let before = lab.state();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(2));
    let first = lab.pair();
    sensor.kill();
    until("the kernel takes the programs off", SHORT, || (lab.tcx_programs() == 0).then_some(()));
    lab.ping(PEER, &["-c", "3"]);
    assert_eq!(lab.pair(), first, "the pair is what a killed run leaves");
    let next = tempfile::tempdir().unwrap();
    let sensor = Sensor::start(lab.netmoth(), next.path(), &Settings::workers(2));
    assert!(sensor.process().stderr().contains("removing netmoth-"), "{}", sensor.process().stderr());
    let second = lab.pair();
    assert!(second.len() == 2 && second.iter().all(|index| !first.contains(index)), "{first:?}, then {second:?}");
    lab.ping(PEER, &["-c", "3"]);
    assert_eq!(sensor.stop().assert_nothing_lost(), 6);
    assert_eq!(lab.state(), before);
}

#[test]
fn the_pair_of_an_interface_that_is_gone_is_removed_by_the_next_start_on_another() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (folder, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lab = Lab::new();
    Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1)).kill();
    let first = lab.pair();
    until("the kernel takes the programs off", SHORT, || (lab.tcx_programs() == 0).then_some(()));
    // The same name, another index.
    lab.script(&format!(
        "ip link del tap0
         ip link add tap0 type veth peer name tap1
         ip link set tap0 up
         ip link set tap1 up
         ip address add {PEER}/24 dev tap0"
    ));
    let sensor = Sensor::start(lab.netmoth(), next.path(), &Settings::workers(1));
    let second = lab.pair();
    assert!(second.len() == 2 && second.iter().all(|index| !first.contains(index)), "{first:?}, then {second:?}");
    sensor.stop().assert_sums();
}

#[test]
fn a_pair_that_somebody_removes_ends_the_run_with_the_reason() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1));
    lab.script("ip link del $(ip -br link | grep -o '^netmoth-[^p@]*' | head -1)");
    let said = sensor.failed();
    assert!(said.contains("private veth pair of tap0 was removed"), "{said}");
    assert_eq!(lab.tcx_programs(), 0);
    lab.ping(PEER, &["-c", "3"]);
}

#[test]
fn an_interface_that_is_removed_ends_the_run_and_takes_the_pair_along() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1));
    lab.script("ip link del tap0");
    let said = sensor.failed();
    assert!(said.contains("interface tap0 was removed"), "{said}");
    assert_eq!(lab.pair(), Vec::<String>::new());
}
