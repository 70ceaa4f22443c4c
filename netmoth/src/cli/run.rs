//! `netmoth run`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use super::{Failure, configuration, sensor_name, store};
use crate::capture::{AttachPreference, CaptureConfig, random};
use crate::config::{Config, FrameSize, XdpModeKey};
use crate::flow::{FlowConfig, Timeouts};
use crate::sensor::{self, SensorConfig};
use crate::sink::{SpoolConfig, UpkeepConfig, WriterConfig, state_folder};

/// Longest nap of a worker for each descriptor of its ring: smallest frames at 10 Gbit/s come every 67 ns, and a nap may
/// take as much as half longer than asked for.
const COALESCE_PER_DESCRIPTOR: Duration = Duration::from_nanos(25);

/// Capture on an interface until SIGTERM or Ctrl-C, then store what is left and print a summary
///
/// With strategy: ebpf frames are taken by an XDP program and never reach the host's own stack: use a mirror or tap port without an
/// address. strategy: afpacket copies them, and may be used on any interface. Ends with exit status 0 after a signal, 1 where something failed.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/netmoth/config_ebpf.yml where it exists]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Interface to capture on, instead of the configuration's
    #[arg(short, long, value_name = "IFACE")]
    interface: Option<String>,
    /// Where records go: sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Serve metrics for Prometheus here, at /metrics: 127.0.0.1:9470
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
}

pub(super) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = configuration(arguments.config)?;
    let url = store(arguments.store.as_deref(), &config)?;
    let Some(interface) = arguments.interface.or_else(|| config.interface.clone()) else {
        return Err(Failure::Usage(anyhow!(
            "no interface is named; give one with -i, or set interface: in the configuration"
        )));
    };
    let upkeep = UpkeepConfig::new(url.clone(), config.retention_days);
    upkeep.check().map_err(|error| Failure::Usage(error.into()))?;
    let capture = capture(&config, interface);
    let mut writer = WriterConfig::new(url, sensor_name(&config));
    writer.community_id_seed = config.community_id_seed;
    writer.flush_interval = Duration::from_millis(config.writer.flush_interval_ms);
    writer.max_waiting_records = config.writer.max_waiting_records;
    writer.spool = spool(&config);
    let flow = flow(&config, config.max_flows.div_ceil(capture.workers as u32));
    let coalesce = coalesce_of(&config);
    let status_interval = Duration::from_secs(config.status_interval);
    let metrics = arguments.metrics.or(config.metrics);
    let summary = sensor::run(SensorConfig { capture, coalesce, flow, writer, upkeep, status_interval, metrics })?;
    write!(std::io::stderr().lock(), "{summary}")?;
    Ok(ExitCode::SUCCESS)
}

/// Workers: the smallest of the two limits and the CPUs that this process may use.
fn workers(config: &Config) -> usize {
    let allowed = core_affinity::get_core_ids().map_or(1, |cores| cores.len().max(1));
    config.number_of_rings.min(config.max_cores).min(allowed)
}

pub(super) fn capture(config: &Config, interface: String) -> CaptureConfig {
    CaptureConfig {
        interface,
        strategy: config.strategy,
        mode: config.mode,
        filter: config.bpf.trim().to_owned(),
        queues: config.queues.clone(),
        workers: workers(config),
        snapshot_length: config.snapshot_length,
        zero_copy: config.zero_copy,
        promiscuous: config.promiscuous,
        exclusive: config.exclusive,
        xdp_mode: match config.xdp_mode {
            XdpModeKey::Auto => AttachPreference::Auto,
            XdpModeKey::Native => AttachPreference::Native,
            XdpModeKey::Generic => AttachPreference::Generic,
        },
        busy_poll_us: config.busy_poll,
        frame_size: match config.frame_size {
            FrameSize::Auto => None,
            FrameSize::Bytes(bytes) => Some(bytes),
        },
        ring_size: config.ring_size,
    }
}

/// How long frames may gather: as configured, but not so long that they could fill the ring. A driver that busy-polls
/// is driven by the workers, so they may not pause.
fn coalesce_of(config: &Config) -> Duration {
    let wanted = if config.busy_poll > 0 { 0 } else { config.coalesce };
    Duration::from_micros(wanted.into()).min(COALESCE_PER_DESCRIPTOR * config.ring_size)
}

/// Where records wait on disk, unless the configuration wants no such place.
pub(super) fn spool(config: &Config) -> Option<SpoolConfig> {
    let path = config.spool.path.as_ref().map_or_else(|| state_folder().join("netmoth-spool"), PathBuf::from);
    (config.spool.max_bytes > 0).then_some(SpoolConfig { path, max_bytes: config.spool.max_bytes })
}

/// The flow table of one worker.
pub(super) fn flow(config: &Config, max_flows: u32) -> FlowConfig {
    let mut flow = FlowConfig::new(max_flows, std::array::from_fn(|_| random()));
    flow.timeouts = Timeouts {
        tcp_established: Duration::from_secs(config.connection_timeout),
        tcp_attempt: Duration::from_secs(config.timeouts.tcp_attempt),
        tcp_closed: Duration::from_secs(config.timeouts.tcp_closed),
        udp: Duration::from_secs(config.timeouts.udp),
        icmp: Duration::from_secs(config.timeouts.icmp),
        other: Duration::from_secs(config.timeouts.other),
    };
    flow.active_timeout = Duration::from_secs(config.active_timeout);
    flow.key_vlan = config.vlan_in_key;
    flow.key_tunnel = config.tunnel_in_key;
    flow.verify_checksums = config.verify_checksums;
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_gather_as_configured_but_never_for_longer_than_the_ring_lasts() {
        let napping = |coalesce, ring_size, busy_poll| {
            coalesce_of(&Config { coalesce, ring_size, busy_poll, ..Config::default() }).as_nanos()
        };
        assert_eq!(napping(100, 4_096, 0), 100_000);
        assert_eq!(napping(1_000, 4_096, 0), 102_400);
        assert_eq!(napping(1_000, 65_536, 0), 1_000_000);
        assert_eq!(napping(100, 64, 0), 1_600);
        assert_eq!(napping(0, 4_096, 0), 0);
        assert_eq!(napping(100, 4_096, 20), 0, "the workers drive the driver");
    }
}
