//! `netmoth flows`.

use std::io::{self, BufWriter, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::{Failure, Format, configuration, store};
use crate::sink::{FlowQuery, RowPrinter, Since, query_flows};
use crate::time::Instant;

/// Print connections from the store, the newest last
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    netmoth flows                                      the 50 newest of the configured store\n  \
    netmoth flows --store sqlite:flows.db --since 15m  of the last quarter of an hour\n  \
    netmoth flows --since 2026-11-27 --limit 100000 --format csv > flows.csv")]
pub(super) struct Arguments {
    /// Configuration file whose store is asked [default: /etc/netmoth/config_ebpf.yml where it exists]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store: sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Only what started since: a span (90s, 15m, 1h, 7d) or a time (2026-11-27T15:00:00Z, 2026-11-27)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Rows at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let url = store(arguments.store.as_deref(), &configuration(arguments.config)?)?;
    let since_ns = match &arguments.since {
        None => None,
        Some(text) => match Since::parse(text, Instant::now().wall_ns) {
            Some(since) => Some(since.ns()),
            None => {
                return Err(Failure::Usage(anyhow!(
                    "--since {text} is neither a span (90s, 15m, 1h, 7d) nor a time (2026-11-27T15:00:00Z)"
                )));
            }
        },
    };
    let rows = query_flows(&url, FlowQuery { since_ns, limit: arguments.limit })?;
    let Some(format) = arguments.format.printer() else { return Ok(ExitCode::SUCCESS) };
    let stdout = io::stdout();
    let colour = RowPrinter::<io::Stdout>::colour_wanted(stdout.is_terminal());
    let mut printer = RowPrinter::new(BufWriter::new(stdout.lock()), format, colour);
    let printed = rows.iter().try_for_each(|row| printer.row(&row.as_row())).and_then(|()| printer.finish().map(drop));
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
