//! What the types allow and the product doesn't: ranges, contradictions, features that are not there.

use super::lines::line_of;
use super::{Config, Problem};
use crate::capture::Strategy;
use crate::filter::Filter;

/// Seconds in a week: the longest timeout that the flow table's clock tells apart.
const WEEK: u64 = 7 * 24 * 3600;
/// In days: whoever wants to keep rows for longer keeps all of them.
const TEN_YEARS: u32 = 3_650;

pub(super) fn problems(config: &Config, text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut check = |fine: bool, key: &str, message: &str| {
        if !fine {
            found.push(Problem { line: line_of(text, key), key: key.into(), message: message.into() });
        }
    };
    features(config, &mut check);
    ranges(config, &mut check);
    found
}

fn features(config: &Config, check: &mut impl FnMut(bool, &str, &str)) {
    let copies = matches!(config.strategy, Strategy::AfPacket | Strategy::Pcap);
    check(!copies || config.queues.is_empty(), "queues", "only the strategy ebpf knows receive queues; remove it");
    check(
        !copies || config.busy_poll == 0,
        "busy_poll",
        "only the strategy ebpf can poll the driver; set busy_poll: 0",
    );
    if let Err(error) = Filter::of(&config.bpf) {
        check(false, "bpf", &format!("{error}; man pcap-filter describes the language"));
    }
    check(
        config.store.is_none() || config.postgres.is_none(),
        "store",
        "store and postgres are both given; keep the one to store in",
    );
    let interface = config.interface.as_deref();
    check(
        interface.is_none_or(|name| !name.trim().is_empty()),
        "interface",
        "is empty; name an interface (ip link lists them)",
    );
    // IFNAMSIZ is 16 with the terminating zero.
    check(interface.is_none_or(|name| name.len() < 16), "interface", "is longer than the 15 bytes that Linux allows");
    if let Some(postgres) = &config.postgres {
        for (value, key) in
            [(&postgres.user, "postgres.user"), (&postgres.db, "postgres.db"), (&postgres.host, "postgres.host")]
        {
            check(!value.is_empty(), key, "is empty; the server wants it");
        }
    }
}

fn ranges(config: &Config, check: &mut impl FnMut(bool, &str, &str)) {
    check((1..=64).contains(&config.number_of_rings), "number_of_rings", "must lie between 1 and 64");
    check((1..=64).contains(&config.max_cores), "max_cores", "must lie between 1 and 64");
    check((64..=262_144).contains(&config.snapshot_length), "snapshot_length", "must lie between 64 and 262144 bytes");
    let ring = config.ring_size;
    check(
        ring.is_power_of_two() && (64..=65_536).contains(&ring),
        "ring_size",
        "must be a power of two between 64 and 65536",
    );
    check(config.busy_poll <= 100_000, "busy_poll", "must lie between 0 (off) and 100000 microseconds");
    check(config.coalesce <= 1_000, "coalesce", "must lie between 0 (off) and 1000 microseconds");
    check((1024..=16_777_216).contains(&config.max_flows), "max_flows", "must lie between 1024 and 16777216");
    check(config.retention_days <= TEN_YEARS, "retention_days", "must lie between 0 (keep all) and 3650 days");
    let seconds = "must lie between 1 second and 604800 (a week)";
    for (value, key) in [
        (config.connection_timeout, "connection_timeout"),
        (config.active_timeout, "active_timeout"),
        (config.timeouts.tcp_attempt, "timeouts.tcp_attempt"),
        (config.timeouts.tcp_closed, "timeouts.tcp_closed"),
        (config.timeouts.udp, "timeouts.udp"),
        (config.timeouts.icmp, "timeouts.icmp"),
        (config.timeouts.other, "timeouts.other"),
    ] {
        check((1..=WEEK).contains(&value), key, seconds);
    }
    check(
        (10..=60_000).contains(&config.writer.flush_interval_ms),
        "writer.flush_interval_ms",
        "must lie between 10 and 60000 milliseconds",
    );
    check(
        (1024..=100_000_000).contains(&config.writer.max_waiting_records),
        "writer.max_waiting_records",
        "must lie between 1024 and 100000000 records",
    );
    let spool = config.spool.max_bytes;
    check(
        spool == 0 || spool >= 64 << 20,
        "spool.max_bytes",
        "must be 0 (no spool) or at least 67108864 bytes (64 MiB)",
    );
    check(config.spool.path.as_deref() != Some(""), "spool.path", "is empty; name a folder, or leave it out");
    check(config.status_interval <= 86_400, "status_interval", "must lie between 0 (off) and 86400 seconds");
    let mut queues = config.queues.clone();
    queues.sort_unstable();
    check(queues.windows(2).all(|pair| pair[0] != pair[1]), "queues", "names a queue twice");
}
