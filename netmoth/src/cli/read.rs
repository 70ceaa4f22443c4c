//! `netmoth read`.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::anyhow;
use clap::Args;

use super::{Failure, Format, configuration, run, sensor_name, store};
use crate::filter::Filter;
use crate::replay::{Replay, ReplayConfig, ReplayError, ReplayTotals};
use crate::sensor::{Summary, WriterSide};
use crate::sink::{RowPrinter, Writer, WriterConfig};

/// Time for the last records of a file to reach the store: nothing else waits for it.
const STORE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(300);

/// Bytes of rows that are written at once.
const OUTPUT_BUFFER: usize = 64 << 10;

/// Workers that can be asked for: more than any one reading thread can keep busy.
const MOST_WORKERS: i64 = 64;

/// Print or store the connections of capture files
///
/// Reads pcap and pcapng, also compressed with gzip. Several files are read one after the other as one capture, so
/// connections that span files stay whole. Records go to standard output, everything else to standard error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    netmoth read capture.pcapng.gz\n  \
    netmoth read --format json a.pcap b.pcap | jq 'select(.conn_state == \"REJ\")'\n  \
    tcpdump -w - | netmoth read -\n  \
    netmoth read --store postgres://netmoth@localhost/netmoth *.pcap\n  \
    netmoth read --workers 4 --format csv large.pcap > large.csv\n  \
    netmoth read --bpf 'host 10.1.2.3 and tcp port 443' capture.pcap\n\n\
    --workers N shares the connections out among N threads, which take turns at reading. The records are those of one worker, in \
    another order and with other flow_ids. max_flows is the number of connections of all workers together, as in netmoth run. \
    What travels in one tunnel over UDP (VXLAN, Geneve, GTP) stays with one worker; a connection that changes between the \
    ends of such tunnels is split, as in live capture.")]
pub(super) struct Arguments {
    /// Capture files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to print [default: table, or none with --store]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Store the records, too: sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Threads that parse and track; 1 reads, parses and tracks in one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=MOST_WORKERS))]
    workers: u8,
    /// Track only packets that match, in tcpdump's language: 'tcp port 443' (libpcap compiles it)
    #[arg(long, value_name = "EXPRESSION")]
    bpf: Option<String>,
    /// Verify checksums of TCP and UDP, and note wrong ones in the history (C, c)
    #[arg(long)]
    verify_checksums: bool,
    /// Configuration file for time-outs and names [default: the built-in values]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = match arguments.config {
        Some(path) => configuration(Some(path))?,
        None => crate::config::Config::default(),
    };
    let writer = match &arguments.store {
        None => None,
        Some(url) => {
            let mut settings = WriterConfig::new(store(Some(url), &config)?, sensor_name(&config));
            settings.community_id_seed = config.community_id_seed;
            Some(Writer::start(settings)?)
        }
    };
    let default = if writer.is_some() { Format::None } else { Format::Table };
    let format = arguments.format.unwrap_or(default).printer();
    let stdout = io::stdout();
    let colour = RowPrinter::<io::Stdout>::colour_wanted(stdout.is_terminal());
    let printer = format.map(|format| RowPrinter::new(BufWriter::with_capacity(OUTPUT_BUFFER, stdout), format, colour));
    let begun = Instant::now();
    let mut flow = run::flow(&config, config.max_flows.div_ceil(u32::from(arguments.workers)));
    flow.verify_checksums |= arguments.verify_checksums;
    let (workers, sensor, community_id_seed) = (arguments.workers, sensor_name(&config), config.community_id_seed);
    let filter = arguments.bpf.unwrap_or(config.bpf).trim().to_owned();
    Filter::is_one(&filter)
        .map_err(|error| Failure::Usage(anyhow!("--bpf: {error}; man pcap-filter describes the language")))?;
    let settings = ReplayConfig { flow, workers, sensor, community_id_seed, filter };
    let mut replay = Replay::new(settings, printer, writer.as_ref())?;
    let mut failed = false;
    for file in &arguments.files {
        match replay.file(file) {
            Ok(()) => {}
            // What could be read of it counts; the rest is said, and the other files are still read.
            Err(ReplayError::File(error)) => {
                failed |= !error.is_about_the_rest();
                if error.is_about_the_rest() { log::warn!("{error}") } else { log::error!("{error}") }
            }
            Err(ReplayError::Pipe) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error.into()),
        }
    }
    let ReplayTotals { workers, read, not_matched } = match replay.finish() {
        Err(ReplayError::Pipe) => return Ok(ExitCode::SUCCESS),
        other => other?,
    };
    let writer = writer.map(|writer| WriterSide::from(writer.finish(STORE_DEADLINE)));
    let seconds = begun.elapsed().as_secs_f64();
    let count = arguments.files.len();
    let headline = format!("{seconds:.2} s for {count} {}", if count == 1 { "file" } else { "files" });
    let files = Some((read, not_matched));
    let summary = Summary { headline, seconds, files, kernel: None, workers, writer };
    write!(io::stderr().lock(), "{summary}")?;
    log::debug!(target: "netmoth::summary", "summary-json {}", summary.to_json());
    let lost = summary.lost().iter().map(|(_, n)| n).sum::<u64>();
    Ok(ExitCode::from(u8::from(failed || lost > 0)))
}
