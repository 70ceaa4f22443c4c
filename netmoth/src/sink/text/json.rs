//! One JSON object a line, every column under its own name, `null` where there is nothing.

use super::append;
use crate::sink::{Row, Timestamp};

/// Appends one row and a line feed.
pub(super) fn row(line: &mut Vec<u8>, row: &Row<'_>) {
    let r = &row.record;
    line.extend_from_slice(b"{\"sensor\":");
    string(line, row.sensor);
    let (start, end) = (Timestamp::from_ns(r.start_ns), Timestamp::from_ns(r.end_ns));
    append(line, format_args!(",\"flow_id\":{},\"part\":{}", r.flow_id, r.part));
    append(line, format_args!(",\"start_time\":\"{start}\",\"end_time\":\"{end}\""));
    append(line, format_args!(",\"src_ip\":\"{}\",\"src_port\":{}", r.src_ip, r.src_port));
    append(line, format_args!(",\"dst_ip\":\"{}\",\"dst_port\":{},\"proto\":{}", r.dst_ip, r.dst_port, r.proto));
    optional(line, "vlan_id", r.vlan_id.map(u64::from));
    optional(line, "inner_vlan_id", r.inner_vlan_id.map(u64::from));
    match r.tunnel {
        Some(tunnel) => append(line, format_args!(",\"tunnel\":\"{}\"", tunnel.as_str())),
        None => line.extend_from_slice(b",\"tunnel\":null"),
    }
    optional(line, "tunnel_id", r.tunnel_id.map(u64::from));
    append(line, format_args!(",\"src_packets\":{},\"dst_packets\":{}", r.src_packets, r.dst_packets));
    append(line, format_args!(",\"src_bytes\":{},\"dst_bytes\":{}", r.src_bytes, r.dst_bytes));
    append(line, format_args!(",\"src_payload_bytes\":{}", r.src_payload_bytes));
    append(line, format_args!(",\"dst_payload_bytes\":{}", r.dst_payload_bytes));
    append(line, format_args!(",\"src_tcp_flags\":{},\"dst_tcp_flags\":{}", r.src_tcp_flags, r.dst_tcp_flags));
    // Words and letters of a record are ASCII letters, digits and `^`: nothing in them needs escaping.
    append(line, format_args!(",\"conn_state\":\"{}\",\"history\":", r.conn_state.as_str()));
    string(line, r.history.as_str());
    optional(line, "tcp_rtt_us", r.tcp_rtt_us.map(u64::from));
    append(line, format_args!(",\"src_retransmits\":{},\"dst_retransmits\":{}", r.src_retransmits, r.dst_retransmits));
    append(line, format_args!(",\"community_id\":\"{}\"", row.community_id.as_str()));
    append(line, format_args!(",\"end_reason\":\"{}\"}}\n", r.end_reason.as_str()));
}

fn optional(line: &mut Vec<u8>, name: &str, value: Option<u64>) {
    match value {
        Some(value) => append(line, format_args!(",\"{name}\":{value}")),
        None => append(line, format_args!(",\"{name}\":null")),
    }
}

/// A string with what RFC 8259 §7 wants escaped.
fn string(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    for character in text.chars() {
        match character {
            '"' => line.extend_from_slice(b"\\\""),
            '\\' => line.extend_from_slice(b"\\\\"),
            '\0'..='\u{1f}' => append(line, format_args!("\\u{:04x}", u32::from(character))),
            _ => append(line, format_args!("{character}")),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::COLUMNS;
    use crate::sink::row::tests::record;

    fn parsed(sensor: &str, record: &crate::flow::FlowRecord) -> serde_json::Value {
        let mut line = Vec::new();
        row(&mut line, &Row::new(sensor, record, 0));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&line).expect("a JSON object")
    }

    #[test]
    fn a_line_is_one_object_with_exactly_the_columns() {
        let value = parsed("edge", &record());
        let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns = COLUMNS.to_vec();
        names.sort_unstable();
        columns.sort_unstable();
        assert_eq!(names, columns);
        assert_eq!(value["start_time"], "2026-11-27T15:49:33.123456789Z");
        assert_eq!((&value["tunnel"], &value["tunnel_id"]), (&"vxlan".into(), &99.into()));
        assert!(value["inner_vlan_id"].is_null());
    }

    #[test]
    fn names_with_quotes_and_control_characters_and_big_counters_survive() {
        let mut big = record();
        big.src_bytes = u64::MAX;
        let value = parsed("a\"b\\c\n\u{1}ü", &big);
        assert_eq!(value["sensor"], "a\"b\\c\n\u{1}ü");
        assert_eq!(value["src_bytes"], u64::MAX);
    }
}
