//! The table: finds a packet's connection, books the packet, ends what is over, makes room where there is none.

use super::config::{FlowConfig, FlowError, Limits};
use super::entry::{Cold, Entry, NO_RTT, fill_ends};
use super::fragments::Fragments;
use super::history::Letter;
use super::icmp::{ICMP, ICMPV6};
use super::index::Index;
use super::key::{FlowHash, Key, KeyedHash};
use super::memory::reserve;
use super::record::{ConnState, EndReason, FlowRecord, RecordSink};
use super::wheel::{Class, Wheels};
use crate::time::Instant;
use crate::wire::tcp_flags::{ACK, SYN};
use crate::wire::{Fragment, NO_VLAN, Packet};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// Entries that [`FlowTable::make_room`] files anew before it takes one that was touched since it was filed.
const SECOND_CHANCES: u32 = 4;

/// The connections of one worker.
pub struct FlowTable {
    pub(super) entries: Vec<Entry>,
    pub(super) cold: Vec<Cold>,
    free: Vec<u32>,
    pub(super) index: Index,
    pub(super) wheels: Wheels,
    fragments: Fragments,
    hasher: KeyedHash,
    limits: Limits,
    key_vlan: bool,
    worker: u8,
    last_id: i64,
    started: u64,
    evicted: [u64; Class::ALL.len()],
    /// What prefetching has read; keeps the reads from being optimised away.
    touched: u32,
}

impl FlowTable {
    /// An empty table; takes all its memory now.
    ///
    /// # Errors
    /// Numbers out of range, or memory that is not there.
    pub fn new(config: &FlowConfig) -> Result<Self, FlowError> {
        if config.max_flows == 0 || config.max_flows > super::config::MAX_FLOWS {
            return Err(FlowError::MaxFlows(config.max_flows));
        }
        let flows = config.max_flows;
        let mut free = reserve(flows as usize, flows)?;
        // The lowest numbers are taken first, so that a quiet table stays in few pages.
        free.extend((0..flows).rev());
        Ok(Self {
            entries: reserve(flows as usize, flows)?,
            cold: reserve(flows as usize, flows)?,
            free,
            index: Index::new(flows)?,
            wheels: Wheels::new(flows)?,
            fragments: Fragments::new()?,
            hasher: KeyedHash::new(config.hash_key),
            limits: Limits::new(config)?,
            key_vlan: config.key_vlan,
            worker: config.worker,
            last_id: 0,
            started: 0,
            evicted: [0; Class::ALL.len()],
            touched: 0,
        })
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.wheels.capacity() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections started since the table was made.
    pub fn flows_started(&self) -> u64 {
        self.started
    }

    /// Connections that made room for others: closed, without an answer, open.
    pub fn evicted(&self) -> [u64; 3] {
        self.evicted
    }

    /// Bytes of memory that the table holds, at its fullest.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.cold.capacity() * size_of::<Cold>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.memory_bytes()
            + self.wheels.memory_bytes()
            + self.fragments.memory_bytes()
    }

    /// The key and hash of a packet. Call it once per packet and in the order of arrival: the first piece of a datagram
    /// leaves its ports here for the later ones.
    #[inline]
    pub fn hash(&mut self, packet: &Packet, now: Instant) -> FlowHash {
        let (source, destination) = match packet.fragment {
            Fragment::Whole => (packet.src_port, packet.dst_port),
            Fragment::First { id } => {
                self.fragments.remember(&self.hasher, packet, id, tick(now));
                (packet.src_port, packet.dst_port)
            }
            Fragment::Later { id } => self.fragments.recall(&self.hasher, packet, id, tick(now)).unwrap_or((0, 0)),
        };
        let (key, side) = Key::new(packet, source, destination, self.key_vlan);
        FlowHash { hash: self.hasher.hash(&key), key, side }
    }

    /// Reads what [`FlowTable::update`] will need, early, so that a batch waits for memory once and not for each packet.
    #[inline]
    pub fn prefetch(&mut self, hash: &FlowHash) {
        if let Some(entry) = self.index.peek(hash.hash) {
            self.touched ^= self.entries[entry as usize].last_tick;
        }
    }

    /// Books a packet. `hash` is what [`FlowTable::hash`] gave for it.
    #[inline]
    pub fn update(&mut self, packet: &Packet, hash: &FlowHash, now: Instant, out: &mut impl RecordSink) {
        let tick = tick(now);
        let entries = &self.entries;
        let found = self.index.find(hash.hash, |entry| entries[entry as usize].key == hash.key);
        let entry = match found {
            None => self.start(packet, hash, now, out),
            Some(entry) if self.is_due(entry, tick) || self.is_reused(entry, packet) => {
                let reason = self.idle_reason(entry);
                self.end(entry, reason, out);
                self.start(packet, hash, now, out)
            }
            Some(entry) => {
                self.cut(entry, tick, usize::from(hash.side), out);
                entry
            }
        };
        self.book(entry, packet, usize::from(hash.side), now);
    }

    /// Ends what has been silent for too long. However often it is called, the records are the same: what is due is also
    /// found by the packet that comes after.
    #[inline]
    pub fn advance(&mut self, now: Instant, out: &mut impl RecordSink) {
        let tick = tick(now);
        if !self.wheels.is_due(tick) {
            return;
        }
        while self.wheels.turn(tick) {
            for class in Class::ALL {
                let mut next = self.wheels.take_slot(class);
                while let Some(entry) = next {
                    next = self.wheels.following(entry);
                    self.visit(entry, tick, out);
                }
            }
        }
    }

    /// Ends all connections.
    pub fn drain(&mut self, reason: EndReason, out: &mut impl RecordSink) {
        for class in Class::ALL {
            while let Some(entry) = self.wheels.nearest(class) {
                let reason = self.own_reason(entry).unwrap_or(reason);
                self.end(entry, reason, out);
            }
        }
    }

    /// An entry whose slot has come: ends it, or files it anew. It is in no list at this moment.
    fn visit(&mut self, entry: u32, tick: u32, out: &mut impl RecordSink) {
        if self.is_due(entry, tick) {
            let reason = self.idle_reason(entry);
            self.emit(entry, reason, out);
            self.release(entry);
            return;
        }
        self.file(entry);
    }

    /// Milliseconds without a packet after which the connection is over.
    fn idle_limit(&self, entry: &Entry) -> u32 {
        match entry.key.protocol {
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

    fn is_due(&self, entry: u32, tick: u32) -> bool {
        let entry = &self.entries[entry as usize];
        tick.wrapping_sub(entry.last_tick) >= self.idle_limit(entry)
    }

    /// A new SYN on a connection that is over begins another one.
    fn is_reused(&self, entry: u32, packet: &Packet) -> bool {
        packet.tcp_flags & (SYN | ACK) == SYN
            && packet.protocol == TCP
            && self.entries[entry as usize].class() == Class::Closed
    }

    /// Why the connection has ended by itself, if it has.
    fn own_reason(&self, entry: u32) -> Option<EndReason> {
        let entry = &self.entries[entry as usize];
        if entry.key.protocol != TCP || entry.class() != Class::Closed {
            return None;
        }
        Some(if entry.sides().is_reset() { EndReason::Rst } else { EndReason::Fin })
    }

    fn idle_reason(&self, entry: u32) -> EndReason {
        self.own_reason(entry).unwrap_or(EndReason::Idle)
    }

    /// Ends the part before a packet that comes after it has lasted long enough, or whose counters are full. Silence ends no
    /// part: what is silent is reported when it ends, and in one row.
    fn cut(&mut self, entry: u32, tick: u32, side: usize, out: &mut impl RecordSink) {
        let age = tick.wrapping_sub(self.cold[entry as usize].part_tick);
        if age >= self.limits.active || self.entries[entry as usize].is_full(side) {
            self.emit_part(entry, tick, out);
        }
    }

    fn emit_part(&mut self, entry: u32, tick: u32, out: &mut impl RecordSink) {
        self.emit(entry, EndReason::Active, out);
        self.entries[entry as usize].next_part();
        let cold = &mut self.cold[entry as usize];
        cold.told = cold.retransmits;
        cold.part_tick = tick;
    }

    /// Takes an entry for a new connection.
    fn start(&mut self, packet: &Packet, hash: &FlowHash, now: Instant, out: &mut impl RecordSink) -> u32 {
        if self.free.is_empty() {
            self.make_room(tick(now), out);
        }
        // A SYN-ACK answers: its sender is the responder (Zeek flips it, too).
        let flipped = packet.protocol == TCP && packet.tcp_flags & (SYN | ACK) == SYN | ACK;
        let originator = usize::from(hash.side) ^ usize::from(flipped);
        let fresh = Entry::new(hash.key, self.next_id(now), originator);
        let mut cold = Cold { part_tick: tick(now), ..Cold::NEW };
        if flipped {
            cold.push_flip();
        }
        // `make_room` leaves a free entry behind; a table has one entry at least.
        let entry = self.free.pop().unwrap_or(0);
        if entry as usize == self.entries.len() {
            self.entries.push(fresh);
            self.cold.push(cold);
        } else {
            self.entries[entry as usize] = fresh;
            self.cold[entry as usize] = cold;
        }
        self.index.insert(hash.hash, entry);
        self.started += 1;
        let hot = &mut self.entries[entry as usize];
        hot.last_tick = tick(now);
        hot.set_class(Class::HalfOpen);
        self.file(entry);
        entry
    }

    /// Positive, ordered by time, different for every connection of every worker: microseconds of the start in the upper
    /// bits, a sequence in three, the worker in eight.
    fn next_id(&mut self, now: Instant) -> i64 {
        let time = (now.wall_ns.max(0) / 1_000) << 11;
        let id = time.max(self.last_id + (1 << 8)) & !0xff;
        self.last_id = id;
        id | i64::from(self.worker)
    }

    /// Evicts one connection: closed ones first, then those without an answer, then the open one nearest to its expiry.
    fn make_room(&mut self, tick: u32, out: &mut impl RecordSink) {
        for class in Class::ALL {
            let mut chances = SECOND_CHANCES;
            while let Some(entry) = self.wheels.nearest(class) {
                // It may have had packets since it was filed, and stand too near: its true place first.
                let hot = &self.entries[entry as usize];
                let left = self.idle_limit(hot).saturating_sub(tick.wrapping_sub(hot.last_tick));
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
    fn file(&mut self, entry: u32) {
        let hot = &self.entries[entry as usize];
        let due = hot.last_tick.wrapping_add(self.idle_limit(hot));
        self.wheels.file(entry, hot.class(), due);
    }

    /// Takes an entry out of its list, emits its last part and gives the entry back.
    fn end(&mut self, entry: u32, reason: EndReason, out: &mut impl RecordSink) {
        self.wheels.remove(entry);
        self.emit(entry, reason, out);
        self.release(entry);
    }

    fn release(&mut self, entry: u32) {
        let hash = self.hasher.hash(&self.entries[entry as usize].key);
        self.index.remove(hash, entry);
        self.free.push(entry);
    }

    fn emit(&mut self, entry: u32, reason: EndReason, out: &mut impl RecordSink) {
        out.emit(record(&self.entries[entry as usize], &self.cold[entry as usize], reason));
    }

    /// Counts a packet on its connection and follows the connection's state.
    #[inline]
    fn book(&mut self, entry: u32, packet: &Packet, side: usize, now: Instant) {
        let hot = &mut self.entries[entry as usize];
        if hot.is_empty() {
            hot.start_ns = now.wall_ns;
            self.cold[entry as usize].part_tick = tick(now);
        }
        // Stamps of a file may go back; a record's end never comes before its start.
        hot.last_ns = hot.last_ns.max(now.wall_ns);
        hot.count(side, packet.ip_bytes, packet.payload_bytes);
        let before = hot.class();
        // Attempts and closed connections are given their time from the SYN and from the end: what still comes for them
        // does not prolong it (as in Zeek).
        let frozen = hot.key.protocol == TCP && before != Class::Open;
        if !frozen {
            hot.last_tick = tick(now);
        }
        if hot.key.protocol == TCP {
            if !matches!(packet.fragment, Fragment::Later { .. }) {
                super::segment::book(hot, &mut self.cold[entry as usize], packet, side, now);
            }
        } else if hot.seen[side] & Letter::Data.bit() == 0 {
            hot.seen[side] |= Letter::Data.bit();
            if hot.key.protocol == UDP {
                self.cold[entry as usize].push(Letter::Data, side != hot.originator());
            }
        }
        let after = class_of(hot);
        if after != before {
            self.reclass(entry, after, now);
        }
    }

    fn reclass(&mut self, entry: u32, class: Class, now: Instant) {
        self.wheels.remove(entry);
        let hot = &mut self.entries[entry as usize];
        hot.set_class(class);
        hot.last_tick = tick(now);
        self.file(entry);
    }
}

/// Milliseconds, wrapping every 49 days: only differences are used.
#[inline]
pub(super) fn tick(now: Instant) -> u32 {
    (now.mono_ns / 1_000_000) as u32
}

fn class_of(entry: &Entry) -> Class {
    if entry.key.protocol == TCP {
        let sides = entry.sides();
        if sides.is_over() {
            Class::Closed
        } else if sides.is_attempt(entry.originator()) {
            Class::HalfOpen
        } else {
            Class::Open
        }
    } else if entry.seen[1 - entry.originator()] == 0 {
        Class::HalfOpen
    } else {
        Class::Open
    }
}

/// The record of an entry's current part.
fn record(hot: &Entry, cold: &Cold, reason: EndReason) -> FlowRecord {
    let originator = hot.originator();
    let responder = 1 - originator;
    let (vlan, inner_vlan) = hot.key.vlans();
    let mut record = FlowRecord {
        flow_id: hot.flow_id,
        part: hot.part,
        start_ns: hot.start_ns,
        end_ns: hot.last_ns,
        src_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
        dst_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
        src_port: 0,
        dst_port: 0,
        proto: hot.key.protocol,
        vlan_id: (vlan != NO_VLAN).then_some(vlan),
        inner_vlan_id: (inner_vlan != NO_VLAN).then_some(inner_vlan),
        tunnel: None,
        src_packets: u64::from(hot.packets[originator]),
        dst_packets: u64::from(hot.packets[responder]),
        src_bytes: hot.bytes(originator),
        dst_bytes: hot.bytes(responder),
        src_payload_bytes: hot.payload(originator),
        dst_payload_bytes: hot.payload(responder),
        src_tcp_flags: hot.flags[originator],
        dst_tcp_flags: hot.flags[responder],
        conn_state: conn_state(hot),
        history: cold.history(),
        tcp_rtt_us: (cold.rtt_us != NO_RTT).then_some(cold.rtt_us),
        src_retransmits: cold.news(originator),
        dst_retransmits: cold.news(responder),
        end_reason: reason,
    };
    fill_ends(&mut record, &hot.key, originator);
    record
}

fn conn_state(hot: &Entry) -> ConnState {
    let originator = hot.originator();
    let sent = |side: usize| hot.seen[side] & Letter::Data.bit() != 0;
    match hot.key.protocol {
        TCP => hot.sides().conn_state(originator, sent(0) || sent(1)),
        UDP => match (sent(originator), sent(1 - originator)) {
            (true, true) => ConnState::SF,
            (true, false) => ConnState::S0,
            (false, true) => ConnState::Shr,
            (false, false) => ConnState::Oth,
        },
        _ => ConnState::Oth,
    }
}
