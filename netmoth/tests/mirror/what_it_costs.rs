//! What the mirror costs a host: its throughput with and without the sensor, in turn, as a ratio. It prints and asserts
//! nothing about speed, so it runs only when asked:
//!
//! `cargo test --release --test mirror -- --ignored --nocapture what_it_costs`

use crate::host::{Lab, PEER, assert_sums};
use crate::support::command::{Running, SHORT, run, until};
use crate::support::sensor::{Sensor, Settings};
use crate::support::{alone, root};

const ROUNDS: usize = 5;

/// Received bits per second of a transfer of two seconds.
#[track_caller]
fn transfer(lab: &Lab, more: &[&str]) -> f64 {
    let peer = Running::start(lab.on_peer("iperf3").args(["-s", "-1", "-p", "5201"]));
    until("iperf3 listens", SHORT, || lab.wire.ask_out("ss -Hltn 'sport = :5201'").contains(":5201").then_some(()));
    let mut iperf = lab.on_host("iperf3");
    let ended = run(iperf.args(["-J", "-c", PEER, "-p", "5201", "-t", "2"]).args(more), SHORT).expect_success();
    peer.wait(SHORT).expect_success();
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let sum = if more.contains(&"-u") { "sum" } else { "sum_received" };
    report["end"][sum]["bits_per_second"].as_f64().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "measures, and asserts nothing about speed"]
#[expect(clippy::print_stderr, reason = "what it prints is what it is for")]
fn throughput_with_and_without() {
    if !root() {
        return;
    }
    let _alone = alone();
    let lab = Lab::new();
    for (what, more) in [
        ("TCP out of the host, as fast as it goes", &[][..]),
        ("TCP into the host, as fast as it goes", &["-R"]),
        ("TCP out of the host, at 1 Gbit/s", &["-b", "1G"]),
        ("TCP into the host, at 1 Gbit/s", &["-R", "-b", "1G"]),
    ] {
        let mut rates = [vec![], vec![]];
        let (mut seen, mut passed, mut in_pair, mut in_rings) = (0, 0, 0, 0);
        for _ in 0..ROUNDS {
            rates[0].push(transfer(&lab, more));
            let folder = tempfile::tempdir().unwrap();
            let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(2));
            rates[1].push(transfer(&lab, more));
            let outcome = sensor.stop();
            assert_sums(&outcome);
            seen += outcome.sum("mirror_seen");
            passed += outcome.sum("mirror_passed");
            in_pair += outcome.sum("mirror_drops");
            in_rings += outcome.sum("kernel_drops");
        }
        let [without, with] = rates.map(median);
        eprintln!(
            "{what}: {:.2} Gbit/s without, {:.2} with: ratio {:.2}; of {seen} frames {passed} not cloned, {in_pair} lost \
             in the pair, {in_rings} at full rings",
            without / 1e9,
            with / 1e9,
            with / without
        );
    }
}
