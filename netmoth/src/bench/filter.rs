//! `netmoth bench filter`: what a filter costs a frame, in the kernel and in user space.
//!
//! The kernel runs the translation on frames again and again (BPF_PROG_TEST_RUN) and measures that itself. The same frames go
//! through the same program in user space, as `netmoth read --bpf` has it.

use std::hint::black_box;
use std::io;

use netmoth_traffic::{BLANK, Mix, Profile, Traffic};

use super::chunk::pin;
use super::clock::cpu_time;
use super::{BenchError, Column, Report, Spread};
use crate::filter::trial::{Loaded, Trial};
use crate::filter::{ETHERNET, Filter, ProgramKind};
use crate::sensor::grouped;

/// Frames that take turns: what a filter decides early for one of them, it decides late for another. The kernel takes tens of
/// milliseconds to get ready for each.
const FRAMES: usize = 16;
/// What is measured where nothing is named: from the shortest to one with many branches.
const USUAL: [&str; 6] = [
    "ip",
    "tcp and port 22",
    "port 80 or port 443",
    "not port 22 and not arp",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "net 10.0.0.0/8 and not (host 10.1.2.3 or port 53 or port 123 or portrange 6000-7000)",
];

/// What is measured.
#[derive(Clone, Debug)]
pub struct FilterConfig {
    /// Expressions in tcpdump's language; the usual ones where there is none.
    pub expressions: Vec<String>,
    /// Rounds of each, all of them interleaved.
    pub rounds: usize,
    /// Frames of a round.
    pub packets: u64,
    /// Seed of the traffic.
    pub seed: u64,
    /// The CPU to stay on; the last one where none is named.
    pub core: Option<usize>,
}

/// Measures.
///
/// # Errors
/// An expression that is none, rights that are missing, a CPU that this process may not use.
pub fn run(config: &FilterConfig) -> Result<Report, BenchError> {
    if config.rounds == 0 {
        return Err(BenchError::TooFew { what: "--rounds", least: 1, given: 0 });
    }
    if config.packets < FRAMES as u64 {
        return Err(BenchError::TooFew { what: "--packets", least: FRAMES as u64, given: config.packets });
    }
    let core = pin(config.core)?;
    let frames = frames(config.seed)?;
    let [xdp, tc] = [trial(ProgramKind::Xdp)?, trial(ProgramKind::SchedCls)?];
    let given = config.expressions.iter().map(String::as_str);
    // The empty expression matches all: its cost is that of a filter being there at all.
    let all = std::iter::once("").chain(USUAL.into_iter().filter(|_| config.expressions.is_empty())).chain(given);
    let mut lanes = all.map(|text| Lane::open(text, &xdp, &tc)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..config.rounds {
        lanes.iter_mut().try_for_each(|lane| lane.round(&frames, config.packets))?;
    }
    Ok(report(config, core, &lanes))
}

fn trial(kind: ProgramKind) -> Result<Trial, BenchError> {
    Trial::new(kind).map_err(|cause| BenchError::Kernel(cause.into()))
}

/// Frames of TCP, UDP and ICMP, over IPv4 and IPv6, one in ten with a tag.
fn frames(seed: u64) -> Result<Vec<Vec<u8>>, BenchError> {
    let mix = Mix { tcp: 80, udp: 18, icmp: 2 };
    let profile = Profile { seed, connections: 1_024, mix, ipv6_percent: 20, vlan_percent: 10, ..Profile::default() };
    let mut traffic = Traffic::new(&profile)?;
    let mut frame = Box::new(BLANK);
    let next = |_| {
        let length = traffic.next_into(&mut frame).length;
        frame[..length].to_vec()
    };
    Ok((0..FRAMES).map(next).collect())
}

/// One expression, loaded three times.
struct Lane {
    expression: String,
    filter: Filter,
    xdp: Loaded,
    tc: Loaded,
    /// ns per frame of each round, in this order: XDP, traffic control, user space.
    costs: [Vec<f64>; 3],
}

impl Lane {
    fn open(expression: &str, xdp: &Trial, tc: &Trial) -> Result<Self, BenchError> {
        let filter = Filter::compile(expression, ETHERNET)?;
        let (xdp, tc) = (xdp.load(&filter)?, tc.load(&filter)?);
        Ok(Self { expression: expression.into(), filter, xdp, tc, costs: Default::default() })
    }

    fn round(&mut self, frames: &[Vec<u8>], packets: u64) -> Result<(), BenchError> {
        let repeat = u32::try_from(packets / frames.len() as u64).unwrap_or(u32::MAX);
        for (loaded, costs) in [&self.xdp, &self.tc].into_iter().zip(&mut self.costs) {
            let each: io::Result<Vec<f64>> =
                frames.iter().map(|frame| Ok(loaded.cost(frame, repeat)?.as_nanos() as f64)).collect();
            let each = each.map_err(|cause| BenchError::Kernel(cause.into()))?;
            costs.push(each.iter().sum::<f64>() / each.len() as f64);
        }
        let begun = cpu_time();
        for _ in 0..repeat {
            for frame in frames {
                black_box(self.filter.matches(black_box(frame), frame.len() as u32));
            }
        }
        let spent = (cpu_time() - begun).as_nanos() as f64;
        self.costs[2].push(spent / (f64::from(repeat) * frames.len() as f64));
        Ok(())
    }
}

fn report(config: &FilterConfig, core: usize, lanes: &[Lane]) -> Report {
    let columns = [
        Column::text("filter"),
        Column::number("instructions", "", 0),
        Column::number("XDP", "ns/frame", 1),
        Column::number("traffic control", "ns/frame", 1),
        Column::number("user space", "ns/frame", 1),
    ];
    let mut report = Report::new("What a filter costs a frame", columns);
    for lane in lanes {
        let name = if lane.expression.is_empty() { "(all frames)" } else { &lane.expression };
        let [xdp, tc, user] = lane.costs.each_ref().map(|costs| Spread::of(costs).into());
        report.row([name.into(), (lane.filter.program().len() as u64).into(), xdp, tc, user]);
    }
    report.note(format!(
        "Median (smallest-largest) of {} interleaved rounds of {} frames on CPU {core}: {FRAMES} frames of TCP, UDP and ICMP, a fifth \
         IPv6, a tenth with a tag.",
        config.rounds,
        grouped(config.packets)
    ));
    report.note(
        "XDP, traffic control: as the kernel measures it (BPF_PROG_TEST_RUN), the tail call to the filter's end and the call of a program \
         among it. User space: CPU time of the thread. Instructions: of the classic program, as libpcap compiled it.",
    );
    report
}
