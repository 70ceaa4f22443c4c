//! The table on the terminal. Rows stream, so widths are fixed; a value that needs more pushes its own line only.

use super::append;
use crate::flow::ConnState;
use crate::sink::{Row, Timestamp};

/// Wide enough for `192.168.100.200:65535`; an IPv6 endpoint takes what it needs.
const ENDPOINT: usize = 24;

/// Appends the heading.
pub(super) fn header(line: &mut Vec<u8>) {
    append(
        line,
        format_args!(
            "{:<23} {:>9} {:<6} {:<ENDPOINT$} {:<ENDPOINT$} {:>11} {:>13} {:<6} {:<8} HISTORY\n",
            "START (UTC)", "DURATION", "PROTO", "ORIGINATOR", "RESPONDER", "PACKETS", "BYTES", "STATE", "END",
        ),
    );
}

/// Appends one row; packets and bytes stand as originator/responder.
pub(super) fn row(line: &mut Vec<u8>, row: &Row<'_>, colour: bool) {
    let r = &row.record;
    let start = Timestamp::from_ns(r.start_ns);
    let (day, time) = (start.as_str().get(..10).unwrap_or(""), start.as_str().get(11..23).unwrap_or(""));
    let (originator, responder) = endpoints(row);
    let packets = format!("{}/{}", human(r.src_packets), human(r.dst_packets));
    let bytes = format!("{}/{}", human(r.src_bytes), human(r.dst_bytes));
    let duration = duration(r.end_ns.saturating_sub(r.start_ns));
    append(line, format_args!("{day} {time} {duration:>9} {:<6} ", protocol(r.proto)));
    append(line, format_args!("{originator:<ENDPOINT$} {responder:<ENDPOINT$} {packets:>11} {bytes:>13} "));
    let (on, off) = if colour { state_colour(r.conn_state) } else { ("", "") };
    append(line, format_args!("{on}{:<6}{off} {:<8} ", r.conn_state.as_str(), r.end_reason.as_str()));
    append(line, format_args!("{}\n", r.history.as_str()));
}

/// Both endpoints; ICMP has a type and a code where others have ports, and some protocols have neither.
fn endpoints(row: &Row<'_>) -> (String, String) {
    let r = &row.record;
    match r.proto {
        1 | 58 => (r.src_ip.to_string(), format!("{} {}/{}", r.dst_ip, r.src_port, r.dst_port)),
        _ if r.src_port == 0 && r.dst_port == 0 => (r.src_ip.to_string(), r.dst_ip.to_string()),
        _ => {
            let endpoint = |ip, port| std::net::SocketAddr::new(ip, port).to_string();
            (endpoint(r.src_ip, r.src_port), endpoint(r.dst_ip, r.dst_port))
        }
    }
}

fn protocol(proto: u8) -> String {
    let name = match proto {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        58 => "icmp6",
        89 => "ospf",
        132 => "sctp",
        _ => return proto.to_string(),
    };
    name.to_owned()
}

/// A count in at most five characters: exact below 10,000, then three digits and a decimal unit.
fn human(value: u64) -> String {
    if value < 10_000 {
        return value.to_string();
    }
    let mut scaled = value as f64;
    for unit in ["k", "M", "G", "T", "P", "E"] {
        scaled /= 1_000.0;
        if scaled < 9.95 {
            return format!("{scaled:.1}{unit}");
        }
        if scaled < 999.5 || unit == "E" {
            return format!("{scaled:.0}{unit}");
        }
    }
    value.to_string()
}

fn duration(ns: i64) -> String {
    let seconds = ns.max(0) / 1_000_000_000;
    match seconds {
        0..=59 => format!("{:.3}s", ns.max(0) as f64 / 1e9),
        60..=3_599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// Green for what ended as it should, yellow for what goes on or stays half, red for refused or reset.
fn state_colour(state: ConnState) -> (&'static str, &'static str) {
    let on = match state {
        ConnState::SF => "\x1b[32m",
        ConnState::Rej | ConnState::Rsto | ConnState::Rstr | ConnState::Rstos0 | ConnState::Rstrh => "\x1b[31m",
        ConnState::S0 | ConnState::S2 | ConnState::S3 | ConnState::Sh | ConnState::Shr => "\x1b[33m",
        ConnState::S1 | ConnState::Oth => return ("", ""),
    };
    (on, "\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;

    fn text(colour: bool, change: impl FnOnce(&mut crate::flow::FlowRecord)) -> String {
        let mut record = record();
        change(&mut record);
        let mut line = Vec::new();
        row(&mut line, &Row::new("edge", &record, 0), colour);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_row_stands_under_its_heading() {
        let mut heading = Vec::new();
        header(&mut heading);
        let heading = String::from_utf8(heading).unwrap();
        let line = text(false, |_| {});
        for (title, value) in
            [("ORIGINATOR", "192.0.2.1:50000"), ("RESPONDER", "198.51.100.2:443"), ("HISTORY", "ShADadFf")]
        {
            assert_eq!(heading.find(title), line.find(value), "{heading}{line}");
        }
        assert!(line.starts_with("2026-11-27 15:49:33.123    1.500s tcp "), "{line}");
        assert!(line.contains(" 10/12      1000/20k SF     fin "), "{line}");
    }

    #[test]
    fn ports_and_icmp_types_and_ipv6_read_as_the_field_writes_them() {
        let v6 = text(false, |r| (r.src_ip, r.dst_ip) = ("2001:db8::1".parse().unwrap(), "::1".parse().unwrap()));
        assert!(v6.contains(" [2001:db8::1]:50000 ") && v6.contains(" [::1]:443 "), "{v6}");
        let icmp = text(false, |r| (r.proto, r.src_port, r.dst_port) = (1, 8, 0));
        assert!(icmp.contains(" icmp   192.0.2.1 ") && icmp.contains(" 198.51.100.2 8/0 "), "{icmp}");
        assert!(text(false, |r| (r.proto, r.src_port, r.dst_port) = (47, 0, 0)).contains(" gre    192.0.2.1  "));
    }

    #[test]
    fn colour_is_there_only_when_it_is_asked_for() {
        assert!(!text(false, |_| {}).contains('\x1b'));
        assert!(text(true, |_| {}).contains("\x1b[32mSF    \x1b[0m"));
    }

    #[test]
    fn big_numbers_stay_short() {
        let cases =
            [(0, "0"), (9_999, "9999"), (10_000, "10k"), (999_499, "999k"), (999_500, "1.0M"), (u64::MAX, "18E")];
        for (value, expected) in cases {
            assert_eq!(human(value), expected);
        }
        assert_eq!(
            (duration(-5), duration(61_000_000_000), duration(7_380_000_000_000)),
            ("0.000s".into(), "1m01s".into(), "2h03m".into())
        );
    }
}
