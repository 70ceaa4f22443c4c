//! CSV after RFC 4180: a header line, CRLF line ends, empty fields for what is not there.

use super::append;
use crate::sink::{COLUMNS, Row, Timestamp};
use crate::wire::Tunnel;

/// Appends the names of the columns.
pub(super) fn header(line: &mut Vec<u8>) {
    line.extend_from_slice(COLUMNS.join(",").as_bytes());
    line.extend_from_slice(b"\r\n");
}

/// Appends one row.
pub(super) fn row(line: &mut Vec<u8>, row: &Row<'_>) {
    let r = &row.record;
    field(line, row.sensor);
    let (start, end) = (Timestamp::from_ns(r.start_ns), Timestamp::from_ns(r.end_ns));
    append(line, format_args!(",{},{},{start},{end}", r.flow_id, r.part));
    append(line, format_args!(",{},{},{},{},{}", r.src_ip, r.src_port, r.dst_ip, r.dst_port, r.proto));
    optional(line, r.vlan_id.map(u64::from));
    optional(line, r.inner_vlan_id.map(u64::from));
    append(line, format_args!(",{}", r.tunnel.map_or("", Tunnel::as_str)));
    optional(line, r.tunnel_id.map(u64::from));
    append(line, format_args!(",{},{},{},{}", r.src_packets, r.dst_packets, r.src_bytes, r.dst_bytes));
    append(line, format_args!(",{},{}", r.src_payload_bytes, r.dst_payload_bytes));
    append(line, format_args!(",{},{},{},", r.src_tcp_flags, r.dst_tcp_flags, r.conn_state.as_str()));
    field(line, r.history.as_str());
    optional(line, r.tcp_rtt_us.map(u64::from));
    append(line, format_args!(",{},{}", r.src_retransmits, r.dst_retransmits));
    append(line, format_args!(",{},{}\r\n", row.community_id.as_str(), r.end_reason.as_str()));
}

fn optional(line: &mut Vec<u8>, value: Option<u64>) {
    match value {
        Some(value) => append(line, format_args!(",{value}")),
        None => line.push(b','),
    }
}

/// A field, quoted where RFC 4180 §2.6 wants it.
fn field(line: &mut Vec<u8>, text: &str) {
    if text.contains([',', '"', '\r', '\n']) {
        append(line, format_args!("\"{}\"", text.replace('"', "\"\"")));
    } else {
        line.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;

    #[test]
    fn a_row_has_a_field_for_every_column() {
        let mut line = Vec::new();
        row(&mut line, &Row::new("edge", &record(), 0));
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.split(',').count(), COLUMNS.len());
        assert!(line.starts_with("edge,42,1,2026-11-27T15:49:33.123456789Z,"));
        assert!(line.contains(",7,,vxlan,99,10,12,1000,20000,480,19376,27,27,SF,ShADadFf,1234,1,0,1:"));
        assert!(line.ends_with("=,fin\r\n"));
    }

    #[test]
    fn a_name_with_commas_and_quotes_is_quoted() {
        let mut line = Vec::new();
        row(&mut line, &Row::new("a,\"b\"", &record(), 0));
        assert!(line.starts_with(b"\"a,\"\"b\"\"\",42,"));
    }
}
