//! Every metric: its name, its help, and where in a [`Snapshot`] its values are. A new counter is a new line in
//! [`FAMILIES`] (and a place in `scripts/grafana-dashboard.json`; a test asks for it).

use std::fmt;

use netmoth_shared::fate::Fate;
use netmoth_shared::mirror::Count;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::Snapshot;
use crate::capture::{MirrorCounts, QueueCounts};
use crate::flow::EndReason;
use crate::metrics::WorkerTotals;
use crate::sink::LostReason;
use crate::wire::Reject;

static BYTES: Unit = Unit::Bytes;
static SECONDS: Unit = Unit::Seconds;

/// Names are without `netmoth_` in front, and without unit and `_total` behind: the encoder adds them. Frames are what came
/// off the wire, packets what was in them.
static FAMILIES: &[Family] = &[
    counter("mirror_seen_frames", "Frames at the interface where it is mirrored, by direction.", |s| {
        mirrored("direction", s, |m| [Count::Ingress, Count::Egress].map(|way| (way.label(), m.of(way))).to_vec())
    }),
    counter("mirror_frames", "The same frames, by what was done with them.", |s| {
        mirrored("fate", s, |m| {
            let passed = [Count::NotMatched, Count::NotCloned].map(|why| (why.label(), m.of(why)));
            [vec![(Count::Mirrored.label(), m.mirrored())], passed.to_vec()].concat()
        })
    }),
    counter("mirror_dropped_frames", "Clones that were lost before the XDP program saw them.", |s| {
        mirrored("reason", s, |m| m.dropped().to_vec())
    }),
    counter(
        "seen_frames",
        "Frames that the XDP program (or the kernel's side of another strategy) saw, by what it did with them.",
        |s| s.queues_by("fate", |q| Fate::ALL.iter().map(|fate| fate.label()).zip(q.fates).collect()),
    ),
    counter("kernel_dropped_frames", "Redirected frames that the kernel dropped before a worker saw them.", |s| {
        s.queues_by("reason", |q| {
            vec![("rx_ring_full", q.sockets.ring_full), ("fill_ring_empty_or_too_long", q.sockets.dropped)]
        })
    }),
    counter("fill_ring_empty", "How often the kernel found no free frame buffer.", |s| {
        s.queues(|q| q.sockets.fill_ring_empty)
    }),
    counter("received_frames", "Frames that workers took out of their rings.", |s| s.workers(|w| w.frames)),
    counter("received", "Bytes of these frames on the wire.", |s| s.workers(|w| w.bytes)).in_unit(&BYTES),
    counter("tracked_frames", "Received frames that were booked on a connection.", |s| s.workers(|w| w.tracked)),
    counter("not_tracked_frames", "Received frames that were not, by reason.", |s| {
        s.workers_by("reason", |w| rejects(w.not_tracked))
    }),
    counter("tunnelled_packets", "Packets out of tunnels that were booked beside the tunnel's own.", |s| {
        s.workers(|w| w.tunnelled)
    }),
    counter("tunnelled_not_tracked_packets", "Packets in tunnels that were not, by reason.", |s| {
        s.workers_by("reason", |w| rejects(w.tunnelled_not_tracked))
    }),
    counter("fragments", "Tracked packets that were pieces of a datagram.", |s| s.workers(|w| w.fragments)),
    counter("overlapping_fragments", "Pieces that repeat bytes of their datagram.", |s| {
        s.workers(|w| w.overlapping_fragments)
    }),
    counter("tiny_fragments", "First pieces that end inside their transport header.", |s| {
        s.workers(|w| w.tiny_fragments)
    }),
    counter("bad_checksums", "Tracked packets with a wrong IPv4 header checksum.", |s| s.workers(|w| w.bad_checksums)),
    counter("flows_started", "Connections started.", |s| s.workers(|w| w.flows_started)),
    gauge("flows_open", "Connections in the tables now.", |s| s.workers(|w| w.flows_open)),
    counter("records_emitted", "Records that workers handed on, by why the record was written.", |s| {
        s.workers_by("reason", |w| EndReason::ALL.iter().map(|reason| reason.as_str()).zip(w.emitted).collect())
    }),
    counter("worker_busy", "Time that workers spent on polls that brought frames.", |s| {
        s.workers(|w| w.busy_ns as f64 / 1e9)
    })
    .in_unit(&SECONDS),
    counter("records_committed", "Records in the store.", |s| one(s.writer.committed)),
    gauge("records_waiting", "Records in memory, on their way to the store.", |s| one(s.writer.waiting)),
    counter("records_recovered", "Records that an earlier run had left in the spool.", |s| one(s.writer.recovered)),
    gauge("records_spooled", "Records in the spool on the disk, on their way to the store.", |s| one(s.writer.spooled)),
    gauge("spool", "Bytes that the spool takes.", |s| one(s.spool_bytes)).in_unit(&BYTES),
    counter("records_lost", "Records that never reach the store, by reason.", |s| {
        by("reason", LostReason::ALL.iter().map(|reason| reason.as_str()).zip(s.writer.lost).collect())
    }),
    gauge("store_up", "1 where the store answers, 0 where it does not.", |s| one(u64::from(s.store_up))),
    counter("store_retries", "Attempts to reach or write to the store that failed and are made again.", |s| {
        one(s.writer.retries)
    }),
    counter("store_batches", "Transactions that the store committed.", |s| one(s.writer.batches)),
    gauge("start_time", "When the sensor started, on the wall clock.", |s| {
        // Nanoseconds since the epoch are more than a floating-point number holds.
        one((s.captured.started_ns / 1_000_000) as f64 / 1e3)
    })
    .in_unit(&SECONDS),
    gauge("capture_info", "How frames are captured; always 1.", |s| {
        let zero_copy = s.captured.zero_copy.to_string();
        info([("driver", s.captured.driver.clone()), ("mode", s.captured.mode.clone()), ("zero_copy", zero_copy)])
    }),
    gauge("build_info", "Which Netmoth this is; always 1.", |_| info([("version", env!("CARGO_PKG_VERSION").into())])),
];

/// Writes all of them.
pub(super) fn encode(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    FAMILIES.iter().try_for_each(|family| family.encode(snapshot, encoder))
}

/// One metric with all its label values.
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<&'static Unit>,
    kind: MetricType,
    samples: fn(&Snapshot) -> Vec<Sample>,
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Vec<Sample>) -> Family {
    Family { name, help, unit: None, kind: MetricType::Counter, samples }
}

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Vec<Sample>) -> Family {
    Family { name, help, unit: None, kind: MetricType::Gauge, samples }
}

impl Family {
    const fn in_unit(mut self, unit: &'static Unit) -> Self {
        self.unit = Some(unit);
        self
    }

    fn encode(&self, snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = encoder.encode_descriptor(self.name, self.help, self.unit, self.kind)?;
        for sample in (self.samples)(snapshot) {
            sample.encode(self.kind, out.encode_family(&sample.labels)?)?;
        }
        Ok(())
    }
}

/// One value and what tells it from the others of its family.
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

/// Counts stay exact where a floating-point number would not.
#[derive(Clone, Copy)]
enum Value {
    Count(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl Sample {
    fn encode(&self, kind: MetricType, out: MetricEncoder<'_>) -> fmt::Result {
        match (kind, self.value) {
            (MetricType::Counter, Value::Count(n)) => ConstCounter::new(n).encode(out),
            (MetricType::Counter, Value::Real(x)) => ConstCounter::new(x).encode(out),
            (_, Value::Count(n)) => ConstGauge::new(n).encode(out),
            (_, Value::Real(x)) => ConstGauge::new(x).encode(out),
        }
    }
}

type Counts = Vec<(&'static str, u64)>;

impl Snapshot {
    fn queues(&self, value: fn(&QueueCounts) -> u64) -> Vec<Sample> {
        self.queues.iter().map(|q| Sample { labels: vec![("queue", number(q))], value: value(q).into() }).collect()
    }

    fn queues_by(&self, label: &'static str, values: fn(&QueueCounts) -> Counts) -> Vec<Sample> {
        let each = self.queues.iter().map(|q| (number(q), values(q)));
        each.flat_map(|(queue, counts)| labelled(("queue", queue), label, counts)).collect()
    }

    fn workers<V: Into<Value>>(&self, value: fn(&WorkerTotals) -> V) -> Vec<Sample> {
        let each = self.workers.iter().enumerate();
        each.map(|(at, w)| Sample { labels: vec![("worker", at.to_string())], value: value(w).into() }).collect()
    }

    fn workers_by(&self, label: &'static str, values: fn(&WorkerTotals) -> Counts) -> Vec<Sample> {
        let each = self.workers.iter().enumerate();
        each.flat_map(|(at, w)| labelled(("worker", at.to_string()), label, values(w))).collect()
    }
}

/// The queue's number as a label.
fn number(queue: &QueueCounts) -> String {
    queue.queue.map_or_else(|| "other".into(), |queue| queue.to_string())
}

fn labelled(first: (&'static str, String), label: &'static str, counts: Counts) -> Vec<Sample> {
    let with = |(word, n): (&str, u64)| Sample { labels: vec![first.clone(), (label, word.into())], value: n.into() };
    counts.into_iter().map(with).collect()
}

fn by(label: &'static str, counts: Counts) -> Vec<Sample> {
    counts.into_iter().map(|(word, n)| Sample { labels: vec![(label, word.into())], value: n.into() }).collect()
}

fn mirrored(label: &'static str, snapshot: &Snapshot, counts: fn(&MirrorCounts) -> Counts) -> Vec<Sample> {
    snapshot.mirror.as_ref().map_or_else(Vec::new, |mirror| by(label, counts(mirror)))
}

fn one(value: impl Into<Value>) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value: value.into() }]
}

fn info<const N: usize>(labels: [(&'static str, String); N]) -> Vec<Sample> {
    vec![Sample { labels: labels.into(), value: Value::Count(1) }]
}

fn rejects(counts: [u64; Reject::COUNT]) -> Counts {
    Reject::ALL.iter().map(|reason| reason.label()).zip(counts).collect()
}
