//! The table.

use super::StrategiesConfig;
use super::round::ATTEMPTS;
use super::way::Way;
use crate::bench::{Column, Report, Spread};
use crate::sensor::grouped;

/// What one way has come to, round by round.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) way: Way,
    pub(super) lossless: Vec<f64>,
    pub(super) process: Vec<f64>,
    pub(super) soft: Vec<f64>,
    pub(super) memory: Vec<f64>,
    pub(super) p50: Vec<f64>,
    pub(super) p99: Vec<f64>,
    /// Why it does not work here.
    pub(super) why_not: Option<String>,
}

impl Lane {
    pub(super) fn new(way: Way) -> Self {
        let (lossless, process, soft) = (Vec::new(), Vec::new(), Vec::new());
        let (memory, p50, p99) = (Vec::new(), Vec::new(), Vec::new());
        Self { way, lossless, process, soft, memory, p50, p99, why_not: None }
    }
}

pub(super) fn report(config: &StrategiesConfig, lanes: &[Lane], [sensor, sender]: [usize; 2]) -> Report {
    let mut report = Report::new(
        format!(
            "strategies on one wire: {} flows (UDP), frames of {} bytes, one worker",
            grouped(config.flows.into()),
            config.sizes
        ),
        [
            Column::text("strategy"),
            Column::number("without loss", "packets/s", 0),
            Column::number("process", "µs/packet", 2),
            Column::number("soft interrupts", "µs/packet", 2),
            Column::number("memory", "MiB", 0),
            Column::number("p50", "µs", 0),
            Column::number("p99", "µs", 0),
            Column::text("why not"),
        ],
    );
    for Lane { way, lossless, process, soft, memory, p50, p99, why_not } in lanes {
        let whole = why_not.is_none();
        let cells = [lossless, process, soft, memory, p50, p99].map(|values| whole.then(|| Spread::of(values)).into());
        report.row(std::iter::once(way.to_string().into()).chain(cells).chain([why_not.clone().into()]));
    }
    notes(&mut report, config, lanes, [sensor, sender]);
    report
}

fn notes(report: &mut Report, config: &StrategiesConfig, lanes: &[Lane], [sensor, sender]: [usize; 2]) {
    let rate = grouped(config.rate);
    report.note(format!(
        "Median (smallest-largest) of {} interleaved rounds of {} s.",
        config.rounds,
        config.length.as_secs_f64()
    ));
    report.note(format!(
        "without loss: the sender's maximum, or nine tenths of what came, again and again (at most {ATTEMPTS} times) until none \
         was lost; at last {rate} packets/s; 0 where some were lost at each of these rates. All other columns are at {rate} \
         packets/s."
    ));
    report.note(
        "process: CPU of the sensor's process. soft interrupts: their time on all cores (/proc/stat) less that of the sender \
         alone in the same round; the kernel samples it, so a few hundredths are noise, and less than nothing means that this \
         way is cheaper than the kernel's own end of a frame that nobody wants. memory: the most that was resident, the table \
         for 1,000,000 connections among it.",
    );
    report.note(
        "p50, p99: from the time that the sender writes into a frame, before the system call that sends it, to the flow's \
         update; measured with a worker inside of this process.",
    );
    report.note(format!(
        "The sender (AF_XDP) has CPU {sender}, the sensor CPU {sensor}; one veth, one queue, everything else at its default."
    ));
    for Lane { way, .. } in lanes {
        report.note(format!("{way}: netmoth run with {}", way.line()));
    }
}
