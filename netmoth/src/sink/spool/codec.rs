//! A record as bytes on disk, and back. Little-endian, field by field, in the order of the record.

use std::net::IpAddr;

use crate::flow::{ConnState, EndReason, FlowRecord, History};
use crate::sink::row;
use crate::wire::Tunnel;

/// A 16-bit value that stands for none; VLAN identifiers have 12 bits.
const NO_VLAN: u16 = u16::MAX;

/// Appends one record.
pub(super) fn encode(out: &mut Vec<u8>, record: &FlowRecord) {
    let r = record;
    out.extend(r.flow_id.to_le_bytes());
    out.extend(r.part.to_le_bytes());
    out.extend(r.start_ns.to_le_bytes());
    out.extend(r.end_ns.to_le_bytes());
    address(out, r.src_ip);
    address(out, r.dst_ip);
    for word in [r.src_port, r.dst_port, r.vlan_id.unwrap_or(NO_VLAN), r.inner_vlan_id.unwrap_or(NO_VLAN)] {
        out.extend(word.to_le_bytes());
    }
    out.extend([r.proto, r.src_tcp_flags, r.dst_tcp_flags, r.conn_state as u8, r.end_reason as u8]);
    out.push(r.tunnel.map_or(0, |tunnel| tunnel as u8 + 1));
    optional(out, r.tunnel_id);
    optional(out, r.tcp_rtt_us);
    for count in [r.src_packets, r.dst_packets, r.src_bytes, r.dst_bytes, r.src_payload_bytes, r.dst_payload_bytes] {
        out.extend(count.to_le_bytes());
    }
    out.extend(r.src_retransmits.to_le_bytes());
    out.extend(r.dst_retransmits.to_le_bytes());
    let letters = r.history.as_str().as_bytes();
    out.push(letters.len() as u8);
    out.extend(letters);
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.push(4);
            out.extend(address.octets());
        }
        IpAddr::V6(address) => {
            out.push(6);
            out.extend(address.octets());
        }
    }
}

fn optional(out: &mut Vec<u8>, value: Option<u32>) {
    out.push(u8::from(value.is_some()));
    out.extend(value.unwrap_or(0).to_le_bytes());
}

/// Bytes that are read from the front; every read that finds too few gives none.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.u8()? {
            4 => self.array::<4>().map(IpAddr::from),
            6 => self.array::<16>().map(IpAddr::from),
            _ => None,
        }
    }

    fn vlan(&mut self) -> Option<Option<u16>> {
        self.u16().map(|word| (word != NO_VLAN).then_some(word))
    }

    fn optional(&mut self) -> Option<Option<u32>> {
        let there = self.u8()?;
        let value = self.u32()?;
        (there <= 1).then_some((there == 1).then_some(value))
    }
}

/// Reads one record; none where the bytes are not one.
pub(super) fn decode(from: &mut Reader<'_>) -> Option<FlowRecord> {
    let (flow_id, part) = (from.i64()?, from.u32()?);
    let (start_ns, end_ns) = (from.i64()?, from.i64()?);
    let (src_ip, dst_ip) = (from.address()?, from.address()?);
    let (src_port, dst_port) = (from.u16()?, from.u16()?);
    let (vlan_id, inner_vlan_id) = (from.vlan()?, from.vlan()?);
    let [proto, src_tcp_flags, dst_tcp_flags, state, reason, tunnel] = from.array()?;
    let tunnel = match tunnel {
        0 => None,
        code => Some(*Tunnel::ALL.get(usize::from(code) - 1)?),
    };
    let (tunnel_id, tcp_rtt_us) = (from.optional()?, from.optional()?);
    let (src_packets, dst_packets) = (from.u64()?, from.u64()?);
    let (src_bytes, dst_bytes) = (from.u64()?, from.u64()?);
    let (src_payload_bytes, dst_payload_bytes) = (from.u64()?, from.u64()?);
    let (src_retransmits, dst_retransmits) = (from.u32()?, from.u32()?);
    let letters = usize::from(from.u8()?);
    let history: History = row::history(std::str::from_utf8(from.bytes(letters)?).ok()?)?;
    Some(FlowRecord {
        flow_id,
        part,
        start_ns,
        end_ns,
        src_ip,
        dst_ip,
        src_port,
        dst_port,
        proto,
        vlan_id,
        inner_vlan_id,
        tunnel,
        tunnel_id,
        src_packets,
        dst_packets,
        src_bytes,
        dst_bytes,
        src_payload_bytes,
        dst_payload_bytes,
        src_tcp_flags,
        dst_tcp_flags,
        conn_state: *ConnState::ALL.get(usize::from(state))?,
        history,
        tcp_rtt_us,
        src_retransmits,
        dst_retransmits,
        end_reason: *EndReason::ALL.get(usize::from(reason))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;

    #[test]
    fn a_record_comes_back_as_it_went_and_every_cut_is_noticed() {
        let mut other = record();
        (other.src_ip, other.vlan_id, other.inner_vlan_id) = ("2001:db8::1".parse().unwrap(), None, Some(0));
        (other.tunnel, other.tunnel_id, other.tcp_rtt_us) = (Some(Tunnel::Ayiya), None, None);
        (other.src_bytes, other.end_ns, other.part) = (u64::MAX, i64::MIN, u32::MAX);
        for record in [record(), other] {
            let mut bytes = Vec::new();
            encode(&mut bytes, &record);
            let mut reader = Reader(&bytes);
            assert_eq!(decode(&mut reader), Some(record));
            assert!(reader.0.is_empty());
            assert!((0..bytes.len()).all(|cut| decode(&mut Reader(&bytes[..cut])).is_none()));
        }
    }
}
