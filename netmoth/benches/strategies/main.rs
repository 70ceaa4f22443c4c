//! The strategies side by side, on the same traffic in turn: `cargo bench --bench strategies [-- --format json]` as root.
//!
//! `NETMOTH_BENCH_SECONDS` (default 2) is the length of a round, `NETMOTH_BENCH_ROUNDS` (default 3) their number,
//! `NETMOTH_BENCH_FLOWS` (default 4096) the number of connections.
//!
//! Each strategy is sent as many frames as go, and then fewer and fewer until none is lost: that is its rate. What it costs is
//! measured at one rate for all: CPU of the process and soft interrupts as in `peers_live`, latency as in `latency`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../latency/histogram.rs"]
#[expect(dead_code, reason = "latency tells the largest, too")]
mod histogram;
#[path = "../peers_live/round.rs"]
#[expect(dead_code, reason = "peers_live tells more of a round")]
mod round;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../peers_live/tool.rs"]
#[expect(dead_code, reason = "peers_live runs other programs, too")]
mod tool;
#[path = "../latency/worker.rs"]
#[expect(dead_code, reason = "latency counts the frames, too")]
mod worker;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::settings::{self, sending_cpu};
use netmoth::bench::{Column, Report, Spread};
use netmoth::capture::{CaptureConfig, Mode, Strategy};
use round::Round;
use support::frames;
use support::lab::Wire;
use support::sender::{Job, Sender};
use tool::Tool;
use worker::Worker;

/// Where the time stands in a frame: behind Ethernet, IPv4 and UDP.
const STAMP: usize = 14 + 20 + 8;
/// What is not measured at the beginning of a round: connections begin, caches fill.
const WARM_UP: Duration = Duration::from_millis(500);
/// Frames a second at which costs are compared.
const COMMON: u64 = 100_000;
/// Attempts to find a rate without loss, each at nine tenths of what came the last time.
const ATTEMPTS: usize = 12;

/// One way to capture: its name, its lines of configuration, and the same for the library.
struct Way {
    name: &'static str,
    lines: &'static str,
    strategy: Strategy,
    mode: Mode,
}

const WAYS: [Way; 4] = [
    Way { name: "pcap", lines: "strategy: pcap", strategy: Strategy::Pcap, mode: Mode::Auto },
    Way { name: "afpacket", lines: "strategy: afpacket", strategy: Strategy::AfPacket, mode: Mode::Auto },
    Way { name: "ebpf, tap", lines: "mode: tap", strategy: Strategy::Ebpf, mode: Mode::Tap },
    Way { name: "ebpf, mirror", lines: "mode: mirror", strategy: Strategy::Ebpf, mode: Mode::Mirror },
];

/// What one way has come to, round by round.
#[derive(Default)]
struct Measured {
    lossless: Vec<f64>,
    process: Vec<f64>,
    soft: Vec<f64>,
    resident: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

#[expect(clippy::print_stderr, reason = "it says why it measures nothing")]
fn main() {
    let Some(format) = settings::asked() else { return };
    if !support::root() {
        eprintln!("nothing was measured");
        return;
    }
    let length = Duration::from_secs(settings::number("NETMOTH_BENCH_SECONDS", 2));
    let flows = settings::number("NETMOTH_BENCH_FLOWS", 4_096).max(4_096) as u32;
    let load = frames::load(flows, 0);
    let mut measured: [Measured; WAYS.len()] = Default::default();
    for _ in 0..settings::number("NETMOTH_BENCH_ROUNDS", 3).max(1) {
        let alone = Round::measure(&Tool::Nobody, &load, Some(COMMON), length).soft_cost();
        for (way, into) in WAYS.iter().zip(&mut measured) {
            let tool = Tool::Netmoth(way.lines);
            into.lossless.push(lossless(&tool, &load, length));
            let round = Round::measure(&tool, &load, Some(COMMON), length);
            into.process.push(round.process_cost());
            into.soft.push(round.soft_cost() - alone);
            into.resident.push(round.resident as f64 / f64::from(1 << 20));
            let [p50, p99] = latency(way, flows, length);
            into.p50.push(p50);
            into.p99.push(p99);
        }
    }
    report(flows, &measured).print(format, &mut std::io::stdout()).expect("standard output");
}

/// The highest rate that was tried at which every frame was received, in packets per second; 0 where there was none.
fn lossless(tool: &Tool, load: &[Vec<u8>], length: Duration) -> f64 {
    let mut rate = None;
    for _ in 0..ATTEMPTS {
        let round = Round::measure(tool, load, rate, length);
        let seen = round.said.seen.unwrap_or(0);
        if seen >= round.sent {
            return round.per_second;
        }
        rate = Some((round.per_second * (seen as f64 / round.sent as f64).min(1.0) * 0.9) as u64);
    }
    0.0
}

/// The median and the 99th percentile of the time from the sender's system call to the flow's update, in µs.
fn latency(way: &Way, flows: u32, length: Duration) -> [f64; 2] {
    let wire = Wire::new(1, 1500);
    let config = CaptureConfig { strategy: way.strategy, mode: way.mode, ..CaptureConfig::new("tap0") };
    let worker = Worker::start(wire.file("tap"), config, Duration::ZERO);
    let job = Job {
        namespace: wire.file("out"),
        interface: "out0".into(),
        queues: vec![(0, stamped(flows))],
        rounds: None,
        cpu: Some(sending_cpu()),
        rate: Some(COMMON),
    };
    let sender = Sender::start_with(job, Some(STAMP));
    std::thread::sleep(WARM_UP);
    worker.record();
    std::thread::sleep(length);
    sender.stop();
    let delays = worker.stop().delays;
    [0.5, 0.99].map(|part| delays.percentile(part) as f64 / 1e3)
}

/// Smallest frames of `flows` connections: UDP with room for a time.
fn stamped(flows: u32) -> Vec<Vec<u8>> {
    let ethernet = frames::Ethernet { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1], tags: vec![] };
    let address = |flow: u32| SocketAddr::from((Ipv4Addr::from(0x0a48_0000 | flow), 10_000));
    (0..flows)
        .map(|flow| frames::udp(&ethernet, address(flow & 0xffff), SocketAddr::from(([10, 73, 0, 1], 443)), &[0; 18]))
        .collect()
}

fn report(flows: u32, measured: &[Measured]) -> Report {
    let mut report = Report::new(
        format!("strategies on one wire: {flows} flows, {}-byte frames, one worker", frames::SMALLEST),
        [
            Column::text("strategy"),
            Column::number("without loss", "packets/s", 0),
            Column::number("process", "µs/packet", 2),
            Column::number("soft interrupts", "µs/packet", 2),
            Column::number("memory", "MiB", 0),
            Column::number("p50", "µs", 0),
            Column::number("p99", "µs", 0),
        ],
    );
    for (way, measured) in WAYS.iter().zip(measured) {
        let Measured { lossless, process, soft, resident, p50, p99 } = measured;
        let cells = [lossless, process, soft, resident, p50, p99].map(|values| Spread::of(values).into());
        report.row(std::iter::once(way.name.into()).chain(cells));
    }
    report.note(format!(
        "without loss: the sender's maximum, or nine tenths of what came, again and again until none was lost; 0 where some \
         were at each of {ATTEMPTS} rates. The other columns are at {COMMON} packets/s. process: CPU of netmoth's process. soft interrupts: their \
         time on all cores less that of the sender alone, which the kernel samples. memory: the most that was resident, the \
         table for 1,000,000 connections among it. p50, p99: from the sender's system call to the flow's update."
    ));
    report.note(
        "The sender (AF_XDP) has the last core, the sensor CPU 0; one veth, one queue, everything else at its default.",
    );
    for way in &WAYS {
        report.note(format!("{}: netmoth run with {}", way.name, way.lines));
    }
    report
}
