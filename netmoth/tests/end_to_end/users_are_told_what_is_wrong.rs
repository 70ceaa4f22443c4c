//! What users meet first: each has a message that names cause and remedy, and an exit status of §8.

use crate::support::command::{Finished, SHORT, command, run};
use crate::support::lab::{Host, Hub, HubShape, Wire};
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, root};
use std::path::Path;
use std::process::Command;

/// Runs `netmoth run` that must fail: with this status, all these words in its message, and without a panic.
#[track_caller]
fn refused(mut netmoth: Command, arguments: &[&str], status: i32, words: &[&str]) -> Finished {
    let ended = run(netmoth.args(arguments), SHORT);
    assert_eq!(ended.code(), status, "exit status; it said:\n{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("os error"), "{}", ended.stderr);
    ended
}

/// Arguments of a run on `interface` with a store and a configuration in `folder`.
fn arguments(folder: &Path, interface: &str, more: &str) -> Vec<String> {
    let file = Settings { more: more.into(), ..Settings::workers(1) }.write(folder);
    let store = format!("sqlite:{}", folder.join("flows.db").display());
    ["run", "-i", interface, "--store", &store, "-c", file.to_str().unwrap()].map(String::from).to_vec()
}

#[track_caller]
fn run_refused(netmoth: Command, folder: &Path, interface: &str, more: &str, status: i32, words: &[&str]) {
    let arguments = arguments(folder, interface, more);
    refused(netmoth, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), status, words);
}

/// A folder that users without rights can write to and read from.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn without_root_it_names_the_capabilities() {
    if !root() {
        return;
    }
    let folder = open_folder();
    let wire = Wire::new(1, 1500);
    // The binary may lie where only root can look, so it is run from a copy.
    let binary = folder.path().join("netmoth");
    std::fs::copy(NETMOTH, &binary).unwrap();
    let mut netmoth = wire.at_tap("setpriv");
    netmoth.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
    run_refused(netmoth, folder.path(), "tap0", "", 1, &["CAP_NET_ADMIN", "CAP_BPF"]);
}

#[test]
fn with_too_little_locked_memory_it_names_the_limit_and_the_remedy() {
    if !root() {
        return;
    }
    let folder = open_folder();
    let wire = Wire::new(1, 1500);
    let binary = folder.path().join("netmoth");
    std::fs::copy(NETMOTH, &binary).unwrap();
    let capabilities = "+bpf,+net_admin,+net_raw";
    let mut netmoth = wire.at_tap("prlimit");
    netmoth.args(["--memlock=65536:65536", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    netmoth.args(["--inh-caps", capabilities, "--ambient-caps", capabilities, "--bounding-set"]);
    netmoth.arg(format!("-all,{capabilities}")).arg(&binary);
    run_refused(netmoth, folder.path(), "tap0", "", 1, &["65536", "LimitMEMLOCK"]);
}

#[test]
fn an_interface_that_is_not_there_is_answered_with_those_that_are() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 1500);
    run_refused(wire.at_tap(NETMOTH), folder.path(), "eth7", "", 1, &["eth7", "tap0"]);
}

#[test]
fn a_tap_on_an_interface_with_an_address_is_refused_unless_exclusive_says_so() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 1500);
    wire.script_tap("ip address add 10.79.0.1/24 dev tap0");
    let words = ["tap0", "10.79.0.1", "exclusive: true", "mode: mirror"];
    run_refused(wire.at_tap(NETMOTH), folder.path(), "tap0", "mode: tap", 1, &words);
    let settings = Settings { more: "exclusive: true".into(), ..Settings::workers(1) };
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
    assert!(wire.script_tap("ip link show tap0").contains("xdp"), "exclusive: true takes the frames");
    sensor.stop().assert_sums();
}

#[test]
fn an_interface_that_is_down_is_refused_with_the_command_that_brings_it_up() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 1500);
    wire.script_tap("ip link set tap0 down");
    run_refused(wire.at_tap(NETMOTH), folder.path(), "tap0", "", 1, &["ip link set dev tap0 up"]);
}

#[test]
fn a_program_of_somebody_else_is_named() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wire = Wire::new(1, 1500);
    let first = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings::workers(1));
    let shown = wire.script_tap("ip -d link show tap0");
    let id = shown.split_once("prog/xdp id ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    run_refused(wire.at_tap(NETMOTH), other.path(), "tap0", "", 1, &["tap0", &id, "netmoth"]);
    first.stop().assert_sums();
}

#[test]
fn a_queue_that_does_not_exist_is_answered_with_the_range() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(2, 1500);
    let netmoth = wire.at_tap(NETMOTH);
    let arguments = arguments(folder.path(), "tap0", "queues: [0, 5]");
    let ended = refused(netmoth, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), 1, &["queue 5", "tap0"]);
    assert!(ended.stderr.contains('1'), "the last queue is 1:\n{}", ended.stderr);
}

#[test]
fn an_mtu_that_native_mode_can_not_take_is_refused_with_the_limit() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::new(1, 9000);
    let words = ["9000", "MTU", "ip link set"];
    run_refused(wire.at_tap(NETMOTH), folder.path(), "tap0", "xdp_mode: native", 1, &words);
}

#[test]
fn a_file_that_is_no_capture_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "Moths fly at night.\n").unwrap();
    refused(command(NETMOTH), &["read", file.to_str().unwrap()], 1, &["notes.txt", "pcap"]);
    let absent = folder.path().join("absent.pcap");
    refused(command(NETMOTH), &["read", absent.to_str().unwrap()], 1, &["absent.pcap"]);
}

#[test]
fn a_database_that_does_not_answer_is_named_without_its_password() {
    let mut flows = command(NETMOTH);
    // Port 1 of the loopback: nothing listens there.
    let url = "postgres://moth:secret-word@127.0.0.1:1/flows";
    let ended = run(flows.args(["flows", "--store", url]), SHORT);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("127.0.0.1:1") && !ended.stderr.contains("secret-word"), "{}", ended.stderr);
}

#[test]
fn hosts_keep_talking_while_the_tap_is_captured() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubShape::default());
    let sensor = Sensor::start(hub.at_tap(NETMOTH), folder.path(), &Settings::workers(1));
    run(hub.on(Host::A, "ping").args(["-c", "3", "-i", "0.01", &Host::B.v4(0)]), SHORT).expect_success();
    assert_eq!(sensor.stop().assert_nothing_lost(), 6);
}
