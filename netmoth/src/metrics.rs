//! The fate of every frame and record: who counts what, and the sums that must hold.
//!
//! Each counter has one writer, which adds with a plain load and store; everybody else only reads. So the packet path
//! pays no atomic read-modify-write, and a reader sees each counter at some recent moment.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::flow::EndReason;
use crate::wire::Reject;

/// A count with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call this: two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Replaces the value (gauges). Owning thread only.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value at some recent moment; exact once its writer has ended.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts, on cache lines of its own (128 bytes: adjacent lines are fetched in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCounters {
    /// Frames received from the rings (or the capture file).
    pub frames: Counter,
    /// Their bytes on the wire.
    pub bytes: Counter,
    /// Frames booked on a connection.
    pub tracked: Counter,
    /// Frames not booked, by reason.
    pub not_tracked: [Counter; Reject::COUNT],
    /// Tracked packets with a wrong IPv4 header checksum.
    pub bad_checksums: Counter,
    /// Tracked packets that were pieces of a datagram.
    pub fragments: Counter,
    /// Pieces that repeat bytes of their datagram (gauge of the table's count).
    pub overlapping_fragments: Counter,
    /// First pieces that end inside the transport header.
    pub tiny_fragments: Counter,
    /// Packets out of tunnels that were booked beside the tunnel's own: records hold `tracked + tunnelled` packets.
    pub tunnelled: Counter,
    /// Packets in tunnels that were not booked, by reason; the tunnel's own packet was.
    pub tunnelled_not_tracked: [Counter; Reject::COUNT],
    /// Connections started.
    pub flows_started: Counter,
    /// Connections in the table now (gauge).
    pub flows_open: Counter,
    /// Records emitted, by end reason.
    pub emitted: [Counter; EndReason::COUNT],
    /// Nanoseconds spent on polls that brought frames.
    pub busy_ns: Counter,
    /// Polls, with and without frames; moves as long as the worker lives.
    pub polls: Counter,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            frames: Counter::default(),
            bytes: Counter::default(),
            tracked: Counter::default(),
            not_tracked: std::array::from_fn(|_| Counter::default()),
            bad_checksums: Counter::default(),
            fragments: Counter::default(),
            overlapping_fragments: Counter::default(),
            tiny_fragments: Counter::default(),
            tunnelled: Counter::default(),
            tunnelled_not_tracked: std::array::from_fn(|_| Counter::default()),
            flows_started: Counter::default(),
            flows_open: Counter::default(),
            emitted: std::array::from_fn(|_| Counter::default()),
            busy_ns: Counter::default(),
            polls: Counter::default(),
        }
    }
}

impl WorkerCounters {
    /// All values at some recent moment.
    pub fn snapshot(&self) -> WorkerTotals {
        WorkerTotals {
            frames: self.frames.get(),
            bytes: self.bytes.get(),
            tracked: self.tracked.get(),
            not_tracked: std::array::from_fn(|i| self.not_tracked[i].get()),
            bad_checksums: self.bad_checksums.get(),
            fragments: self.fragments.get(),
            overlapping_fragments: self.overlapping_fragments.get(),
            tiny_fragments: self.tiny_fragments.get(),
            tunnelled: self.tunnelled.get(),
            tunnelled_not_tracked: std::array::from_fn(|i| self.tunnelled_not_tracked[i].get()),
            flows_started: self.flows_started.get(),
            flows_open: self.flows_open.get(),
            emitted: std::array::from_fn(|i| self.emitted[i].get()),
            busy_ns: self.busy_ns.get(),
        }
    }
}

/// The values of [`WorkerCounters`], of one worker or summed over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of WorkerCounters")]
pub struct WorkerTotals {
    pub frames: u64,
    pub bytes: u64,
    pub tracked: u64,
    pub not_tracked: [u64; Reject::COUNT],
    pub bad_checksums: u64,
    pub fragments: u64,
    pub overlapping_fragments: u64,
    pub tiny_fragments: u64,
    pub tunnelled: u64,
    pub tunnelled_not_tracked: [u64; Reject::COUNT],
    pub flows_started: u64,
    pub flows_open: u64,
    pub emitted: [u64; EndReason::COUNT],
    pub busy_ns: u64,
}

impl WorkerTotals {
    /// Frames that were not booked, over all reasons.
    pub fn not_tracked_sum(&self) -> u64 {
        self.not_tracked.iter().sum()
    }

    /// Records emitted, over all end reasons.
    pub fn emitted_sum(&self) -> u64 {
        self.emitted.iter().sum()
    }

    /// Reasons with a count, in the order of [`Reject::ALL`].
    pub fn not_tracked_reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        reasons(self.not_tracked)
    }

    /// The same for what tunnels carried.
    pub fn tunnelled_not_tracked_reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        reasons(self.tunnelled_not_tracked)
    }

    /// End reasons with a count, in the order of [`EndReason::ALL`].
    pub fn emitted_reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        EndReason::ALL.iter().zip(self.emitted).filter(|(_, n)| *n > 0).map(|(reason, n)| (reason.as_str(), n))
    }
}

fn reasons(counts: [u64; Reject::COUNT]) -> impl Iterator<Item = (&'static str, u64)> {
    Reject::ALL.iter().zip(counts).filter(|(_, n)| *n > 0).map(|(reason, n)| (reason.label(), n))
}

impl std::iter::Sum for WorkerTotals {
    fn sum<I: Iterator<Item = Self>>(workers: I) -> Self {
        workers.fold(Self::default(), |a, b| Self {
            frames: a.frames + b.frames,
            bytes: a.bytes + b.bytes,
            tracked: a.tracked + b.tracked,
            not_tracked: std::array::from_fn(|i| a.not_tracked[i] + b.not_tracked[i]),
            bad_checksums: a.bad_checksums + b.bad_checksums,
            fragments: a.fragments + b.fragments,
            overlapping_fragments: a.overlapping_fragments + b.overlapping_fragments,
            tiny_fragments: a.tiny_fragments + b.tiny_fragments,
            tunnelled: a.tunnelled + b.tunnelled,
            tunnelled_not_tracked: std::array::from_fn(|i| a.tunnelled_not_tracked[i] + b.tunnelled_not_tracked[i]),
            flows_started: a.flows_started + b.flows_started,
            flows_open: a.flows_open + b.flows_open,
            emitted: std::array::from_fn(|i| a.emitted[i] + b.emitted[i]),
            busy_ns: a.busy_ns + b.busy_ns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_workers_add_up_by_reason() {
        let one = WorkerCounters::default();
        one.frames.add(5);
        one.tracked.add(3);
        one.not_tracked[Reject::Arp as usize].add(2);
        let other = WorkerCounters::default();
        other.frames.add(7);
        other.tracked.add(6);
        other.not_tracked[Reject::NotIp as usize].add(1);
        other.emitted[EndReason::Idle as usize].add(4);
        let sum: WorkerTotals = [one.snapshot(), other.snapshot()].into_iter().sum();
        assert_eq!((sum.frames, sum.tracked, sum.not_tracked_sum()), (12, 9, 3));
        assert_eq!(sum.frames, sum.tracked + sum.not_tracked_sum());
        assert_eq!(sum.not_tracked_reasons().collect::<Vec<_>>(), [("arp", 2), ("not_ip", 1)]);
        assert_eq!(sum.emitted_reasons().collect::<Vec<_>>(), [("idle", 4)]);
    }

    #[test]
    fn two_workers_never_share_a_cache_line() {
        assert_eq!(align_of::<WorkerCounters>(), 128);
        assert_eq!(size_of::<WorkerCounters>() % 128, 0);
    }
}
