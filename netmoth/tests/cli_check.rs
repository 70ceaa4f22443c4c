//! `netmoth check` as a person runs it: one line a question, the remedy below, and an exit status for scripts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const NETMOTH: &str = env!("CARGO_BIN_EXE_netmoth");

/// Runs `check` with a valid configuration of two lines, a store in `folder`, and further arguments.
fn check(mut netmoth: Command, folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let file = folder.join("sensor.yml");
    std::fs::write(&file, "number_of_rings: 1\nmax_cores: 1\n").unwrap();
    let store = format!("sqlite:{}", folder.join("flows.db").display());
    let file = file.to_str().unwrap();
    said(&netmoth.args(["check", "-c", file, "--store", &store]).args(more).output().unwrap())
}

fn said(ended: &Output) -> (Option<i32>, String) {
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    (ended.status.code(), String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// The answer to one question with the line below it, where its remedy stands.
#[track_caller]
fn answer<'a>(output: &'a str, name: &str) -> (&'a str, &'a str) {
    let mut lines = output.lines();
    let line = lines.find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(name)));
    (line.unwrap_or_else(|| panic!("{name:?} is not asked in:\n{output}")), lines.next().unwrap_or(""))
}

#[test]
fn an_interface_that_is_not_there_fails_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (status, output) = check(Command::new(NETMOTH), folder.path(), &["-i", "nmf-absent"]);
    assert_eq!(status, Some(1), "{output}");
    let (line, remedy) = answer(&output, "interface");
    assert!(line.starts_with("FAIL") && line.contains("nmf-absent"), "{output}");
    assert!(remedy.contains("-> "), "{output}");
    assert!(answer(&output, "configuration").0.starts_with("ok"), "{output}");
    assert!(answer(&output, "store").0.starts_with("ok"), "{output}");
    assert!(!folder.path().join("flows.db").exists(), "asking makes no store");
}

#[test]
fn without_an_interface_it_says_where_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let (status, output) = check(Command::new(NETMOTH), folder.path(), &[]);
    assert_eq!(status, Some(1), "{output}");
    let (line, remedy) = answer(&output, "interface");
    assert!(line.contains("none is named") && remedy.contains("-i IFACE"), "{output}");
}

#[test]
fn an_interface_that_the_host_uses_is_mirrored_and_a_tap_on_it_fails_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_, output) = check(Command::new(NETMOTH), folder.path(), &["-i", "lo"]);
    let (line, _) = answer(&output, "use by the host");
    assert!(line.starts_with("ok") && line.contains("mirrored"), "{output}");
    let file = folder.path().join("tap.yml");
    std::fs::write(&file, "mode: tap\n").unwrap();
    let store = format!("sqlite:{}", folder.path().join("flows.db").display());
    let arguments = ["check", "-i", "lo", "--store", &store, "-c", file.to_str().unwrap()];
    let (status, output) = said(&Command::new(NETMOTH).args(arguments).output().unwrap());
    assert_eq!(status, Some(1), "{output}");
    let (line, remedy) = answer(&output, "use by the host");
    assert!(line.starts_with("FAIL") && line.contains("127.0.0.1") && remedy.contains("exclusive: true"), "{output}");
    assert!(!output.contains('\x1b'), "colour is for terminals");
}

#[test]
fn without_rights_each_missing_capability_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // Only root has rights to give up; whoever is somebody else already lacks them.
    let as_root = std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t0");
    let netmoth = if as_root {
        // The binary may lie where only root can look, so it is run from a copy.
        let binary = folder.path().join("netmoth");
        std::fs::copy(NETMOTH, &binary).unwrap();
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(binary);
        setpriv
    } else {
        Command::new(NETMOTH)
    };
    let (status, output) = check(netmoth, folder.path(), &["-i", "lo"]);
    assert_eq!(status, Some(1), "{output}");
    let (line, remedy) = answer(&output, "privileges");
    for capability in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW"] {
        assert!(line.contains(capability), "{output}");
    }
    assert!(remedy.contains("root") && remedy.contains("netmoth.service"), "{output}");
}

#[test]
fn a_store_that_cannot_be_is_failed_with_its_folder() {
    let ended = Command::new(NETMOTH).args(["check", "-i", "lo", "--store", "sqlite:/nonexistent/x.db"]).output();
    let (status, output) = said(&ended.unwrap());
    assert_eq!(status, Some(1), "{output}");
    let (line, _) = answer(&output, "store");
    assert!(line.starts_with("FAIL") && line.contains("/nonexistent is not there"), "{output}");
}

#[test]
fn a_configuration_that_is_not_valid_ends_with_two_and_asks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yml");
    std::fs::write(&file, "interface: lo\nmax_cores: 0\n").unwrap();
    let ended = Command::new(NETMOTH).args(["check", "-c", file.to_str().unwrap()]).output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
    let (status, output) = said(&ended);
    assert_eq!((status, output.as_str()), (Some(2), ""), "{errors}");
    assert!(errors.contains("wrong.yml:2") && errors.contains("max_cores"), "{errors}");
}

#[test]
fn json_says_what_the_table_says_and_strict_lets_warnings_count() {
    let folder = tempfile::tempdir().unwrap();
    // Without a spool there is a warning on every host, and without an interface a failure.
    for more in [&["-i", "lo"][..], &[]] {
        let (table_status, table) = check(Command::new(NETMOTH), folder.path(), more);
        let (status, json) = check(Command::new(NETMOTH), folder.path(), &[more, &["--format", "json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((status, json.lines().count()), (table_status, 1), "{json}");
        let checks = report["checks"].as_array().unwrap();
        for one in checks {
            let name = one["name"].as_str().unwrap();
            let (line, _) = answer(&table, name);
            assert_eq!(line[..4].trim().to_lowercase(), one["status"].as_str().unwrap(), "{line}");
            assert_eq!(one["remedy"].is_null(), one["status"] == "ok", "{one}");
        }
        let count = |word: &str| checks.iter().filter(|one| one["status"] == word).count();
        let summary = format!(
            "{} checks: {} ok, {} to look at, {} failed",
            checks.len(),
            count("ok"),
            count("warn"),
            count("fail")
        );
        assert!(table.contains(&summary), "{table}{json}");
        assert_eq!(
            [&report["ok"], &report["warn"], &report["fail"]].map(|n| n.as_u64().unwrap() as usize),
            ["ok", "warn", "fail"].map(count)
        );
        let worst = if count("fail") > 0 { 1 } else { 0 };
        assert_eq!(status, Some(worst), "{json}");
        let strict = if worst == 0 && count("warn") > 0 { 3 } else { worst };
        let (status, output) = check(Command::new(NETMOTH), folder.path(), &[more, &["--strict"]].concat());
        assert_eq!(status, Some(strict), "{output}");
    }
}
