//! `netmoth read --workers N`: how many workers share a capture changes neither its records nor its sums, nor what is said of
//! a file that is damaged.
//!
//! Records are compared without `flow_id`, which tells the worker, and in an order of their own.

#[path = "support/captures.rs"]
mod captures;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use captures::{files, shared};

/// What one run of `netmoth read` left behind.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: Option<i32>,
    records: Vec<String>,
    /// The machine-readable summary without times; None where there is none.
    sums: Option<Value>,
    /// Log lines of warnings and errors.
    said: Vec<String>,
}

fn netmoth(workers: &str, more: &[&str]) -> Command {
    let mut netmoth = Command::new(env!("CARGO_BIN_EXE_netmoth"));
    netmoth.args(["read", "--format", "json", "--workers", workers]).args(more);
    netmoth.env("RUST_LOG", "info,netmoth::summary=debug").env_remove("NETMOTH_DEBUG");
    netmoth.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    netmoth
}

/// Runs it with these bytes on standard input.
fn run(mut netmoth: Command, input: Option<&[u8]>) -> Outcome {
    if input.is_some() {
        netmoth.stdin(Stdio::piped());
    }
    let mut child = netmoth.spawn().unwrap();
    let stdin = child.stdin.take();
    // Beside each other: it prints while it still reads.
    let done = std::thread::scope(|scope| {
        scope.spawn(move || stdin.zip(input).map(|(mut stdin, input)| stdin.write_all(input).unwrap()));
        child.wait_with_output().unwrap()
    });
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    let mut records: Vec<_> = String::from_utf8(done.stdout).unwrap().lines().map(without_flow_id).collect();
    records.sort_unstable();
    let sums = text.lines().find_map(|line| line.split_once("summary-json ")).map(|(_, json)| sums(json));
    // Each line begins with its time.
    let marks = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let said = text.lines().filter(marks).map(|line| line[line.find(['W', 'E']).unwrap()..].to_owned()).collect();
    Outcome { status: done.status.code(), records, sums, said }
}

fn without_flow_id(line: &str) -> String {
    let mut record: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
    assert!(record.remove("flow_id").is_some(), "{line}");
    serde_json::to_string(&record).unwrap()
}

fn sums(json: &str) -> Value {
    let mut sums: Value = serde_json::from_str(json).unwrap();
    assert_eq!(sums["exact"], true, "{sums}");
    sums.as_object_mut().unwrap().retain(|name, _| name != "seconds" && name != "busy_ns");
    sums
}

fn read(workers: &str, files: &[&Path]) -> Outcome {
    let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    run(netmoth(workers, &names), None)
}

/// Asserts that 2 and 3 workers do what one does, and returns that.
#[track_caller]
fn alike(files: &[&Path]) -> Outcome {
    let one = read("1", files);
    for workers in ["2", "3"] {
        let several = read(workers, files);
        assert_same(&one, &several, &format!("{workers} workers on {files:?}"));
    }
    one
}

#[track_caller]
fn assert_same(one: &Outcome, several: &Outcome, what: &str) {
    let missing: Vec<_> = one.records.iter().filter(|record| !several.records.contains(record)).collect();
    let extra: Vec<_> = several.records.iter().filter(|record| !one.records.contains(record)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{what}:\n  - {missing:?}\n  + {extra:?}");
    assert_eq!(one.records.len(), several.records.len(), "{what}");
    assert_eq!((one.status, &one.sums, &one.said), (several.status, &several.sums, &several.said), "{what}");
}

#[test]
fn every_capture_has_the_same_records_with_one_worker_and_with_several() {
    let Some(shared) = shared() else { return };
    let mut all = Vec::new();
    files(&shared, &mut all);
    assert!(all.len() > 100, "{} files", all.len());
    let mut records = 0;
    for file in &all {
        records += alike(&[file]).records.len();
    }
    assert!(records > 500, "{records} records");
}

#[test]
fn all_captures_in_a_row_are_one_capture_whoever_reads_it() {
    let Some(shared) = shared() else { return };
    let mut all = Vec::new();
    files(&shared.join("captures"), &mut all);
    all.sort_unstable();
    all.truncate(40);
    assert!(!alike(&all.iter().map(PathBuf::as_path).collect::<Vec<_>>()).records.is_empty());
}

/// A pcap with connections of many hosts, that go on while others begin and end: enough for many stretches.
struct Made {
    bytes: Vec<u8>,
    stamp_us: u64,
}

impl Made {
    const PACKETS: u32 = 60_000;

    fn new() -> Self {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        bytes.extend([0; 8]);
        bytes.extend([0xff, 0xff, 0, 0, 1, 0, 0, 0]);
        let mut made = Self { bytes, stamp_us: 1_700_000_000_000_000 };
        (0..Self::PACKETS).for_each(|number| made.add(number));
        made
    }

    /// The packets of 5,000 connections in turn: the handshake, data, the end; every fifth is UDP, every seventh is silent for so
    /// long that it times out in between.
    fn add(&mut self, number: u32) {
        let (connection, round) = (number % 5_000, number / 5_000);
        if connection == 0 && round == 6 {
            self.stamp_us += 400_000_000;
        }
        if connection.is_multiple_of(7) && (4..8).contains(&round) {
            return;
        }
        self.stamp_us += 300;
        let there = !round.is_multiple_of(2);
        let [client, server] =
            [[10, 1, (connection >> 8) as u8, connection as u8], [10, 2, 0, (connection % 90) as u8]];
        let (from, to) = if there { (server, client) } else { (client, server) };
        let (port, service) = (20_000 + (connection % 30_000) as u16, 443_u16);
        let ports = if there { (service, port) } else { (port, service) };
        let transport = if connection.is_multiple_of(5) { udp(ports, round) } else { tcp(ports, round) };
        let protocol = if connection.is_multiple_of(5) { 17 } else { 6 };
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((20 + transport.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        frame.extend(from.into_iter().chain(to));
        frame.extend(transport);
        let stamp = [(self.stamp_us / 1_000_000) as u32, (self.stamp_us % 1_000_000) as u32];
        for word in stamp.into_iter().chain([frame.len() as u32; 2]) {
            self.bytes.extend(word.to_le_bytes());
        }
        self.bytes.extend(frame);
    }

    /// Where the first record behind `offset` begins.
    fn record_behind(&self, offset: usize) -> usize {
        let mut at = 24;
        while at < offset {
            at += 16 + u32::from_le_bytes(self.bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        }
        at
    }

    fn file(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder, name, &self.bytes)
    }
}

fn udp(ports: (u16, u16), round: u32) -> Vec<u8> {
    let length = 8 + 10 * (round as u16 + 1);
    let mut datagram: Vec<u8> = [ports.0, ports.1, length, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    datagram.resize(usize::from(length), 0xaa);
    datagram
}

fn tcp(ports: (u16, u16), round: u32) -> Vec<u8> {
    let (flags, payload) = match round {
        0 => (0x02, 0),
        1 => (0x12, 0),
        2 => (0x10, 0),
        10 | 11 => (0x11, 0),
        _ => (0x18, 200),
    };
    let sequence = if round == 0 { 0 } else { 1 + (round / 2).saturating_sub(1) * 200 };
    let mut segment: Vec<u8> = [ports.0, ports.1].into_iter().flat_map(u16::to_be_bytes).collect();
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.resize(20 + payload, 0xbb);
    segment
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, bytes).unwrap();
    file
}

/// The same packets as pcapng, each in an enhanced packet block.
fn as_pcapng(pcap: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = |kind: u32, words: &[u32], data: &[u8]| {
        let length = (12 + words.len() * 4 + data.len().next_multiple_of(4)) as u32;
        [kind, length].iter().chain(words).for_each(|word| out.extend(word.to_le_bytes()));
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(length.to_le_bytes());
    };
    block(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX], &[]);
    block(1, &[1, 0], &[]);
    let mut rest = &pcap[24..];
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let (data, next) = behind.split_at(word(8) as usize);
        let stamp = u64::from(word(0)) * 1_000_000 + u64::from(word(4));
        block(6, &[0, (stamp >> 32) as u32, stamp as u32, word(8), word(12)], data);
        rest = next;
    }
    out
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn many_connections_come_out_alike_from_every_kind_of_file_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new();
    let plain = alike(&[&made.file(folder.path(), "made.pcap")]);
    assert!(plain.records.len() > 5_000, "{} records", plain.records.len());
    let pcapng = as_pcapng(&made.bytes);
    for (name, bytes) in
        [("made.pcapng", pcapng.clone()), ("made.pcap.gz", packed(&made.bytes)), ("made.pcapng.gz", packed(&pcapng))]
    {
        let other = alike(&[&write(folder.path(), name, &bytes)]);
        assert_same(&plain, &other, name);
    }
    for workers in ["1", "2", "3"] {
        assert_same(&plain, &run(netmoth(workers, &["-"]), Some(&made.bytes)), "standard input");
    }
}

#[test]
fn connections_that_span_files_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new();
    let whole = read("2", &[&made.file(folder.path(), "whole.pcap")]);
    let at = made.record_behind(made.bytes.len() / 2);
    let first = write(folder.path(), "1.pcap", &made.bytes[..at]);
    let second = write(folder.path(), "2.pcap", &[&made.bytes[..24], &made.bytes[at..]].concat());
    assert_same(&whole, &alike(&[&first, &second]), "in two files");
}

#[test]
fn what_came_before_damage_counts_once_and_the_other_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new();
    let whole = made.file(folder.path(), "whole.pcap");
    let cut = write(folder.path(), "cut.pcap", &made.bytes[..made.bytes.len() * 2 / 3 + 5]);
    let mut bytes = made.bytes[..made.record_behind(made.bytes.len() / 3)].to_vec();
    bytes.extend([0xff; 64]);
    let damaged = write(folder.path(), "damaged.pcap", &bytes);
    let text = write(folder.path(), "text.pcap", b"this is not a capture at all\n");
    for (files, status, words) in [
        (vec![&cut, &whole], 0, "ends in the middle of a record"),
        (vec![&damaged, &whole], 0, "makes no sense"),
        (vec![&text, &damaged], 1, "is not a capture"),
    ] {
        let outcome = alike(&files.iter().map(|file| file.as_path()).collect::<Vec<_>>());
        assert_eq!(outcome.status, Some(status));
        assert!(outcome.said.iter().any(|line| line.contains(words)), "{words:?} in {:?}", outcome.said);
        assert!(!outcome.records.is_empty());
    }
}

#[test]
fn the_store_and_every_format_get_the_records_of_all_workers() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new();
    let file = made.file(folder.path(), "made.pcap");
    let one = read("1", &[&file]);
    let store = format!("sqlite:{}", folder.path().join("flows.db").display());
    let stored = run(netmoth("3", &["--store", &store, file.to_str().unwrap()]), None);
    assert_eq!((stored.status, &stored.records), (Some(0), &one.records));
    let sums = stored.sums.unwrap();
    assert_eq!(sums["committed"], one.records.len(), "{sums}");
    for (format, header) in [("csv", 1), ("table", 1)] {
        let done = netmoth("3", &["--format", format, file.to_str().unwrap()]);
        let done = without_json(done).output().unwrap();
        let lines = String::from_utf8(done.stdout).unwrap();
        assert_eq!(lines.lines().count(), one.records.len() + header, "{format}");
        let first = lines.lines().next().unwrap().to_owned();
        assert_eq!(lines.lines().filter(|line| **line == first).count(), 1, "one header, and it stands first");
        assert!(first.to_lowercase().contains("state"), "{first}");
    }
}

/// The command with its first `--format json` taken away.
fn without_json(command: Command) -> Command {
    let mut fresh = Command::new(command.get_program());
    let arguments: Vec<_> = command.get_args().collect();
    fresh.arg(arguments[0]).args(&arguments[3..]);
    fresh
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_ends_all_workers() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made::new().file(folder.path(), "made.pcap");
    for workers in ["1", "2", "3"] {
        // Again and again, so that there is more to print than any pipe holds.
        let mut child = netmoth(workers, &[file.to_str().unwrap(); 20]).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{said}");
        assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn numbers_of_workers_that_make_no_sense_are_refused() {
    for workers in ["0", "65", "1000", "many", "1.5"] {
        let done = netmoth(workers, &["-"]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains("--workers"), "{said}");
    }
    let said = String::from_utf8(netmoth("0", &["-"]).output().unwrap().stderr).unwrap();
    assert!(said.contains("1..=64"), "{said}");
}
