//! The line at intervals that says how it goes, and the one that says why nothing comes.

use std::time::Duration;

use super::summary::grouped;
use crate::metrics::WorkerTotals;

/// What a status line compares: the totals at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// The workers, summed.
    pub(super) workers: WorkerTotals,
    /// Frames dropped by the kernel before user space.
    pub(super) kernel_drops: u64,
    /// Records committed by the store.
    pub(super) committed: u64,
    /// Records that wait to be stored.
    pub(super) waiting: u64,
    /// Records in the spool.
    pub(super) spooled: u64,
    /// Records lost in the writer.
    pub(super) writer_lost: u64,
}

/// Packets a second, connections, drops and records between two moments.
pub(super) fn line(before: &Moment, after: &Moment, elapsed: Duration) -> String {
    let frames = after.workers.frames - before.workers.frames;
    let bytes = after.workers.bytes - before.workers.bytes;
    let seconds = elapsed.as_secs_f64().max(1e-9);
    let drops = after.kernel_drops.saturating_sub(before.kernel_drops);
    let spooled = if after.spooled > 0 { format!("{} in the spool, ", grouped(after.spooled)) } else { String::new() };
    format!(
        "{} packets/s, {}bit/s, {} flows open, {} frames dropped, {} records committed, {} waiting, {spooled}{} lost",
        grouped((frames as f64 / seconds).round() as u64),
        scaled(bytes as f64 * 8.0 / seconds),
        grouped(after.workers.flows_open),
        grouped(drops),
        grouped(after.committed - before.committed),
        grouped(after.waiting),
        grouped(after.writer_lost - before.writer_lost),
    )
}

/// A number with a decimal prefix: `1.25 G`.
fn scaled(value: f64) -> String {
    [(1e9, "G"), (1e6, "M"), (1e3, "k")]
        .iter()
        .find(|(unit, _)| value >= *unit)
        .map_or_else(|| format!("{value:.0} "), |(unit, prefix)| format!("{:.2} {prefix}", value / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_gives_rates_between_two_moments() {
        let before =
            Moment { workers: WorkerTotals { frames: 100, bytes: 1_000, ..Default::default() }, ..Default::default() };
        let mut after = before;
        after.workers.frames += 20_000;
        after.workers.bytes += 2_000_000;
        after.workers.flows_open = 42;
        after.writer_lost = 3;
        after.kernel_drops = 7;
        let text = line(&before, &after, Duration::from_secs(10));
        assert_eq!(
            text,
            "2,000 packets/s, 1.60 Mbit/s, 42 flows open, 7 frames dropped, 0 records committed, 0 waiting, 3 lost"
        );
    }
}
