//! What can't be mirrored is refused with the cause and the remedy, and what is somebody else's is left alone.

use std::path::Path;

use crate::host::{Lab, PEER};
use crate::support::command::{SHORT, run};
use crate::support::sensor::{Sensor, Settings};
use crate::support::{alone, root};

/// Runs the sensor on `interface`, which it must refuse with these words.
#[track_caller]
fn refused(lab: &Lab, folder: &Path, interface: &str, more: &str, words: &[&str]) {
    let file = Settings { more: more.into(), ..Settings::workers(1) }.write(folder);
    let store = format!("sqlite:{}", folder.join("flows.db").display());
    let mut netmoth = lab.netmoth();
    let ended = run(netmoth.args(["run", "-i", interface, "--store", &store, "-c"]).arg(file), SHORT);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in:\n{}", ended.stderr);
    }
}

#[test]
fn a_second_sensor_on_the_same_interface_is_refused_and_the_first_goes_on() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (folder, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1));
    let pair = lab.pair();
    refused(&lab, second.path(), "tap0", "", &["tap0 is mirrored already", "netmoth-", "Stop the other sensor"]);
    assert_eq!(lab.pair(), pair);
    lab.ping(PEER, &["-c", "3"]);
    let outcome = sensor.stop();
    outcome.assert_nothing_lost();
    assert_eq!(outcome.sum("mirror_seen"), 6);
}

#[test]
fn an_interface_without_ethernet_headers_is_refused() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    lab.script(
        "ip tuntap add tun0 mode tun
         ip address add 10.81.0.1/24 dev tun0
         ip link set tun0 up",
    );
    refused(&lab, folder.path(), "tun0", "", &["tun0", "not Ethernet", "beneath"]);
}

#[test]
fn an_interface_of_somebody_else_with_the_name_of_the_pair_is_left_alone() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let index: u32 = lab.script("cat /sys/class/net/tap0/ifindex").trim().parse().unwrap();
    assert!(index < 10, "a new namespace counts from 1");
    let name = format!("netmoth-{index}");
    lab.script(&format!("ip link add {name} type bridge"));
    refused(&lab, folder.path(), "tap0", "", &[&name, "did not make", "ip link del"]);
    lab.script(&format!("ip link show {name}"));
}

#[test]
fn queues_are_refused_where_frames_are_mirrored() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    refused(&lab, folder.path(), "tap0", "queues: [0]", &["queues:", "mode: mirror", "tap0"]);
    assert_eq!(lab.pair(), Vec::<String>::new());
}

#[test]
fn a_tap_on_a_bridge_port_or_beneath_an_interface_with_an_address_is_refused_by_name() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    lab.script("ip address flush dev tap0");
    // A VLAN is made the same way, but not every kernel has them.
    lab.script("ip link add link tap0 name mac0 type macvlan && ip address add 10.80.7.1/24 dev mac0");
    refused(&lab, folder.path(), "tap0", "mode: tap", &["tap0 carries mac0", "10.80.7.1", "mode: mirror"]);
    lab.script("ip link del mac0 && ip link add br0 type bridge && ip link set tap0 master br0");
    refused(&lab, folder.path(), "tap0", "mode: tap", &["tap0 is a port of br0", "exclusive: true"]);
}
