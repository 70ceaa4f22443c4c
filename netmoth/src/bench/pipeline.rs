//! `netmoth bench pipeline`: what a packet costs from the ring to the table, on one core.
//!
//! Frames stand in memory as in a UMEM. They are made in chunks outside the measured time; measured is the engine alone:
//! parse, hash, prefetch, update, in batches of [`BATCH`](crate::capture::BATCH).

use std::sync::Arc;
use std::time::Duration;

use netmoth_traffic::{Profile, Sizes, Traffic};

use super::chunk::{Chunk, Count, FRAMES, SECRET, pin};
use super::resident::resident;
use super::{BenchError, Column, Report, Spread};
use crate::flow::{FlowConfig, MAX_TIMEOUT};
use crate::metrics::WorkerCounters;
use crate::progress::Progress;
use crate::sensor::grouped;
use crate::worker::Engine;

/// Published figures of others, in ns per packet and core.
const BESIDE: &str = "213 a Rust peer (64 flows), 227 Retina, 156-300 Cento";

/// What is measured.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Numbers of open connections.
    pub flows: Vec<u32>,
    /// Lengths of frames; each is measured with each number of connections.
    pub sizes: Vec<Sizes>,
    /// Rounds of each, all of them interleaved.
    pub rounds: usize,
    /// Packets of one round.
    pub packets: u64,
    /// Seed of the traffic.
    pub seed: u64,
    /// The CPU to stay on; the last one where none is named.
    pub core: Option<usize>,
}

impl PipelineConfig {
    fn check(&self) -> Result<(), BenchError> {
        if self.rounds == 0 {
            return Err(BenchError::TooFew { what: "--rounds", least: 1, given: 0 });
        }
        if self.packets < FRAMES as u64 {
            return Err(BenchError::TooFew { what: "--packets", least: FRAMES as u64, given: self.packets });
        }
        self.sizes.iter().try_for_each(|&sizes| Chunk::check(sizes))
    }
}

/// Measures.
///
/// # Errors
/// Numbers out of range, memory that is not there, a CPU that this process may not use.
pub fn run(config: &PipelineConfig) -> Result<Report, BenchError> {
    config.check()?;
    let core = pin(config.core)?;
    let mut chunk = Chunk::new();
    let mut progress = Work { progress: Progress::of("packets processed"), packets: 0 };
    let mut lanes = Vec::new();
    for &sizes in &config.sizes {
        for &flows in &config.flows {
            let mut lane = Lane::open(flows, sizes, config.seed, &mut chunk, &mut progress)?;
            // Once round without a look at the clock: pages, caches and the frequency of the CPU.
            lane.round(config.packets.div_ceil(4), &mut chunk, &mut progress);
            lanes.push(lane);
        }
    }
    for _ in 0..config.rounds {
        for lane in &mut lanes {
            let cost = lane.round(config.packets, &mut chunk, &mut progress);
            lane.costs.push(cost);
        }
    }
    lanes.iter().try_for_each(Lane::check)?;
    Ok(report(config, core, &lanes))
}

fn report(config: &PipelineConfig, core: usize, lanes: &[Lane]) -> Report {
    let columns = [
        Column::number("flows", "", 0),
        Column::text("frames"),
        Column::number("cost", "ns/packet", 1),
        Column::number("rate", "packets/s", 0),
        Column::number("memory", "bytes/connection", 0),
        Column::text("beside"),
    ];
    let mut report = Report::new("From the ring to the table, user space, one core", columns);
    for lane in lanes {
        let cost = Spread::of(&lane.costs);
        let memory = lane.memory.map(|bytes| bytes as f64 / f64::from(lane.flows));
        report.row([
            u64::from(lane.flows).into(),
            lane.sizes.to_string().into(),
            cost.into(),
            cost.map(|ns| 1e9 / ns).into(),
            memory.into(),
            BESIDE.into(),
        ]);
    }
    report.note(format!(
        "Median (smallest-largest) of {} interleaved rounds of {} packets on CPU {core}, CPU time of the thread; established \
         TCP, connections at random.",
        config.rounds,
        grouped(config.packets)
    ));
    report.note("Memory: what became resident from before the table was made until all connections were in it.");
    report.note("Beside: ns/packet as others have published them, on machines of theirs and with traffic of theirs.");
    report
}

/// Packets so far, for whoever waits.
struct Work {
    progress: Progress,
    packets: u64,
}

impl Work {
    fn add(&mut self, packets: u64) {
        self.packets += packets;
        self.progress.batch(self.packets);
    }
}

/// One number of connections with one length of frames.
struct Lane {
    flows: u32,
    sizes: Sizes,
    traffic: Traffic,
    engine: Engine,
    counters: Arc<WorkerCounters>,
    records: Count,
    fed: u64,
    /// Resident bytes that came with the table.
    memory: Option<u64>,
    /// ns per packet of each round.
    costs: Vec<f64>,
}

impl Lane {
    /// Makes the table and opens all connections.
    fn open(flows: u32, sizes: Sizes, seed: u64, chunk: &mut Chunk, work: &mut Work) -> Result<Self, BenchError> {
        let profile = Profile { seed, connections: flows, sizes, opened_first: true, ..Profile::default() };
        let traffic = Traffic::new(&profile)?;
        let before = resident();
        let mut config = FlowConfig::new(flows, SECRET);
        // Nothing ends and nothing is reported in parts while it is measured.
        (config.active_timeout, config.timeouts.tcp_established) = (MAX_TIMEOUT, MAX_TIMEOUT);
        let counters = Arc::new(WorkerCounters::default());
        let engine = Engine::new(&config, Arc::clone(&counters))?;
        let records = Count::default();
        let mut lane =
            Self { flows, sizes, traffic, engine, counters, records, fed: 0, memory: None, costs: Vec::new() };
        while chunk.fill(&mut lane.traffic, FRAMES as u64, Traffic::is_opening) > 0 {
            lane.process(chunk, work);
        }
        lane.memory = resident().zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(lane)
    }

    /// ns per packet over about `packets` packets, whole chunks.
    fn round(&mut self, packets: u64, chunk: &mut Chunk, work: &mut Work) -> f64 {
        let (mut spent, before) = (Duration::ZERO, self.fed);
        while self.fed - before < packets {
            chunk.fill(&mut self.traffic, FRAMES as u64, |_| true);
            spent += self.process(chunk, work);
        }
        spent.as_nanos() as f64 / (self.fed - before) as f64
    }

    fn process(&mut self, chunk: &Chunk, work: &mut Work) -> Duration {
        let spent = chunk.process(&mut self.engine, &mut self.records);
        self.fed += chunk.len();
        work.add(chunk.len());
        spent
    }

    /// Every packet was booked, on a connection that was there before.
    fn check(&self) -> Result<(), BenchError> {
        let (tracked, open, records) = (self.counters.tracked.get(), self.engine.table().len(), self.records.0);
        if (tracked, open, records) == (self.fed, self.flows as usize, 0) {
            return Ok(());
        }
        Err(BenchError::Worthless(format!(
            "{tracked} of {} packets were tracked, {open} of {} connections are open, {records} records were made",
            self.fed, self.flows
        )))
    }
}
