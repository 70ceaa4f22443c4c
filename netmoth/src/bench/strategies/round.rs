//! What is measured of one way in one round.

use std::time::Duration;

use netmoth_traffic::Profile;

use super::patience::Patience;
use super::sender::Sender;
use super::sensor::Sensor;
use super::way::Way;
use super::wire::{TAP, Wire};
use crate::bench::histogram::Histogram;
use crate::bench::latency::Worker;
use crate::bench::{BenchError, cpu, resident};

/// What a sensor may need to come to the end of what it was sent.
const SETTLE: Duration = Duration::from_millis(500);
/// What is not measured at the beginning of a round of latency: connections begin, caches fill.
const WARM_UP: Duration = Duration::from_millis(500);
/// Attempts to find a rate without loss, each at nine tenths of what came the last time.
pub(super) const ATTEMPTS: usize = 12;

/// Rounds of latency in which no frame came before it is said.
const TRIES: usize = 5;

/// The ground on which all rounds are measured.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) profile: Profile,
    /// How long is sent.
    pub(super) length: Duration,
    /// Frames a second at which costs are compared.
    pub(super) rate: u64,
    /// The CPU of the sensor and that of the sender.
    pub(super) sensor: usize,
    pub(super) sender: usize,
    pub(super) patience: &'a Patience,
}

/// What was sent, what came, and what it cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    sent: u64,
    per_second: f64,
    /// Frames that the sensor received.
    seen: u64,
    process: Duration,
    soft: Option<Duration>,
    resident: Option<u64>,
}

impl Ground<'_> {
    /// Sends for one round while a sensor runs, or nobody.
    pub(super) fn round(&self, way: Option<Way>, rate: Option<u64>) -> Result<Round, BenchError> {
        let _wire = Wire::lay()?;
        let sensor = way.map(|way| Sensor::start(way, self.sensor, self.patience)).transpose()?;
        let clocks =
            || (sensor.as_ref().map_or(Duration::ZERO, |sensor| cpu::of_process(sensor.id())), cpu::soft_interrupts());
        let before = clocks();
        let sender = Sender::start(self.profile, rate, self.sender, false)?;
        self.patience.sleep(self.length)?;
        let sent = sender.stop()?;
        self.patience.sleep(SETTLE)?;
        let after = clocks();
        let resident = sensor.as_ref().and_then(|sensor| resident::most(sensor.id()));
        let seen = sensor.map_or(Ok(0), |sensor| sensor.stop(self.patience))?;
        Ok(Round {
            sent: sent.frames,
            per_second: sent.frames as f64 / sent.took.as_secs_f64(),
            seen,
            process: after.0.saturating_sub(before.0),
            soft: after.1.zip(before.1).map(|(after, before)| after.saturating_sub(before)),
            resident,
        })
    }

    /// The highest rate that was tried at which every frame was received, in packets per second. Rates below the common one
    /// are not tried; `None` where some frames were missing at each.
    pub(super) fn lossless(&self, way: Way) -> Result<Option<f64>, BenchError> {
        let mut rate = None;
        for _ in 0..ATTEMPTS {
            let round = self.round(Some(way), rate)?;
            if let Some(reached) = round.without_loss() {
                return Ok(Some(reached));
            }
            let next = round.next_rate();
            if next <= self.rate {
                break;
            }
            rate = Some(next);
        }
        Ok(None)
    }

    /// The median and the 99th percentile of the time from the sender's system call to the flow's update, in µs.
    pub(super) fn latency(&self, way: Way) -> Result<[f64; 2], BenchError> {
        // A machine that stood still all the while has shown nothing.
        for _ in 0..TRIES {
            let delays = self.delays(way)?;
            if delays.total() > 0 {
                return Ok([0.5, 0.99].map(|part| delays.percentile(part) as f64 / 1e3));
            }
        }
        Err(BenchError::Sensor("no frame arrived".into()))
    }

    fn delays(&self, way: Way) -> Result<Histogram, BenchError> {
        let _wire = Wire::lay()?;
        let worker = Worker::start(way.config(TAP), Duration::ZERO, self.sensor)?;
        let sender = Sender::start(self.profile, Some(self.rate), self.sender, true)?;
        self.patience.sleep(WARM_UP)?;
        worker.record();
        self.patience.sleep(self.length)?;
        sender.stop()?;
        Ok(worker.stop()?.delays)
    }
}

impl Round {
    /// Frames a second, where every one was received.
    pub(super) fn without_loss(&self) -> Option<f64> {
        (self.sent > 0 && self.seen >= self.sent).then_some(self.per_second)
    }

    /// Nine tenths of what came.
    fn next_rate(&self) -> u64 {
        (self.per_second * (self.seen as f64 / self.sent.max(1) as f64).min(1.0) * 0.9) as u64
    }

    /// CPU time of the process, in µs per packet sent: the same number as seconds per million.
    pub(super) fn process_cost(&self) -> f64 {
        self.per_packet(self.process)
    }

    /// The same of soft interrupts, with what the sender causes. Not a number where the kernel does not tell.
    pub(super) fn soft_cost(&self) -> f64 {
        self.soft.map_or(f64::NAN, |soft| self.per_packet(soft))
    }

    /// The most memory that was resident, in MiB.
    pub(super) fn memory(&self) -> f64 {
        self.resident.map_or(f64::NAN, |bytes| bytes as f64 / f64::from(1 << 20))
    }

    fn per_packet(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.sent.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(sent: u64, seen: u64) -> Round {
        let process = Duration::from_millis(200);
        Round { sent, per_second: 100_000.0, seen, process, soft: None, resident: Some(3 << 20) }
    }

    #[test]
    fn one_frame_that_is_missing_is_a_loss() {
        assert_eq!(round(1_000, 1_000).without_loss(), Some(100_000.0));
        assert_eq!(round(1_000, 999).without_loss(), None);
        assert_eq!(round(0, 0).without_loss(), None, "where nothing was sent, nothing was shown");
    }

    #[test]
    fn the_next_rate_is_nine_tenths_of_what_came() {
        assert_eq!(round(1_000, 500).next_rate(), 45_000);
        assert_eq!(round(1_000, 0).next_rate(), 0);
    }

    #[test]
    fn costs_are_per_packet_sent() {
        let round = round(100_000, 50_000);
        assert_eq!((round.process_cost(), round.memory()), (2.0, 3.0));
        assert!(round.soft_cost().is_nan());
    }
}
