//! One round: one sensor, one rate.

use std::time::Duration;

use netmoth::bench::{cpu, resident};

use crate::common::settings::sending_cpu;
use crate::support::lab::Wire;
use crate::support::sender::{Job, Sender};
use crate::tool::{Said, Tool};

/// What a sensor may need to come to the end of what it was sent.
const SETTLE: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Frames that the sender sent, and how many of them in a second.
    pub(crate) sent: u64,
    pub(crate) per_second: f64,
    /// CPU time of the sensor's process while they were sent and worked on.
    pub(crate) process: Duration,
    /// Time of soft interrupts on all cores meanwhile.
    pub(crate) soft_interrupts: Duration,
    /// The most memory that the sensor's process had resident, in bytes.
    pub(crate) resident: u64,
    /// What the sensor says of itself.
    pub(crate) said: Said,
}

impl Round {
    /// Runs it.
    pub(crate) fn measure(tool: &Tool, frames: &[Vec<u8>], rate: Option<u64>, length: Duration) -> Self {
        let (wire, folder) = (Wire::new(1, 1500), tempfile::tempdir().unwrap());
        let watching = tool.start(&wire, folder.path());
        let clocks =
            || (watching.id().map_or(Duration::ZERO, cpu::of_tree), cpu::soft_interrupts().expect("/proc/stat"));
        let job = Job {
            namespace: wire.file("out"),
            interface: "out0".into(),
            queues: vec![(0, frames.to_vec())],
            rounds: None,
            cpu: Some(sending_cpu()),
            rate,
        };
        let before = clocks();
        let sender = Sender::start(job);
        std::thread::sleep(length);
        let sent = sender.stop();
        std::thread::sleep(SETTLE);
        let after = clocks();
        let resident = watching.id().and_then(resident::most).unwrap_or(0);
        Self {
            resident,
            sent: sent.frames,
            per_second: sent.frames as f64 / sent.took.as_secs_f64(),
            process: after.0.saturating_sub(before.0),
            soft_interrupts: after.1.saturating_sub(before.1),
            said: watching.stop(folder.path()),
        }
    }

    /// CPU time of the process, in µs per packet sent: the same number as seconds per million.
    pub(crate) fn process_cost(&self) -> f64 {
        self.process.as_secs_f64() * 1e6 / self.sent as f64
    }

    /// The same of soft interrupts, with what the sender causes.
    pub(crate) fn soft_cost(&self) -> f64 {
        self.soft_interrupts.as_secs_f64() * 1e6 / self.sent as f64
    }

    /// Time in which it had packets in hand, in the same unit.
    pub(crate) fn busy_cost(&self) -> Option<f64> {
        self.said.busy.map(|busy| busy.as_secs_f64() * 1e6 / self.sent as f64)
    }

    /// Packets sent that the sensor did not see, in percent.
    pub(crate) fn lost_percent(&self) -> Option<f64> {
        self.said.seen.map(|seen| self.sent.saturating_sub(seen) as f64 * 100.0 / self.sent as f64)
    }
}
