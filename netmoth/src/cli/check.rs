//! `netmoth check`: one line a question, the remedy below.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Failure, configuration, run, store};
use crate::check::{self, Check, Status, Wanted, report};
use crate::sink::RowPrinter;

/// Tell whether a configuration is valid and this host can do what it asks for, and what to do where not
///
/// It asks and changes nothing. Warnings are what `netmoth run` can live with, failures what keeps it from starting.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo netmoth check -i eth1                            can this host capture on eth1?\n  \
    sudo netmoth check -c /etc/netmoth/config_ebpf.yml    as the service would start\n  \
    sudo netmoth check -i eth1 --strict                   warnings count for the exit status, too\n  \
    netmoth check -i eth1 --format json | jq '.checks[] | select(.status != \"ok\")'\n\n\
    Exit status: 0 where `netmoth run` can start, with warnings or without; 1 where it can't; 2 where the usage or the \
    configuration is wrong, and nothing was asked; 3 with --strict, where there are warnings and no failures.")]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/netmoth/config_ebpf.yml where it exists]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Interface to ask about, instead of the configuration's
    #[arg(short, long, value_name = "IFACE")]
    interface: Option<String>,
    /// Store to ask, instead of the configuration's: sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    format: Output,
    /// End with status 3 where there are warnings and no failures
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each answer, and its remedy below
    Table,
    /// One JSON object: checks (name, status, found, remedy), and how many are ok, warn and fail
    Json,
}

pub(super) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let found = match &arguments.config {
        Some(file) => format!("{} is valid", file.display()),
        None => "valid (no -c: the default file where there is one, or the built-in values)".into(),
    };
    let config = configuration(arguments.config)?;
    let url = store(arguments.store.as_deref(), &config)?;
    let interface = arguments.interface.or_else(|| config.interface.clone()).unwrap_or_default();
    let workers = config.number_of_rings.min(config.max_cores);
    let wanted = Wanted { capture: run::capture(&config, interface), workers };
    let mut checks = vec![Check { name: "configuration", status: Status::Ok, found, remedy: None }];
    checks.extend(check::run(&wanted, &url, config.retention_days, run::spool(&config).as_ref()));
    checks.extend(config.metrics.map(check::metrics));
    let out = io::stdout().lock();
    let colour = RowPrinter::<io::StdoutLock<'_>>::colour_wanted(out.is_terminal());
    let printed = match arguments.format {
        Output::Table => report::table(out, &checks, colour),
        Output::Json => report::json(out, &checks),
    };
    match printed {
        // Whoever read has seen enough; the exit status still tells.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(ExitCode::from(exit_status(&checks, arguments.strict)))
}

/// 0 where `run` can start, 1 where it can't; with `strict`, 3 where there is something to look at.
fn exit_status(checks: &[Check], strict: bool) -> u8 {
    match checks.iter().map(|check| check.status).max() {
        Some(Status::Fail) => 1,
        Some(Status::Warn) if strict => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_that_of_the_worst_answer() {
        let checks = |worst| {
            let check = |status| Check { name: "x", status, found: String::new(), remedy: None };
            [check(Status::Ok), check(worst), check(Status::Ok)]
        };
        let statuses = [Status::Ok, Status::Warn, Status::Fail].map(checks);
        assert_eq!(statuses.each_ref().map(|checks| exit_status(checks, false)), [0, 0, 1]);
        assert_eq!(statuses.each_ref().map(|checks| exit_status(checks, true)), [0, 3, 1]);
    }
}
