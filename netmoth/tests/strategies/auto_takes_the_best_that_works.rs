//! `strategy: auto` takes the best way that works here, says why not a better one, and `netmoth check` says the same.

use crate::support::command::{SHORT, run};
use crate::support::lab::Wire;
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, root};

const AUTO: &str = "strategy: auto";

/// What a run says, and what a check says of the same.
fn said(wire: &Wire, more: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { more: more.into(), ..Settings::workers(1) };
    let mut netmoth = wire.at_tap(NETMOTH);
    netmoth
        .args(["check", "-i", "tap0", "--store"])
        .arg(format!("sqlite:{}", folder.path().join("check.db").display()));
    let check = run(netmoth.arg("-c").arg(settings.write(folder.path())), SHORT).stdout;
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
    let run = sensor.process().stderr();
    sensor.stop().assert_sums();
    let line = check.lines().find(|line| line.contains("  strategy ")).unwrap_or_else(|| panic!("{check}")).to_owned();
    (run, line)
}

#[test]
fn frames_are_taken_where_the_host_does_not_use_the_interface_and_copied_where_it_does() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let (run, check) = said(&wire, AUTO);
    assert!(run.contains("auto takes ebpf (tap)") && run.contains("XDP"), "{run}");
    assert!(check.ends_with("ebpf (tap)"), "{check}");

    wire.script_tap("ip address add 10.72.0.2/24 dev tap0");
    let why = "ebpf (tap): tap0 has the address 10.72.0.2";
    let (run, check) = said(&wire, AUTO);
    assert!(run.contains(why) && run.contains("auto takes ebpf (mirror)"), "{run}");
    assert!(check.contains("  ebpf (mirror) (not ebpf (tap)") && check.contains(why), "{check}");

    let (run, check) = said(&wire, "strategy: auto\nmode: tap");
    let why_no_mirror = "ebpf (mirror): mode: tap is set";
    assert!(run.contains(why) && run.contains(why_no_mirror) && run.contains("auto takes afpacket"), "{run}");
    assert!(check.contains("  afpacket (not ebpf (tap)") && check.contains(why_no_mirror), "{check}");
}
