//! A run that can't capture says why before it makes anything: no database, no spool, no interface.

use std::path::Path;
use std::process::Command;

use crate::support::command::{SHORT, run};
use crate::support::lab::Wire;
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, root};
use crate::{as_nobody, copied_into, open_folder};

/// Runs `netmoth run` in an empty folder with store and spool where they are by default, in that folder. It must fail with all
/// these words, and leave the folder empty.
#[track_caller]
fn refused(mut netmoth: Command, folder: &Path, interface: &str, more: &str, words: &[&str]) {
    let empty = open_folder();
    let file = folder.join("refused.yml");
    std::fs::write(&file, format!("number_of_rings: 1\nmax_cores: 1\n{more}\n")).unwrap();
    netmoth.args(["run", "-i", interface, "-c"]).arg(file).current_dir(empty.path());
    let ended = run(&mut netmoth, SHORT);
    assert_eq!(ended.code(), 1, "exit status; it said:\n{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let made: Vec<_> = std::fs::read_dir(empty.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(made.is_empty(), "{more}: it made {made:?}");
}

#[test]
fn without_rights_it_names_them_and_the_remedy() {
    if !root() {
        return;
    }
    let folder = open_folder();
    let binary = copied_into(folder.path());
    let wire = Wire::new(1, 1500);
    let links = wire.script_tap("ip -o link show | grep -c :");
    let nobody = |capabilities: &[&str]| {
        let mut netmoth = wire.at_tap("setpriv");
        as_nobody(&mut netmoth, &capabilities.iter().map(ToString::to_string).collect::<Vec<_>>());
        netmoth.arg(&binary);
        netmoth
    };
    let all = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "as root", "netmoth.service"];
    for mode in ["auto", "tap", "mirror"] {
        refused(nobody(&[]), folder.path(), "tap0", &format!("mode: {mode}"), &all);
    }
    let one = ["this process lacks CAP_NET_RAW, which", "netmoth.service"];
    refused(nobody(&["bpf", "net_admin"]), folder.path(), "tap0", "mode: mirror", &one);
    for strategy in ["afpacket", "auto"] {
        refused(nobody(&[]), folder.path(), "tap0", &format!("strategy: {strategy}"), &["CAP_NET_RAW"]);
    }
    assert_eq!(wire.script_tap("ip -o link show | grep -c :"), links, "no pair is left");
}

#[test]
fn an_interface_that_can_not_be_captured_is_named() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (folder, other) = (open_folder(), open_folder());
    let wire = Wire::new(1, 1500);
    for more in ["mode: tap", "mode: mirror", "strategy: afpacket", "strategy: auto"] {
        refused(wire.at_tap(NETMOTH), folder.path(), "eth7", more, &["no interface eth7", "tap0"]);
    }
    wire.script_tap("ip link set tap0 down");
    for more in ["mode: tap", "mode: mirror", "strategy: afpacket", "strategy: auto"] {
        refused(wire.at_tap(NETMOTH), folder.path(), "tap0", more, &["ip link set dev tap0 up"]);
    }
    wire.script_tap("ip link set tap0 up");
    let first = Sensor::start(wire.at_tap(NETMOTH), other.path(), &Settings::workers(1));
    refused(wire.at_tap(NETMOTH), folder.path(), "tap0", "mode: tap", &["another XDP program is attached to tap0"]);
    first.stop().assert_sums();
}
