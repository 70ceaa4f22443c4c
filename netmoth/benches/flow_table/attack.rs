//! The table under attack: what it costs, and what it costs the connections that were there before.

use std::collections::HashMap;
use std::time::Instant as Wall;

use netmoth::bench::{Column, Report};
use netmoth::flow::{EndReason, FlowRecord, RecordSink};
use netmoth::wire::{Packet, tcp_flags};

use crate::driver::{BATCH, Driver, SECRET, packet};

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Packets of each connection by its client's address, over all of its records.
#[derive(Default)]
struct Packets(HashMap<std::net::IpAddr, u64>);

impl RecordSink for Packets {
    fn emit(&mut self, record: FlowRecord) {
        *self.0.entry(record.src_ip).or_default() += record.src_packets + record.dst_packets;
    }
}

/// Half of the packets start new connections, ten times as many as the table holds; the other half belongs to
/// connections that were established before.
pub(crate) fn flood() -> Report {
    const TABLE: u32 = 131_072;
    const ESTABLISHED: u32 = 65_536;
    const ROUNDS: u32 = TABLE * 10 / (BATCH as u32 / 2);
    let mut driver = Driver::new(TABLE, SECRET);
    driver.establish(ESTABLISHED);
    driver.exchange(ESTABLISHED, ROUNDS / 10, None);
    let calm = driver.exchange(ESTABLISHED, ROUNDS, None);
    let early = driver.exchange(ESTABLISHED, ROUNDS / 10, Some(2));
    let before = resident();
    let late = driver.exchange(ESTABLISHED, ROUNDS - ROUNDS / 10, Some(2));
    let after = resident();
    let mut kept = Packets::default();
    driver.table.drain(EndReason::Shutdown, &mut kept);
    let exact = (0..ESTABLISHED).filter(|number| kept.0.get(&driver.client(*number)) == Some(&driver.sent(*number)));
    let new = TABLE * 10;
    let mut report = Report::new(
        format!(
            "a flood of {new} new connections through a table of {TABLE} that holds {ESTABLISHED} established ones"
        ),
        [
            Column::text("when"),
            Column::number("cost", "ns/packet", 1),
            Column::number("resident", "KiB", 0),
            Column::number("exact", "established connections", 0),
        ],
    );
    report.row(["before".into(), calm.into()]);
    report.row(["its first tenth".into(), early.into(), (before / 1024).into()]);
    report.row(["the rest".into(), late.into(), (after / 1024).into(), (exact.count() as u64).into()]);
    let reserved = driver.table.memory_bytes() / 1024;
    let [closed, unanswered, open] = driver.table.evicted();
    report.note(format!(
        "{reserved} KiB were reserved for the table at the start. Evicted: {closed} closed, {unanswered} unanswered, {open} open."
    ));
    report
}

/// One packet of each of `keys` after the other, four times; ns per packet.
fn visit(secret: [u64; 2], keys: &[u32]) -> f64 {
    let mut driver = Driver::new(keys.len() as u32 * 2, secret);
    let mut spent = std::time::Duration::ZERO;
    for _ in 0..4 {
        for numbers in keys.chunks(BATCH) {
            let batch: Vec<Packet> =
                numbers.iter().map(|number| packet(*number, false, tcp_flags::ACK, 1, 1, 100)).collect();
            let begun = Wall::now();
            driver.poll(&batch);
            spent += begun.elapsed();
        }
    }
    spent.as_nanos() as f64 / (4 * keys.len()) as f64
}

/// Keys that fall into one part in 512 of the index under a secret that the attacker guessed, under another one, and,
/// for comparison, under the guessed one.
pub(crate) fn collisions() -> Report {
    const GUESS: [u64; 2] = [1, 2];
    const KEYS: usize = 16_384;
    const ROUNDS: usize = 9;
    let mut oracle = Driver::new(16, GUESS);
    let crafted: Vec<u32> = (0..1 << 24)
        .filter(|number| oracle.hash_of(&packet(*number, false, tcp_flags::ACK, 1, 1, 100)) >> 23 == 0)
        .take(KEYS)
        .collect();
    assert_eq!(crafted.len(), KEYS);
    let random: Vec<u32> = (0..KEYS as u32).map(|n| n.wrapping_mul(0x9e37_79b9) >> 8).collect();
    let mut rounds: [[f64; 2]; ROUNDS] = std::array::from_fn(|_| [visit(SECRET, &random), visit(SECRET, &crafted)]);
    let mut median = |side: usize| {
        rounds.sort_by(|a, b| a[side].total_cmp(&b[side]));
        rounds[ROUNDS / 2][side]
    };
    let (random, secret) = (median(0), median(1));
    let guessed = visit(GUESS, &crafted);
    let mut report = Report::new(
        format!("{KEYS} keys crafted to collide under a guessed secret, medians of {ROUNDS} interleaved runs"),
        [Column::text("keys"), Column::number("cost", "ns/packet", 1)],
    );
    report.row(["random".into(), random.into()]);
    report.row(["crafted".into(), secret.into()]);
    report.row(["crafted, had the guess been right".into(), guessed.into()]);
    report
}
