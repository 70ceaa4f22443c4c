//! Frames in memory as they stand in a UMEM, and the engine's time over them.

use std::time::{Duration, Instant as Wall};

use netmoth_traffic::{BLANK, Frame, Sizes, Traffic};

use super::BenchError;
use super::clock::cpu_time;
use crate::capture::BATCH;
use crate::flow::{FlowRecord, RecordSink};
use crate::memory::advise_huge_pages;
use crate::time::Instant;
use crate::wire::LinkType;
use crate::worker::{Arrival, Engine};

/// Frames that are made before the clock starts.
pub(super) const FRAMES: usize = 4096;

/// Where the kernel puts a frame's first byte in its slot (`XDP_PACKET_HEADROOM`, linux/bpf.h).
const HEADROOM: usize = 256;

/// Longest frame that a slot holds.
pub(super) const LONGEST: usize = size_of::<Slot>() - HEADROOM;

/// The secret of the table's hash: the same for every run, so that runs differ in nothing.
pub(super) const SECRET: [u64; 2] = [0x6e65_746d_6f74_6821, 0x6265_6e63_6821_2121];

#[derive(Clone, Copy)]
#[repr(C, align(2048))]
struct Slot([u8; 2048]);

/// Frames with their time stamps.
pub(super) struct Chunk {
    slots: Vec<Slot>,
    placed: Vec<Placed>,
    scratch: Box<Frame>,
}

#[derive(Clone, Copy)]
struct Placed {
    length: u32,
    at: Instant,
}

impl Chunk {
    /// Empty slots, all of their memory there, in huge pages as a UMEM's is.
    pub(super) fn new() -> Self {
        let mut slots = Vec::with_capacity(FRAMES);
        advise_huge_pages(slots.as_ptr() as usize, FRAMES * size_of::<Slot>());
        // Not zeros: pages of zeros would be had without being there.
        slots.resize(FRAMES, Slot([0xff; 2048]));
        Self { slots, placed: Vec::with_capacity(FRAMES), scratch: Box::new(BLANK) }
    }

    /// Whether frames of these lengths fit.
    pub(super) fn check(sizes: Sizes) -> Result<(), BenchError> {
        let why = "a slot of 2,048 bytes less the kernel's headroom of 256";
        if usize::from(sizes.longest()) > LONGEST {
            return Err(BenchError::TooLong { sizes, limit: LONGEST, why });
        }
        Ok(())
    }

    /// Fills the slots with the next frames of `traffic`, up to `limit` of them, while `more` wants any. Returns how many
    /// there are.
    pub(super) fn fill(
        &mut self,
        traffic: &mut Traffic,
        limit: u64,
        mut more: impl FnMut(&mut Traffic) -> bool,
    ) -> usize {
        self.placed.clear();
        let start_ns = traffic.profile().start_ns;
        for slot in self.slots.iter_mut().take(usize::try_from(limit).unwrap_or(FRAMES)) {
            if !more(traffic) {
                break;
            }
            let meta = traffic.next_into(&mut self.scratch);
            slot.0[HEADROOM..HEADROOM + meta.length].copy_from_slice(&self.scratch[..meta.length]);
            let at = Instant { wall_ns: meta.at_ns as i64, mono_ns: meta.at_ns - start_ns };
            self.placed.push(Placed { length: meta.length as u32, at });
        }
        self.placed.len()
    }

    /// Takes the engine over all frames, in batches as a worker polls them: the frames of one poll have one time. Returns
    /// the CPU time that it took; that clock is read twice.
    pub(super) fn process(&self, engine: &mut Engine, out: &mut impl RecordSink) -> Duration {
        let begun = cpu_time();
        for (slots, placed) in self.slots.chunks(BATCH).zip(self.placed.chunks(BATCH)) {
            let at = placed[placed.len() - 1].at;
            engine.process_scattered(
                arrivals(slots, placed, at).map(|frame| frame.data),
                arrivals(slots, placed, at),
                out,
            );
            engine.advance(at, out);
        }
        cpu_time().saturating_sub(begun)
    }

    /// The same, and the share of it in which connections ended: what is due is done before the batch, by itself, and a
    /// cheaper clock is read twice a batch for that.
    pub(super) fn process_and_part(&self, engine: &mut Engine, out: &mut Count) -> (Duration, f64) {
        let (begun, wall, mut ending) = (cpu_time(), Wall::now(), Duration::ZERO);
        for (slots, placed) in self.slots.chunks(BATCH).zip(self.placed.chunks(BATCH)) {
            let at = placed[placed.len() - 1].at;
            let before = Wall::now();
            end_all(engine, at, out);
            ending += before.elapsed();
            engine.process_scattered(
                arrivals(slots, placed, at).map(|frame| frame.data),
                arrivals(slots, placed, at),
                out,
            );
        }
        let share = ending.as_secs_f64() / wall.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        (cpu_time().saturating_sub(begun), share)
    }

    /// Gives all frames one time.
    pub(super) fn stop_time(&mut self, at: Instant) {
        self.placed.iter_mut().for_each(|placed| placed.at = at);
    }

    /// How many frames there are.
    pub(super) fn len(&self) -> u64 {
        self.placed.len() as u64
    }

    /// The time of the last frame.
    pub(super) fn last(&self) -> Option<Instant> {
        self.placed.last().map(|placed| placed.at)
    }
}

/// Ends what is due. One call looks at so many connections at most, so it is called until it finds none.
fn end_all(engine: &mut Engine, at: Instant, out: &mut Count) {
    loop {
        let before = out.0;
        engine.advance(at, out);
        if out.0 == before {
            return;
        }
    }
}

fn arrivals<'a>(slots: &'a [Slot], placed: &'a [Placed], at: Instant) -> impl Iterator<Item = Arrival<'a>> {
    slots.iter().zip(placed).map(move |(slot, placed)| Arrival {
        link: Some(LinkType::Ethernet),
        data: &slot.0[HEADROOM..HEADROOM + placed.length as usize],
        wire_len: placed.length,
        at,
    })
}

/// Counts records and throws them away.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) u64);

impl RecordSink for Count {
    #[inline]
    fn emit(&mut self, record: FlowRecord) {
        std::hint::black_box(&record);
        self.0 += 1;
    }
}

/// Keeps the calling thread on one CPU: `wanted`, or the last one that it may run on. Returns which.
pub(super) fn pin(wanted: Option<usize>) -> Result<usize, BenchError> {
    let allowed: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let core = wanted.or(allowed.last().copied()).unwrap_or(0);
    if !allowed.contains(&core) || !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        let allowed = allowed.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        return Err(BenchError::Core { core, allowed });
    }
    Ok(core)
}
