//! The `netmoth` binary: parses the command line, starts logging, hands over to [`netmoth::cli`].

use std::process::ExitCode;

use clap::Parser;
use netmoth::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    netmoth::logging::start();
    cli.execute()
}
