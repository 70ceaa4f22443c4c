//! How a report is printed, and how a cargo bench is told.

use clap::ValueEnum;
use thiserror::Error;

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// An aligned table for a person
    #[default]
    Table,
    /// One JSON object on one line
    Json,
}

/// A cargo bench was called with something that it does not know.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{problem}; after `--`, a benchmark takes --format table or --format json: cargo bench --bench NAME -- --format json"
)]
pub struct UnknownArgument {
    problem: String,
}

impl Format {
    /// The format that this cargo bench is asked for: `cargo bench --bench NAME -- --format json`.
    ///
    /// # Errors
    /// Where the command line holds anything else (but `--bench`, which cargo adds).
    pub fn from_arguments() -> Result<Self, UnknownArgument> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UnknownArgument> {
        let mut arguments = arguments.into_iter();
        let mut format = Self::default();
        while let Some(argument) = arguments.next() {
            format = match argument.split_once('=') {
                Some(("--format", value)) => Self::named(value)?,
                _ if argument == "--format" => match arguments.next() {
                    Some(value) => Self::named(&value)?,
                    None => return Err(UnknownArgument { problem: "--format lacks its value".into() }),
                },
                _ if argument == "--bench" => format,
                _ => return Err(UnknownArgument { problem: format!("unknown argument {argument:?}") }),
            };
        }
        Ok(format)
    }

    fn named(value: &str) -> Result<Self, UnknownArgument> {
        Self::from_str(value, false).map_err(|_| UnknownArgument { problem: format!("unknown format {value:?}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Format, String> {
        Format::parse(arguments.iter().map(|&argument| argument.to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_cargo_bench_is_told_by_its_arguments() {
        assert_eq!(parse(&[]), Ok(Format::Table));
        assert_eq!(parse(&["--bench"]), Ok(Format::Table));
        assert_eq!(parse(&["--format", "json", "--bench"]), Ok(Format::Json));
        assert_eq!(parse(&["--format=table", "--bench"]), Ok(Format::Table));
    }

    #[test]
    fn what_it_does_not_know_is_refused_with_what_it_takes() {
        for (arguments, word) in [
            (&["--format", "xml"][..], "\"xml\""),
            (&["--format"], "lacks its value"),
            (&["--jsno"], "\"--jsno\""),
            (&["fast"], "\"fast\""),
        ] {
            let refused = parse(arguments).unwrap_err();
            assert!(refused.contains(word) && refused.contains("--format json"), "{refused}");
        }
    }
}
