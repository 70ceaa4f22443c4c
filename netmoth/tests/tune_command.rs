//! `netmoth tune` on a real interface: what --apply changes, --undo puts back byte for byte, also after a kill.

#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/command.rs"]
mod command;

use std::path::Path;

use command::{Running, SHORT, run, script};

const NETMOTH: &str = env!("CARGO_BIN_EXE_netmoth");
const INTERFACE: &str = "tap0";

/// A namespace with a veth, removed at the end.
struct Namespace(String);

impl Namespace {
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    fn make(name: &str) -> Option<Self> {
        let root =
            std::fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line.starts_with("Uid:\t0\t0"));
        if !root {
            assert!(std::env::var_os("CI").is_none(), "this test needs root, and in CI it may not skip");
            eprintln!("skipped: this test needs root (network namespaces)");
            return None;
        }
        let namespace = Self(format!("nmtune-{name}-{}", std::process::id()));
        run(command::command("ip").args(["netns", "add", &namespace.0]), SHORT).expect_success();
        let make = "ip link add tap0 numtxqueues 4 numrxqueues 4 type veth peer name other numtxqueues 4 numrxqueues 4\n\
                    ethtool -K tap0 gro on\nip link set tap0 up\nip link set other up";
        script(&namespace.0, make);
        Some(namespace)
    }

    /// All that can be seen of the interface's and the host's settings.
    fn dump(&self) -> String {
        let text = "for what in k l g x; do ethtool -$what tap0 2>&1 || true; done\n\
                    cd /sys/class/net/tap0; cat napi_defer_hard_irqs gro_flush_timeout mtu flags tx_queue_len threaded\n\
                    cat /sys/kernel/mm/transparent_hugepage/enabled /proc/sys/vm/nr_hugepages || true\n\
                    cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2>/dev/null || true";
        script(&self.0, text).stdout
    }

    /// `netmoth tune tap0` with busy polling, two workers and further arguments.
    fn tune(&self, folder: &Path, more: &[&str]) -> std::process::Command {
        let config = folder.join("sensor.yml");
        std::fs::write(&config, "busy_poll: 50\nnumber_of_rings: 2\n").unwrap();
        let mut tune = command::command("ip");
        tune.args(["netns", "exec", &self.0, NETMOTH, "tune", INTERFACE, "--workers", "2", "-c"]).arg(config);
        tune.arg("--state").arg(folder.join("tune.json")).args(more);
        tune
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        std::process::Command::new("ip").args(["netns", "del", &self.0]).status().ok();
    }
}

/// Puts back what was, also where the test fails: some settings are the host's.
struct Undo<'a>(&'a Namespace, &'a Path);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.0.tune(self.1, &["--undo"]).output().ok();
    }
}

#[test]
fn apply_and_undo_leave_every_setting_as_before() {
    let Some(namespace) = Namespace::make("undo") else { return };
    let folder = tempfile::tempdir().unwrap();
    let _undo = Undo(&namespace, folder.path());
    let before = namespace.dump();
    let tune = |more: &[&str]| run(&mut namespace.tune(folder.path(), more), SHORT).expect_success().stdout;
    let plan = tune(&[]);
    assert!(plan.contains("rx 4 tx 4 -> rx 2 tx 4") && !plan.contains('\x1b'), "{plan}");
    assert_eq!(namespace.dump(), before, "a plan changes nothing");
    tune(&["--apply"]);
    let applied = namespace.dump();
    assert!(applied.contains("rx-vlan-offload: off") && applied.contains("\n200000\n"), "{applied}");
    assert!(tune(&["--apply"]).contains("nothing to change"));
    tune(&["--undo"]);
    assert_eq!(namespace.dump(), before);
    assert!(!folder.path().join("tune.json").exists());
    assert!(tune(&["--undo"]).contains("nothing is remembered"));
}

#[test]
fn an_apply_that_was_killed_is_undone() {
    let Some(namespace) = Namespace::make("kill") else { return };
    let folder = tempfile::tempdir().unwrap();
    let _undo = Undo(&namespace, folder.path());
    let before = namespace.dump();
    // Wherever the kill falls, nowhere, before the first change or behind the last one: undo brings back the same.
    for pause in [0_u64, 2, 5, 10, 20] {
        let applying = Running::start(&mut namespace.tune(folder.path(), &["--apply"]));
        std::thread::sleep(std::time::Duration::from_millis(pause));
        drop(applying);
        run(&mut namespace.tune(folder.path(), &["--undo"]), SHORT).expect_success();
        assert_eq!(namespace.dump(), before, "killed after {pause} ms");
    }
}

#[test]
fn an_interface_that_is_not_there_is_said_and_wrong_usage_is_2() {
    let tune = |args: &[&str]| run(command::command(NETMOTH).arg("tune").args(args), SHORT);
    let absent = tune(&["nmf-absent"]);
    assert!(absent.code() == 1 && absent.stderr.contains("no interface nmf-absent"), "{absent:?}");
    assert_eq!(tune(&["lo", "--apply", "--undo"]).code(), 2);
    assert_eq!(tune(&["lo", "--workers", "0"]).code(), 2);
    assert!(tune(&["lo", "--format", "json"]).expect_success().stdout.contains("\"steps\""));
}
