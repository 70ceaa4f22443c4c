//! Nanoseconds per packet in the flow table: `cargo bench -p netmoth --bench flow_table`.
//!
//! Established TCP connections exchange data in random order, in batches as a worker takes them (hash and prefetch all,
//! update all), at 4 K, 64 K and 1 M connections. Then the table under attack: a flood of ten times as many new
//! connections as it holds, and keys that were crafted to collide.

mod attack;
mod driver;

use driver::{Driver, SECRET};

#[expect(clippy::print_stdout, reason = "it prints what it measures")]
fn main() {
    let rounds = 50_000;
    println!("connections   ns/packet   bytes/connection");
    for flows in [4_096, 65_536, 1_000_000] {
        let mut driver = Driver::new(flows, SECRET);
        driver.establish(flows);
        driver.exchange(flows, rounds / 10, None);
        let calm = driver.exchange(flows, rounds, None);
        let bytes = driver.table.memory_bytes() as f64 / f64::from(flows);
        println!("{flows:>11}   {calm:>9.1}   {bytes:>16.0}");
        assert_eq!(driver.out.0, 0, "nothing has ended");
    }
    attack::flood();
    attack::collisions();
}
