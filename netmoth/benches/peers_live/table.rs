//! The rounds as a table.

use std::time::Duration;

use netmoth::bench::{Cell, Column, Report, Spread};

use crate::RATES;
use crate::round::Round;
use crate::support::frames;
use crate::tool::Tool;

/// A report of all rounds: `measured[rate][tool]`.
pub(crate) fn report(flows: u32, length: Duration, tools: &[Tool], measured: &[Vec<Vec<Round>>]) -> Report {
    let mut report = Report::new(
        format!(
            "sensors on one wire: {flows} flows, {}-byte frames, rounds of {} s",
            frames::SMALLEST,
            length.as_secs()
        ),
        [
            Column::text("rate"),
            Column::text("sensor"),
            Column::number("sent", "packets/s", 0),
            Column::number("process", "µs/packet", 3),
            Column::number("soft interrupts", "µs/packet", 3),
            Column::number("sum", "µs/packet", 3),
            Column::number("of softflowd", "%", 0),
            Column::number("own busy time", "µs/packet", 3),
            Column::number("lost", "%", 3),
            Column::number("own drop counter", "packets, all rounds", 0),
            Column::number("memory", "MiB", 0),
        ],
    );
    for (rate, by_tool) in RATES.iter().zip(measured) {
        let rate = rate.map_or("maximum".into(), |rate| format!("{:.1} M/s", rate as f64 / 1e6));
        let alone = Spread::of(&by_tool[0].iter().map(Round::soft_cost).collect::<Vec<_>>()).median;
        let costs = |tool: Tool| {
            let rounds = tools.iter().position(|other| *other == tool).map_or(&[][..], |at| &by_tool[at]);
            Spread::of(&rounds.iter().map(|round| cost(round, alone)).collect::<Vec<_>>())
        };
        let yardstick = costs(Tool::Softflowd).median;
        for (tool, rounds) in tools.iter().zip(by_tool) {
            report.row(row(&rate, *tool, rounds, alone, yardstick));
        }
    }
    notes(&mut report, tools);
    report
}

/// Process and soft interrupts beyond the sender's own.
fn cost(round: &Round, alone: f64) -> f64 {
    round.process_cost() + round.soft_cost() - alone
}

fn row(rate: &str, tool: Tool, rounds: &[Round], alone: f64, yardstick: f64) -> Vec<Cell> {
    if rounds.is_empty() {
        return vec![rate.into(), format!("{}: not installed", tool.name()).into()];
    }
    let spread = |of: &dyn Fn(&Round) -> f64| Spread::of(&rounds.iter().map(of).collect::<Vec<_>>());
    let some = |of: &dyn Fn(&Round) -> Option<f64>| {
        let values: Vec<f64> = rounds.iter().filter_map(of).collect();
        (values.len() == rounds.len()).then(|| Spread::of(&values))
    };
    let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
    let mut cells = vec![rate.into(), tool.name().into(), spread(&|round| round.per_second).median.into()];
    if tool == Tool::Nobody {
        cells.extend([Cell::Missing, spread(&Round::soft_cost).into()]);
        return cells;
    }
    let sum = spread(&|round| cost(round, alone));
    let dropped: Option<u64> = rounds.iter().map(|round| round.said.dropped).sum();
    cells.extend([
        spread(&Round::process_cost).median.into(),
        spread(&|round| round.soft_cost() - alone).median.into(),
        sum.into(),
        (sum.median * 100.0 / yardstick).into(),
        median(some(&Round::busy_cost)).into(),
        some(&Round::lost_percent).into(),
        dropped.into(),
        spread(&|round| round.resident as f64 / f64::from(1 << 20)).median.into(),
    ]);
    cells
}

fn notes(report: &mut Report, tools: &[Tool]) {
    report.note(
        "µs/packet is CPU seconds per million packets sent. process: CPU time of the sensor's process, whatever it did \
         with it. soft interrupts: their time on all cores (/proc/stat), per packet, less that of the sender alone at the \
         same rate in the same rounds; the kernel samples it, so a few hundredths are noise, and less than nothing means \
         that the sensor's way is cheaper than the kernel's own end of a frame that nobody wants.",
    );
    report.note(
        "own busy time: the polls of netmoth's worker that had frames, with what they did with them. lost: sent, but not \
         counted by the sensor; with softflowd, a thousand or so are in a block of libpcap that is not handed over yet.",
    );
    report.note("The sender (AF_XDP) has the last core to itself, the sensor is pinned to CPU 0; one veth, one queue.");
    for tool in tools.iter().filter(|tool| **tool != Tool::Nobody) {
        report.note(format!("{}: {}", tool.name(), tool.command_line()));
    }
}
