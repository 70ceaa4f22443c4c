//! The table: finds a packet's connection, or starts it, and books the packet. `expiry` ends what is over, and makes room.

mod expiry;
mod invariants;

use super::config::{FlowConfig, FlowError, Limits, MAX_TIMEOUT, reserve};
use super::direction::is_flipped;
use super::emit::record;
use super::entry::{Cold, Entry, Rest};
use super::fragments::{Fragments, OddFragments};
use super::history::Letter;
use super::index::Index;
use super::key::{FlowHash, Key, KeyedHash, KeyedOn};
use super::odd::{NOTHING_ODD, Odds};
use super::record::{EndReason, RecordSink};
use super::steady;
use super::tcp::State;
use super::wheel::{Class, Wheels};
use crate::time::Instant;
use crate::wire::tcp_flags::{ACK, SYN};
use crate::wire::{Fragment, Packet};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// Latest start that an identifier tells, in microseconds: 2112. Damaged stamps beyond it leave room for what comes later.
const LATEST_START: i64 = (1 << 52) - (1 << 40);

/// Milliseconds after which every connection is over, whatever its timeout; see [`FlowTable::tell`].
const LONGEST_PAUSE: i64 = MAX_TIMEOUT.as_millis() as i64 + 1;

/// The connections of one worker.
pub struct FlowTable {
    pub(super) entries: Vec<Entry>,
    pub(super) cold: Vec<Cold>,
    pub(super) odds: Odds,
    pub(super) index: Index,
    pub(super) wheels: Wheels,
    fragments: Fragments,
    hasher: KeyedHash,
    pub(super) limits: Limits,
    keyed_on: KeyedOn,
    worker: u8,
    last_id: i64,
    /// The latest time that the table was told, as it was told, in nanoseconds and in milliseconds.
    told_ns: u64,
    told: u64,
    /// That time on the table's own clock, see [`FlowTable::tell`].
    tick: u32,
    started: u64,
    evicted: [u64; Class::ALL.len()],
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
        Ok(Self {
            entries: reserve(flows as usize, flows)?,
            cold: reserve(flows as usize, flows)?,
            odds: Odds::new(flows)?,
            index: Index::new(flows)?,
            wheels: Wheels::new(flows)?,
            fragments: Fragments::new()?,
            hasher: KeyedHash::new(config.hash_key),
            limits: Limits::new(config)?,
            keyed_on: KeyedOn { vlan: config.key_vlan, tunnel: config.key_tunnel },
            worker: config.worker,
            last_id: 0,
            told_ns: 0,
            told: 0,
            tick: 0,
            started: 0,
            evicted: [0; Class::ALL.len()],
        })
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.wheels.taken()
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

    /// Pieces of datagrams that no honest sender makes.
    pub fn odd_fragments(&self) -> OddFragments {
        self.fragments.odd()
    }

    /// Bytes of memory that the table holds, at its fullest; what few connections have counts as far as it was used.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.cold.capacity() * size_of::<Cold>()
            + self.odds.memory_bytes()
            + self.index.memory_bytes()
            + self.wheels.memory_bytes()
            + self.fragments.memory_bytes()
    }

    /// The key and hash of a packet; its bucket of the index is asked for. Call it once per packet and in the order of arrival: the
    /// first piece of a datagram leaves its ports here for the later ones.
    pub fn hash(&mut self, packet: &Packet, now: Instant) -> FlowHash {
        let (key, side) = self.key(packet, now);
        let hash = self.hasher.hash(&key);
        self.index.prefetch(hash);
        FlowHash { hash, key, side, plain: packet.is_plain(), guess: 0 }
    }

    /// The same for a packet that [`parse_common`](crate::wire::parse_common) has read.
    #[inline(always)]
    pub fn hash_common(&self, packet: &Packet, hash: &mut FlowHash) {
        let (key, side) = Key::plain(packet, self.keyed_on);
        *hash = FlowHash { hash: self.hasher.hash(&key), key, side, plain: true, guess: 0 };
        self.index.prefetch(hash.hash);
    }

    /// The same for any packet.
    #[inline]
    pub fn hash_parsed(&mut self, packet: &Packet, now: Instant, hash: &mut FlowHash) {
        let plain = packet.is_plain() & packet.tunnel.is_none() & matches!(packet.protocol, TCP | UDP);
        if plain { self.hash_common(packet, hash) } else { *hash = self.hash(packet, now) }
    }

    /// The key of any packet.
    fn key(&mut self, packet: &Packet, now: Instant) -> (Key, u8) {
        let ports = match packet.fragment {
            Fragment::Whole => Some((packet.src_port, packet.dst_port)),
            Fragment::First { id } => {
                self.fragments.remember(&self.hasher, packet, id, tick(now));
                Some((packet.src_port, packet.dst_port))
            }
            Fragment::Later { id } => self.fragments.recall(&self.hasher, packet, id, tick(now)),
        };
        Key::new(packet, ports, self.keyed_on)
    }

    /// Looks the packets of a batch up in the index, whose buckets were asked for when they were hashed, and asks for the entries
    /// that [`FlowTable::update`] will need: so the batch waits for memory once and not for each packet.
    pub fn prefetch(&self, batch: &mut [FlowHash]) {
        for hash in batch.iter_mut() {
            hash.guess = self.index.guess(hash.hash);
            if let Some(hot) = self.entries.get(hash.guess as usize) {
                hot.prefetch();
            }
        }
    }

    /// Books a packet. `hash` is what [`FlowTable::hash`] gave for it.
    #[inline]
    pub fn update(&mut self, packet: &Packet, hash: &FlowHash, now: Instant, out: &mut impl RecordSink) {
        let tick = self.tell(now);
        let side = usize::from(hash.side & 1);
        let found = self.find(hash);
        if let Some(entry) = found
            && hash.plain
            && steady::book(&mut self.entries[entry as usize], packet, side, tick, now, &self.limits)
        {
            return;
        }
        self.update_at(found, packet, hash, now, out);
    }

    /// Books a packet for which `found` is the entry, whatever it brings.
    fn update_at(
        &mut self,
        found: Option<u32>,
        packet: &Packet,
        hash: &FlowHash,
        now: Instant,
        out: &mut impl RecordSink,
    ) {
        let (tick, side) = (self.tick, usize::from(hash.side & 1));
        let entry = match found {
            None => self.start(packet, hash, now, out),
            Some(entry) if self.settle(entry, tick, out) => self.start(packet, hash, now, out),
            Some(entry) if self.is_reused(entry, packet) => {
                let reason = self.idle_reason(entry);
                self.end(entry, reason, out);
                self.start(packet, hash, now, out)
            }
            Some(entry) => {
                self.cut(entry, tick, side, out);
                entry
            }
        };
        self.book(entry, packet, side, now);
    }

    /// The entry of a packet's connection. The guess was made when the batch was read; since then the entry may have ended,
    /// and then has no key that a packet could have.
    #[inline(always)]
    fn find(&self, hash: &FlowHash) -> Option<u32> {
        let entries = &self.entries;
        match entries.get(hash.guess as usize) {
            Some(entry) if entry.key.is(&hash.key) => Some(hash.guess),
            _ => self.index.find(hash.hash, |entry| entries[entry as usize].key.is(&hash.key)),
        }
    }

    /// Moves the table's clock to `now`, by no more than [`LONGEST_PAUSE`] at a time. Its milliseconds have 32 bits, and half
    /// their range, 24 days, tells the past from the future: between captures of different months, or behind a damaged
    /// stamp, silence would be taken for none.
    #[inline]
    fn tell(&mut self, now: Instant) -> u32 {
        if now.mono_ns == self.told_ns {
            return self.tick;
        }
        self.told_ns = now.mono_ns;
        let told = now.mono_ns / 1_000_000;
        let passed = (told.wrapping_sub(self.told) as i64).clamp(-LONGEST_PAUSE, LONGEST_PAUSE);
        self.told = told;
        self.tick = self.tick.wrapping_add(passed as u32);
        self.tick
    }

    /// A SYN begins another connection where both sides have ended this one, or where it is not the SYN that this one
    /// began with (Zeek's rule). A SYN-ACK does so only where nothing was seen of the originator.
    fn is_reused(&self, entry: u32, packet: &Packet) -> bool {
        if packet.protocol != TCP || packet.tcp_flags & SYN == 0 {
            return false;
        }
        let (hot, cold) = (&self.entries[entry as usize], &self.cold[entry as usize]);
        let (sides, originator) = (hot.sides(), hot.originator());
        let answers = packet.tcp_flags & ACK != 0;
        if answers && sides.state(originator) != State::Inactive {
            return false;
        }
        let side = if answers { 1 - originator } else { originator };
        sides.is_closed_by_both() || packet.tcp_seq != cold.start_seq[side]
    }

    /// Ends the part before a packet that comes after it has lasted long enough, or whose counters are full. Silence ends no
    /// part: what is silent is reported when it ends, and in one row.
    #[inline]
    fn cut(&mut self, entry: u32, tick: u32, side: usize, out: &mut impl RecordSink) {
        let hot = &self.entries[entry as usize];
        if elapsed(tick, hot.part_tick) >= self.limits.active || hot.is_full(side) {
            self.emit_part(entry, out);
        }
    }

    fn emit_part(&mut self, entry: u32, out: &mut impl RecordSink) {
        self.emit(entry, EndReason::Active, out);
        self.entries[entry as usize].next_part();
        let odd = self.cold[entry as usize].odd;
        if odd != NOTHING_ODD {
            self.odds.get_mut(odd).repeated = [0; 2];
        }
    }

    /// Takes an entry for a new connection.
    fn start(&mut self, packet: &Packet, hash: &FlowHash, now: Instant, out: &mut impl RecordSink) -> u32 {
        if self.wheels.is_full() {
            self.make_room(self.tick, out);
        }
        let side = usize::from(hash.side);
        let flipped = is_flipped(packet, hash.key.port(side), hash.key.port(1 - side));
        let fresh = Entry::new(hash.key, side ^ usize::from(flipped));
        let cold = Cold::new(self.next_id(now));
        let entry = self.wheels.take();
        if entry as usize == self.entries.len() {
            self.entries.push(fresh);
            self.cold.push(cold);
        } else {
            self.entries[entry as usize] = fresh;
            self.cold[entry as usize] = cold;
        }
        if flipped {
            self.rest(entry).push_flip();
        }
        if packet.tunnel.is_some() {
            let mut rest = self.rest(entry);
            let odd = rest.odd();
            (odd.tunnel, odd.tunnel_id) = (packet.tunnel, packet.tunnel_id);
        }
        self.index.insert(hash.hash, entry);
        self.started += 1;
        let hot = &mut self.entries[entry as usize];
        hot.last_tick = self.tick;
        hot.set_class(Class::HalfOpen);
        self.file(entry);
        entry
    }

    /// Positive, ordered by time, different for every connection of every worker: microseconds of the start in the upper
    /// bits, a sequence in three, the worker in eight.
    fn next_id(&mut self, now: Instant) -> i64 {
        let time = (now.wall_ns.max(0) / 1_000).min(LATEST_START) << 11;
        let id = time.max(self.last_id + (1 << 8)) & !0xff;
        self.last_id = id;
        id | i64::from(self.worker)
    }

    fn emit(&mut self, entry: u32, reason: EndReason, out: &mut impl RecordSink) {
        let cold = &self.cold[entry as usize];
        out.emit(record(&self.entries[entry as usize], cold, self.odds.get(cold.odd), reason));
    }

    /// What belongs to an entry besides.
    #[inline]
    fn rest(&mut self, entry: u32) -> Rest<'_> {
        Rest { cold: &mut self.cold[entry as usize], odds: &mut self.odds }
    }

    /// Counts a packet on its connection and follows the connection's state.
    #[inline]
    fn book(&mut self, entry: u32, packet: &Packet, side: usize, now: Instant) {
        let hot = &mut self.entries[entry as usize];
        let mut rest = Rest { cold: &mut self.cold[entry as usize], odds: &mut self.odds };
        if hot.is_empty() {
            hot.start_ns = now.wall_ns;
            hot.part_tick = self.tick;
        }
        // Stamps of a file may go back; a record's end never comes before its start.
        hot.last_ns = hot.last_ns.max(now.wall_ns);
        hot.count(side, packet.ip_bytes, packet.payload_bytes);
        let before = hot.class();
        // Attempts and closed connections are given their time from the SYN and from the end: what still comes for them
        // does not prolong it (as in Zeek).
        let frozen = hot.key.protocol() == TCP && before != Class::Open;
        if !frozen {
            hot.last_tick = self.tick;
        }
        if packet.carrier != 0 || packet.too_deep {
            note_tunnels(&mut rest, packet);
        }
        if packet.corrupt {
            // What it says may be what was changed: it counts, and nothing follows from it.
            super::segment::counted(hot, &mut rest, Letter::Corrupt, side);
        } else if hot.key.protocol() == TCP {
            match packet.fragment {
                _ if packet.tiny => {}
                Fragment::Later { .. } => super::segment::book_later_piece(hot, packet, side),
                _ => super::segment::book(hot, &mut rest, packet, side, now),
            }
        } else if hot.seen[side] & Letter::Data.bit() == 0 {
            hot.seen[side] |= Letter::Data.bit();
            if hot.key.protocol() == UDP {
                rest.push(Letter::Data, side != hot.originator());
            }
        }
        // What has ended stays so, whatever else comes: only a new SYN begins anew (as in Zeek).
        let after = if before == Class::Closed { before } else { class_of(hot) };
        if after != before {
            self.reclass(entry, after);
        }
    }

    fn reclass(&mut self, entry: u32, class: Class) {
        self.wheels.remove(entry);
        let hot = &mut self.entries[entry as usize];
        hot.set_class(class);
        hot.last_tick = self.tick;
        self.file(entry);
    }
}

/// Notes, once, what was not followed to its end: a connection that comes another way through tunnels again and again, or
/// one that carries more tunnels than are followed. As in Zeek (`max_changes_per_connection`, `max_depth`).
#[cold]
fn note_tunnels(rest: &mut Rest<'_>, packet: &Packet) {
    const FOLLOWED: u8 = 5;
    const NOTED: u8 = u8::MAX;
    let odd = rest.odd();
    let changed = packet.carrier != odd.carrier && packet.carrier != 0 && odd.carrier != 0;
    odd.carrier = packet.carrier;
    if odd.carrier_changes != NOTED {
        odd.carrier_changes += u8::from(changed);
        if odd.carrier_changes > FOLLOWED || packet.too_deep {
            odd.carrier_changes = NOTED;
            rest.push(Letter::Partial, false);
        }
    }
}

/// Milliseconds, wrapping every 49 days: only differences are used.
#[inline]
pub(super) fn tick(now: Instant) -> u32 {
    (now.mono_ns / 1_000_000) as u32
}

/// Milliseconds from `since` to `tick`; 0 where that lies in the future.
#[inline]
pub(super) fn elapsed(tick: u32, since: u32) -> u32 {
    (tick.wrapping_sub(since) as i32).max(0) as u32
}

fn class_of(entry: &Entry) -> Class {
    if entry.key.protocol() == TCP {
        if entry.is_established() {
            return Class::Open;
        }
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
