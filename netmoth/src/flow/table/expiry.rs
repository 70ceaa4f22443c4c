//! Who ends, when and why: by silence, and where a new connection needs room.

use super::super::entry::Entry;
use super::super::icmp::{ICMP, ICMPV6};
use super::super::record::{EndReason, RecordSink};
use super::super::wheel::Class;
use super::{FlowTable, TCP, UDP, elapsed};
use crate::prefetch;
use crate::time::Instant;

/// Entries that [`FlowTable::make_room`] files anew before it takes one that was touched since it was filed.
const SECOND_CHANCES: u32 = 4;

/// Entries that one call of [`FlowTable::advance`] looks at: what many connections that end together leave is done in the
/// next calls, so that no poll waits long. It exceeds what a batch can start, so the timers never fall behind for good.
const VISITS: usize = 256;

/// Entries that are asked for together before they are looked at.
const VISITED_AT_ONCE: usize = 32;

impl FlowTable {
    /// Ends what has been silent for too long. However often it is called, the records are the same: what is due is also
    /// found by the packet that comes after.
    #[inline]
    pub fn advance(&mut self, now: Instant, out: &mut impl RecordSink) {
        let tick = self.tell(now);
        if !self.wheels.is_due(tick) {
            return;
        }
        let (mut due, mut hashes) = ([0; VISITED_AT_ONCE], [0; VISITED_AT_ONCE]);
        for _ in 0..VISITS / VISITED_AT_ONCE {
            let count = self.wheels.take_due(tick, &mut due);
            if count == 0 {
                return;
            }
            self.prefetch_due(&due[..count], &mut hashes, tick);
            for (&entry, &hash) in due[..count].iter().zip(&hashes) {
                if self.is_over(entry, tick) {
                    self.close(entry, hash, self.idle_reason(entry), out);
                } else {
                    self.file(entry);
                }
            }
        }
    }

    /// Ends all connections in the order of their starts; those whose time was over before say so and not `reason`.
    pub fn drain(&mut self, reason: EndReason, out: &mut impl RecordSink) {
        let mut live = self.wheels.entries();
        live.sort_unstable_by_key(|entry| self.cold[*entry as usize].flow_id);
        for entry in live {
            if !self.settle(entry, self.tick, out) {
                let reason = self.own_reason(entry).unwrap_or(reason);
                self.end(entry, reason, out);
            }
        }
    }

    /// Asks for what ending these entries will need: they were silent, and stand far off in memory. Those that go on need
    /// less. Gives the hashes of the others.
    fn prefetch_due(&self, due: &[u32], hashes: &mut [u32], tick: u32) {
        for &entry in due {
            self.entries[entry as usize].prefetch();
        }
        for (&entry, hash) in due.iter().zip(hashes) {
            if self.is_over(entry, tick) {
                prefetch::line(&self.cold[entry as usize]);
                *hash = self.hasher.hash(&self.entries[entry as usize].key);
                self.index.prefetch(*hash);
            }
        }
    }

    /// Ends a connection that has been silent for too long at `tick`; true where it did. Timers, the next packet and the end
    /// of the table all come through here, so that it makes no difference which of them comes first.
    #[inline]
    pub(super) fn settle(&mut self, entry: u32, tick: u32, out: &mut impl RecordSink) -> bool {
        let over = self.is_over(entry, tick);
        if over {
            self.end(entry, self.idle_reason(entry), out);
        }
        over
    }

    /// Whether a connection has been silent for too long at `tick`.
    #[inline]
    fn is_over(&self, entry: u32, tick: u32) -> bool {
        let hot = &self.entries[entry as usize];
        elapsed(tick, hot.last_tick) >= self.idle_limit(hot)
    }

    /// Milliseconds without a packet after which the connection is over.
    pub(super) fn idle_limit(&self, entry: &Entry) -> u32 {
        match entry.key.protocol() {
            TCP => match entry.class() {
                Class::Closed => self.limits.tcp_closed,
                Class::HalfOpen => self.limits.tcp_attempt,
                Class::Open => self.limits.tcp_established,
            },
            UDP => self.limits.udp,
            ICMP | ICMPV6 => self.limits.icmp,
            _ => self.limits.other,
        }
    }

    /// Why the connection has ended by itself, if it has.
    pub(super) fn own_reason(&self, entry: u32) -> Option<EndReason> {
        let entry = &self.entries[entry as usize];
        if entry.key.protocol() != TCP || entry.class() != Class::Closed {
            return None;
        }
        Some(if entry.sides().is_reset() { EndReason::Rst } else { EndReason::Fin })
    }

    pub(super) fn idle_reason(&self, entry: u32) -> EndReason {
        self.own_reason(entry).unwrap_or(EndReason::Idle)
    }

    /// Evicts one connection: closed ones first, then those without an answer, then the open one nearest to its expiry.
    pub(super) fn make_room(&mut self, tick: u32, out: &mut impl RecordSink) {
        for class in Class::ALL {
            let mut chances = SECOND_CHANCES;
            while let Some(entry) = self.wheels.nearest(class) {
                if self.settle(entry, tick, out) {
                    return;
                }
                // It may have had packets since it was filed, and stand too near: its true place first.
                let hot = &self.entries[entry as usize];
                let left = self.idle_limit(hot).saturating_sub(elapsed(tick, hot.last_tick));
                if class == Class::Open && chances > 0 && left > self.idle_limit(hot) / 2 {
                    chances -= 1;
                    self.wheels.remove(entry);
                    self.file(entry);
                    continue;
                }
                self.evicted[class as usize] += 1;
                let reason = self.own_reason(entry).unwrap_or(EndReason::Evicted);
                self.end(entry, reason, out);
                return;
            }
        }
    }

    /// Files an entry at the moment when it will have been silent for too long.
    pub(super) fn file(&mut self, entry: u32) {
        let hot = &self.entries[entry as usize];
        let due = hot.last_tick.wrapping_add(self.idle_limit(hot));
        self.wheels.file(entry, hot.class(), due);
    }

    /// Takes an entry out of its list and closes it.
    pub(super) fn end(&mut self, entry: u32, reason: EndReason, out: &mut impl RecordSink) {
        self.wheels.remove(entry);
        let hash = self.hasher.hash(&self.entries[entry as usize].key);
        self.close(entry, hash, reason, out);
    }

    /// Emits the last part of an entry that is in no list and whose key has this hash, and gives the entry back.
    fn close(&mut self, entry: u32, hash: u32, reason: EndReason, out: &mut impl RecordSink) {
        self.emit(entry, reason, out);
        self.entries[entry as usize].key.clear();
        self.index.remove(hash, entry);
        self.odds.give_back(self.cold[entry as usize].odd);
        self.wheels.give_back(entry);
    }
}
