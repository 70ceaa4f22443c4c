//! What a flow table is told at its start, and why it may refuse.

use std::time::Duration;

use thiserror::Error;

/// Most flows that one table can hold: an index is 31 bits, and 16 M flows are 3.2 GB.
pub const MAX_FLOWS: u32 = 1 << 24;

/// Longest timeout: expiry compares 32-bit milliseconds that wrap, so half of that range must stay clear.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long each kind of connection may be silent before it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP that is established, or was met in the middle.
    pub tcp_established: Duration,
    /// TCP whose first SYN has no answer. As in Zeek (`tcp_attempt_delay`) it counts from the first packet, so
    /// retransmitted SYNs do not prolong the attempt.
    pub tcp_attempt: Duration,
    /// TCP that both sides closed or one side reset: late packets are still booked on it.
    pub tcp_closed: Duration,
    /// UDP.
    pub udp: Duration,
    /// ICMP and ICMPv6.
    pub icmp: Duration,
    /// Every other protocol.
    pub other: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established: Duration::from_secs(300),
            tcp_attempt: Duration::from_secs(5),
            tcp_closed: Duration::from_secs(5),
            udp: Duration::from_secs(60),
            icmp: Duration::from_secs(60),
            other: Duration::from_secs(60),
        }
    }
}

/// Configuration of one table (one worker's).
#[derive(Clone, Copy, Debug)]
pub struct FlowConfig {
    /// Connections that the table holds at once; all memory for them is taken at the start.
    pub max_flows: u32,
    /// Idle limits.
    pub timeouts: Timeouts,
    /// A connection that lasts longer is reported in parts of about this length.
    pub active_timeout: Duration,
    /// Whether equal endpoints in different VLANs are different connections.
    pub key_vlan: bool,
    /// Whether equal endpoints in different virtual networks (VNIs of VXLAN and Geneve) are different connections.
    pub key_tunnel: bool,
    /// Whether checksums of TCP and UDP are verified; wrong ones are noted in the history.
    pub verify_checksums: bool,
    /// Secret of the hash; random per start, so that nobody can build collisions.
    pub hash_key: [u64; 2],
    /// Number of the worker, the low byte of its flow identifiers.
    pub worker: u8,
}

impl FlowConfig {
    /// Defaults for `max_flows` connections: DESIGN §6's limits, VLANs and virtual networks keyed, worker 0.
    pub fn new(max_flows: u32, hash_key: [u64; 2]) -> Self {
        Self {
            max_flows,
            timeouts: Timeouts::default(),
            active_timeout: Duration::from_secs(300),
            key_vlan: true,
            key_tunnel: true,
            verify_checksums: false,
            hash_key,
            worker: 0,
        }
    }
}

/// Why there is no table.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FlowError {
    /// `max_flows` is impossible.
    #[error(
        "max_flows is {0}: a worker's flow table holds between 1 and {MAX_FLOWS} connections; choose a number in that range"
    )]
    MaxFlows(u32),
    /// A timeout is impossible.
    #[error(
        "the timeout {name} is {value:?}: it must lie between 1 ms and {MAX_TIMEOUT:?}; change it in the configuration"
    )]
    Timeout {
        /// Which one.
        name: &'static str,
        /// As configured.
        value: Duration,
    },
    /// The memory is not there.
    #[error(
        "no memory for a flow table of {max_flows} connections (about {bytes} bytes): lower max_flows or give the service more memory"
    )]
    Memory {
        /// As configured.
        max_flows: u32,
        /// What that takes.
        bytes: usize,
    },
}

/// Memory for `count` items of a table for `max_flows` connections: all of it at the start.
pub(super) fn reserve<T>(count: usize, max_flows: u32) -> Result<Vec<T>, FlowError> {
    let bytes = count.saturating_mul(size_of::<T>());
    crate::memory::reserve(count).map_err(|_| FlowError::Memory { max_flows, bytes })
}

/// The limits in milliseconds, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) tcp_established: u32,
    pub(super) tcp_attempt: u32,
    pub(super) tcp_closed: u32,
    pub(super) udp: u32,
    pub(super) icmp: u32,
    pub(super) other: u32,
    pub(super) active: u32,
}

impl Limits {
    pub(super) fn new(config: &FlowConfig) -> Result<Self, FlowError> {
        let timeouts = &config.timeouts;
        Ok(Self {
            tcp_established: milliseconds("tcp_established", timeouts.tcp_established)?,
            tcp_attempt: milliseconds("tcp_attempt", timeouts.tcp_attempt)?,
            tcp_closed: milliseconds("tcp_closed", timeouts.tcp_closed)?,
            udp: milliseconds("udp", timeouts.udp)?,
            icmp: milliseconds("icmp", timeouts.icmp)?,
            other: milliseconds("other", timeouts.other)?,
            active: milliseconds("active_timeout", config.active_timeout)?,
        })
    }
}

fn milliseconds(name: &'static str, value: Duration) -> Result<u32, FlowError> {
    let refused = FlowError::Timeout { name, value };
    if value > MAX_TIMEOUT {
        return Err(refused);
    }
    match u32::try_from(value.as_millis()) {
        Ok(milliseconds) if milliseconds > 0 => Ok(milliseconds),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_out_of_range_is_refused_by_name() {
        let mut config = FlowConfig::new(16, [1, 2]);
        config.timeouts.udp = Duration::ZERO;
        assert_eq!(Limits::new(&config).unwrap_err(), FlowError::Timeout { name: "udp", value: Duration::ZERO });
        config.timeouts.udp = MAX_TIMEOUT + Duration::from_millis(1);
        assert!(Limits::new(&config).unwrap_err().to_string().contains("the timeout udp is"));
        config.timeouts.udp = MAX_TIMEOUT;
        assert_eq!(Limits::new(&config).unwrap().udp, 604_800_000);
    }
}
