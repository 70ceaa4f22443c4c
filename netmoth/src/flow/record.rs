//! The record: one part of one connection, as the stores take it.

use std::net::IpAddr;

use crate::wire::Tunnel;

/// How a connection stands, in the words of Zeek's conn.log (`conn_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are Zeek's")]
pub enum ConnState {
    S0,
    S1,
    S2,
    S3,
    SF,
    Rej,
    Rsto,
    Rstr,
    Rstos0,
    Rstrh,
    Sh,
    Shr,
    Oth,
}

impl ConnState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::S0,
        Self::S1,
        Self::S2,
        Self::S3,
        Self::SF,
        Self::Rej,
        Self::Rsto,
        Self::Rstr,
        Self::Rstos0,
        Self::Rstrh,
        Self::Sh,
        Self::Shr,
        Self::Oth,
    ];

    /// Zeek's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::SF => "SF",
            Self::Rej => "REJ",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

/// Why a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    /// Both sides closed.
    Fin,
    /// One side reset.
    Rst,
    /// No packet for as long as its kind of connection may be idle.
    Idle,
    /// The connection goes on: this is a part of it.
    Active,
    /// The table was full and this connection made room.
    Evicted,
    /// The sensor (or the capture file) ended.
    Shutdown,
}

impl EndReason {
    /// All reasons, in the order of their counters.
    pub const ALL: &[Self] = &[Self::Fin, Self::Rst, Self::Idle, Self::Active, Self::Evicted, Self::Shutdown];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Evicted => "evicted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Zeek's `history`, kept inline: letters in the order in which their events were first seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct History {
    bytes: [u8; Self::CAPACITY],
    len: u8,
}

impl History {
    /// Letters that fit; later ones are not kept (both cases of every letter, `^`, and the repeats of c g t w).
    pub const CAPACITY: usize = 47;

    /// A history without letters.
    pub const EMPTY: Self = Self { bytes: [0; Self::CAPACITY], len: 0 };

    /// Appends one ASCII letter; false where there is no room.
    pub fn push(&mut self, letter: u8) -> bool {
        debug_assert!(letter.is_ascii());
        let Some(slot) = self.bytes.get_mut(usize::from(self.len)) else { return false };
        *slot = letter;
        self.len += 1;
        true
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// One part of one connection. Counters are deltas: their sum over `part` is the connection's total.
///
/// `sensor` and `community_id` are added where records are encoded: the first is constant, the second a function
/// of the addresses that costs a SHA-1, which the packet path does not pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Unique within a sensor over restarts; the same for all parts; positive.
    pub flow_id: i64,
    /// 0, 1, 2, …
    pub part: u32,
    /// First packet of this part, nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Last packet of this part, nanoseconds since the Unix epoch.
    pub end_ns: i64,
    /// Originator.
    pub src_ip: IpAddr,
    /// Responder.
    pub dst_ip: IpAddr,
    /// Originator's port; ICMP type.
    pub src_port: u16,
    /// Responder's port; ICMP code.
    pub dst_port: u16,
    /// IANA protocol number.
    pub proto: u8,
    /// Outer 802.1Q identifier.
    pub vlan_id: Option<u16>,
    /// Second 802.1Q identifier.
    pub inner_vlan_id: Option<u16>,
    /// Innermost tunnel that its first packet came in.
    pub tunnel: Option<Tunnel>,
    /// That tunnel's VNI, key, session, call or TEID, where it has one.
    pub tunnel_id: Option<u32>,
    /// Packets from the originator.
    pub src_packets: u64,
    /// Packets from the responder.
    pub dst_packets: u64,
    /// IP bytes from the originator, headers included.
    pub src_bytes: u64,
    /// IP bytes from the responder.
    pub dst_bytes: u64,
    /// Transport payload bytes from the originator.
    pub src_payload_bytes: u64,
    /// Transport payload bytes from the responder.
    pub dst_payload_bytes: u64,
    /// Union of the originator's TCP flags.
    pub src_tcp_flags: u8,
    /// Union of the responder's TCP flags.
    pub dst_tcp_flags: u8,
    /// State as of this part's end.
    pub conn_state: ConnState,
    /// History of the connection as of this part's end.
    pub history: History,
    /// Microseconds from the SYN to the ACK that completes the handshake, as seen here.
    pub tcp_rtt_us: Option<u32>,
    /// Originator's segments that repeat sequence space.
    pub src_retransmits: u32,
    /// Responder's segments that repeat sequence space.
    pub dst_retransmits: u32,
    /// Why this record was written.
    pub end_reason: EndReason,
}

/// Where the flow table puts the records that it emits.
pub trait RecordSink {
    /// Takes one record. Must not block.
    fn emit(&mut self, record: FlowRecord);
}

impl RecordSink for Vec<FlowRecord> {
    fn emit(&mut self, record: FlowRecord) {
        self.push(record);
    }
}
