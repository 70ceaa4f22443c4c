//! Parse and track one batch of frames: the same code for live frames and for capture files.

use std::sync::Arc;

use crate::capture::BATCH;
use crate::flow::{EndReason, FlowConfig, FlowError, FlowHash, FlowTable, RecordSink};
use crate::metrics::WorkerCounters;
use crate::time::Instant;
use crate::wire::{self, Fragment, LinkType, Packet, Reject};

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
/// A batch goes through in three passes — parse all, hash and prefetch all, update all — so that the cache misses of
/// different connections overlap.
pub struct Engine {
    table: FlowTable,
    counters: Arc<WorkerCounters>,
    batch: Box<[Slot; BATCH]>,
}

#[derive(Clone, Copy)]
struct Slot {
    packet: Packet,
    hash: FlowHash,
    at: Instant,
}

impl Engine {
    /// Makes an engine with an empty table.
    ///
    /// # Errors
    /// Where the table's memory can't be had.
    pub fn new(config: &FlowConfig, counters: Arc<WorkerCounters>) -> Result<Self, FlowError> {
        let slot = Slot { packet: Packet::BLANK, hash: FlowHash::default(), at: Instant::default() };
        Ok(Self { table: FlowTable::new(config)?, counters, batch: Box::new([slot; BATCH]) })
    }

    /// Takes up to [`BATCH`] frames in the order of their arrival; what follows the first [`BATCH`] is not taken.
    pub fn process<'a>(&mut self, frames: impl Iterator<Item = Arrival<'a>>, out: &mut impl RecordSink) {
        let parsed = self.parse(frames);
        self.find(parsed);
        self.update(parsed, out);
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

    fn parse<'a>(&mut self, frames: impl Iterator<Item = Arrival<'a>>) -> usize {
        let (mut parsed, mut received, mut bytes, mut bad_checksums, mut fragments) = (0, 0, 0, 0, 0);
        for frame in frames.take(BATCH) {
            received += 1;
            bytes += u64::from(frame.wire_len);
            let outcome = match frame.link {
                Some(link) => wire::parse(link, frame.data, frame.wire_len),
                None => Err(Reject::UnsupportedLink),
            };
            match outcome {
                Ok(packet) => {
                    bad_checksums += u64::from(packet.bad_checksum);
                    fragments += u64::from(packet.fragment != Fragment::Whole);
                    let slot = &mut self.batch[parsed];
                    slot.packet = packet;
                    slot.at = frame.at;
                    parsed += 1;
                }
                Err(reject) => self.counters.not_tracked[reject as usize].add(1),
            }
        }
        let counters = &self.counters;
        counters.frames.add(received);
        counters.bytes.add(bytes);
        counters.tracked.add(parsed as u64);
        counters.bad_checksums.add(bad_checksums);
        counters.fragments.add(fragments);
        parsed
    }

    fn find(&mut self, parsed: usize) {
        for slot in &mut self.batch[..parsed] {
            slot.hash = self.table.hash(&slot.packet, slot.at);
            self.table.prefetch(&slot.hash);
        }
    }

    fn update(&mut self, parsed: usize, out: &mut impl RecordSink) {
        let mut last = None;
        for slot in &self.batch[..parsed] {
            // Within a live batch all times are equal; in a file a timer may be due between two packets.
            if last != Some(slot.at.mono_ns) {
                self.table.advance(slot.at, out);
                last = Some(slot.at.mono_ns);
            }
            self.table.update(&slot.packet, &slot.hash, slot.at, out);
        }
    }

    fn publish(&self) {
        self.counters.flows_started.set(self.table.flows_started());
        self.counters.flows_open.set(self.table.len() as u64);
    }
}
