//! What keeps a strategy from starting has a message that names cause and remedy, and an exit status of §8.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::command::{SHORT, run};
use crate::support::lab::Wire;
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, root};

/// Runs `netmoth run` that must fail: with this status, all these words in its message, and without a panic.
#[track_caller]
fn refused(mut netmoth: Command, folder: &Path, interface: &str, more: &str, status: i32, words: &[&str]) {
    let file = Settings { more: more.into(), ..Settings::workers(1) }.write(folder);
    let store = format!("sqlite:{}", folder.join("flows.db").display());
    netmoth.args(["run", "-i", interface, "--store", &store, "-c"]).arg(file);
    let ended = run(&mut netmoth, SHORT);
    assert_eq!(ended.code(), status, "exit status; it said:\n{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("os error"), "{}", ended.stderr);
}

#[test]
fn without_rights_it_names_the_capability() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let binary = folder.path().join("netmoth");
    std::fs::copy(NETMOTH, &binary).unwrap();
    let wire = Wire::new(1, 1500);
    for (strategy, words) in [("afpacket", "packet sockets"), ("pcap", "libpcap"), ("auto", "CAP_NET_RAW")] {
        let mut netmoth = wire.at_tap("setpriv");
        netmoth.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
        let strategy = format!("strategy: {strategy}");
        refused(netmoth, folder.path(), "tap0", &strategy, 1, &[words, "CAP_NET_RAW"]);
    }
}

#[test]
fn the_one_capability_that_it_names_suffices() {
    if !root() {
        return;
    }
    let _alone = alone();
    for strategy in ["afpacket", "pcap"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let binary = folder.path().join("netmoth");
        std::fs::copy(NETMOTH, &binary).unwrap();
        let wire = Wire::new(1, 1500);
        let mut netmoth = wire.at_tap("setpriv");
        netmoth.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
        netmoth
            .args(["--inh-caps", "+net_raw", "--ambient-caps", "+net_raw", "--bounding-set", "-all,+net_raw"])
            .arg(&binary);
        let settings = Settings { interface: "lo", more: format!("strategy: {strategy}"), ..Settings::workers(2) };
        let sensor = Sensor::start(netmoth, folder.path(), &settings);
        run(wire.at_tap("ping").args(["-q", "-c", "5", "-i", "0.01", "127.0.0.1"]), SHORT).expect_success();
        assert_eq!(sensor.stop().assert_nothing_lost(), 10, "{strategy}");
    }
}

#[test]
fn what_cannot_be_captured_is_refused_by_name() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 1500);
    wire.script_tap("ip link add down0 type veth; ip tuntap add tun0 mode tun");
    let say = |interface: &str, more: &str, status: i32, words: &[&str]| {
        refused(wire.at_tap(NETMOTH), folder.path(), interface, more, status, words);
    };
    say("down0", "strategy: afpacket", 1, &["down0 is down", "ip link set dev down0 up"]);
    say("down0", "strategy: pcap", 1, &["down0 is down", "ip link set dev down0 up"]);
    say("down0", "strategy: auto", 1, &["down0 is down", "ip link set dev down0 up"]);
    say("nothing0", "strategy: afpacket", 1, &["no interface nothing0", "tap0"]);
    say("tun0", "strategy: afpacket", 1, &["tun0 have no Ethernet header"]);
    say("tap0", "strategy: afpacket\nqueues: [0]", 2, &["queues", "strategy ebpf"]);
    say("tap0", "strategy: afpacket\nbusy_poll: 20", 2, &["busy_poll", "strategy ebpf"]);
}
