//! The clock: the time that records carry, and what a look at it costs.

use super::{Check, Facts};

/// 2024-01-01: nothing of this is older.
const EARLIEST_NS: i64 = 1_704_067_200_000_000_000;

pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    std::iter::once(time(facts)).chain(source(facts)).collect()
}

fn time(facts: &Facts) -> Check {
    if facts.wall_ns < EARLIEST_NS {
        return Check::warn(
            "clock",
            "the clock is before 2024, and records would carry its time",
            "set it, best by NTP: timedatectl set-ntp true",
        );
    }
    let now = crate::sink::Timestamp::from_ns(facts.wall_ns);
    let now = now.as_str();
    match facts.clock.synchronised {
        Some(true) => Check::ok("clock", format!("{now}, kept right by NTP")),
        None => Check::ok("clock", format!("{now}; the kernel does not say whether NTP keeps it right")),
        Some(false) => Check::warn(
            "clock",
            format!("{now}, and nothing keeps it right: times of records drift from those of other hosts"),
            "timedatectl set-ntp true, or install chrony; in a container, on its host",
        ),
    }
}

fn source(facts: &Facts) -> Option<Check> {
    let source = facts.clock.source.as_deref()?;
    Some(if facts.clock.slow() {
        Check::warn(
            "clock source",
            format!("{source}: each look at the clock is a system call and asks a slow device"),
            "see why the kernel left tsc (dmesg | grep -i tsc); if it is offered, \
             echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
        )
    } else {
        Check::ok("clock source", source)
    })
}
