//! A row: a record with what is added where it is encoded, and the names of the columns.

use super::CommunityId;
use crate::flow::{ConnState, EndReason, FlowRecord, History};
use crate::wire::Tunnel;

/// The columns, in the order of every store and every format.
pub const COLUMNS: &[&str] = &[
    "sensor",
    "flow_id",
    "part",
    "start_time",
    "end_time",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "proto",
    "vlan_id",
    "inner_vlan_id",
    "tunnel",
    "tunnel_id",
    "src_packets",
    "dst_packets",
    "src_bytes",
    "dst_bytes",
    "src_payload_bytes",
    "dst_payload_bytes",
    "src_tcp_flags",
    "dst_tcp_flags",
    "conn_state",
    "history",
    "tcp_rtt_us",
    "src_retransmits",
    "dst_retransmits",
    "community_id",
    "end_reason",
];

/// One row on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The sensor's name.
    pub sensor: &'a str,
    /// The record.
    pub record: FlowRecord,
    /// The connection's Community ID.
    pub community_id: CommunityId,
}

impl<'a> Row<'a> {
    /// The row of a record; `seed` is the Community ID's.
    pub fn new(sensor: &'a str, record: &FlowRecord, seed: u16) -> Self {
        Self { sensor, record: *record, community_id: CommunityId::of(record, seed) }
    }
}

/// One row that a store gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The sensor's name.
    pub sensor: String,
    /// The record.
    pub record: FlowRecord,
    /// The connection's Community ID.
    pub community_id: CommunityId,
}

impl StoredRow {
    /// The row as the formats take it.
    pub fn as_row(&self) -> Row<'_> {
        Row { sensor: &self.sensor, record: self.record, community_id: self.community_id }
    }
}

/// The state of a word, as a store gave it back.
pub(crate) fn conn_state(word: &str) -> Option<ConnState> {
    ConnState::ALL.into_iter().find(|state| state.as_str() == word)
}

/// The reason of a word.
pub(crate) fn end_reason(word: &str) -> Option<EndReason> {
    EndReason::ALL.iter().copied().find(|reason| reason.as_str() == word)
}

/// The tunnel of a word.
pub(crate) fn tunnel(word: &str) -> Option<Tunnel> {
    Tunnel::ALL.into_iter().find(|tunnel| tunnel.as_str() == word)
}

/// The history of its letters; `None` where they are more than a record keeps, or not ASCII.
pub(crate) fn history(letters: &str) -> Option<History> {
    let mut history = History::EMPTY;
    letters.bytes().all(|letter| letter.is_ascii() && history.push(letter)).then_some(history)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record that fills every column.
    pub(crate) fn record() -> FlowRecord {
        FlowRecord {
            flow_id: 42,
            part: 1,
            start_ns: 1_795_794_573_123_456_789,
            end_ns: 1_795_794_574_623_456_789,
            src_ip: "192.0.2.1".parse().expect("an address"),
            dst_ip: "198.51.100.2".parse().expect("an address"),
            src_port: 50_000,
            dst_port: 443,
            proto: 6,
            vlan_id: Some(7),
            inner_vlan_id: None,
            tunnel: Some(Tunnel::Vxlan),
            tunnel_id: Some(99),
            src_packets: 10,
            dst_packets: 12,
            src_bytes: 1_000,
            dst_bytes: 20_000,
            src_payload_bytes: 480,
            dst_payload_bytes: 19_376,
            src_tcp_flags: 0x1b,
            dst_tcp_flags: 0x1b,
            conn_state: ConnState::SF,
            history: history("ShADadFf").expect("few letters"),
            tcp_rtt_us: Some(1_234),
            src_retransmits: 1,
            dst_retransmits: 0,
            end_reason: EndReason::Fin,
        }
    }

    #[test]
    fn every_word_of_a_record_is_understood_when_a_store_gives_it_back() {
        for word in "S0 S1 S2 S3 SF REJ RSTO RSTR RSTOS0 RSTRH SH SHR OTH".split(' ') {
            assert_eq!(conn_state(word).map(ConnState::as_str), Some(word));
        }
        for word in "vxlan geneve gre erspan ip gtp teredo ayiya".split(' ') {
            assert_eq!(tunnel(word).map(Tunnel::as_str), Some(word));
        }
        assert_eq!((conn_state("sf"), tunnel("wire"), end_reason("")), (None, None, None));
    }
}
