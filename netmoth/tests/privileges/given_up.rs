//! When capture has started, each thread has the capabilities that it goes on needing and no others; and that is enough.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::command::{SHORT, until};
use crate::support::lab::Wire;
use crate::support::metrics::Metrics;
use crate::support::sensor::{NETMOTH, Sensor, Settings};
use crate::support::{alone, root};
use crate::{as_nobody, copied_into, open_folder};

const UNIT: &str = include_str!("../../../scripts/netmoth.service");
const METRICS: &str = "127.0.0.1:9470";
/// Frames that the peer sends.
const SENT: u64 = 3;

// Bits of linux/capability.h.
const FILES: u64 = 0b1111;
const NET_ADMIN: u64 = 1 << 12;
const BPF: u64 = 1 << 39;

/// The unit's capabilities as setpriv calls them.
fn of_the_unit() -> Vec<String> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).unwrap();
    line.split(' ').map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
}

/// The sets of one thread (`/proc/PID/task/TID/status`), and whether new privileges are ruled out.
#[derive(Debug)]
struct Thread {
    sets: BTreeMap<String, u64>,
    no_new_privileges: bool,
}

impl Thread {
    fn read(folder: &Path) -> Option<(String, Self)> {
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let fields = || status.lines().filter_map(|line| line.split_once(":\t"));
        let field = |name: &str| fields().find_map(|(key, value)| (key == name).then_some(value));
        let sets = fields().filter(|(key, _)| key.starts_with("Cap"));
        let sets = sets.map(|(key, value)| (key.to_owned(), u64::from_str_radix(value.trim(), 16).unwrap())).collect();
        Some((field("Name")?.to_owned(), Self { sets, no_new_privileges: field("NoNewPrivs")? == "1" }))
    }

    fn set(&self, name: &str) -> u64 {
        self.sets[name]
    }
}

/// All threads of a process; those that end while we look are left out.
fn threads(process: u32) -> Vec<(String, Thread)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.flatten().filter_map(|task| Thread::read(&task.path())).collect()
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// What the main thread is to have left.
fn of_the_main_thread(more: &str) -> u64 {
    let (ebpf, mirror) = (!more.contains("strategy"), more.contains("mirror"));
    let bpf = if ebpf && kernel() < (5, 19) { BPF } else { 0 };
    bpf | if mirror { NET_ADMIN } else { 0 }
}

/// Asserts that every thread has what it is to have, where the process began with `given` and nothing else.
#[track_caller]
fn assert_given_up(sensor: &Sensor, more: &str, given: u64, bounding: u64) {
    let expected = ["netmoth", "worker-0", "signals", "link-watch", "netmoth-writer", "netmoth-metrics"];
    // A thread gives itself its name when it first runs; until then it has that of the one that started it.
    let all = until("each thread has its name", SHORT, || {
        let all = threads(sensor.process().id());
        let named = |name: &str| all.iter().any(|(other, _)| other == name);
        (expected.iter().all(|name| named(name)) && !named("start")).then_some(all)
    });
    for (name, thread) in &all {
        let kept = match name.as_str() {
            "netmoth" => of_the_main_thread(more),
            // The threads of the store.
            "netmoth-writer" | "netmoth-sqlite" => FILES,
            _ => 0,
        };
        for set in ["CapPrm", "CapEff"] {
            assert_eq!(thread.set(set), kept & given, "{more}: {set} of {name}: {thread:x?}");
        }
        assert_eq!((thread.set("CapInh"), thread.set("CapAmb")), (0, 0), "{more}: {name}: {thread:x?}");
        assert_eq!(thread.set("CapBnd"), bounding, "{more}: {name}: {thread:x?}");
        assert!(thread.no_new_privileges, "{more}: {name}");
    }
}

/// A peer whose frames go to `tap0` and have no answer.
fn wire() -> Wire {
    let wire = Wire::new(1, 1500);
    let mac = wire.script_tap("cat /sys/class/net/tap0/address");
    wire.script_out("ip address add 10.79.0.2/24 dev out0");
    wire.script_out(&format!("ip neighbour replace 10.79.0.1 lladdr {} dev out0 nud permanent", mac.trim()));
    wire
}

/// All that `ip` and `tc` say of the interfaces, but for the operational state, which follows a second later.
fn state(wire: &Wire) -> String {
    wire.script_tap(
        "ip -d link show | grep -v ' state '; tc qdisc show; ethtool -k tap0
         tc filter show dev tap0 ingress; tc filter show dev tap0 egress",
    )
}

/// Captures in each way, with `netmoth` as it is to be started, and asserts all of it.
#[track_caller]
fn captures(netmoth: impl Fn(&Wire) -> Command, folder: &Path, given: u64, bounding: u64) {
    for more in ["mode: tap", "mode: mirror", "strategy: afpacket", "strategy: pcap"] {
        let wire = wire();
        let before = state(&wire);
        let folder = tempfile::tempdir_in(folder).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let lines = format!("{more}\nmetrics: {METRICS:?}");
        let sensor = Sensor::start(netmoth(&wire), folder.path(), &Settings { more: lines, ..Settings::workers(2) });
        assert_given_up(&sensor, more, given, bounding);
        wire.script_out(&format!("ping -q -c {SENT} -i 0.01 -W 0.1 10.79.0.1 || test $? = 1"));
        until("the page shows all frames", SHORT, || {
            let page = Metrics::fetch(wire.at_tap("curl"), METRICS);
            (page.sum("netmoth_received_frames_total", &[]) == SENT).then_some(())
        });
        assert_given_up(&sensor, more, given, bounding);
        let outcome = sensor.stop();
        assert_eq!(outcome.assert_nothing_lost(), SENT, "{more}");
        assert_eq!(outcome.records().len(), 1, "{more}");
        assert_eq!(state(&wire), before, "{more}: the interface is as it was");
    }
}

#[test]
fn a_sensor_of_root_keeps_only_what_it_needs() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (_, own) = Thread::read(Path::new("/proc/self")).unwrap();
    let folder = open_folder();
    captures(|wire| wire.at_tap(NETMOTH), folder.path(), own.set("CapPrm"), 0);
}

#[test]
fn a_sensor_of_the_unit_keeps_only_what_it_needs() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = open_folder();
    let binary = copied_into(folder.path());
    let netmoth = |wire: &Wire| {
        let mut netmoth = wire.at_tap("unshare");
        // ProcSubset=pid: what the kernel is must be had without /proc/sys.
        netmoth.args(["--mount", "sh", "-ec", "mount -t proc -o subset=pid proc /proc; exec \"$@\"", "sh", "setpriv"]);
        as_nobody(&mut netmoth, &of_the_unit());
        netmoth.arg(&binary);
        netmoth
    };
    // Without CAP_SETPCAP the bounding set stays; nothing can be had of it, because new privileges are ruled out.
    let given = of_the_unit().iter().fold(0, |all, name| {
        all | match name.as_str() {
            "net_admin" => NET_ADMIN,
            "net_raw" => 1 << 13,
            "ipc_lock" => 1 << 14,
            "bpf" => BPF,
            other => panic!("{other}"),
        }
    });
    captures(netmoth, folder.path(), given, given);
}

/// A database and its folder that are another user's, and closed to everybody else: root's rights over files are kept.
#[test]
fn a_sensor_of_root_writes_to_the_files_of_another_user() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (folder, settings) = (tempfile::tempdir().unwrap(), Settings::workers(1));
    let database = folder.path().join("flows.db");
    std::fs::write(&database, "").unwrap();
    for (path, mode) in [(database.as_path(), 0o600), (folder.path(), 0o700)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
    }
    let wire = wire();
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &settings);
    wire.script_out(&format!("ping -q -c {SENT} -i 0.01 -W 0.1 10.79.0.1 || test $? = 1"));
    let outcome = sensor.stop();
    outcome.assert_sums();
    assert_eq!(outcome.records().len(), 1);
}
