//! What became of every frame and record: the sums of the conservation law, for people and for programs.

use std::fmt::{self, Display, Write as _};

use serde::Serialize;

use super::mirror::{self, MirrorSide};
use crate::metrics::WorkerTotals;
use crate::sink::{LostReason, WriterReport};

/// Counts with their labels, in a fixed order, zeros left out.
pub type Labelled = Vec<(&'static str, u64)>;

/// The frames' side before user space: the XDP program's fates and the kernel's drops, summed over queues and sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelSide {
    /// What stands before them where clones are taken.
    pub mirror: Option<MirrorSide>,
    /// Who counted them first, and so the name of the sum: `frames seen by XDP`.
    pub seen_by: &'static str,
    /// Whether they were copied to the sockets: then none is passed on or redirected, and one sum says it.
    pub copied: bool,
    /// Frames that the program redirected to a socket.
    pub redirected: u64,
    /// Frames that it passed on to the host, by reason.
    pub passed: Labelled,
    /// Redirected frames that the kernel dropped before user space, by reason (XDP_STATISTICS).
    pub dropped: Labelled,
}

impl KernelSide {
    /// Every frame that the program saw.
    pub fn seen(&self) -> u64 {
        self.redirected + total(&self.passed)
    }
}

/// The records' side behind the workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriterSide {
    /// Records in the store.
    pub committed: u64,
    /// Records that wait to be stored.
    pub waiting: u64,
    /// Records that an earlier run had left in the spool.
    pub recovered: u64,
    /// Records in the spool.
    pub spooled: u64,
    /// Records lost, by reason.
    pub lost: Labelled,
}

impl From<WriterReport> for WriterSide {
    fn from(report: WriterReport) -> Self {
        let lost = LostReason::ALL.iter().zip(report.lost).filter(|(_, n)| *n > 0);
        Self {
            committed: report.committed,
            waiting: report.waiting,
            recovered: report.recovered,
            spooled: report.spooled,
            lost: lost.map(|(reason, n)| (reason.as_str(), n)).collect(),
        }
    }
}

/// The whole account of one run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// First line: what ran where, for how long.
    pub headline: String,
    /// Seconds that it ran.
    pub seconds: f64,
    /// Frames before user space; absent for capture files.
    pub kernel: Option<KernelSide>,
    /// Packets of capture files, and those of them that the filter does not ask for; absent for live capture.
    pub files: Option<(u64, u64)>,
    /// The workers, summed.
    pub workers: WorkerTotals,
    /// The store; absent where none was asked for.
    pub writer: Option<WriterSide>,
}

/// One sum that must hold: `whole = parts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    whole: (&'static str, u64),
    parts: Vec<(&'static str, u64)>,
}

impl Balance {
    pub(super) fn new(whole: (&'static str, u64), parts: Vec<(&'static str, u64)>) -> Self {
        Self { whole, parts }
    }

    /// What is missing (positive) or too much (negative) on the right side.
    pub fn off_by(&self) -> i128 {
        i128::from(self.whole.1) - self.parts.iter().map(|(_, n)| i128::from(*n)).sum::<i128>()
    }
}

impl Summary {
    /// The sums, in the order in which a packet meets them.
    pub fn balances(&self) -> Vec<Balance> {
        let w = &self.workers;
        let mut sums = Vec::new();
        if let Some(kernel) = self.kernel.as_ref().filter(|kernel| kernel.copied) {
            sums.push(Balance::new(
                (kernel.seen_by, kernel.seen()),
                vec![("received", w.frames), ("dropped by the kernel", total(&kernel.dropped))],
            ));
        } else if let Some(kernel) = &self.kernel {
            sums.extend(kernel.mirror.iter().flat_map(|mirror| mirror.balances(kernel.seen())));
            sums.push(Balance {
                whole: (kernel.seen_by, kernel.seen()),
                parts: vec![("passed", total(&kernel.passed)), ("redirected", kernel.redirected)],
            });
            sums.push(Balance {
                whole: ("redirected", kernel.redirected),
                parts: vec![("received", w.frames), ("dropped by the kernel", total(&kernel.dropped))],
            });
        }
        if let Some((read, not_matched)) =
            self.files.filter(|(read, not_matched)| *not_matched > 0 || *read != w.frames)
        {
            sums.push(Balance::new(("packets read", read), vec![("not matched", not_matched), ("received", w.frames)]));
        }
        sums.push(Balance {
            whole: ("received", w.frames),
            parts: vec![("tracked", w.tracked), ("not tracked", w.not_tracked_sum())],
        });
        if let Some(writer) = &self.writer {
            sums.push(records_balance(w.emitted_sum(), writer));
        }
        sums
    }

    /// Whether every sum holds.
    pub fn exact(&self) -> bool {
        self.balances().iter().all(|sum| sum.off_by() == 0)
    }

    /// Records that did not reach the store, by reason.
    pub fn lost(&self) -> &[(&'static str, u64)] {
        self.writer.as_ref().map_or(&[], |writer| &writer.lost)
    }

    /// The same account as one line of JSON.
    pub fn to_json(&self) -> String {
        let w = &self.workers;
        let kernel = self.kernel.as_ref();
        let mirror = kernel.and_then(|kernel| kernel.mirror.as_ref());
        serde_json::json!({
            "seconds": self.seconds,
            "mirror_seen": mirror.map(|m| Object(&m.seen)),
            "mirror_passed": mirror.map(|m| Object(&m.passed)),
            "mirrored": mirror.map(|m| m.mirrored),
            "mirror_drops": mirror.map(|m| Object(&m.dropped)),
            "frames_seen": kernel.map(KernelSide::seen),
            "passed": kernel.map(|k| Object(&k.passed)),
            "redirected": kernel.map(|k| k.redirected),
            "kernel_drops": kernel.map(|k| Object(&k.dropped)),
            "not_matched": self.files.map(|(_, not_matched)| not_matched),
            "received": w.frames,
            "bytes": w.bytes,
            "tracked": w.tracked,
            "not_tracked": Object(&w.not_tracked_reasons().collect::<Vec<_>>()),
            "tunnelled": w.tunnelled,
            "tunnelled_not_tracked": Object(&w.tunnelled_not_tracked_reasons().collect::<Vec<_>>()),
            "fragments": w.fragments,
            "overlapping_fragments": w.overlapping_fragments,
            "tiny_fragments": w.tiny_fragments,
            "bad_checksums": w.bad_checksums,
            "flows_started": w.flows_started,
            "emitted": w.emitted_sum(),
            "committed": self.writer.as_ref().map(|s| s.committed),
            "waiting": self.writer.as_ref().map(|s| s.waiting),
            "recovered": self.writer.as_ref().map(|s| s.recovered),
            "spooled": self.writer.as_ref().map(|s| s.spooled),
            "lost": Object(self.lost()),
            "busy_ns": w.busy_ns,
            "exact": self.exact(),
        })
        .to_string()
    }
}

/// What was emitted, and what an earlier run had left, against where it is now. The spool is only spoken of where it was used.
fn records_balance(emitted: u64, writer: &WriterSide) -> Balance {
    let mut parts = vec![("committed", writer.committed), ("waiting", writer.waiting)];
    if writer.spooled > 0 {
        parts.push(("in the spool", writer.spooled));
    }
    parts.push(("lost", total(&writer.lost)));
    let whole = match writer.recovered {
        0 => ("records emitted", emitted),
        recovered => ("records emitted, and recovered from the spool", emitted + recovered),
    };
    Balance { whole, parts }
}

/// Labelled counts as a JSON object.
struct Object<'a>(&'a [(&'static str, u64)]);

impl Serialize for Object<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline)?;
        for sum in self.balances() {
            writeln!(f, "  {}", Line(&sum))?;
            let mirror = self.kernel.as_ref().and_then(|kernel| kernel.mirror.as_ref());
            match sum.whole.0 {
                mirror::SEEN => {
                    reasons(f, "seen", mirror.map_or(&[], |m| &m.seen))?;
                    reasons(f, "passed", mirror.map_or(&[], |m| &m.passed))?;
                }
                mirror::MIRRORED => reasons(f, "lost in the pair", mirror.map_or(&[], |m| &m.dropped))?,
                seen_by if seen_by.starts_with("frames seen") => {
                    reasons(f, "passed", self.kernel.as_ref().map_or(&[], |k| &k.passed))?;
                    let copied = self.kernel.as_ref().filter(|k| k.copied);
                    reasons(f, "dropped", copied.map_or(&[], |k| &k.dropped))?
                }
                "redirected" => reasons(f, "dropped", self.kernel.as_ref().map_or(&[], |k| &k.dropped))?,
                "packets read" => {}
                "received" => reasons(f, "not tracked", &self.workers.not_tracked_reasons().collect::<Vec<_>>())?,
                _ => {
                    reasons(f, "emitted", &self.workers.emitted_reasons().collect::<Vec<_>>())?;
                    reasons(f, "lost", self.lost())?;
                }
            }
        }
        self.figures(f)
    }
}

impl Summary {
    fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = &self.workers;
        write!(f, "  {} connections, {} bytes", grouped(w.flows_started), grouped(w.bytes))?;
        if w.fragments > 0 {
            write!(f, ", {} fragments", grouped(w.fragments))?;
        }
        if w.overlapping_fragments + w.tiny_fragments > 0 {
            let (overlapping, tiny) = (grouped(w.overlapping_fragments), grouped(w.tiny_fragments));
            write!(f, " ({overlapping} overlapping, {tiny} tiny)")?;
        }
        if w.tunnelled > 0 {
            write!(f, ", {} more packets out of tunnels", grouped(w.tunnelled))?;
        }
        if w.bad_checksums > 0 {
            write!(f, ", {} wrong IPv4 checksums", grouped(w.bad_checksums))?;
        }
        if self.seconds > 0.0 && w.frames > 0 {
            write!(f, "; {} packets/s", grouped((w.frames as f64 / self.seconds).round() as u64))?;
        }
        if let Some(ns) = w.busy_ns.checked_div(w.frames).filter(|ns| *ns > 0) {
            write!(f, ", {ns} ns of worker time per packet")?;
        }
        writeln!(f)?;
        reasons(f, "in tunnels, not tracked", &w.tunnelled_not_tracked_reasons().collect::<Vec<_>>())
    }
}

struct Line<'a>(&'a Balance);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{} {} =", self.0.whole.0, grouped(self.0.whole.1));
        for (i, (name, n)) in self.0.parts.iter().enumerate() {
            write!(line, "{} {name} {}", if i == 0 { "" } else { " +" }, grouped(*n))?;
        }
        match self.0.off_by() {
            0 => write!(f, "{line:<78} exact"),
            off => write!(f, "{line:<78} OFF BY {off}"),
        }
    }
}

fn reasons(f: &mut fmt::Formatter<'_>, what: &str, counts: &[(&'static str, u64)]) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = counts.iter().map(|(label, n)| format!("{label} {}", grouped(*n))).collect();
    writeln!(f, "      {what}: {}", list.join(", "))
}

pub(super) fn total(counts: &[(&'static str, u64)]) -> u64 {
    counts.iter().map(|(_, n)| n).sum()
}

/// A number with commas between thousands.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::EndReason;
    use crate::wire::Reject;

    fn summary() -> Summary {
        let mut workers =
            WorkerTotals { frames: 1_234_567, tracked: 1_234_560, flows_started: 9, ..Default::default() };
        workers.not_tracked[Reject::Arp as usize] = 7;
        workers.emitted[EndReason::Fin as usize] = 10;
        Summary {
            headline: "10.0 s on eth0".into(),
            seconds: 10.0,
            kernel: Some(KernelSide {
                mirror: None,
                seen_by: "frames seen by XDP",
                copied: false,
                redirected: 1_234_570,
                passed: vec![("no_socket", 5)],
                dropped: vec![("rx_ring_full", 3)],
            }),
            files: None,
            workers,
            writer: Some(WriterSide {
                committed: 8,
                lost: vec![("channel_full", 1), ("buffer_full", 1)],
                ..WriterSide::default()
            }),
        }
    }

    #[test]
    fn sums_that_hold_are_called_exact() {
        let summary = summary();
        assert!(summary.exact());
        let text = summary.to_string();
        assert_eq!(text.matches(" exact").count(), 4, "{text}");
        assert!(text.contains("frames seen by XDP 1,234,575 = passed 5 + redirected 1,234,570"), "{text}");
        assert!(text.contains("not tracked: arp 7"), "{text}");
        assert!(text.contains("lost: channel_full 1, buffer_full 1"), "{text}");
    }

    #[test]
    fn frames_that_are_copied_have_one_sum_before_the_workers() {
        let mut summary = summary();
        let Some(kernel) = &mut summary.kernel else { panic!("a kernel's side") };
        *kernel =
            KernelSide { seen_by: "frames seen by AF_PACKET", copied: true, passed: Vec::new(), ..kernel.clone() };
        assert!(summary.exact());
        let text = summary.to_string();
        let sum = "frames seen by AF_PACKET 1,234,570 = received 1,234,567 + dropped by the kernel 3";
        assert!(text.contains(sum) && !text.contains("redirected") && !text.contains("passed"), "{text}");
        assert!(text.contains("dropped: rx_ring_full 3"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&summary.to_json()).unwrap();
        assert_eq!((&json["frames_seen"], &json["redirected"]), (&1_234_570.into(), &1_234_570.into()));
    }

    #[test]
    fn a_frame_that_vanished_is_named_aloud() {
        let mut summary = summary();
        summary.workers.frames -= 2;
        assert!(!summary.exact());
        assert!(summary.to_string().contains("OFF BY 2"));
        let json: serde_json::Value = serde_json::from_str(&summary.to_json()).unwrap();
        assert_eq!(json["exact"], false);
        assert_eq!(json["kernel_drops"]["rx_ring_full"], 3);
    }

    #[test]
    fn the_spool_takes_part_in_the_sum_where_it_was_used() {
        let mut summary = summary();
        let Some(writer) = &mut summary.writer else { panic!("a writer") };
        (writer.recovered, writer.spooled, writer.committed) = (5, 4, 9);
        assert!(summary.exact());
        let sum = "recovered from the spool 15 = committed 9 + waiting 0 + in the spool 4 + lost 2";
        assert!(summary.to_string().contains(sum), "{summary}");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
