//! `netmoth bench send`: the traffic onto a veth, through AF_XDP transmit.

mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netmoth_traffic::{Profile, Traffic};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::chunk::pin;
use super::{BenchError, Column, Report};
use crate::capture::{CaptureError, Interface};
use crate::progress::Progress;
use ring::TransmitRing;

/// How long the kernel may take to complete a frame.
const COMPLETION: Duration = Duration::from_secs(2);

/// Between two looks at the clock where a rate is kept and the next frame is not due.
const NAP: Duration = Duration::from_micros(50);

/// Ethernet header and one VLAN tag: what a frame may be longer than the MTU.
const LINK_HEADER: usize = 18;

/// What is sent, and where.
#[derive(Clone, Debug)]
pub struct SendConfig {
    /// A veth.
    pub interface: String,
    /// Its transmit queue.
    pub queue: u32,
    /// The traffic.
    pub profile: Profile,
    /// Frames per second; without it as many as go.
    pub rate: Option<u64>,
    /// Frames in all; without it until time is up.
    pub packets: Option<u64>,
    /// How long; without it until Ctrl-C.
    pub time: Option<Duration>,
    /// The CPU to stay on, if any.
    pub core: Option<usize>,
}

/// Sends until all is sent, time is up, or SIGINT or SIGTERM asks to stop.
///
/// # Errors
/// An interface that is no veth or is down, rights that are missing, a profile that can't be.
pub fn run(config: &SendConfig) -> Result<Report, BenchError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|cause| BenchError::Signal(cause.into()))?;
    }
    let Sent { frames, bytes, connections, took } =
        transmit(config, None, &stop, &mut Progress::of("frames sent"), || {})?;
    let columns = [
        Column::text("interface"),
        Column::number("sent", "frames", 0),
        Column::number("size", "bytes", 0),
        Column::number("connections", "", 0),
        Column::number("took", "s", 2),
        Column::number("rate", "frames/s", 0),
    ];
    let mut report = Report::new("Frames sent", columns);
    let rate = frames as f64 / took.as_secs_f64();
    report.row([
        config.interface.as_str().into(),
        frames.into(),
        bytes.into(),
        connections.into(),
        took.as_secs_f64().into(),
        rate.into(),
    ]);
    Ok(report)
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Frames that the kernel has sent, and their bytes.
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Connections that they belong to.
    pub(super) connections: u64,
    /// From the first frame to the last one's completion.
    pub(super) took: Duration,
}

/// Sends until all is sent, time is up, or `stop` says so. With `stamp`, each frame holds the nanoseconds of CLOCK_MONOTONIC at
/// that place, in the machine's byte order, read once for all frames of a system call, before they are made; between two
/// calls it looks at the clock without a pause, and so keeps the rate to the microsecond. `begun` is called
/// once, after the first frame.
///
/// # Errors
/// As [`run`].
pub(super) fn transmit(
    config: &SendConfig,
    stamp: Option<usize>,
    stop: &AtomicBool,
    progress: &mut Progress,
    begun: impl FnOnce(),
) -> Result<Sent, BenchError> {
    let interface = suitable(config)?;
    let mut traffic = Traffic::new(&config.profile)?;
    if let Some(core) = config.core {
        pin(Some(core))?;
    }
    let mut ring = TransmitRing::open(&interface, config.queue, stamp)?;
    let took = send(config, &mut traffic, &mut ring, stop, progress, begun)?;
    Ok(Sent { frames: ring.completed(), bytes: ring.bytes(), connections: traffic.connections(), took })
}

/// The interface, where benchmark traffic may be sent on it.
fn suitable(config: &SendConfig) -> Result<Interface, BenchError> {
    if config.rate == Some(0) {
        return Err(BenchError::TooFew { what: "--rate", least: 1, given: 0 });
    }
    let interface = Interface::find(&config.interface)?;
    let name = interface.name.clone();
    if interface.driver != "veth" {
        return Err(BenchError::NoVeth { name, driver: interface.driver });
    }
    if interface.default_route {
        return Err(BenchError::LeadsOut { name });
    }
    if !interface.running {
        return Err(CaptureError::Down { name }.into());
    }
    let queues = transmit_queues(&name).unwrap_or(interface.queues);
    if config.queue >= queues {
        return Err(BenchError::NoQueue { name, queues, last: queues - 1, queue: config.queue });
    }
    let (sizes, limit) = (config.profile.sizes, interface.mtu as usize + LINK_HEADER);
    if usize::from(sizes.longest()) > limit {
        return Err(BenchError::TooLong { sizes, limit, why: "the MTU of the interface and 18 bytes of link header" });
    }
    Ok(interface)
}

/// The transmit queues in use, which sysfs lists.
fn transmit_queues(name: &str) -> Option<u32> {
    let entries = std::fs::read_dir(format!("/sys/class/net/{name}/queues")).ok()?;
    let queues = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("tx-")).count();
    (queues > 0).then_some(queues as u32)
}

/// Sends. Returns how long it took, from the first frame to the last one's completion.
fn send(
    config: &SendConfig,
    traffic: &mut Traffic,
    ring: &mut TransmitRing,
    stop: &AtomicBool,
    progress: &mut Progress,
    first: impl FnOnce(),
) -> Result<Duration, BenchError> {
    let mut first = Some(first);
    let (begun, all) = (Instant::now(), config.packets.unwrap_or(u64::MAX));
    let mut watch = Watch { completed: 0, last: begun };
    while ring.sent() < all && !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let elapsed = now - begun;
        if config.time.is_some_and(|time| elapsed >= time) {
            break;
        }
        let due = config.rate.map_or(all, |rate| all.min((elapsed.as_secs_f64() * rate as f64) as u64 + 1));
        let more = due.saturating_sub(ring.sent());
        ring.step(traffic, more);
        if ring.sent() > 0
            && let Some(first) = first.take()
        {
            first();
        }
        watch.look(ring, now, &config.interface)?;
        progress.batch(ring.sent());
        if more == 0 && !ring.stamps() {
            thread::sleep(NAP);
        }
    }
    // What is in the rings belongs to the kernel until it has completed.
    while ring.waiting() > 0 {
        ring.step(traffic, 0);
        watch.look(ring, Instant::now(), &config.interface)?;
    }
    Ok(begun.elapsed())
}

/// Sees to it that the kernel completes what it is given.
struct Watch {
    completed: u64,
    last: Instant,
}

impl Watch {
    /// Says why nothing goes on where nothing has for a while.
    fn look(&mut self, ring: &TransmitRing, now: Instant, name: &str) -> Result<(), BenchError> {
        if ring.completed() != self.completed || ring.waiting() == 0 {
            (self.completed, self.last) = (ring.completed(), now);
            return Ok(());
        }
        if now - self.last < COMPLETION {
            return Ok(());
        }
        if !Interface::find(name)?.running {
            return Err(CaptureError::Down { name: name.into() }.into());
        }
        let (name, waiting) = (name.into(), ring.waiting());
        Err(BenchError::Stuck { name, waiting, seconds: COMPLETION.as_secs() })
    }
}
