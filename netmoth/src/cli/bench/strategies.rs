//! `netmoth bench strategies`.

use std::time::Duration;

use clap::Args;
use netmoth_traffic::Sizes;

use super::{Print, number, number_u32, seconds};
use crate::bench::strategies::{self, StrategiesConfig, Way};
use crate::bench::{BenchError, Report};

/// Measure the capture strategies side by side on this host (root)
///
/// The same traffic goes to each in turn, through a veth in a network namespace that is made for it and goes with it; no
/// interface of the host is touched. Of each: the packets a second that it takes without loss; CPU (process and soft
/// interrupts), memory and latency (p50, p99) at a rate that is the same for all. The sensor has the first CPU, the sender
/// the last. A strategy that does not work here has a row that says why. With the default options it takes some minutes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo netmoth bench strategies\n  \
    sudo netmoth bench strategies --only afpacket,ebpf-tap --rounds 1   a quick look at two\n  \
    sudo netmoth bench strategies --flows 64K --sizes imix --rate 50K\n  \
    sudo netmoth bench strategies --format json | jq '.rows[] | {strategy, p99: .p99.median}'")]
pub(super) struct Arguments {
    /// Strategies to measure [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Way>,
    /// How long to send for each figure
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "2")]
    seconds: Duration,
    /// Rounds of each strategy; the median is reported, with the smallest and the largest
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Connections that the packets belong to, at random (UDP)
    #[arg(long, value_name = "N", value_parser = number_u32, default_value = "4K")]
    flows: u32,
    /// Frames in bytes without FCS: a length, a range (60-1514) or imix
    #[arg(long, value_name = "SIZES", default_value = "60")]
    sizes: Sizes,
    /// Packets a second at which CPU, memory and latency are compared
    #[arg(long, value_name = "N", value_parser = number, default_value = "100K")]
    rate: u64,
    /// What everything random follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    pub(super) print: Print,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<Report, BenchError> {
        let mut ways = Way::ALL.to_vec();
        ways.retain(|way| self.only.is_empty() || self.only.contains(way));
        let &Self { seconds: length, rounds, flows, sizes, rate, seed, .. } = self;
        strategies::run(&StrategiesConfig { ways, flows, sizes, rate, length, rounds, seed })
    }
}
