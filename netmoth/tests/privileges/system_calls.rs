//! Every system call of the sensor is one that the unit's filter allows, but for the one that it does without.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::command::{SHORT, run, until};
use crate::support::lab::Wire;
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, root};

const UNIT: &str = include_str!("../../../scripts/netmoth.service");

/// The calls of a group or of a name, groups within it followed.
fn members(name: &str, into: &mut BTreeSet<String>) {
    if !name.starts_with('@') {
        into.insert(name.to_owned());
        return;
    }
    let listed = run(Command::new("systemd-analyze").args(["syscall-filter", name]), SHORT).expect_success().stdout;
    // The group's own name stands unindented above its members, and comments begin with #.
    let inside = listed.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with('#'));
    inside.for_each(|member| members(member, into));
}

/// What the unit's lines come to, read in order.
fn allowed() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (removes, names) = line.strip_prefix('~').map_or((false, line), |names| (true, names));
        let mut these = BTreeSet::new();
        names.split_whitespace().for_each(|name| members(name, &mut these));
        if removes {
            all.retain(|call| !these.contains(call));
        } else {
            all.extend(these);
        }
    }
    all
}

/// Those that a run has made, of strace's table, once it is written to its end.
fn made(table: &Path) -> BTreeSet<String> {
    // A traced sensor is slower than one that is not.
    let text = until("strace has written its table", 2 * SHORT, || {
        std::fs::read_to_string(table).ok().filter(|text| text.trim_end().ends_with(" total"))
    });
    let rows = text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    rows.filter_map(|line| line.split_whitespace().last()).filter(|call| *call != "total").map(str::to_owned).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn the_unit_allows_every_system_call_that_the_sensor_makes() {
    if !root() {
        return;
    }
    let missing =
        ["strace", "systemd-analyze"].into_iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    if let Some(tool) = missing {
        assert!(std::env::var_os("CI").is_none(), "{tool} is to be installed where CI is set");
        eprintln!("skipped: there is no {tool}");
        return;
    }
    let _alone = alone();
    let allowed = allowed();
    for call in ["read", "bpf", "capset", "prctl", "socket", "setsockopt"] {
        assert!(allowed.contains(call), "{call} is not among {allowed:?}");
    }
    assert!(!allowed.contains("mount") && !allowed.contains("sched_setaffinity"));
    for more in ["mode: tap", "mode: mirror\nbpf: icmp", "strategy: afpacket", "strategy: pcap"] {
        let folder = tempfile::tempdir().unwrap();
        let (wire, table) = (Wire::new(1, 1500), folder.path().join("calls"));
        let mut netmoth = wire.at_tap("strace");
        // Traced from beside, so that signals reach the sensor.
        netmoth.args(["-D", "-f", "-qq", "-c", "-o"]).arg(&table).arg(NETMOTH);
        let settings = Settings { more: format!("{more}\nmetrics: \"127.0.0.1:9470\""), ..Settings::workers(2) };
        let sensor = Sensor::start(netmoth, folder.path(), &settings);
        run(wire.at_tap("curl").args(["-sS", "--fail", "http://127.0.0.1:9470/metrics"]), SHORT).expect_success();
        sensor.process().signal("TERM");
        let made = made(&table);
        sensor.ended(0).assert_sums();
        assert!(made.contains("bpf") != more.contains("strategy") && made.len() > 20, "{more}: {made:?}");
        let refused: Vec<&String> = made.difference(&allowed).collect();
        assert_eq!(refused, ["sched_setaffinity"], "{more}");
    }
}
