//! Nanoseconds per packet in the flow table: `cargo bench -p netmoth --bench flow_table`.
//!
//! Established TCP connections exchange data in random order, in batches as a worker takes them (hash and prefetch all,
//! update all), at 4 K, 64 K and 1 M connections. Then the table under attack: a flood of ten times as many new
//! connections as it holds, and keys that were crafted to collide. `-- --format json` prints an object a line.

mod attack;
mod driver;
#[path = "../common/settings.rs"]
#[expect(dead_code, reason = "it is told how to print, and nothing else")]
mod settings;

use std::io::Write;

use driver::{Driver, SECRET};
use netmoth::bench::{Column, Format, Report};

fn main() {
    let Some(format) = settings::asked() else { return };
    let rounds = 50_000;
    let mut report = Report::new(
        "established connections in random order",
        [
            Column::number("connections", "", 0),
            Column::number("cost", "ns/packet", 1),
            Column::number("memory", "bytes/connection", 0),
        ],
    );
    for flows in [4_096, 65_536, 1_000_000] {
        let mut driver = Driver::new(flows, SECRET);
        driver.establish(flows);
        driver.exchange(flows, rounds / 10, None);
        let calm = driver.exchange(flows, rounds, None);
        let bytes = driver.table.memory_bytes() as f64 / f64::from(flows);
        report.row([u64::from(flows).into(), calm.into(), bytes.into()]);
        assert_eq!(driver.out.0, 0, "nothing has ended");
    }
    let mut out = std::io::stdout();
    for report in [report, attack::flood(), attack::collisions()] {
        report.print(format, &mut out).expect("standard output");
        if format == Format::Table {
            writeln!(out).expect("standard output");
        }
    }
}
