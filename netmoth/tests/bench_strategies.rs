//! `netmoth bench strategies`: that it measures each strategy, leaves nothing behind, and says what it can't do.

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "support/mod.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use support::command::{Running, SHORT, run, until};
use support::sensor::NETMOTH;
use support::{alone, root};

/// Some dozens of sensors start and end one after the other, on a machine that may have much else to do.
const LONG: Duration = Duration::from_secs(600);
const STRATEGIES: [&str; 4] = ["pcap", "afpacket", "ebpf-tap", "ebpf-mirror"];
/// Columns with a figure.
const FIGURES: [&str; 6] = ["without loss", "process", "soft interrupts", "memory", "p50", "p99"];

fn netmoth(more: &str, temporary: &Path) -> Command {
    let mut command = Command::new(NETMOTH);
    command.args(["bench", "strategies"]).args(more.split_whitespace());
    command.env_remove("RUST_LOG").env("TMPDIR", temporary);
    command
}

/// Whether this machine and this user can measure; says so where they can't.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn able() -> bool {
    let cores = std::thread::available_parallelism().unwrap().get();
    if cores < 2 {
        assert!(std::env::var_os("CI").is_none(), "this test needs two cores, and in CI it may not skip");
        eprintln!("skipped: this test needs two cores (a sender's and a sensor's)");
    }
    cores >= 2 && root()
}

/// Processes whose command line names this folder.
fn processes(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(folder.to_str().unwrap())).collect()
}

/// No process and no file of it is left.
#[track_caller]
fn assert_nothing_left(folder: &Path) {
    assert_eq!(processes(folder), Vec::<String>::new());
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn each_strategy_has_its_figures_and_nothing_is_left() {
    if !able() {
        return;
    }
    let (_alone, folder) = (alone(), tempfile::tempdir().unwrap());
    let mut command = netmoth("--seconds 0.3 --rounds 1 --rate 5K --format json", folder.path());
    let printed = run(&mut command, LONG).expect_success().stdout;
    let report: Value = serde_json::from_str(&printed).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["strategy"].as_str().unwrap()).collect();
    assert_eq!(names, STRATEGIES);
    for row in rows {
        assert_eq!(row["why not"], Value::Null, "{row}");
        for figure in FIGURES {
            assert!(row[figure]["median"].is_number() && row[figure]["rounds"] == 1, "{figure}: {row}");
        }
        for figure in ["process", "memory", "p50", "p99"] {
            assert!(row[figure]["median"].as_f64().unwrap() > 0.0, "{figure}: {row}");
        }
        assert!(row["p50"]["median"].as_f64() <= row["p99"]["median"].as_f64(), "{row}");
    }
    // So few frames that a ring holds them all: the rate of the other columns goes at least.
    assert!(rows[1]["without loss"]["median"].as_f64().unwrap() > 0.0, "{}", rows[1]);
    assert_nothing_left(folder.path());
}

#[test]
fn a_strategy_that_does_not_work_here_has_a_row_that_says_why() {
    if !able() {
        return;
    }
    let (_alone, folder) = (alone(), tempfile::tempdir().unwrap());
    // libpcap is hidden from this one alone, in a mount namespace of its own.
    let hide = r#"for file in $(ldconfig -p | grep -o '/[^ ]*libpcap\.so[^ ]*'); do mount --bind /dev/null $file; done
                  exec "$0" "$@""#;
    let mut hidden = Command::new("unshare");
    hidden.args(["--mount", "sh", "-c", hide, NETMOTH, "bench", "strategies", "--only", "afpacket,pcap"]);
    hidden.args(["--seconds", "0.3", "--rounds", "1", "--rate", "5K", "--format", "json"]);
    let printed = run(hidden.env("TMPDIR", folder.path()), LONG).expect_success().stdout;
    let report: Value = serde_json::from_str(&printed).unwrap();
    let [pcap, afpacket] = &report["rows"].as_array().unwrap()[..] else { panic!("two rows: {report}") };
    assert_eq!((&pcap["strategy"], &afpacket["strategy"]), (&"pcap".into(), &"afpacket".into()));
    assert!(pcap["why not"].as_str().unwrap().contains("libpcap"), "{pcap}");
    assert!(FIGURES.iter().all(|figure| pcap[figure].is_null() && afpacket[figure].is_object()), "{report}");
    assert_nothing_left(folder.path());
}

#[test]
fn asked_to_stop_it_stops_and_leaves_nothing() {
    if !able() {
        return;
    }
    let _alone = alone();
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(&mut netmoth("--only afpacket --seconds 600", folder.path()));
        // The sender alone takes its ten minutes first.
        until("the measurement has begun", SHORT, || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).ok()?;
            let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse::<u32>().ok()?;
            (threads >= 3).then_some(())
        });
        running.signal(signal);
        let ended = running.wait(SHORT);
        assert_eq!((ended.code(), ended.stdout.as_str()), (1, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("stopped before all was measured"), "{}", ended.stderr);
        assert_nothing_left(folder.path());
    }
}

/// A measurement whose sensor runs.
fn with_a_sensor(folder: &Path) -> Running {
    // Rounds without end: one of them has a sensor before long.
    let running = Running::start(&mut netmoth("--only afpacket --seconds 0.3 --rounds 100000 --rate 5K", folder));
    until("a sensor runs", LONG, || (!processes(folder).is_empty()).then_some(()));
    running
}

#[test]
fn asked_to_stop_while_a_sensor_runs_it_takes_the_sensor_along() {
    if !able() {
        return;
    }
    let (_alone, folder) = (alone(), tempfile::tempdir().unwrap());
    let running = with_a_sensor(folder.path());
    running.signal("TERM");
    assert_eq!(running.wait(SHORT).code(), 1);
    assert_nothing_left(folder.path());
}

#[test]
fn killed_it_takes_the_sensor_along() {
    if !able() {
        return;
    }
    let (_alone, folder) = (alone(), tempfile::tempdir().unwrap());
    let running = with_a_sensor(folder.path());
    running.signal("KILL");
    running.wait(SHORT);
    until("the sensor has gone, too", SHORT, || processes(folder.path()).is_empty().then_some(()));
}

#[test]
fn without_root_or_a_second_core_it_says_so() {
    // The binary may lie where only root can look, so it is run from a copy.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("netmoth");
    std::fs::copy(NETMOTH, &copy).unwrap();
    let mut plain = Command::new(&copy);
    if root() {
        plain = Command::new("setpriv");
        plain.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
    }
    let ended = run(plain.args(["bench", "strategies"]), SHORT);
    assert_eq!((ended.code(), ended.stdout.as_str()), (1, ""), "{}", ended.stderr);
    let cores = std::thread::available_parallelism().unwrap().get();
    let words = if cores > 1 { "CAP_SYS_ADMIN" } else { "need a core each" };
    assert!(ended.stderr.contains(words) && !ended.stderr.contains("panicked"), "{}", ended.stderr);

    let mut one = Command::new("taskset");
    let ended = run(one.args(["--cpu-list", "0"]).arg(&copy).args(["bench", "strategies"]), SHORT);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("need a core each") && ended.stderr.contains("CPU 0 alone"), "{}", ended.stderr);
}

#[test]
fn nonsense_is_refused_and_help_teaches() {
    let folder = tempfile::tempdir().unwrap();
    for (more, words) in [
        ("--rounds 0", "--rounds"),
        ("--rate 0", "--rate"),
        ("--seconds 0", "--seconds"),
        ("--flows 0", "0 connections"),
        ("--sizes 59", "60-1514"),
        ("--sizes 1515", "1514"),
        ("--only dpdk", "afpacket"),
    ] {
        let ended = run(&mut netmoth(more, folder.path()), SHORT);
        assert_eq!(ended.code(), 2, "{more}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{words:?} is not in:\n{}", ended.stderr);
    }
    let help = run(&mut netmoth("--help", folder.path()), SHORT).expect_success().stdout;
    for words in ["Examples:", "--only", "ebpf-mirror", "--seconds", "--rate", "without loss", "root"] {
        assert!(help.contains(words), "{words:?} is not in:\n{help}");
    }
}
