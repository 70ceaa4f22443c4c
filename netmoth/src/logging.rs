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
    if journald(std::env::var("JOURNAL_STREAM").ok().as_deref(), stderr_identity()) {
        // It adds time and unit by itself.
        builder
            .format(|out, record| out.write_all(with_priority(record.level(), &record.args().to_string()).as_bytes()));
    } else {
        builder.format_target(false);
        builder.format_timestamp_millis();
    }
    builder.init();
}

/// Device and inode of standard error.
fn stderr_identity() -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/fd/2").ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether standard error goes to journald. `JOURNAL_STREAM` is `DEVICE:INODE` of the stream that it gave the service;
/// children whose output goes elsewhere, a terminal say, inherit the variable all the same (systemd.exec(5)).
fn journald(journal_stream: Option<&str>, stderr: Option<(u64, u64)>) -> bool {
    let stream = journal_stream.and_then(|stream| stream.split_once(':'));
    let stream = stream.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    stream.is_some() && stream == stderr
}

/// Each line of a message with its priority in front: journald makes an entry of every line.
fn with_priority(level: Level, message: &str) -> String {
    message.lines().map(|line| format!("<{}>{line}\n", priority(level))).collect()
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

    #[test]
    fn journald_is_known_by_its_own_stream_alone() {
        assert!(journald(Some("9:4711"), Some((9, 4711))));
        assert!(!journald(Some("9:4711"), Some((9, 4712))), "inherited, but standard error goes elsewhere");
        assert!(!journald(Some("nonsense"), None));
        assert!(!journald(None, Some((9, 4711))));
    }

    #[test]
    fn every_line_of_a_message_carries_its_priority() {
        assert_eq!(with_priority(Level::Warn, "a\nb"), "<4>a\n<4>b\n");
    }
}
