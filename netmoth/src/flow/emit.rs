//! From an entry to the record of its current part.

use super::entry::{Cold, Entry, NO_RTT};
use super::history::{self, Letter};
use super::key::Key;
use super::odd::Odd;
use super::record::{ConnState, EndReason, FlowRecord, History};
use super::table::{TCP, UDP};
use crate::wire::NO_VLAN;

/// The record of an entry's current part.
pub(super) fn record(hot: &Entry, cold: &Cold, odd: Option<&Odd>, reason: EndReason) -> FlowRecord {
    let originator = hot.originator();
    let responder = 1 - originator;
    let (vlan, inner_vlan) = hot.key.vlans();
    let mut record = FlowRecord {
        flow_id: cold.flow_id,
        part: hot.part,
        start_ns: hot.start_ns,
        end_ns: hot.last_ns,
        src_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
        dst_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
        src_port: 0,
        dst_port: 0,
        proto: hot.key.protocol(),
        vlan_id: (vlan != NO_VLAN).then_some(vlan),
        inner_vlan_id: (inner_vlan != NO_VLAN).then_some(inner_vlan),
        tunnel: odd.and_then(|odd| odd.tunnel),
        tunnel_id: odd.and_then(|odd| odd.tunnel_id),
        src_packets: u64::from(hot.packets[originator]),
        dst_packets: u64::from(hot.packets[responder]),
        src_bytes: hot.bytes(originator),
        dst_bytes: hot.bytes(responder),
        src_payload_bytes: hot.payload(originator),
        dst_payload_bytes: hot.payload(responder),
        src_tcp_flags: hot.flags[originator],
        dst_tcp_flags: hot.flags[responder],
        conn_state: ConnState::Oth,
        history: History::EMPTY,
        tcp_rtt_us: (hot.rtt_us != NO_RTT).then_some(hot.rtt_us),
        src_retransmits: odd.map_or(0, |odd| odd.repeated[originator]),
        dst_retransmits: odd.map_or(0, |odd| odd.repeated[responder]),
        end_reason: reason,
    };
    history::unpack(&cold.letters, &mut record.history);
    record.conn_state = conn_state(hot, &record.history);
    fill_ends(&mut record, &hot.key, originator);
    record
}

fn conn_state(hot: &Entry, history: &History) -> ConnState {
    let originator = hot.originator();
    let sent = |side: usize| hot.seen[side] & Letter::Data.bit() != 0;
    match hot.key.protocol() {
        TCP => hot.sides().conn_state(originator, sent(0) || sent(1), || history.as_str()),
        UDP => match (sent(originator), sent(1 - originator)) {
            (true, true) => ConnState::SF,
            (true, false) => ConnState::S0,
            (false, true) => ConnState::Shr,
            (false, false) => ConnState::Oth,
        },
        _ => ConnState::Oth,
    }
}

/// Addresses and ports of a record.
fn fill_ends(record: &mut FlowRecord, key: &Key, originator: usize) {
    let responder = 1 - originator;
    let ip = |side| {
        let address = key.address(side);
        if key.is_v4() {
            std::net::IpAddr::from([address[12], address[13], address[14], address[15]])
        } else {
            std::net::IpAddr::from(address)
        }
    };
    record.src_ip = ip(originator);
    record.dst_ip = ip(responder);
    record.src_port = key.port(originator);
    record.dst_port = key.dst_port(responder);
}
