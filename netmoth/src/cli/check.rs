use super::Failure;
use clap::Args;
use std::process::ExitCode;
/// Is this configuration valid, and can this host do it?
#[derive(Debug, Args)]
pub(super) struct Arguments {}
pub(super) fn execute(_: Arguments) -> Result<ExitCode, Failure> {
    Ok(ExitCode::SUCCESS)
}
