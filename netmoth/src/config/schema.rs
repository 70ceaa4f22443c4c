//! Every key of the configuration, with its default.

use std::fmt;
use std::net::SocketAddr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::capture::{Mode, Strategy};

/// The configuration of `netmoth run`. Field names are the keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Network interface to capture on; `-i` overrides it.
    pub interface: Option<String>,
    /// How to capture.
    pub strategy: Strategy,
    /// Whether the strategy ebpf takes frames or copies them.
    pub mode: Mode,
    /// Workers and rings at most.
    pub number_of_rings: usize,
    /// CPU cores at most: one pinned worker each.
    pub max_cores: usize,
    /// Bytes of a frame that are looked at.
    pub snapshot_length: u32,
    /// Ask the driver for zero-copy.
    pub zero_copy: bool,
    /// Take frames that are not addressed to the interface.
    pub promiscuous: bool,
    /// Seconds without a packet after which an established TCP connection is over.
    pub connection_timeout: u64,
    /// Capture filter.
    pub bpf: String,
    /// The PostgreSQL server to store in.
    pub postgres: Option<Postgres>,
    /// Any store by its URL; instead of `postgres`.
    pub store: Option<String>,
    /// Days for which PostgreSQL keeps rows; 0 keeps all.
    pub retention_days: u32,
    /// Take an interface that the host itself uses.
    pub exclusive: bool,
    /// Receive queues to capture; all where empty.
    pub queues: Vec<u32>,
    /// Where the XDP program runs.
    pub xdp_mode: XdpModeKey,
    /// Microseconds of busy polling; 0 for none.
    pub busy_poll: u32,
    /// Microseconds for which frames may gather where the rings are empty; 0 for not at all.
    pub coalesce: u32,
    /// Bytes of a UMEM frame.
    pub frame_size: FrameSize,
    /// Descriptors of a receive ring.
    pub ring_size: u32,
    /// Connections that are followed at a time, over all workers.
    pub max_flows: u32,
    /// Seconds after which a connection that goes on is reported in parts.
    pub active_timeout: u64,
    /// Seconds of silence after which other connections are over.
    pub timeouts: Timeouts,
    /// Whether equal addresses in different VLANs are different connections.
    pub vlan_in_key: bool,
    /// Whether equal addresses in different virtual networks (VXLAN, Geneve) are different connections.
    pub tunnel_in_key: bool,
    /// Whether checksums of TCP and UDP are verified.
    pub verify_checksums: bool,
    /// Name in the column `sensor`; the host's where it is missing.
    pub sensor: Option<String>,
    /// How records are written.
    pub writer: WriterSection,
    /// Where records wait on disk.
    pub spool: SpoolSection,
    /// Seed of the Community ID.
    pub community_id_seed: u16,
    /// Seconds between status lines; 0 for none.
    pub status_interval: u64,
    /// Address and port on which Prometheus finds the metrics; none where it is missing.
    pub metrics: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interface: None,
            strategy: Strategy::Ebpf,
            mode: Mode::Auto,
            number_of_rings: 4,
            max_cores: 8,
            snapshot_length: 65_536,
            zero_copy: true,
            promiscuous: true,
            connection_timeout: 300,
            bpf: String::new(),
            postgres: None,
            store: None,
            retention_days: 0,
            exclusive: false,
            queues: Vec::new(),
            xdp_mode: XdpModeKey::Auto,
            busy_poll: 0,
            coalesce: 0,
            frame_size: FrameSize::Auto,
            ring_size: 4096,
            max_flows: 1_000_000,
            active_timeout: 300,
            timeouts: Timeouts::default(),
            vlan_in_key: true,
            tunnel_in_key: true,
            verify_checksums: false,
            sensor: None,
            writer: WriterSection::default(),
            spool: SpoolSection::default(),
            community_id_seed: 0,
            status_interval: 10,
            metrics: None,
        }
    }
}

/// Keys of the section `postgres`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// Role.
    pub user: String,
    /// Its password; may be empty.
    #[serde(default)]
    pub password: String,
    /// Database.
    pub db: String,
    /// `HOST` or `HOST:PORT`.
    pub host: String,
}

impl fmt::Debug for Postgres {
    /// Never shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, db, host, .. } = self;
        f.debug_struct("Postgres").field("user", user).field("db", db).field("host", host).finish_non_exhaustive()
    }
}

/// Keys of the section `timeouts`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// TCP whose SYN was not answered.
    pub tcp_attempt: u64,
    /// TCP that was closed or reset.
    pub tcp_closed: u64,
    /// UDP.
    pub udp: u64,
    /// ICMP and ICMPv6.
    pub icmp: u64,
    /// Every other protocol.
    pub other: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { tcp_attempt: 5, tcp_closed: 5, udp: 60, icmp: 60, other: 60 }
    }
}

/// Keys of the section `writer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriterSection {
    /// Milliseconds that a record waits at most before it is stored.
    pub flush_interval_ms: u64,
    /// Records that wait in memory while the store is away.
    pub max_waiting_records: usize,
}

impl Default for WriterSection {
    fn default() -> Self {
        Self { flush_interval_ms: 1_000, max_waiting_records: 1_000_000 }
    }
}

/// Keys of the section `spool`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSection {
    /// Its folder; `netmoth-spool` in `$STATE_DIRECTORY` or the working directory where it is missing.
    pub path: Option<String>,
    /// Bytes that it may take; 0 for no spool.
    pub max_bytes: u64,
}

impl Default for SpoolSection {
    fn default() -> Self {
        Self { path: None, max_bytes: 1 << 30 }
    }
}

/// Values of `xdp_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpModeKey {
    /// Native, else generic with a warning.
    Auto,
    /// Native or not at all.
    Native,
    /// Generic.
    Generic,
}

/// Values of `frame_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// By the MTU of the interface.
    Auto,
    /// 2048 or 4096 bytes.
    Bytes(u32),
}

impl<'de> Deserialize<'de> for FrameSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FrameSizeVisitor)
    }
}

struct FrameSizeVisitor;

impl Visitor<'_> for FrameSizeVisitor {
    type Value = FrameSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, 2048 or 4096")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<FrameSize, E> {
        if word == "auto" { Ok(FrameSize::Auto) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<FrameSize, E> {
        match bytes {
            2048 | 4096 => Ok(FrameSize::Bytes(bytes as u32)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(bytes), &self)),
        }
    }
}

/// Every key, sections with a dot: for suggestions, and for the test that holds config_ebpf.yml to it.
pub(super) const KEYS: &[&str] = &[
    "interface",
    "strategy",
    "mode",
    "number_of_rings",
    "max_cores",
    "snapshot_length",
    "zero_copy",
    "promiscuous",
    "connection_timeout",
    "bpf",
    "postgres",
    "postgres.user",
    "postgres.password",
    "postgres.db",
    "postgres.host",
    "store",
    "retention_days",
    "exclusive",
    "queues",
    "xdp_mode",
    "busy_poll",
    "coalesce",
    "frame_size",
    "ring_size",
    "max_flows",
    "active_timeout",
    "timeouts",
    "timeouts.tcp_attempt",
    "timeouts.tcp_closed",
    "timeouts.udp",
    "timeouts.icmp",
    "timeouts.other",
    "vlan_in_key",
    "tunnel_in_key",
    "verify_checksums",
    "sensor",
    "writer",
    "writer.flush_interval_ms",
    "writer.max_waiting_records",
    "spool",
    "spool.path",
    "spool.max_bytes",
    "community_id_seed",
    "status_interval",
    "metrics",
];
