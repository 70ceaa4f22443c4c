//! `netmoth check`: one line a question, the remedy below.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, configuration, run, store};
use crate::check::{self, Check, Status, Wanted};
use crate::sink::RowPrinter;

/// Tell whether a configuration is valid and this host can do what it asks for, and what to do where not
///
/// It asks and changes nothing. Warnings are what `netmoth run` can live with, failures what keeps it from starting.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo netmoth check -i eth1                            can this host capture on eth1?\n  \
    sudo netmoth check -c /etc/netmoth/config_ebpf.yml    as the service would start\n\n\
    Exit status: 0 where `netmoth run` can start, 1 where it can't, 2 where the configuration is not valid.")]
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
    match print(out, &checks, colour) {
        // Whoever read has seen enough; the exit status still tells.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(ExitCode::from(u8::from(checks.iter().any(|check| check.status == Status::Fail))))
}

fn print(mut out: impl Write, checks: &[Check], colour: bool) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let (word, start) = match check.status {
            Status::Ok => ("ok  ", "\x1b[32m"),
            Status::Warn => ("WARN", "\x1b[33m"),
            Status::Fail => ("FAIL", "\x1b[31m"),
        };
        let (start, end) = if colour { (start, "\x1b[0m") } else { ("", "") };
        writeln!(out, "{start}{word}{end}  {:<width$}  {}", check.name, check.found)?;
        if let Some(remedy) = &check.remedy {
            writeln!(out, "      {:width$}  -> {remedy}", "")?;
        }
    }
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    writeln!(
        out,
        "\n{} checks: {} ok, {} to look at, {} failed",
        checks.len(),
        count(Status::Ok),
        count(Status::Warn),
        count(Status::Fail)
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(colour: bool) -> String {
        let checks = [
            Check { name: "kernel", status: Status::Ok, found: "Linux 6.12".into(), remedy: None },
            Check { name: "other programs", status: Status::Fail, found: "one".into(), remedy: Some("stop it".into()) },
        ];
        let mut out = Vec::new();
        print(&mut out, &checks, colour).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_are_aligned_and_a_remedy_follows_its_answer() {
        let expected = "ok    kernel          Linux 6.12\nFAIL  other programs  one\n                      -> stop it\n\n\
                        2 checks: 1 ok, 0 to look at, 1 failed\n";
        assert_eq!(printed(false), expected);
    }

    #[test]
    fn colour_is_added_on_request_alone() {
        assert!(printed(true).contains("\x1b[31mFAIL\x1b[0m") && !printed(false).contains('\x1b'));
    }
}
