//! What `capture::program` promises about interfaces: on veths in network namespaces of their own, as root.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use netmoth::capture::program::{AttachPreference, ProgramError, XdpMode, XdpProgram, attached_program};

const KEY: [u64; 2] = [1, 2];
const ROLE: &str = "NETMOTH_TEST_ROLE";
const UNPRIVILEGED: &str = "NETMOTH_TEST_UNPRIVILEGED";

/// A command that another test starts holds a copy of our descriptors, the link's among them, between its fork and its
/// exec, and so would keep a program attached that was detached: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Moves this thread, and the commands that it starts, into a new network namespace, which ends with them. None where
/// this isn't root; continuous integration may not skip.
#[expect(unsafe_code, reason = "namespaces are entered by a system call")]
fn enter_namespace() -> Option<MutexGuard<'static, ()>> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: the call takes one integer and changes this thread alone.
    let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
    assert!(entered || std::env::var_os("CI").is_none(), "this test needs root, and in CI it may not be skipped");
    if !entered {
        log_line("skipped: this test needs root");
    }
    entered.then_some(guard)
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A pair of veths, `nma0` and `nma1`.
fn veths(mtu: u32) -> Option<MutexGuard<'static, ()>> {
    let entered = enter_namespace();
    if entered.is_some() {
        ip(&format!("link add nma0 mtu {mtu} type veth peer name nma1 mtu {mtu}"));
        ip("link set nma0 up");
        ip("link set nma1 up");
    }
    entered
}

fn load() -> XdpProgram {
    XdpProgram::load(1, 1, KEY).expect("root may load the program")
}

#[test]
fn it_attaches_in_the_mode_asked_for_and_detaches_when_dropped() {
    let Some(_guard) = veths(1500) else { return };
    for (preference, mode) in [
        (AttachPreference::Auto, XdpMode::Native),
        (AttachPreference::Native, XdpMode::Native),
        (AttachPreference::Generic, XdpMode::Generic),
    ] {
        let mut program = load();
        assert_eq!(program.attach("nma0", preference).expect("veth takes it"), mode);
        let attached = attached_program("nma0").expect("nma0 is there").expect("a program is attached");
        assert_eq!((attached.name.as_deref(), attached.mode), (Some("netmoth"), mode));
        drop(program);
        assert_eq!(attached_program("nma0").expect("nma0 is there"), None);
    }
}

#[test]
fn it_can_be_detached_twice_and_attached_again() {
    let Some(_guard) = veths(1500) else { return };
    let mut program = load();
    program.attach("nma0", AttachPreference::Native).expect("veth takes it");
    assert!(matches!(program.attach("nma1", AttachPreference::Native), Err(ProgramError::AlreadyAttached)));
    program.detach();
    program.detach();
    assert_eq!(attached_program("nma0").expect("nma0 is there"), None);
    program.attach("nma0", AttachPreference::Native).expect("veth takes it again");
}

#[test]
fn another_program_on_the_interface_is_named_and_stays() {
    let Some(_guard) = veths(1500) else { return };
    let mut other = load();
    for preference in [AttachPreference::Native, AttachPreference::Generic] {
        other.attach("nma0", preference).expect("veth takes it");
        let there = attached_program("nma0").expect("nma0 is there").expect("a program is attached");
        for wish in [AttachPreference::Auto, AttachPreference::Native, AttachPreference::Generic] {
            let message = load().attach("nma0", wish).expect_err("the interface is taken").to_string();
            for word in ["nma0", "`netmoth`", &format!("id {}", there.id), "ip link set dev nma0 xdp off"] {
                assert!(message.contains(word), "{word} is not in: {message}");
            }
        }
        assert_eq!(attached_program("nma0").expect("nma0 is there"), Some(there));
        other.detach();
    }
}

#[test]
fn an_mtu_too_large_for_native_mode_is_named_and_generic_mode_stands_in() {
    let Some(_guard) = veths(9000) else { return };
    let mut program = load();
    let message = program.attach("nma0", AttachPreference::Native).expect_err("9000 bytes are no page").to_string();
    for word in ["9000", "veth", "ip link set dev nma0 mtu 3498"] {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    assert_eq!(program.attach("nma0", AttachPreference::Auto).expect("generic mode takes it"), XdpMode::Generic);
    program.detach();
    // What the message advises works.
    ip("link set nma0 mtu 3498");
    ip("link set nma1 mtu 3498");
    assert_eq!(program.attach("nma0", AttachPreference::Native).expect("now it fits"), XdpMode::Native);
}

#[test]
fn a_driver_without_native_mode_is_named_and_generic_mode_stands_in() {
    let Some(_guard) = enter_namespace() else { return };
    ip("link add nma0 type bridge");
    let mut program = load();
    let message = program.attach("nma0", AttachPreference::Native).expect_err("a bridge has no native XDP").to_string();
    assert!(message.contains("driver bridge") && message.contains("Generic mode"), "{message}");
    assert_eq!(program.attach("nma0", AttachPreference::Auto).expect("generic mode takes it"), XdpMode::Generic);
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let Some(_guard) = enter_namespace() else { return };
    for name in ["nma9", "a-name-that-is-longer-than-the-kernel-has"] {
        let message = load().attach(name, AttachPreference::Auto).expect_err("no such interface").to_string();
        assert!(message.contains(name) && message.contains("does not exist"), "{message}");
    }
}

#[test]
fn frames_that_arrive_are_counted_exactly() {
    let Some(_guard) = veths(1500) else { return };
    let mut program = load();
    program.set_queue(0, 0, 1).expect("queue 0 is there");
    let received = || -> u64 {
        let output = Command::new("ip").args(["-j", "-s", "link", "show", "nma0"]).output().expect("iproute2");
        let links: serde_json::Value = serde_json::from_slice(&output.stdout).expect("ip prints JSON");
        links[0]["stats64"]["rx"]["packets"].as_u64().expect("the counter is there")
    };
    program.attach("nma0", AttachPreference::Generic).expect("veth takes it");
    let before: u64 = program.fates().expect("the map can be read").iter().flatten().sum();
    let (base, frames) = (received() - before, 50);
    ip("addr add 10.77.0.1/24 dev nma1");
    // Unanswered, so that each is one ARP request at most; whatever else the stack sends is counted on both sides.
    let socket = std::net::UdpSocket::bind("10.77.0.1:0").expect("the address is there");
    ip("neigh add 10.77.0.2 lladdr 02:00:00:00:00:09 dev nma1");
    for _ in 0..frames {
        socket.send_to(&[0; 32], "10.77.0.2:9").expect("veth takes a datagram");
    }
    // The veth hands frames on in softirq context, on the heels of the send: both counters are read until they agree.
    let mut tries = 0;
    loop {
        let rows = program.fates().expect("the map can be read");
        let seen: u64 = rows.iter().flatten().sum();
        if seen >= frames && seen == received() - base {
            assert_eq!(rows[0].iter().sum::<u64>(), seen, "all came in on queue 0");
            break;
        }
        tries += 1;
        assert!(tries < 10_000, "{rows:?} of {} received", received() - base);
        std::thread::yield_now();
    }
}

/// The process that the next test kills: attaches, says so, and waits for the end.
#[test]
fn role_of_the_process_that_is_killed() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut program = load();
    program.attach("nma0", AttachPreference::Auto).expect("veth takes it");
    log_line("attached");
    let _ = std::io::stdin().read(&mut [0]);
    unreachable!("this process is killed while it waits, attached: {program:?}");
}

#[expect(clippy::print_stderr, reason = "a test has no log, and the killed process's parent reads this")]
fn log_line(line: &str) {
    eprintln!("{line}");
}

#[test]
fn sigkill_leaves_no_program_on_the_interface() {
    let Some(_guard) = veths(1500) else { return };
    let mut child = Command::new(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", "role_of_the_process_that_is_killed", "--nocapture"])
        .env(ROLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test binary starts");
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let attached = lines.map_while(Result::ok).any(|line| line == "attached");
    assert!(attached, "the child attached");
    assert!(attached_program("nma0").expect("nma0 is there").is_some());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(attached_program("nma0").expect("nma0 is there"), None);
    // And the next start works at once.
    load().attach("nma0", AttachPreference::Native).expect("the interface is free");
}

/// The process that the next test starts without capabilities.
#[test]
fn role_of_the_process_without_capabilities() {
    if std::env::var_os(UNPRIVILEGED).is_some() {
        log_line(&XdpProgram::load(1, 1, KEY).expect_err("it has no capability").to_string());
    }
}

#[test]
fn without_capabilities_the_missing_ones_and_the_remedy_are_named() {
    let Some(_guard) = enter_namespace() else { return };
    // The nobody user may not be able to reach the build's folder, so the binary is executed by root and drops the rest.
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all"])
        .arg(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", "role_of_the_process_without_capabilities", "--nocapture"])
        .env(UNPRIVILEGED, "1")
        .output()
        .expect("util-linux is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("lacks CAP_BPF and CAP_NET_ADMIN. Run as root, or give it"), "{said}");
}
