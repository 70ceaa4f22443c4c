//! `netmoth bench strategies`: the ways to capture side by side, on the same traffic in turn.
//!
//! A thread moves into a network namespace of its own (`wire`) and lays a veth there for each round. At one end sends
//! [`send`](super::send) on the last core (`sender`), at the other listens `netmoth run` on the first (`sensor`), or for latency
//! a worker of this process ([`latency`](super::latency)). `round` says what is measured, `report` how it is shown. The
//! namespace goes with the thread, a sensor with whoever started it.

mod folder;
mod patience;
mod report;
mod round;
mod sender;
mod sensor;
mod way;
mod wire;

use std::thread;
use std::time::Duration;

use netmoth_traffic::{Mix, Profile, Sizes};

use super::{BenchError, Report};
use crate::progress::Progress;
use patience::Patience;
use report::{Lane, report};
use round::Ground;
pub use way::Way;

/// What is measured.
#[derive(Clone, Debug)]
pub struct StrategiesConfig {
    /// The ways, in the order of the rows.
    pub ways: Vec<Way>,
    /// Connections.
    pub flows: u32,
    /// Lengths of frames.
    pub sizes: Sizes,
    /// Frames per second at which costs are compared.
    pub rate: u64,
    /// How long is sent for each figure.
    pub length: Duration,
    /// Rounds of each, all of them interleaved.
    pub rounds: usize,
    /// Seed of the traffic.
    pub seed: u64,
}

impl StrategiesConfig {
    fn check(&self) -> Result<(), BenchError> {
        for (what, given) in [("--rounds", self.rounds as u64), ("--rate", self.rate)] {
            if given == 0 {
                return Err(BenchError::TooFew { what, least: 1, given });
            }
        }
        if self.sizes.longest() > wire::LONGEST {
            let limit = wire::LONGEST.into();
            return Err(BenchError::TooLong {
                sizes: self.sizes,
                limit,
                why: "the MTU of the wire and its link header",
            });
        }
        Ok(self.profile().check()?)
    }

    /// UDP over IPv4, so that each frame has room for a time, always at the same place.
    fn profile(&self) -> Profile {
        Profile {
            seed: self.seed,
            connections: self.flows,
            sizes: self.sizes,
            mix: Mix { tcp: 0, udp: 1, icmp: 0 },
            ..Profile::default()
        }
    }
}

/// Measures. A way that does not work here has a row that says why.
///
/// # Errors
/// Numbers out of range, one core alone, no right to make a network, a signal to stop.
pub fn run(config: &StrategiesConfig) -> Result<Report, BenchError> {
    config.check()?;
    let cpus = two_cpus()?;
    let patience = Patience::until_signal()?;
    // A thread of its own: what it does to its network is not undone.
    let measured = thread::scope(|scope| scope.spawn(|| measure(config, cpus, &patience)).join());
    let lanes = measured.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(report(config, &lanes, cpus))
}

/// The first and the last CPU that this process may run on.
fn two_cpus() -> Result<[usize; 2], BenchError> {
    let allowed: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    match allowed.as_slice() {
        [first, .., last] => Ok([*first, *last]),
        few => Err(BenchError::OneCore { allowed: few.first().map_or("no CPU".into(), |cpu| format!("CPU {cpu}")) }),
    }
}

fn measure(
    config: &StrategiesConfig,
    [sensor, sender]: [usize; 2],
    patience: &Patience,
) -> Result<Vec<Lane>, BenchError> {
    wire::leave_the_host()?;
    let ground =
        Ground { profile: config.profile(), length: config.length, rate: config.rate, sensor, sender, patience };
    let mut lanes: Vec<Lane> = config.ways.iter().copied().map(Lane::new).collect();
    let mut progress = Progress::of("");
    for number in 1..=config.rounds {
        let at = format!("round {number} of {}", config.rounds);
        progress.step(&format!("{at}: the sender alone"));
        let alone = ground.round(None, Some(config.rate))?.soft_cost();
        for lane in lanes.iter_mut().filter(|lane| lane.why_not.is_none()) {
            let mut tell = |what: &str| progress.step(&format!("{at}: {}, {what}", lane.way));
            match figures(&ground, lane.way, &mut tell) {
                Ok(figures) => lane.add(figures, alone),
                Err(BenchError::Stopped) => return Err(BenchError::Stopped),
                // Where somebody asked to stop, the sensor has heard it, too, and ended.
                Err(error) => {
                    patience.check()?;
                    lane.why_not = Some(error.to_string());
                }
            }
        }
    }
    Ok(lanes)
}

/// What one round gives of one way.
struct Figures {
    lossless: f64,
    process: f64,
    soft: f64,
    memory: f64,
    delays: [f64; 2],
}

fn figures(ground: &Ground<'_>, way: Way, tell: &mut dyn FnMut(&str)) -> Result<Figures, BenchError> {
    // First, as it says best why a way does not work.
    tell("latency");
    let delays = ground.latency(way)?;
    tell("what it costs");
    let round = ground.round(Some(way), Some(ground.rate))?;
    tell("the rate without loss");
    let lossless = ground.lossless(way)?.or(round.without_loss()).unwrap_or(0.0);
    Ok(Figures { lossless, process: round.process_cost(), soft: round.soft_cost(), memory: round.memory(), delays })
}

impl Lane {
    fn add(&mut self, figures: Figures, alone: f64) {
        let Figures { lossless, process, soft, memory, delays: [p50, p99] } = figures;
        self.lossless.push(lossless);
        self.process.push(process);
        self.soft.push(soft - alone);
        self.memory.push(memory);
        self.p50.push(p50);
        self.p99.push(p99);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        let right = StrategiesConfig {
            ways: Way::ALL.to_vec(),
            flows: 1_000,
            sizes: Sizes::Fixed(60),
            rate: 1_000,
            length: Duration::from_millis(1),
            rounds: 1,
            seed: 1,
        };
        assert!(right.check().is_ok());
        let wrong = [
            StrategiesConfig { rounds: 0, ..right.clone() },
            StrategiesConfig { rate: 0, ..right.clone() },
            StrategiesConfig { flows: 0, ..right.clone() },
            StrategiesConfig { sizes: Sizes::Fixed(2_000), ..right.clone() },
        ];
        for config in wrong {
            assert!(config.check().unwrap_err().is_about_the_question(), "{config:?}");
        }
    }
}
