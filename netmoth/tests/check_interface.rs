//! `netmoth check` beside what is on an interface: programs at traffic control, the SSH session that it runs in, the way to the
//! store. On veths in network namespaces, as root, with ip and tc.

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use aya::Ebpf;
use aya::programs::tc::{NlOptions, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use serde_json::Value;

use support::command::run;
use support::lab::Wire;
use support::netns;
use support::sensor::{NETMOTH, Sensor, Settings};
use support::{alone, root};

/// How long a check may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Any program at traffic control will do: one of our object that is never on a captured interface.
const OTHER: &str = "netmoth_drop";
const OBJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../netmoth-xdp/netmoth-xdp.o");
const HOST: &str = "10.83.0.1";
const PEER: &str = "10.83.0.2";

/// A host with an address on `tap0`, and its peer.
fn host() -> Wire {
    let wire = Wire::new(1, 1500);
    wire.script_tap(&format!("ip address add {HOST}/24 dev tap0"));
    wire
}

/// One answer: its status; what was found, and the remedy behind it.
type Answer = (String, String);

/// Runs `check` where `tap0` is, with these lines of configuration and this session (empty for none); returns one answer.
#[track_caller]
fn check(wire: &Wire, folder: &Path, lines: &str, store: &str, session: &str, name: &str) -> Answer {
    let file = folder.join("check.yml");
    std::fs::write(&file, format!("number_of_rings: 1\nmax_cores: 1\n{lines}\n")).unwrap();
    let mut netmoth = wire.at_tap(NETMOTH);
    // Set in any case: else a session that the tests run in would be found.
    netmoth.env("SSH_CONNECTION", session);
    netmoth.args(["check", "-i", "tap0", "--format", "json", "--store", store, "-c"]).arg(file);
    let ended = run(&mut netmoth, LIMIT);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let failed = report["fail"].as_u64().unwrap() > 0;
    assert_eq!(ended.code(), i32::from(failed), "{ended:?}");
    let one = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    let one = one.unwrap_or_else(|| panic!("{name:?} is not asked in {report}"));
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    (text("status"), format!("{} {}", text("found"), text("remedy")))
}

/// Has a program of somebody else stand at ingress of `tap0`; returns what holds it, and its id.
fn attach_another(wire: &Wire, options: TcAttachOptions) -> (Ebpf, u32) {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            netns::enter(&wire.file("tap"));
            let mut ebpf = Ebpf::load_file(OBJECT).unwrap();
            let program: &mut SchedClassifier = ebpf.program_mut(OTHER).unwrap().try_into().unwrap();
            program.load().unwrap();
            if matches!(options, TcAttachOptions::Netlink(_)) {
                qdisc_add_clsact("tap0").unwrap();
            }
            program.attach_with_options("tap0", TcAttachType::Ingress, options).unwrap();
            let id = program.info().unwrap().id();
            (ebpf, id)
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("check.db").display())
}

#[test]
fn programs_at_traffic_control_are_named_and_a_running_netmoth_is_no_failure() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let wire = host();
    let ask = |lines: &str| check(&wire, folder.path(), lines, &sqlite(folder.path()), "", "traffic control");
    let (status, text) = ask("mode: mirror");
    assert!(status == "ok" && text.starts_with("no programs"), "{text}");

    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings::workers(1));
    let (status, text) = ask("mode: mirror");
    assert_eq!(status, "warn", "{text}");
    assert!(text.contains("a Netmoth mirrors already"), "{text}");
    // The kernel knows each program by the id that stands behind its name.
    let ids: Vec<u32> = ["netmoth_ingress", "netmoth_egress"]
        .iter()
        .map(|name| {
            let (_, rest) = text.split_once(&format!("`{name}` (id ")).unwrap_or_else(|| panic!("{name}: {text}"));
            rest.split([',', ')']).next().unwrap().parse().unwrap()
        })
        .collect();
    let known: Vec<_> =
        aya::programs::loaded_programs().flatten().filter(|program| ids.contains(&program.id())).collect();
    let mut names: Vec<_> = known.iter().map(|program| program.name_as_str().unwrap_or_default()).collect();
    names.sort_unstable();
    assert_eq!(names, ["netmoth_egress", "netmoth_ingress"]);
    let (status, text) = ask("strategy: afpacket");
    assert!(status == "ok" && text.contains("`netmoth_ingress` (id "), "{text}");

    // Somebody puts a program before those of the running one.
    let (other, id) = attach_another(&wire, TcAttachOptions::TcxOrder(LinkOrder::first()));
    let (status, text) = ask("mode: mirror");
    let named = format!("`{OTHER}` (id {id}, tcx ingress)");
    assert!(status == "warn" && text.starts_with(&format!("{named} came before")), "{text}");
    sensor.stop();
    let (status, text) = ask("mode: mirror");
    assert!(status == "ok" && text.starts_with(&format!("{named}: Netmoth's programs go before")), "{text}");
    let (status, text) = ask("mode: tap");
    assert!(status == "warn" && text.contains(&format!("never reach {named}")), "{text}");
    drop(other);
    assert!(ask("mode: mirror").1.starts_with("no programs"), "what has gone is named no more");
}

#[test]
fn filters_of_clsact_are_named_by_name_and_id() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = host();
    let (_other, id) = attach_another(&wire, TcAttachOptions::Netlink(NlOptions::default()));
    let (status, text) = check(&wire, folder.path(), "mode: mirror", &sqlite(folder.path()), "", "traffic control");
    assert!(status == "ok" && text.starts_with(&format!("`{OTHER}` (id {id}, bpf ingress)")), "{text}");
}

#[test]
fn the_session_that_a_tap_would_cut_off_is_named() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = host();
    let ask =
        |lines: &str, session: &str| check(&wire, folder.path(), lines, &sqlite(folder.path()), session, "SSH session");
    let session = format!("{PEER} 50000 {HOST} 22");
    let (status, text) = ask("mode: tap", &session);
    assert_eq!(status, "fail", "{text}");
    assert!(
        text.contains(&format!("from {PEER} to {HOST} goes through tap0")) && text.contains("mode: mirror"),
        "{text}"
    );
    let (status, text) = ask("mode: tap\nexclusive: true", &session);
    assert!(status == "warn" && text.contains(PEER), "{text}");
    for lines in ["mode: mirror", "mode: auto", "strategy: afpacket"] {
        let (status, text) = ask(lines, &session);
        assert!(status == "ok" && text.contains(PEER) && text.contains("stays"), "{lines}: {text}");
    }
    // An address of another host or network namespace, though the way to the client leads here.
    let (status, text) = ask("mode: tap", &format!("{PEER} 50000 192.0.2.1 22"));
    assert!(status == "ok" && text.contains("another interface"), "{text}");
    // An address of this host elsewhere, and the way back leads here.
    wire.script_tap("ip link set lo up; ip address add 192.0.2.1/32 dev lo");
    let (status, text) = ask("mode: tap", &format!("{PEER} 50000 192.0.2.1 22"));
    assert!(status == "fail" && text.contains(PEER), "{text}");
    let (_, text) = ask("mode: tap", "");
    assert!(text.contains("this runs in none"), "{text}");
}

#[test]
fn a_session_through_what_stands_upon_the_interface_counts() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = host();
    let ask = || {
        let session = format!("{PEER} 50000 {HOST} 22");
        check(&wire, folder.path(), "mode: tap", &sqlite(folder.path()), &session, "SSH session")
    };
    // A VLAN is made the same way, but not every kernel has them.
    wire.script_tap(&format!(
        "ip address flush dev tap0
         ip link add link tap0 name mac0 type macvlan
         ip address add {HOST}/24 dev mac0"
    ));
    assert_eq!(ask().0, "fail", "{}", ask().1);
    wire.script_tap(&format!(
        "ip link del mac0
         ip link add br0 type bridge
         ip link set tap0 master br0
         ip address add {HOST}/24 dev br0"
    ));
    assert_eq!(ask().0, "fail", "{}", ask().1);
    wire.script_tap("ip link set tap0 nomaster");
    assert_eq!(ask().0, "ok", "{}", ask().1);
}

#[test]
fn an_xdp_program_of_somebody_else_is_a_failure_for_a_tap_alone() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (folder, wire) = (tempfile::tempdir().unwrap(), Wire::new(1, 1500));
    let other = Settings { more: "mode: tap".into(), ..Settings::workers(1) };
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &other);
    for (lines, expected) in [("mode: tap", "fail"), ("mode: mirror", "warn")] {
        let (status, text) = check(&wire, folder.path(), lines, &sqlite(folder.path()), "", "other programs");
        assert!(status == expected && text.contains("the XDP program `netmoth` (id "), "{lines}: {status} {text}");
    }
    sensor.stop();
}

#[test]
fn a_session_is_found_where_sudo_dropped_the_variable() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = host();
    let mut shell = wire.at_tap("env");
    // The shell waits for its child, so it is above it and has the variable.
    shell.arg(format!("SSH_CONNECTION={PEER} 50000 {HOST} 22")).args([
        "sh",
        "-c",
        "env -u SSH_CONNECTION \"$@\"; :",
        "sh",
    ]);
    shell.args([NETMOTH, "check", "-i", "tap0", "--store", &sqlite(folder.path())]);
    let ended = run(&mut shell, LIMIT);
    assert!(ended.stdout.contains(&format!("that from {PEER} to {HOST} goes through tap0, and stays")), "{ended:?}");
}

#[test]
fn the_way_to_a_store_that_a_tap_would_cut_off_is_named() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wire = host();
    // Nobody listens on the peer, which says so at once.
    wire.script_out(&format!("ip address add {PEER}/24 dev out0"));
    let ask = |lines: &str, host: &str| {
        let store = format!("postgres://moth:secret-word@{host}:5432/flows");
        let answer = check(&wire, folder.path(), lines, &store, "", "way to the store");
        assert!(!answer.1.contains("secret-word"), "{}", answer.1);
        answer
    };
    let (status, text) = ask("mode: tap", PEER);
    assert!(status == "fail" && text.contains(&format!("to {PEER} through tap0")), "{text}");
    let (status, text) = ask("mode: mirror", PEER);
    assert!(status == "ok" && text.contains("stays"), "{text}");
    let (status, text) = ask("mode: tap", HOST);
    assert!(status == "ok" && text.contains("on this host"), "{text}");
}
