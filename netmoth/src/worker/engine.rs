//! Parse and track one batch of frames: the same code for live frames and for capture files.

use std::sync::Arc;

use super::ahead::Ahead;
use super::parsed::Parsed;
use crate::capture::BATCH;
use crate::flow::{EndReason, FlowConfig, FlowError, FlowHash, FlowTable, RecordSink};
use crate::metrics::WorkerCounters;
use crate::time::Instant;
use crate::wire::{self, Fragment, LinkType, MAX_TUNNELS, Nothing, Reject};

/// One frame on its way through the engine.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Link layer of the frame; `None` where the capture file names one that is not parsed.
    pub link: Option<LinkType>,
    /// The captured bytes.
    pub data: &'a [u8],
    /// Length on the wire, in bytes.
    pub wire_len: u32,
    /// When it arrived.
    pub at: Instant,
}

/// The flow table of one worker with what it needs to fill it.
///
/// A batch goes through in three passes, and each asks for the memory that the next one reads, so that nobody waits for it: parse
/// and hash (which asks for frames and for buckets of the index), look into the index (which asks for entries), update.
pub struct Engine {
    table: FlowTable,
    counters: Arc<WorkerCounters>,
    batch: Box<[Parsed; BATCH + MAX_TUNNELS]>,
    hashes: Box<[FlowHash; BATCH + MAX_TUNNELS]>,
    verify_checksums: bool,
}

impl Engine {
    /// Makes an engine with an empty table.
    ///
    /// # Errors
    /// Where the table's memory can't be had.
    pub fn new(config: &FlowConfig, counters: Arc<WorkerCounters>) -> Result<Self, FlowError> {
        let verify_checksums = config.verify_checksums;
        Ok(Self {
            table: FlowTable::new(config)?,
            counters,
            verify_checksums,
            batch: Box::new([Parsed::BLANK; BATCH + MAX_TUNNELS]),
            hashes: Box::new([FlowHash::default(); BATCH + MAX_TUNNELS]),
        })
    }

    /// Takes up to [`BATCH`] frames in the order of their arrival; what follows the first [`BATCH`] is not taken. It is for frames
    /// that stand side by side, as in a file that is read ahead anyway.
    pub fn process<'a>(&mut self, frames: impl Iterator<Item = Arrival<'a>>, out: &mut impl RecordSink) {
        self.process_scattered(std::iter::empty(), frames, out);
    }

    /// The same for frames that stand apart from each other, as in a UMEM: `ahead` gives their bytes, which are asked for some
    /// places before they are read.
    pub fn process_scattered<'a>(
        &mut self,
        ahead: impl Iterator<Item = &'a [u8]>,
        frames: impl Iterator<Item = Arrival<'a>>,
        out: &mut impl RecordSink,
    ) {
        let mut frames = Ahead::of(ahead, frames.take(BATCH));
        loop {
            let (parsed, more) = self.parse(&mut frames);
            self.table.prefetch(&mut self.hashes[..parsed]);
            update(&mut self.table, &self.batch[..parsed], self.hashes.as_slice(), out);
            if !more {
                break;
            }
        }
        self.publish();
    }

    /// Takes packets that a [`Parser`](super::Parser) has parsed and counted, in the order of their arrival.
    pub fn book(&mut self, packets: &[Parsed], out: &mut impl RecordSink) {
        let mut ahead = Parsed::ahead(packets);
        for batch in packets.chunks(BATCH) {
            let hashes = &mut self.hashes[..batch.len()];
            for (Parsed { packet, at }, hash) in batch.iter().zip(hashes.iter_mut()) {
                ahead.next();
                self.table.hash_parsed(packet, *at, hash);
            }
            self.table.prefetch(hashes);
            update(&mut self.table, batch, hashes, out);
        }
        self.publish();
    }

    /// Ends what is due at `now`. Live capture calls it once per poll; in files the packets' own times do.
    pub fn advance(&mut self, now: Instant, out: &mut impl RecordSink) {
        self.table.advance(now, out);
        self.publish();
    }

    /// Ends every connection: the sensor or the file is done.
    pub fn finish(&mut self, out: &mut impl RecordSink) {
        self.table.drain(EndReason::Shutdown, out);
        self.publish();
    }

    /// The table, for checks.
    pub fn table(&self) -> &FlowTable {
        &self.table
    }

    /// Parses frames and hashes their packets until there are no more (false), or [`BATCH`] packets: with tunnels, a frame
    /// holds several.
    #[inline]
    fn parse<'a>(&mut self, frames: &mut impl Iterator<Item = Arrival<'a>>) -> (usize, bool) {
        let (mut parsed, mut received, mut tracked, mut bytes, mut bad_checksums) = (0, 0, 0, 0, 0);
        while parsed < BATCH {
            let Some(frame) = frames.next() else { break };
            received += 1;
            bytes += u64::from(frame.wire_len);
            let Parsed { packet, at } = &mut self.batch[parsed];
            let common = frame.link == Some(LinkType::Ethernet)
                && !self.verify_checksums
                && wire::parse_common(frame.data, frame.wire_len, packet);
            if common {
                *at = frame.at;
                bad_checksums += u64::from(packet.bad_checksum);
                self.table.hash_common(packet, &mut self.hashes[parsed]);
                tracked += 1;
                parsed += 1;
            } else {
                let before = parsed;
                parsed = self.parse_any(parsed, &frame);
                tracked += u64::from(parsed > before);
            }
        }
        self.counters.bad_checksums.add(bad_checksums);
        self.count(received, bytes, tracked, parsed);
        (parsed, parsed >= BATCH)
    }

    /// The long way of one frame: whatever it is, what may be inside of it, and which of it has to be verified. Returns how many
    /// packets there are then.
    #[inline(never)]
    fn parse_any(&mut self, first: usize, frame: &Arrival<'_>) -> usize {
        let slot = &mut self.batch[first];
        let outcome = match frame.link {
            Some(link) => wire::parse_into(link, frame.data, frame.wire_len, &mut slot.packet),
            None => Err(Reject::UnsupportedLink),
        };
        if let Err(reject) = outcome {
            self.counters.not_tracked[reject as usize].add(1);
            return first;
        }
        slot.at = frame.at;
        let tunnel = slot.packet.may_be_a_tunnel();
        self.note(first, frame);
        let parsed = if tunnel { self.decapsulate(first + 1, frame) } else { first + 1 };
        for (slot, hash) in self.batch[first..parsed].iter().zip(&mut self.hashes[first..]) {
            self.counters.bad_checksums.add(u64::from(slot.packet.bad_checksum));
            self.counters.fragments.add(u64::from(slot.packet.fragment != Fragment::Whole));
            *hash = self.table.hash(&slot.packet, slot.at);
        }
        parsed
    }

    /// Verifies what is to be verified of the packet at `at`, which came with `frame`.
    #[inline]
    fn note(&mut self, at: usize, frame: &Arrival<'_>) {
        if self.verify_checksums {
            let packet = &mut self.batch[at].packet;
            packet.corrupt = wire::is_corrupt(frame.data, packet);
        }
    }

    /// Puts what the last packet of `frame` carries behind it, or in its place. Returns how many packets there are now.
    #[cold]
    fn decapsulate(&mut self, mut parsed: usize, frame: &Arrival<'_>) -> usize {
        let mut tunnels = 0;
        loop {
            let outer = self.batch[parsed - 1].packet;
            if !outer.may_be_a_tunnel() {
                return parsed;
            }
            let inner = match wire::decapsulate(frame.data, &outer) {
                Ok(inner) if tunnels < MAX_TUNNELS => inner,
                Ok(_) => {
                    self.batch[parsed - 1].packet.too_deep = true;
                    self.counters.tunnelled_not_tracked[Reject::TooManyTunnels as usize].add(1);
                    return parsed;
                }
                Err(Nothing::Rejected(reject)) => {
                    self.counters.tunnelled_not_tracked[reject as usize].add(1);
                    return parsed;
                }
                Err(Nothing::NoTunnel) => return parsed,
            };
            tunnels += 1;
            parsed -= usize::from(outer.is_only_a_tunnel());
            let slot = &mut self.batch[parsed];
            (slot.packet, slot.at) = (inner, frame.at);
            self.note(parsed, frame);
            parsed += 1;
        }
    }

    fn count(&self, received: u64, bytes: u64, tracked: u64, parsed: usize) {
        let counters = &self.counters;
        counters.frames.add(received);
        counters.bytes.add(bytes);
        counters.tracked.add(tracked);
        counters.tunnelled.add(parsed as u64 - tracked);
    }

    fn publish(&self) {
        self.counters.flows_started.set(self.table.flows_started());
        self.counters.flows_open.set(self.table.len() as u64);
        let odd = self.table.odd_fragments();
        self.counters.overlapping_fragments.set(odd.overlapping);
        self.counters.tiny_fragments.set(odd.tiny);
    }
}

/// Books the packets of a batch.
#[inline(always)]
fn update(table: &mut FlowTable, batch: &[Parsed], hashes: &[FlowHash], out: &mut impl RecordSink) {
    let mut last = None;
    for (Parsed { packet, at }, hash) in batch.iter().zip(hashes) {
        // Within a live batch all times are equal; in a file a timer may be due between two packets.
        if last != Some(at.mono_ns) {
            table.advance(*at, out);
            last = Some(at.mono_ns);
        }
        table.update(packet, hash, *at, out);
    }
}
