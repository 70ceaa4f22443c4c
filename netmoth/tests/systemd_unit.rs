//! The systemd unit is one that systemd understands, with the capabilities that the sensor needs and no others.

use std::path::Path;
use std::process::Command;

const UNIT_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/netmoth.service");
const UNIT: &str = include_str!("../../scripts/netmoth.service");
/// What an administrator may put beside it.
const DROP_INS: [&str; 3] = [
    include_str!("../../scripts/netmoth-perfmon.conf"),
    include_str!("../../scripts/netmoth-old-kernel.conf"),
    include_str!("../../scripts/netmoth-pinned.conf"),
];

/// Has systemd look at a file of `files` that is a unit of this name, with the rest of them beside it. Nothing may be said of ours.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn verify(unit: &str, files: &[(&str, &str)]) {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is to be installed where CI is set");
        eprintln!("skipped: there is no systemd-analyze");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // The binary is looked for; one that every system has stands in for ours.
        std::fs::write(file, text.replace("/usr/local/bin/netmoth", "/bin/true")).unwrap();
    }
    let unit = folder.path().join(unit);
    let said = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    let ours: Vec<&str> = words.lines().filter(|line| line.contains("netmoth")).collect();
    assert!(said.status.success() && ours.is_empty(), "{words}");
}

#[test]
fn systemd_verifies_the_unit_without_a_word() {
    assert!(UNIT.contains("ExecStart=/usr/local/bin/netmoth run"));
    verify("netmoth.service", &[("netmoth.service", UNIT)]);
}

#[test]
fn systemd_verifies_the_unit_with_each_drop_in_without_a_word() {
    for drop_in in DROP_INS {
        verify("netmoth.service", &[("netmoth.service", UNIT), ("netmoth.service.d/a.conf", drop_in)]);
    }
}

/// What systemd thinks that the unit exposes, 0 to 10. What is left is what the sensor needs: the host's network, sockets of
/// six families, four capabilities, and bpf(2).
#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn the_unit_exposes_no_more_than_it_must() {
    let asked =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(UNIT_FILE).output();
    let Ok(said) = asked else {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is to be installed where CI is set");
        eprintln!("skipped: there is no systemd-analyze");
        return;
    };
    let words = String::from_utf8_lossy(&said.stdout).into_owned();
    let Some((_, level)) = words.split_once("Overall exposure level for netmoth.service: ") else {
        // Older ones judge units that run alone.
        assert!(String::from_utf8_lossy(&said.stderr).contains("offline"), "{said:?}");
        eprintln!("skipped: this systemd-analyze judges no files");
        return;
    };
    let level: f64 = level.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(level <= 2.0, "{words}");
}

#[test]
fn the_unit_asks_for_exactly_the_capabilities_that_suffice() {
    let lines = |key: &str| -> Vec<&str> { UNIT.lines().filter_map(|line| line.strip_prefix(key)).collect() };
    let wanted = "CAP_BPF CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK";
    assert_eq!(lines("AmbientCapabilities="), [wanted]);
    assert_eq!(lines("CapabilityBoundingSet="), [wanted]);
    assert_eq!(lines("Type="), ["notify"]);
    assert_eq!(lines("WatchdogSec=").len(), 1);
}

/// What the drop-ins come to: lists are added to, and begin anew after an empty one.
#[test]
fn older_kernels_get_the_capability_that_they_want_and_no_other() {
    let [perfmon, old, _] = DROP_INS;
    let merged = |drop_in: &str, key: &str| {
        let lines = UNIT.lines().chain(drop_in.lines()).filter_map(|line| line.strip_prefix(key));
        let mut set = std::collections::BTreeSet::new();
        for line in lines {
            if line.is_empty() {
                set.clear();
            }
            set.extend(line.split_whitespace().map(str::to_owned));
        }
        set.into_iter().collect::<Vec<_>>().join(" ")
    };
    for key in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
        assert_eq!(merged(perfmon, key), "CAP_BPF CAP_IPC_LOCK CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON");
        assert_eq!(merged(old, key), "CAP_IPC_LOCK CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_ADMIN");
    }
}

#[test]
fn systemd_verifies_the_unit_of_settings_without_a_word() {
    const TUNE: &str = include_str!("../../scripts/netmoth-tune@.service");
    assert!(TUNE.contains("ExecStart=/usr/local/bin/netmoth tune %i --apply"));
    verify("netmoth-tune@eth1.service", &[("netmoth-tune@eth1.service", TUNE)]);
}
