//! Packets and tables for the tests of this folder.

use super::{FlowConfig, FlowRecord, FlowTable};
use crate::time::Instant;
use crate::wire::{Fragment, Inside, IpVersion, NO_VLAN, Packet};

/// An IPv4 packet between 10.0.0.`from` and 10.0.0.`to` without payload: 40 bytes.
pub(super) fn packet(protocol: u8, from: u8, from_port: u16, to: u8, to_port: u16) -> Packet {
    let address = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
    Packet {
        src: address(from),
        dst: address(to),
        src_port: from_port,
        dst_port: to_port,
        protocol,
        version: IpVersion::V4,
        vlan: NO_VLAN,
        inner_vlan: NO_VLAN,
        ip_bytes: 40,
        payload_bytes: 0,
        tcp_seq: 0,
        tcp_ack: 0,
        tcp_window: 1000,
        tcp_flags: 0,
        fragment: Fragment::Whole,
        piece_offset: 0,
        tiny: false,
        transport_bytes: 20,
        tunnel: None,
        tunnel_id: None,
        carrier: 0,
        too_deep: false,
        inside: Inside::NOTHING,
        bad_checksum: false,
        corrupt: false,
    }
}

/// The instant `ms` milliseconds after an arbitrary start.
pub(super) fn at(ms: u64) -> Instant {
    Instant { wall_ns: 1_700_000_000_000_000_000 + ms as i64 * 1_000_000, mono_ns: ms * 1_000_000 }
}

/// A table with what it has emitted.
pub(super) struct Bench {
    pub(super) table: FlowTable,
    pub(super) out: Vec<FlowRecord>,
}

impl Bench {
    pub(super) fn new(max_flows: u32) -> Self {
        Self::with(&FlowConfig::new(max_flows, [7, 11]))
    }

    pub(super) fn with(config: &FlowConfig) -> Self {
        Self { table: FlowTable::new(config).unwrap(), out: Vec::new() }
    }

    /// Time moves on to `ms`, and a packet comes.
    pub(super) fn packet(&mut self, ms: u64, packet: &Packet) {
        self.table.advance(at(ms), &mut self.out);
        self.late(ms, packet);
    }

    /// A packet comes before the timers were looked at.
    pub(super) fn late(&mut self, ms: u64, packet: &Packet) {
        let mut hash = [self.table.hash(packet, at(ms))];
        self.table.prefetch(&mut hash);
        self.table.update(packet, &hash[0], at(ms), &mut self.out);
    }

    pub(super) fn advance(&mut self, ms: u64) {
        self.table.advance(at(ms), &mut self.out);
    }

    /// What must hold between two packets.
    pub(super) fn check(&self) {
        self.table.check_invariants().unwrap();
    }

    /// Ends everything and gives all records.
    pub(super) fn drain(mut self) -> Vec<FlowRecord> {
        self.table.drain(super::EndReason::Shutdown, &mut self.out);
        assert!(self.table.is_empty());
        self.out
    }
}
