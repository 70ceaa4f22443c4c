//! Records against what else is known of the same traffic.

use super::pcap::Sums;
use serde_json::Value;
use std::net::IpAddr;

/// One record: a line of JSON with the columns of the record.
pub(crate) type Record = Value;

/// Records from JSON, one object a line.
#[track_caller]
pub(crate) fn parse(lines: &str) -> Vec<Record> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in this line: {line}")))
        .collect()
}

/// A number of a record.
#[track_caller]
pub(crate) fn number(record: &Record, column: &str) -> u64 {
    record[column].as_u64().unwrap_or_else(|| panic!("no number in `{column}` of {record}"))
}

/// A word of a record.
#[track_caller]
pub(crate) fn word<'a>(record: &'a Record, column: &str) -> &'a str {
    record[column].as_str().unwrap_or_else(|| panic!("no text in `{column}` of {record}"))
}

/// Packets and bytes by direction of conversation, summed over records (and so over the parts of a connection).
#[track_caller]
pub(crate) fn sums(records: &[Record]) -> Sums {
    let mut sums = Sums::new();
    for record in records {
        let protocol = number(record, "proto") as u8;
        let end = |side: &str| -> (IpAddr, u16) {
            let port = if matches!(protocol, 1 | 58) { 0 } else { number(record, &format!("{side}_port")) as u16 };
            (word(record, &format!("{side}_ip")).parse().unwrap(), port)
        };
        let vlan = record["vlan_id"].as_u64().map(|identifier| identifier as u16);
        for (from, to) in [("src", "dst"), ("dst", "src")] {
            let packets = number(record, &format!("{from}_packets"));
            if packets > 0 {
                let sum = sums.entry((vlan, protocol, end(from), end(to))).or_default();
                sum.0 += packets;
                sum.1 += number(record, &format!("{from}_bytes"));
            }
        }
    }
    sums
}

/// Panics with the differences where the two are not the same.
#[track_caller]
pub(crate) fn same_sums(records: &Sums, capture: &Sums) {
    let ways = records.keys().chain(capture.keys().filter(|way| !records.contains_key(way)));
    let differences: Vec<String> = ways
        .filter(|way| records.get(way) != capture.get(way))
        .map(|way| format!("{way:?}: records {:?}, capture {:?}", records.get(way), capture.get(way)))
        .collect();
    assert!(differences.is_empty(), "(packets, bytes) differ:\n{}", differences.join("\n"));
    assert!(!records.is_empty(), "there is nothing to compare");
}

/// Columns that may differ between two sensors that see the same frames: the identifier, and clocks.
const OWN: [&str; 2] = ["flow_id", "sensor"];
const TIMES: [&str; 2] = ["start_time", "end_time"];

/// Panics where two sets of records differ in more than identifiers, times by more than `tolerance_ns`, and the round
/// trip time by more than that.
#[track_caller]
pub(crate) fn same_records(mut left: Vec<Record>, mut right: Vec<Record>, tolerance_ns: i64) {
    left.sort_by_key(without_times);
    right.sort_by_key(without_times);
    let (only_left, only_right) = (missing(&left, &right), missing(&right, &left));
    assert!(
        only_left.is_empty() && only_right.is_empty(),
        "only left:\n{}\nonly right:\n{}",
        only_left.join("\n"),
        only_right.join("\n")
    );
    // Records that agree in all else may still pair up in another order: compare their times in order of start.
    left.sort_by_key(|record| (without_times(record), nanoseconds(word(record, "start_time"))));
    right.sort_by_key(|record| (without_times(record), nanoseconds(word(record, "start_time"))));
    for (one, other) in left.iter().zip(&right) {
        for column in TIMES {
            let apart = nanoseconds(word(one, column)) - nanoseconds(word(other, column));
            assert!(apart.abs() <= tolerance_ns, "{column} is {apart} ns apart:\n{one}\n{other}");
        }
        let round_trip = |record: &Record| record["tcp_rtt_us"].as_i64();
        match (round_trip(one), round_trip(other)) {
            (Some(a), Some(b)) => assert!((a - b).abs() * 1_000 <= tolerance_ns, "tcp_rtt_us:\n{one}\n{other}"),
            (a, b) => assert_eq!(a, b, "tcp_rtt_us is on one side only:\n{one}\n{other}"),
        }
    }
}

/// What must agree, as text.
fn without_times(record: &Record) -> String {
    let mut record = record.clone();
    let object = record.as_object_mut().unwrap();
    // The clock of a file stands still after its last packet, the sensor's goes on until it is told to end: which of the
    // two ends a silent connection is a matter of that moment.
    if matches!(object["end_reason"].as_str(), Some("idle" | "shutdown")) {
        object["end_reason"] = "idle or shutdown".into();
    }
    OWN.iter().chain(&TIMES).chain(&["tcp_rtt_us"]).for_each(|column| {
        object.remove(*column);
    });
    record.to_string()
}

fn missing(of: &[Record], from: &[Record]) -> Vec<String> {
    let mut there: Vec<String> = from.iter().map(without_times).collect();
    let mut gone = Vec::new();
    for record in of.iter().map(without_times) {
        match there.iter().position(|other| *other == record) {
            Some(at) => drop(there.swap_remove(at)),
            None => gone.push(record),
        }
    }
    gone
}

/// Nanoseconds since the Unix epoch of an RFC 3339 time in UTC.
#[track_caller]
pub(crate) fn nanoseconds(time: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| time.get(range).and_then(|text| text.parse::<i64>().ok());
    let all = || {
        let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
        let fraction = time.get(19..)?.strip_prefix('.').unwrap_or("").trim_end_matches('Z');
        let fraction: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        // Julian day number of a Gregorian date; 2,440,588 is that of 1970-01-01.
        let shift = (14 - month) / 12;
        let (y, m) = (year + 4_800 - shift, month + 12 * shift - 3);
        let days = day + (153 * m + 2) / 5 + 365 * y + y / 4 - y / 100 + y / 400 - 32_045 - 2_440_588;
        let seconds = days * 86_400 + part(11..13)? * 3_600 + part(14..16)? * 60 + part(17..19)?;
        Some(seconds * 1_000_000_000 + fraction)
    };
    all().unwrap_or_else(|| panic!("{time:?} is not an RFC 3339 time"))
}
