//! Log lines on standard error: as journald wants them under systemd, as a person does elsewhere.

use std::io::Write;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};

/// Starts logging. `RUST_LOG` sets levels as usual; `NETMOTH_DEBUG=1` turns debug lines on.
pub fn start() {
    let mut builder = Builder::new();
    builder.filter_level(if debug_wanted() { LevelFilter::Debug } else { LevelFilter::Info });
    // sqlx reports each slow or odd statement and aya each step of a relocation; what matters of it comes as an error of
    // ours. Whoever wants theirs names them in RUST_LOG, which is read last and wins.
    for (module, level) in [("sqlx", LevelFilter::Error), ("aya", LevelFilter::Warn), ("aya_obj", LevelFilter::Warn)] {
        builder.filter_module(module, level);
    }
    builder.parse_default_env();
    builder.target(Target::Stderr);
    // systemd sets it where standard error goes to the journal: it adds time and unit by itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.format(|out, record| writeln!(out, "<{}>{}", priority(record.level()), record.args()));
    } else {
        builder.format_target(false);
        builder.format_timestamp_millis();
    }
    builder.init();
}

fn debug_wanted() -> bool {
    std::env::var("NETMOTH_DEBUG").is_ok_and(|value| value == "1")
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
