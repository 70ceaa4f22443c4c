//! PostgreSQL's binary COPY format, straight from records into one reused buffer.
//!
//! Source: PostgreSQL's documentation, "COPY", section "Binary Format", and the `*_recv` functions of its types.

use std::net::IpAddr;

use crate::sink::{COLUMNS, Row};

/// Signature, flags (none), and the length of the header's extension (none).
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field count of −1 ends the data.
const TRAILER: &[u8] = &(-1_i16).to_be_bytes();
/// PostgreSQL counts from 2000-01-01, in microseconds.
const EPOCH_2000_US: i64 = 946_684_800_000_000;
/// `PGSQL_AF_INET` and `PGSQL_AF_INET6`.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 3;

/// Begins the data.
pub(super) fn header(out: &mut Vec<u8>) {
    out.extend_from_slice(HEADER);
}

/// Ends the data.
pub(super) fn trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(TRAILER);
}

/// Appends one row in the order of [`COLUMNS`]. Nanoseconds are cut to the microseconds that `timestamptz` holds (towards the past).
/// A value above its column's range is stored as the greatest one in range.
pub(super) fn row(out: &mut Vec<u8>, row: &Row<'_>) {
    let r = &row.record;
    out.extend_from_slice(&(COLUMNS.len() as i16).to_be_bytes());
    text(out, row.sensor);
    int8(out, r.flow_id);
    int4(out, r.part);
    timestamp(out, r.start_ns);
    timestamp(out, r.end_ns);
    inet(out, r.src_ip);
    int4(out, u32::from(r.src_port));
    inet(out, r.dst_ip);
    int4(out, u32::from(r.dst_port));
    int2(out, u16::from(r.proto));
    optional(out, r.vlan_id, int2);
    optional(out, r.inner_vlan_id, int2);
    optional(out, r.tunnel, |out, tunnel| text(out, tunnel.as_str()));
    optional(out, r.tunnel_id, |out, id| count(out, u64::from(id)));
    count(out, r.src_packets);
    count(out, r.dst_packets);
    count(out, r.src_bytes);
    count(out, r.dst_bytes);
    count(out, r.src_payload_bytes);
    count(out, r.dst_payload_bytes);
    int2(out, u16::from(r.src_tcp_flags));
    int2(out, u16::from(r.dst_tcp_flags));
    text(out, r.conn_state.as_str());
    text(out, r.history.as_str());
    optional(out, r.tcp_rtt_us, int4);
    int4(out, r.src_retransmits);
    int4(out, r.dst_retransmits);
    text(out, row.community_id.as_str());
    text(out, r.end_reason.as_str());
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn text(out: &mut Vec<u8>, text: &str) {
    field(out, text.as_bytes());
}

fn int8(out: &mut Vec<u8>, value: i64) {
    field(out, &value.to_be_bytes());
}

fn count(out: &mut Vec<u8>, value: u64) {
    int8(out, i64::try_from(value).unwrap_or(i64::MAX));
}

fn int4(out: &mut Vec<u8>, value: u32) {
    field(out, &i32::try_from(value).unwrap_or(i32::MAX).to_be_bytes());
}

fn int2(out: &mut Vec<u8>, value: u16) {
    field(out, &i16::try_from(value).unwrap_or(i16::MAX).to_be_bytes());
}

fn timestamp(out: &mut Vec<u8>, ns: i64) {
    int8(out, ns.div_euclid(1_000) - EPOCH_2000_US);
}

/// Family, prefix bits, is-cidr, length, address.
fn inet(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.extend_from_slice(&[0, 0, 0, 8, AF_INET, 32, 0, 4]);
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out.extend_from_slice(&[0, 0, 0, 20, AF_INET6, 128, 0, 16]);
            out.extend_from_slice(&address.octets());
        }
    }
}

/// A length of −1 is NULL.
fn optional<T>(out: &mut Vec<u8>, value: Option<T>, encode: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => encode(out, value),
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;

    fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out);
        out
    }

    #[test]
    fn each_type_has_its_documented_bytes() {
        assert_eq!(bytes(|out| text(out, "SF")), b"\0\0\0\x02SF");
        assert_eq!(bytes(|out| int8(out, -2)), b"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xfe");
        assert_eq!(bytes(|out| int4(out, 50_000)), b"\0\0\0\x04\0\0\xc3\x50");
        assert_eq!(bytes(|out| int4(out, u32::MAX)), b"\0\0\0\x04\x7f\xff\xff\xff");
        assert_eq!(bytes(|out| count(out, u64::MAX)), b"\0\0\0\x08\x7f\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(bytes(|out| int2(out, 4_095)), b"\0\0\0\x02\x0f\xff");
        assert_eq!(bytes(|out| optional(out, None, int2)), b"\xff\xff\xff\xff");
        assert_eq!(bytes(|out| inet(out, "192.0.2.1".parse().unwrap())), b"\0\0\0\x08\x02\x20\0\x04\xc0\0\x02\x01");
        let v6 = bytes(|out| inet(out, "2001:db8::1".parse().unwrap()));
        assert_eq!(v6, b"\0\0\0\x14\x03\x80\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01");
    }

    #[test]
    fn times_count_microseconds_from_2000_and_are_cut_towards_the_past() {
        assert_eq!(bytes(|out| timestamp(out, 946_684_800_000_001_999)), b"\0\0\0\x08\0\0\0\0\0\0\0\x01");
        assert_eq!(bytes(|out| timestamp(out, 946_684_799_999_999_999)), b"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff");
    }

    #[test]
    fn a_row_has_as_many_fields_as_columns_and_nothing_after_them() {
        let mut out = Vec::new();
        row(&mut out, &Row::new("edge", &record(), 0));
        assert_eq!(out[..2], (COLUMNS.len() as i16).to_be_bytes());
        let (mut at, mut fields) = (2, 0);
        while at < out.len() {
            let len = i32::from_be_bytes(out[at..at + 4].try_into().unwrap());
            at += 4 + usize::try_from(len.max(0)).unwrap();
            fields += 1;
        }
        assert_eq!((at, fields), (out.len(), COLUMNS.len()));
    }

    #[test]
    fn header_and_trailer_are_the_documented_ones() {
        assert_eq!(bytes(header), b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        assert_eq!(bytes(trailer), b"\xff\xff");
    }
}
