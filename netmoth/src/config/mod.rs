//! The configuration file: strict YAML. What it does not know it refuses, with file, key and line.

mod lines;
mod schema;
mod validate;

use std::fmt;
use std::path::{Path, PathBuf};

pub use schema::{Config, FrameSize, Postgres, Timeouts, WriterSection, XdpModeKey};

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, from 1; `None` where the problem has no line (a key that is missing).
    pub line: Option<usize>,
    /// The key, with its section: `postgres.host`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration {path} can't be read: {cause}; name another with -c, or copy config_ebpf.yml there")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It was read and makes no sense.
    #[error("{}", list(.path, .problems))]
    Invalid {
        /// Its path.
        path: PathBuf,
        /// All that is wrong.
        problems: Vec<Problem>,
    },
}

fn list(path: &Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}{problem}", path.display())).collect();
    lines.join("\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.key, self.message)
    }
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// A file that can't be read, or everything that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.into(), cause })?;
        Self::parse(&text).map_err(|problems| ConfigError::Invalid { path: path.into(), problems })
    }

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let config = if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            Self::default()
        } else {
            serde_yaml::from_str(text).map_err(|error| vec![lines::problem(text, &error)])?
        };
        let problems = validate::problems(&config, text);
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests;
