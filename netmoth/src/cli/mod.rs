//! The commands: what they are called with, what they do, and which exit status they end with.

mod bench;
mod check;
mod flows;
mod read;
mod run;
mod tune;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError};
use crate::sink::{self, StoreUrl};

/// Where the configuration is looked for without `-c`.
const DEFAULT_CONFIG: &str = "/etc/netmoth/config_ebpf.yml";

/// A passive network sensor: one trustworthy row per connection.
#[derive(Debug, Parser)]
#[command(name = "netmoth", version, about, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    netmoth read capture.pcap                          the connections of a file, as a table\n  \
    netmoth check -i eth1                              can this host capture on eth1?\n  \
    sudo netmoth run -i eth1 --store sqlite:flows.db   capture until Ctrl-C\n  \
    netmoth flows --store sqlite:flows.db --since 1h   what was seen in the last hour\n  \
    netmoth bench pipeline                             what a packet costs on this machine\n\n\
    Exit status: 0 done, 1 failed, 2 usage or configuration. NETMOTH_DEBUG=1 turns debug lines on.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Read(read::Arguments),
    Check(check::Arguments),
    Flows(flows::Arguments),
    Bench(bench::Arguments),
    Tune(tune::Arguments),
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns for a person
    Table,
    /// One JSON object a line, all columns
    Json,
    /// Comma-separated with a header line, all columns
    Csv,
    /// No rows, only the summary
    None,
}

impl Format {
    fn printer(self) -> Option<sink::Format> {
        match self {
            Self::Table => Some(sink::Format::Table),
            Self::Json => Some(sink::Format::Json),
            Self::Csv => Some(sink::Format::Csv),
            Self::None => None,
        }
    }
}

/// A failure with its exit status.
enum Failure {
    /// 1: it did not work out.
    Failed(anyhow::Error),
    /// 2: it was asked for wrongly.
    Usage(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        if error.is::<ConfigError>() { Self::Usage(error) } else { Self::Failed(error) }
    }
}

impl Cli {
    /// Runs the command; says on standard error what went wrong.
    pub fn execute(self) -> ExitCode {
        let done = match self.command {
            Command::Run(arguments) => run::execute(arguments),
            Command::Read(arguments) => read::execute(arguments),
            Command::Check(arguments) => check::execute(arguments),
            Command::Flows(arguments) => flows::execute(arguments),
            Command::Bench(arguments) => bench::execute(arguments),
            Command::Tune(arguments) => tune::execute(arguments),
        };
        let (error, status) = match done {
            Ok(code) => return code,
            Err(Failure::Failed(error)) => (error, 1),
            Err(Failure::Usage(error)) => (error, 2),
        };
        if log::log_enabled!(log::Level::Error) {
            log::error!("{error}");
        } else {
            // Whoever silences the log still has to learn why the command failed.
            let _ = writeln!(io::stderr(), "netmoth: {error}");
        }
        ExitCode::from(status)
    }
}

/// The configuration that `-c` names, or the default one where it exists, or the built-in one.
fn configuration(path: Option<PathBuf>) -> Result<Config, ConfigError> {
    match path {
        Some(path) => Config::load(&path),
        None if PathBuf::from(DEFAULT_CONFIG).exists() => Config::load(&PathBuf::from(DEFAULT_CONFIG)),
        None => Ok(Config::default()),
    }
}

/// The store that is asked for: `--store`, else the configuration's, else the default file.
fn store(option: Option<&str>, config: &Config) -> Result<StoreUrl, Failure> {
    let parsed = match (option, &config.store, &config.postgres) {
        (Some(url), _, _) => url.parse(),
        (None, Some(url), _) => url.parse(),
        (None, None, Some(pg)) => StoreUrl::from_postgres_parts(&pg.user, &pg.password, &pg.db, &pg.host),
        (None, None, None) => Ok(StoreUrl::default_sqlite()),
    };
    parsed.map_err(|error| Failure::Usage(error.into()))
}

/// The sensor's name: the configuration's, else the host's.
fn sensor_name(config: &Config) -> String {
    // The unit hides what of /proc is not about processes; the file is what the name was set from at boot.
    let host =
        || ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|file| std::fs::read_to_string(file).ok());
    config.sensor.clone().or_else(|| host().map(|name| name.trim().to_owned())).unwrap_or_else(|| "netmoth".into())
}
