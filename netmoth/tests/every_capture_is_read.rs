//! `netmoth read` takes every capture of a collection: valid JSON, exit status 0, and each packet either in a record or
//! counted as not tracked; and the Community IDs of the specification's own captures.
//!
//! Where there are no captures, these tests skip.

#[path = "support/captures.rs"]
mod captures;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use captures::{files, shared};

/// Records and the machine-readable summary of one file.
fn read(file: &Path, more: &[&str]) -> (Vec<Value>, Value) {
    let mut netmoth = Command::new(env!("CARGO_BIN_EXE_netmoth"));
    netmoth.args(["read", "--format", "json"]).args(more).arg(file).env("RUST_LOG", "info,netmoth::summary=debug");
    let done = netmoth.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{}: {said}", file.display());
    let lines = String::from_utf8(done.stdout).unwrap();
    let records = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = said.lines().find_map(|line| line.split_once("summary-json ")).expect("a summary").1;
    (records, serde_json::from_str(summary).unwrap())
}

/// How many packets another reader finds; None where it is not installed.
fn capinfos(file: &Path) -> Option<u64> {
    let said = Command::new("capinfos").args(["-T", "-r", "-M", "-c"]).arg(file).output().ok()?;
    String::from_utf8_lossy(&said.stdout).trim().rsplit('\t').next()?.parse().ok()
}

#[test]
fn every_packet_of_every_capture_has_exactly_one_fate() {
    let Some(shared) = shared() else { return };
    let mut all = Vec::new();
    files(&shared, &mut all);
    assert!(all.len() > 100, "{} files", all.len());
    let mut compared = 0;
    for file in all {
        let (records, summary) = read(&file, &[]);
        let count = |record: &Value, name: &str| record[name].as_u64().unwrap_or_else(|| panic!("{name} in {record}"));
        let booked: u64 = records.iter().map(|r| count(r, "src_packets") + count(r, "dst_packets")).sum();
        let refused: u64 = summary["not_tracked"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(summary["exact"], true, "{}: {summary}", file.display());
        // What tunnels carried was booked beside the tunnels' own packets.
        let frames = booked - count(&summary, "tunnelled");
        assert_eq!(frames, count(&summary, "tracked"), "{}", file.display());
        assert_eq!(frames + refused, count(&summary, "received"), "{}", file.display());
        if let Some(packets) = capinfos(&file) {
            assert_eq!(frames + refused, packets, "{} as capinfos counts it", file.display());
            compared += 1;
        }
    }
    assert!(compared > 100 || std::env::var_os("CI").is_none(), "capinfos (tshark) is to be installed where CI is set");
}

#[test]
fn community_ids_are_those_of_the_specification() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("conformance/community-id");
    let scratch = tempfile::tempdir().unwrap();
    let seeded = scratch.path().join("seed.yml");
    std::fs::write(&seeded, "community_id_seed: 1\n").unwrap();
    for (baseline, more) in
        [("baseline_default_seed.json", Vec::new()), ("baseline_seed1.json", vec!["-c", seeded.to_str().unwrap()])]
    {
        let expected: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(folder.join(baseline)).unwrap()).unwrap();
        let mut all = Vec::new();
        files(&folder, &mut all);
        let ids: std::collections::BTreeSet<String> = all
            .iter()
            .flat_map(|file| read(file, &more).0)
            .map(|record| record["community_id"].as_str().unwrap().to_owned())
            .collect();
        let wanted: std::collections::BTreeSet<String> =
            expected.iter().map(|packet| packet["communityid"].as_str().unwrap().to_owned()).collect();
        let missing: Vec<_> = wanted.difference(&ids).collect();
        let extra: Vec<_> = ids.difference(&wanted).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{baseline}: missing {missing:?}, extra {extra:?}");
    }
}
