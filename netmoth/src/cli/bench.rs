//! `netmoth bench`.

mod strategies;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use netmoth_traffic::{Lifetime, Mix, Profile, Sizes};

use super::Failure;
use crate::bench::connections::{self, ConnectionsConfig};
use crate::bench::file::{self, FileConfig};
use crate::bench::filter::{self, FilterConfig};
use crate::bench::number::{parse as number, parse_u32 as number_u32};
use crate::bench::pipeline::{self, PipelineConfig};
use crate::bench::send::{self, SendConfig};
use crate::bench::{BenchError, Format};

/// Measure Netmoth on this machine with traffic that is made from a seed
///
/// The traffic is the same on every machine: the same seed and options make the same bytes. Numbers take K, M and G
/// (thousands, millions, thousands of millions). Reports go to standard output, as a table or as one JSON object.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    netmoth bench pipeline                        what a packet costs, from ring to table\n  \
    netmoth bench connections                     how many new connections a core takes\n  \
    netmoth bench file -o load.pcap --sizes imix  the traffic as a capture file\n  \
    sudo netmoth bench filter 'port 53'           what a filter costs a frame\n  \
    sudo netmoth bench send -i out0 --rate 500K   the traffic onto a veth\n  \
    sudo netmoth bench strategies                 pcap, afpacket and ebpf side by side")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Pipeline(PipelineArguments),
    Connections(ConnectionsArguments),
    File(FileArguments),
    Filter(FilterArguments),
    Send(SendArguments),
    Strategies(strategies::Arguments),
}

/// Measure what a packet costs from the ring to the table, on one core
///
/// Frames stand in memory as in the frame memory of AF_XDP; the engine of a worker parses them and books them on
/// connections that are chosen at random. No interface is touched and no root is needed. Numbers of connections take
/// their rounds in turn, so that what disturbs the machine disturbs them all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    netmoth bench pipeline\n  \
    netmoth bench pipeline --flows 64K --sizes 60,imix,1514\n  \
    netmoth bench pipeline --flows 1M --rounds 9 --format json | jq '.rows[0].cost.median'")]
struct PipelineArguments {
    /// Open connections
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = number_u32, default_value = "1K,64K,1M,4M")]
    flows: Vec<u32>,
    /// Frames in bytes without FCS: a length, a range (60-1514) or imix
    #[arg(long, value_name = "SIZES,…", value_delimiter = ',', default_value = "60")]
    sizes: Vec<Sizes>,
    /// Packets of a round
    #[arg(long, value_name = "N", value_parser = number, default_value = "4M")]
    packets: u64,
    #[command(flatten)]
    common: Common,
}

/// Measure how many new connections one core takes in a second
///
/// Each has three packets (SYN, SYN-ACK, ACK; or three of UDP), ends, and leaves a record, which is counted and thrown
/// away. As many end as begin. No interface is touched and no root is needed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    netmoth bench connections\n  \
    netmoth bench connections --open 1M --life 20             longer ones, half of them under way\n  \
    netmoth bench connections --open 1M --rounds 9 --format json")]
struct ConnectionsArguments {
    /// Connections that are open all the time
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = number_u32, default_value = "64K,1M")]
    open: Vec<u32>,
    /// New connections of a round
    #[arg(long, value_name = "N", value_parser = number, default_value = "1M")]
    connections: u64,
    /// Packets of a connection, 3 or more
    #[arg(long, value_name = "N", value_parser = number_u32, default_value = "3")]
    life: u32,
    #[command(flatten)]
    common: Common,
}

/// Measure what a filter costs a frame, in XDP, at traffic control and in user space (root)
///
/// Each expression is compiled, translated and loaded as bpf: of the configuration is, and run on frames of TCP, UDP and ICMP. No
/// interface is touched.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo netmoth bench filter\n  \
    sudo netmoth bench filter 'net 10.0.0.0/8 and not port 22' 'tcp[13] & 2 != 0'\n  \
    sudo netmoth bench filter 'port 53' --rounds 9 --format json | jq '.rows[1].XDP.median'")]
struct FilterArguments {
    /// Expressions in tcpdump's language [default: some of several lengths]
    #[arg(value_name = "EXPRESSION")]
    expressions: Vec<String>,
    /// Frames of a round
    #[arg(long, value_name = "N", value_parser = number, default_value = "2M")]
    packets: u64,
    #[command(flatten)]
    common: Common,
}

/// Write the traffic into a capture file (pcap with nanoseconds)
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    netmoth bench file -o load.pcap --packets 10M --flows 64K --sizes imix\n  \
    netmoth bench file -o mixed.pcap --life 20 --mix 80:18:2 --ipv6 30 --vlan 10\n  \
    netmoth bench file -o headers.pcap --snap 96 && netmoth read headers.pcap --format none")]
struct FileArguments {
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
    /// Packets
    #[arg(long, value_name = "N", value_parser = number, default_value = "3M")]
    packets: u64,
    /// Bytes to keep of each packet [default: all]
    #[arg(long, value_name = "N", value_parser = number_u32)]
    snap: Option<u32>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    traffic: TrafficArguments,
}

/// Send the traffic onto a veth, through AF_XDP (root)
///
/// It ends with Ctrl-C, or when time is up or all is sent, and says what was sent. Only veths are sent on: this is no
/// traffic generator for networks of others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ip link add out0 type veth peer name tap0 && ip link set out0 up && ip link set tap0 up\n  \
    netmoth run -i tap0 --store sqlite:flows.db &\n  \
    netmoth bench send -i out0 --rate 500K --seconds 30 --flows 64K")]
struct SendArguments {
    /// A veth
    #[arg(short, long, value_name = "IFACE")]
    interface: String,
    /// Transmit queue; its frames arrive on the receive queue of the same number
    #[arg(long, value_name = "N", default_value_t = 0)]
    queue: u32,
    /// Frames a second [default: as many as go]
    #[arg(long, value_name = "N", value_parser = number)]
    rate: Option<u64>,
    /// How long [default: until Ctrl-C]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Frames in all [default: until time is up]
    #[arg(long, value_name = "N", value_parser = number)]
    packets: Option<u64>,
    /// CPU to stay on [default: wherever the system puts it]
    #[arg(long, value_name = "CPU")]
    core: Option<usize>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    traffic: TrafficArguments,
}

/// Rounds and the rest that every measurement in memory has.
#[derive(Debug, Args)]
struct Common {
    /// Rounds of each measurement; the median is reported, with the smallest and the largest
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// What everything random follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// CPU to measure on [default: the last one]
    #[arg(long, value_name = "CPU")]
    core: Option<usize>,
    #[command(flatten)]
    print: Print,
}

#[derive(Debug, Args)]
struct Print {
    /// How to print the report
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What the traffic is like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traffic")]
struct TrafficArguments {
    /// Connections that are open at once; each packet belongs to a random one
    #[arg(long, value_name = "N", value_parser = number_u32, default_value = "64K")]
    flows: u32,
    /// Packets of a connection, then another takes its place (TCP: six for hello and good-bye) [default: endless]
    #[arg(long, value_name = "N", value_parser = number_u32)]
    life: Option<u32>,
    /// Frames in bytes without FCS: a length, a range (60-1514) or imix (60, 590, 1514 as 7:4:1)
    #[arg(long, value_name = "SIZES", default_value = "60")]
    sizes: Sizes,
    /// Shares of TCP, UDP and ICMP among connections
    #[arg(long, value_name = "TCP:UDP:ICMP", value_parser = mix, default_value = "1:0:0")]
    mix: Mix,
    /// Connections over IPv6, in percent
    #[arg(long, value_name = "%", default_value_t = 0)]
    ipv6: u8,
    /// Connections in a VLAN, in percent
    #[arg(long, value_name = "%", default_value_t = 0)]
    vlan: u8,
    /// Packets with data that the responder sends, in percent
    #[arg(long, value_name = "%", default_value_t = 50)]
    responder: u8,
    /// Packets in a second of the time stamps, on average
    #[arg(long, value_name = "N", value_parser = number, default_value = "1M")]
    pps: u64,
    /// What everything random follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl TrafficArguments {
    fn profile(&self) -> Profile {
        Profile {
            seed: self.seed,
            connections: self.flows,
            lifetime: self.life.map_or(Lifetime::Endless, Lifetime::Packets),
            sizes: self.sizes,
            mix: self.mix,
            ipv6_percent: self.ipv6,
            vlan_percent: self.vlan,
            responder_percent: self.responder,
            packets_per_second: self.pps,
            ..Profile::default()
        }
    }
}

pub(super) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let (report, print) = match arguments.what {
        What::Pipeline(PipelineArguments { flows, sizes, packets, common }) => {
            let Common { rounds, seed, core, print } = common;
            (pipeline::run(&PipelineConfig { flows, sizes, rounds, packets, seed, core }), print)
        }
        What::Connections(ConnectionsArguments { open, connections, life, common }) => {
            let Common { rounds, seed, core, print } = common;
            (connections::run(&ConnectionsConfig { flows: open, rounds, connections, life, seed, core }), print)
        }
        What::File(FileArguments { output, force, packets, snap, traffic, print }) => {
            let profile = traffic.profile();
            (file::run(&FileConfig { path: output, overwrite: force, profile, packets, snap }), print)
        }
        What::Filter(FilterArguments { expressions, packets, common }) => {
            let Common { rounds, seed, core, print } = common;
            (filter::run(&FilterConfig { expressions, rounds, packets, seed, core }), print)
        }
        What::Send(SendArguments { interface, queue, rate, seconds, packets, core, traffic, print }) => {
            let profile = traffic.profile();
            (send::run(&SendConfig { interface, queue, profile, rate, packets, time: seconds, core }), print)
        }
        What::Strategies(arguments) => (arguments.run(), arguments.print),
    };
    let report = report.map_err(failure)?;
    match report.print(print.format, &mut io::stdout().lock()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn failure(error: BenchError) -> Failure {
    if error.is_about_the_question() { Failure::Usage(error.into()) } else { Failure::Failed(error.into()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} are no seconds; give a number such as 10 or 0.5");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero()).ok_or_else(wrong)
}

fn mix(text: &str) -> Result<Mix, String> {
    let shares: Option<Vec<u16>> = text.split(':').map(|share| share.parse().ok()).collect();
    match shares.as_deref() {
        Some(&[tcp, udp, icmp]) => Ok(Mix { tcp, udp, icmp }),
        _ => Err(format!("{text:?} is no mix; give the shares of TCP, UDP and ICMP, such as 80:18:2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_has_three_shares() {
        assert_eq!(mix("80:18:2"), Ok(Mix { tcp: 80, udp: 18, icmp: 2 }));
        for wrong in ["", "1", "1:2", "1:2:3:4", "a:b:c", "1:-1:0"] {
            assert!(mix(wrong).unwrap_err().contains("80:18:2"), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_more_than_none() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "nan", "inf", "1s", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
