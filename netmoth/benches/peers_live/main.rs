//! The live path beside others': CPU time per packet and loss on the same wire at the same rates, taking turns.
//!
//! `cargo bench --bench peers_live [-- --format json]` as root; `scripts/install-tools.sh --for-benches` installs the
//! others. `NETMOTH_BENCH_SECONDS` (default 3) is the length of a round, `NETMOTH_BENCH_ROUNDS` (default 3) their
//! number, `NETMOTH_BENCH_FLOWS` (default 4096) the number of connections.
//!
//! The sender is pinned to the last core, the sensor to the first. What a sensor costs is the CPU time of its process,
//! and the time of soft interrupts beyond what the sender alone causes at that rate, measured in the same rounds.

#[path = "../common/mod.rs"]
mod common;
mod round;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod tool;

use common::settings;
use round::Round;
use std::time::Duration;
use tool::Tool;

/// Frames a second; `None` is as many as go.
const RATES: [Option<u64>; 3] = [Some(100_000), Some(300_000), None];

#[expect(clippy::print_stderr, reason = "it says why it measures nothing")]
fn main() {
    let Some(format) = settings::asked() else { return };
    if !support::root() {
        eprintln!("nothing was measured");
        return;
    }
    let length = Duration::from_secs(settings::number("NETMOTH_BENCH_SECONDS", 3));
    let flows = settings::number("NETMOTH_BENCH_FLOWS", 4_096) as u32;
    let rounds = settings::number("NETMOTH_BENCH_ROUNDS", 3).max(1);
    let frames = support::frames::load(flows, 0);
    let tools = Tool::ALL;
    let mut measured: Vec<Vec<Vec<Round>>> = vec![vec![Vec::new(); tools.len()]; RATES.len()];
    for _ in 0..rounds {
        for (rate, by_tool) in RATES.iter().zip(&mut measured) {
            for (tool, into) in tools.iter().zip(by_tool).filter(|(tool, _)| tool.is_installed()) {
                into.push(Round::measure(tool, &frames, *rate, length));
            }
        }
    }
    let report = table::report(flows, length, &tools, &measured);
    report.print(format, &mut std::io::stdout()).expect("standard output");
}
