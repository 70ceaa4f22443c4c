//! `netmoth bench connections`: what a connection costs from its first packet to its record, on one core.
//!
//! Each has three packets (or more, if asked for), and as many end as begin: the table holds the same number all the time. Two ways to end are
//! measured: by time (the connection is silent for as long as it may be), and by room (time stands still, the table is
//! full, and each new connection takes the place of an old one).

use std::sync::Arc;
use std::time::Duration;

use netmoth_traffic::{Lifetime, Mix, Profile, Traffic};

use super::chunk::{Chunk, Count, FRAMES, SECRET, pin};
use super::{BenchError, Cell, Column, Report, Spread};
use crate::flow::{FlowConfig, MAX_TIMEOUT};
use crate::metrics::WorkerCounters;
use crate::progress::Progress;
use crate::sensor::grouped;
use crate::time::Instant;
use crate::worker::Engine;

/// A published figure of another probe.
const BESIDE: &str = "Cento loses 40 % at 62,000/s";

/// Fewest packets of a connection: SYN, SYN-ACK, ACK; or question, answer, question.
const SHORTEST: u32 = 3;

/// Time on the stamps' clock after which a silent connection ends: so long that the table's timers, which look every 128
/// ms, keep close to it. As many connections begin in it as are open.
const SILENCE: u64 = 5;

/// Connections that are in the middle of their three packets. Longer ones are half of those that are open.
const UNDER_WAY: u32 = 500;

/// Fewest open connections: below, those under way are too many of them.
const FEWEST: u32 = 20_000;

/// What is measured.
#[derive(Clone, Debug)]
pub struct ConnectionsConfig {
    /// Numbers of open connections.
    pub flows: Vec<u32>,
    /// Rounds of each, all of them interleaved.
    pub rounds: usize,
    /// New connections of one round.
    pub connections: u64,
    /// Packets of a connection.
    pub life: u32,
    /// Seed of the traffic.
    pub seed: u64,
    /// The CPU to stay on; the last one where none is named.
    pub core: Option<usize>,
}

impl ConnectionsConfig {
    fn check(&self) -> Result<(), BenchError> {
        let least = |what, least: u64, given| {
            if given < least { Err(BenchError::TooFew { what, least, given }) } else { Ok(()) }
        };
        least("--rounds", 1, self.rounds as u64)?;
        least("--connections", FRAMES as u64, self.connections)?;
        least("--life", SHORTEST.into(), self.life.into())?;
        self.flows.iter().try_for_each(|&flows| least("the number of open connections", FEWEST.into(), flows.into()))
    }
}

/// Why connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    ByTime,
    ByRoom,
}

/// Measures.
///
/// # Errors
/// Numbers out of range, memory that is not there, a CPU that this process may not use.
pub fn run(config: &ConnectionsConfig) -> Result<Report, BenchError> {
    config.check()?;
    let core = pin(config.core)?;
    let mut chunk = Chunk::new();
    let mut progress = Progress::of("packets processed");
    let mut lanes = Vec::new();
    for &flows in &config.flows {
        for transport in ["TCP", "UDP"] {
            for ends in [Ends::ByTime, Ends::ByRoom] {
                lanes.push(Lane::open(flows, transport, ends, config, &mut chunk, &mut progress)?);
            }
        }
    }
    for _ in 0..config.rounds {
        for lane in &mut lanes {
            let round = lane.round(config.connections, &mut chunk, &mut progress);
            lane.rounds.push(round);
        }
    }
    lanes.iter().try_for_each(Lane::check)?;
    Ok(report(config, core, &lanes))
}

fn report(config: &ConnectionsConfig, core: usize, lanes: &[Lane]) -> Report {
    let columns = [
        Column::text("packets"),
        Column::number("open", "", 0),
        Column::text("end"),
        Column::number("cost", "ns/connection", 0),
        Column::number("rate", "connections/s", 0),
        Column::number("ending", "% of the time", 1),
        Column::number("records", "per connection", 2),
        Column::text("beside"),
    ];
    let mut report = Report::new("New connections, each with its end and its record, user space, one core", columns);
    for pair in lanes.chunks(2) {
        let by_time = pair[0].spread(|round| round.cost);
        let share = pair[0].spread(|round| round.share);
        // What is left when nothing ends: beginning and packets.
        let living = by_time.median * (1.0 - share.median / 100.0);
        for lane in pair {
            let cost = lane.spread(|round| round.cost);
            let (end, ending): (_, Cell) = match lane.ends {
                Ends::ByTime => ("by time", share.into()),
                Ends::ByRoom => ("by room", (100.0 * (1.0 - living / cost.median).max(0.0)).into()),
            };
            let words = match (lane.transport, config.life) {
                ("TCP", SHORTEST) => "SYN, SYN-ACK, ACK".to_owned(),
                (transport, life) => format!("{life} of {transport}"),
            };
            report.row([
                words.into(),
                u64::from(lane.flows).into(),
                end.into(),
                cost.into(),
                cost.map(|ns| 1e9 / ns).into(),
                ending,
                lane.spread(|round| round.records).median.into(),
                BESIDE.into(),
            ]);
        }
    }
    report.note(format!(
        "Median (smallest-largest) of {} interleaved rounds of {} connections on CPU {core}, CPU time of the thread; records \
         are counted, not stored.",
        config.rounds,
        grouped(config.connections)
    ));
    report
        .note("By time: what is due ends before each batch; that is timed by itself (two looks at the clock a batch).");
    report.note(
        "By room: time stands still, so nothing is due, and the table is full of established connections. Attempts make room \
         first, so those that begin push one another out; what that costs more than by time without the ends is its share.",
    );
    report
}

/// One number of open connections.
struct Lane {
    flows: u32,
    transport: &'static str,
    ends: Ends,
    traffic: Traffic,
    engine: Engine,
    counters: Arc<WorkerCounters>,
    records: Count,
    fed: u64,
    /// Where time stands still: at what.
    stopped: Option<Instant>,
    rounds: Vec<Round>,
}

/// What one round gave.
struct Round {
    /// ns per connection.
    cost: f64,
    /// Percent of the time in which connections ended; 0 where that was not timed.
    share: f64,
    /// Records per connection.
    records: f64,
}

impl Lane {
    /// Makes the table and fills it.
    fn open(
        flows: u32,
        transport: &'static str,
        ends: Ends,
        config: &ConnectionsConfig,
        chunk: &mut Chunk,
        progress: &mut Progress,
    ) -> Result<Self, BenchError> {
        let (tcp, udp) = if transport == "TCP" { (1, 0) } else { (0, 1) };
        // As many as begin during the silence of one are silent: all that are open, but for those under way.
        let (under_way, silent) = if config.life == SHORTEST { (UNDER_WAY, flows) } else { (flows / 2, flows / 2) };
        let profile = Profile {
            seed: config.seed,
            connections: under_way,
            lifetime: Lifetime::Packets(config.life),
            mix: Mix { tcp, udp, icmp: 0 },
            // The third packet of UDP is the originator's.
            responder_percent: if config.life == SHORTEST { 0 } else { 50 },
            packets_per_second: u64::from(silent) * u64::from(config.life) / SILENCE,
            ..Profile::default()
        };
        let counters = Arc::new(WorkerCounters::default());
        let engine = Engine::new(&table(flows, ends), Arc::clone(&counters))?;
        let (traffic, records) = (Traffic::new(&profile)?, Count::default());
        let mut lane = Self {
            flows,
            transport,
            ends,
            traffic,
            engine,
            counters,
            records,
            fed: 0,
            stopped: None,
            rounds: Vec::new(),
        };
        // Until as many have begun as will be open, and half as many again: then they also end.
        lane.round(u64::from(flows) * 3 / 2, chunk, progress);
        lane.round(config.connections.div_ceil(4), chunk, progress);
        Ok(lane)
    }

    fn spread(&self, what: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(&self.rounds.iter().map(what).collect::<Vec<_>>())
    }

    /// Opens about `connections` connections, whole chunks.
    fn round(&mut self, connections: u64, chunk: &mut Chunk, progress: &mut Progress) -> Round {
        let (mut spent, mut ending) = (Duration::ZERO, Duration::ZERO);
        let (begun, records) = (self.traffic.connections(), self.records.0);
        while self.traffic.connections() - begun < connections {
            chunk.fill(&mut self.traffic, FRAMES as u64, |_| true);
            self.fed += chunk.len();
            progress.batch(self.fed);
            if self.ends == Ends::ByRoom {
                let at = *self.stopped.get_or_insert(chunk.last().unwrap_or_default());
                chunk.stop_time(at);
                spent += chunk.process(&mut self.engine, &mut self.records);
            } else {
                let (took, share) = chunk.process_and_part(&mut self.engine, &mut self.records);
                (spent, ending) = (spent + took, ending + took.mul_f64(share));
            }
        }
        let opened = (self.traffic.connections() - begun) as f64;
        Round {
            cost: spent.as_nanos() as f64 / opened,
            share: 100.0 * ending.as_secs_f64() / spent.as_secs_f64(),
            records: (self.records.0 - records) as f64 / opened,
        }
    }

    /// Every packet was booked, and the table is about as full as it was to be.
    fn check(&self) -> Result<(), BenchError> {
        let (tracked, open) = (self.counters.tracked.get(), self.engine.table().len() as f64);
        let near = (open / f64::from(self.flows) - 1.0).abs() < 0.15;
        if tracked == self.fed && near && self.records.0 > 0 {
            return Ok(());
        }
        Err(BenchError::Worthless(format!(
            "{tracked} of {} packets were tracked, {open} connections are open where {} were to be, {} records were made ({} {:?})",
            self.fed, self.flows, self.records.0, self.transport, self.ends
        )))
    }
}

/// A table in which `flows` connections are open: by time, there is room for more and each is silent until as many have
/// begun after it; by room, there is not.
fn table(flows: u32, ends: Ends) -> FlowConfig {
    let silence = match ends {
        Ends::ByTime => Duration::from_secs(SILENCE),
        Ends::ByRoom => MAX_TIMEOUT,
    };
    let room = if ends == Ends::ByTime { flows + flows / 2 } else { flows };
    let mut config = FlowConfig::new(room, SECRET);
    config.active_timeout = MAX_TIMEOUT;
    config.timeouts.tcp_established = silence;
    config.timeouts.tcp_attempt = silence;
    config.timeouts.tcp_closed = silence;
    config.timeouts.udp = silence;
    config
}
