//! Log lines on standard error: as journald wants them under systemd, as a person does elsewhere.

use std::io::Write;

use env_logger::{Builder, Env, Target};
use log::{Level, LevelFilter};

/// Starts logging. `RUST_LOG` sets levels as usual; `NETMOTH_DEBUG=1` turns debug lines on.
pub fn start() {
    let default = if std::env::var("NETMOTH_DEBUG").is_ok_and(|value| value == "1") { "debug" } else { "info" };
    let mut builder = Builder::from_env(Env::default().default_filter_or(default));
    builder.target(Target::Stderr);
    // sqlx reports each slow or odd statement; what matters of it comes as an error of the store.
    builder.filter_module("sqlx", LevelFilter::Error);
    // systemd sets it where standard error goes to the journal: it adds time and unit by itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.format(|out, record| writeln!(out, "<{}>{}", priority(record.level()), record.args()));
    } else {
        builder.format_target(false);
        builder.format_timestamp_millis();
    }
    builder.init();
}

/// syslog(3) priorities, which journald reads in angle brackets (sd-daemon(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_become_syslog_priorities() {
        assert_eq!([Level::Error, Level::Warn, Level::Info, Level::Debug].map(priority), [3, 4, 6, 7]);
    }
}
