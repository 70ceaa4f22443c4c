//! Records for the store tests.

use netmoth::flow::{ConnState, EndReason, FlowRecord, History};
use netmoth::wire::Tunnel;

/// 2026-11-27T15:49:33.123456Z, in whole microseconds so that PostgreSQL gives it back exactly.
pub(crate) const START_NS: i64 = 1_795_794_573_123_456_000;

/// Record number `n`: every column differs between neighbours, both address families, with and without what may be null.
pub(crate) fn record(n: u64) -> FlowRecord {
    let mut history = History::EMPTY;
    for letter in b"ShADad^Ff" {
        assert!(history.push(*letter));
    }
    let odd = n % 2 == 1;
    let (src_ip, dst_ip) = if odd {
        (format!("2001:db8::{:x}", n % 65_536), "2001:db8:ffff::1".to_owned())
    } else {
        (format!("10.{}.{}.1", n / 256 % 256, n % 256), "192.0.2.80".to_owned())
    };
    FlowRecord {
        flow_id: n as i64 + 1,
        part: (n % 3) as u32,
        start_ns: START_NS + n as i64 * 1_000,
        end_ns: START_NS + n as i64 * 1_000 + 1_500_000,
        src_ip: src_ip.parse().expect("an address"),
        dst_ip: dst_ip.parse().expect("an address"),
        src_port: 65_535 - (n % 1_000) as u16,
        dst_port: 443,
        proto: if odd { 6 } else { 17 },
        vlan_id: odd.then_some(4_094),
        inner_vlan_id: (n % 4 == 1).then_some(5),
        tunnel: odd.then_some(Tunnel::Gtp),
        tunnel_id: odd.then_some(u32::MAX),
        src_packets: n,
        dst_packets: i64::MAX as u64,
        src_bytes: 1 << 40,
        dst_bytes: n * 100,
        src_payload_bytes: 3,
        dst_payload_bytes: 4,
        src_tcp_flags: 0xff,
        dst_tcp_flags: 0x1b,
        conn_state: if odd { ConnState::Rstos0 } else { ConnState::SF },
        history: if n.is_multiple_of(5) { History::EMPTY } else { history },
        tcp_rtt_us: odd.then_some(1_234),
        src_retransmits: 7,
        dst_retransmits: 8,
        end_reason: if odd { EndReason::Evicted } else { EndReason::Fin },
    }
}
