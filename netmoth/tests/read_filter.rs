//! `netmoth read --bpf`: the records of a filtered file are those of the file that tcpdump makes with the same filter.

#[path = "support/captures.rs"]
mod captures;

use std::path::Path;
use std::process::{Command, Output};

use captures::{files, shared};

fn netmoth(arguments: &[&str], file: &Path) -> Output {
    let mut netmoth = Command::new(env!("CARGO_BIN_EXE_netmoth"));
    netmoth.args(["read", "--format", "json"]).args(arguments).arg(file);
    netmoth.env("RUST_LOG", "error,netmoth::summary=debug").env_remove("NETMOTH_DEBUG").output().unwrap()
}

/// The records of a run that ended in order, without the number that tells workers apart, in an order of their own.
fn records(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("OFF BY"), "{said}");
    let without_id = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("flow_id");
        record.to_string()
    };
    let mut records: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(without_id).collect();
    records.sort_unstable();
    records
}

#[test]
fn a_filtered_file_has_the_records_of_the_file_that_tcpdump_filters() {
    let Some(folder) = shared() else { return };
    let (mut paths, place) = (Vec::new(), tempfile::tempdir().unwrap());
    files(&folder, &mut paths);
    paths.sort();
    let (mut compared, mut matched) = (0, 0);
    for path in &paths {
        for expression in ["tcp port 443 or udp port 53", "not ip6 and greater 100", "vlan or icmp or net 10.0.0.0/8"] {
            let filtered = place.path().join("filtered.pcap");
            let mut tcpdump = Command::new("tcpdump");
            tcpdump.arg("--nano").arg("-r").arg(path).arg("-w").arg(&filtered).args(["--", expression]);
            // It reads neither damaged files nor every kind that Netmoth does.
            if !tcpdump.output().unwrap().status.success() {
                continue;
            }
            let wanted = records(&netmoth(&[], &filtered));
            for workers in ["1", "2"] {
                let output = netmoth(&["--workers", workers, "--bpf", expression], path);
                assert_eq!(records(&output), wanted, "{expression}, {workers} workers, {}", path.display());
            }
            (compared, matched) = (compared + 1, matched + wanted.len());
        }
    }
    assert!(compared > 300 && matched > 500, "{compared} files and expressions, {matched} records");
}

#[test]
fn a_filter_that_is_none_is_refused_and_one_for_another_link_layer_is_told_with_the_file() {
    let Some(folder) = shared() else { return };
    let mut paths = Vec::new();
    files(&folder.join("captures"), &mut paths);
    let ethernet = paths.iter().find(|path| path.ends_with("443-git.pcap")).expect("a capture of Ethernet");
    for (expression, status, words) in [("tcp prot 443", 2, "syntax error"), ("wlan type mgt", 1, "443-git.pcap")] {
        let output = netmoth(&["--bpf", expression], ethernet);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(words) && said.contains("pcap-filter") && !said.contains("OFF BY"), "{said}");
    }
}
