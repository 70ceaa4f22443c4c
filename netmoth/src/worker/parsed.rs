//! Packets that one worker parses and another books: several workers for one capture file share both kinds of work.

use std::sync::Arc;

use super::Arrival;
use crate::metrics::WorkerCounters;
use crate::prefetch;
use crate::time::Instant;
use crate::wire::{self, Fragment, Packet};

/// How many places before it is read a packet's memory is asked for.
const PLACES: usize = 6;

/// A parsed packet, ready to be booked: two lines of a cache.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Parsed {
    pub(super) packet: Packet,
    pub(super) at: Instant,
}

const _: () = assert!(size_of::<Parsed>() == 128);

impl Parsed {
    /// One without contents, to be parsed into.
    pub const BLANK: Self = Self { packet: Packet::BLANK, at: Instant { wall_ns: 0, mono_ns: 0 } };

    /// Asks for the packets' memory, which is in the cache of the core that parsed them: for that of one with each item that is
    /// taken, some places before it is read.
    #[inline(always)]
    pub(super) fn ahead(packets: &[Self]) -> impl Iterator<Item = ()> {
        let mut asked = packets.iter().map(|Self { packet, at }| {
            prefetch::line(packet);
            prefetch::line(at);
        });
        asked.by_ref().take(PLACES).for_each(drop);
        asked
    }
}

/// Frames that were parsed, and not counted yet.
#[derive(Default)]
struct Tally {
    frames: u64,
    bytes: u64,
    bad_checksums: u64,
}

/// Parses frames for other workers' engines, and counts them among its own worker's.
pub struct Parser {
    counters: Arc<WorkerCounters>,
    verify_checksums: bool,
    tally: Tally,
}

impl Parser {
    /// One that counts in `counters`, those of the worker that calls it.
    pub fn new(counters: Arc<WorkerCounters>, verify_checksums: bool) -> Self {
        Self { counters, verify_checksums, tally: Tally::default() }
    }

    /// Parses a frame that is one whole packet. False, and nothing counted, where it is anything else: then it needs the engine that
    /// books it, which knows the pieces of datagrams and what is in tunnels.
    #[inline]
    pub fn parse(&mut self, frame: &Arrival<'_>, into: &mut Parsed) -> bool {
        let Some(link) = frame.link else { return false };
        let Parsed { packet, at } = into;
        if wire::parse_into(link, frame.data, frame.wire_len, packet).is_err()
            || packet.may_be_a_tunnel()
            || packet.fragment != Fragment::Whole
        {
            return false;
        }
        if self.verify_checksums {
            packet.corrupt = wire::is_corrupt(frame.data, packet);
        }
        *at = frame.at;
        self.tally.frames += 1;
        self.tally.bytes += u64::from(frame.wire_len);
        self.tally.bad_checksums += u64::from(packet.bad_checksum);
        true
    }

    /// Adds what was parsed to the worker's counters.
    pub fn publish(&mut self) {
        let Tally { frames, bytes, bad_checksums } = std::mem::take(&mut self.tally);
        self.counters.frames.add(frames);
        self.counters.tracked.add(frames);
        self.counters.bytes.add(bytes);
        self.counters.bad_checksums.add(bad_checksums);
    }
}
