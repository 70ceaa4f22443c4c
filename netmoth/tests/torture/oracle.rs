//! What was sent, against what is stored: every connection once, whole, and none that was not sent.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Bytes of the payload of every connection's only datagram.
pub(crate) const PAYLOAD: usize = 32;
/// IP bytes of it.
pub(crate) const BYTES: u64 = 20 + 8 + PAYLOAD as u64;

/// The address that stands for a connection.
pub(crate) fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + number)
}

/// One stored row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) source: Ipv4Addr,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Connections by number: when each was sent, and which may be missing.
#[derive(Default)]
pub(crate) struct Oracle {
    sent: Vec<Instant>,
    /// Connections that were open, or whose records were not yet kept, when the sensor was killed.
    excused: Vec<Excuse>,
}

/// A SIGKILL, and the connections that were sent in the window before it.
struct Excuse {
    from: u32,
    to: u32,
    killed: Instant,
}

/// What the comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) stored: u64,
    pub(crate) missing: Vec<u32>,
    /// Missing, and sent within the window before a SIGKILL.
    pub(crate) excused: u64,
    /// The longest time before a SIGKILL that one of them was sent.
    pub(crate) oldest_excused: Duration,
    pub(crate) duplicate: Vec<u32>,
    pub(crate) corrupt: Vec<u32>,
    pub(crate) invented: Vec<Ipv4Addr>,
}

impl Oracle {
    /// The numbers of the next connections, which are sent now.
    pub(crate) fn send(&mut self, count: u32) -> std::ops::Range<u32> {
        let first = self.sent.len() as u32;
        self.sent.extend((0..count).map(|_| Instant::now()));
        first..first + count
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent.len() as u32
    }

    /// The sensor is killed: what was sent within `window` may be missing.
    pub(crate) fn killed(&mut self, window: Duration) {
        let now = Instant::now();
        let first = self.sent.partition_point(|at| now.duration_since(*at) > window);
        self.excused.push(Excuse { from: first as u32, to: self.sent(), killed: now });
    }

    /// Compares.
    pub(crate) fn judge(&self, rows: &[Row]) -> Verdict {
        let mut verdict = Verdict::default();
        let mut times: HashMap<u32, u32> = HashMap::new();
        for row in rows {
            let number = u32::from(row.source).wrapping_sub(0x0a00_0000);
            if number >= self.sent() {
                verdict.invented.push(row.source);
                continue;
            }
            if (row.packets, row.bytes) != (1, BYTES) {
                verdict.corrupt.push(number);
            }
            *times.entry(number).or_default() += 1;
        }
        for number in 0..self.sent() {
            match times.get(&number) {
                Some(1) => verdict.stored += 1,
                Some(_) => verdict.duplicate.push(number),
                None => match self.excused.iter().find(|excuse| (excuse.from..excuse.to).contains(&number)) {
                    Some(excuse) => {
                        verdict.excused += 1;
                        let age = excuse.killed.duration_since(self.sent[number as usize]);
                        verdict.oldest_excused = verdict.oldest_excused.max(age);
                    }
                    None => verdict.missing.push(number),
                },
            }
        }
        verdict
    }
}

fn row(number: u32) -> Row {
    Row { source: address(number), packets: 1, bytes: BYTES }
}

#[test]
fn the_oracle_finds_what_was_planted() {
    let mut oracle = Oracle::default();
    assert_eq!(oracle.send(10), 0..10);
    let fine: Vec<Row> = (0..10).map(row).collect();
    assert_eq!(oracle.judge(&fine), Verdict { stored: 10, ..Verdict::default() });

    let mut planted = fine.clone();
    planted.remove(3);
    planted.push(row(7));
    planted[0].bytes += 1;
    planted.push(row(10));
    let verdict = oracle.judge(&planted);
    assert_eq!((verdict.missing, verdict.duplicate, verdict.corrupt), (vec![3], vec![7], vec![0]));
    assert_eq!((verdict.invented, verdict.stored, verdict.excused), (vec![address(10)], 8, 0));
}

#[test]
fn a_kill_excuses_what_was_sent_just_before_it_and_nothing_else() {
    let mut oracle = Oracle::default();
    oracle.send(5);
    std::thread::sleep(Duration::from_millis(60));
    oracle.send(5);
    oracle.killed(Duration::from_millis(50));
    oracle.send(5);
    let verdict = oracle.judge(&[]);
    assert_eq!((verdict.excused, verdict.missing), (5, (0..5).chain(10..15).collect()));
}
