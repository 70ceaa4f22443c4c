//! Brings a capture by libpcap up and takes it down, with every frame counted in between.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::{debug, warn};
use netmoth_shared::fate::Fate;

use super::{PcapError, PcapSource, compiled, options, version};
use crate::capture::link::{self, LinkWatch};
use crate::capture::socket_filter::{self, SocketFilter};
use crate::capture::{
    CaptureConfig, CaptureError, Interface, LinkEvent, QueueCounts, SocketStatistics, packet_ring_bytes,
};
use crate::libpcap::{Handle, LibpcapError, LiveOptions, Statistics};
use crate::metrics::Counter;

/// DLT_EN10MB.
const ETHERNET: i32 = 1;

/// Longest wait for frames that the kernel has and nobody has taken yet.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// What both threads use, in turn.
pub(super) struct Shared(Mutex<Held>);

/// The handle, and its counts without the width that libpcap has for them.
pub(super) struct Held {
    pub(super) handle: Handle,
    last: Statistics,
    seen: u64,
    dropped: u64,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frames seen, and those of them that were dropped, since counting began.
    fn counts(&self) -> Result<(u64, u64), LibpcapError> {
        let mut held = self.lock();
        let now = held.handle.statistics()?;
        held.seen += u64::from(now.received.wrapping_sub(held.last.received));
        held.dropped += u64::from(now.dropped.wrapping_sub(held.last.dropped));
        held.last = now;
        Ok((held.seen, held.dropped))
    }
}

/// The kernel's side of capture, held by the main thread while the worker owns the source.
pub struct PcapCapture {
    interface: Interface,
    shared: Arc<Shared>,
    taken: Arc<Counter>,
    filter: SocketFilter,
    filtered: bool,
    socket: RawFd,
    version: String,
    started: bool,
    watch: Option<LinkWatch>,
}

impl PcapCapture {
    /// Opens the interface with libpcap; nothing is captured before [`start`](Self::start). Returns the one source.
    ///
    /// # Errors
    /// See [`CaptureError`]: each message names the cause and the remedy.
    pub fn open(config: &CaptureConfig) -> Result<(Self, Vec<PcapSource>), CaptureError> {
        let interface = Interface::find(&config.interface)?;
        if !interface.running {
            return Err(CaptureError::Down { name: interface.name });
        }
        if config.workers > 1 {
            warn!("libpcap has one reader: one worker takes all frames, {} were possible", config.workers);
        }
        let refused = |cause| PcapError::of(&interface.name, cause);
        let buffer_bytes = u32::try_from(packet_ring_bytes(config.ring_size)).ok();
        let options = options(&interface.name, config.snapshot_length, config.promiscuous);
        let mut handle = Handle::live(&LiveOptions { buffer_bytes, ..options }).map_err(refused)?;
        if handle.link_type() != ETHERNET {
            return Err(CaptureError::NoEthernetForPcap { name: interface.name, kind: handle.link_type() });
        }
        let once = interface.name == "lo";
        let filter = match config.filter.as_str() {
            "" => SocketFilter::everything(config.snapshot_length, once),
            expression => SocketFilter::of(compiled(&handle, expression)?, once),
        };
        let socket = handle.descriptor().ok_or_else(|| refused(LibpcapError::Said("it has no socket".into())))?;
        let last = empty(&mut handle, socket, &interface)?;
        let version = version().map_err(refused)?;
        let shared = Arc::new(Shared(Mutex::new(Held { handle, last, seen: 0, dropped: 0 })));
        let taken = Arc::<Counter>::default();
        let source = PcapSource::new(Arc::clone(&shared), Arc::clone(&taken), socket, config.snapshot_length);
        let filtered = !config.filter.is_empty();
        let capture = Self { interface, shared, taken, filter, filtered, socket, version, started: false, watch: None };
        Ok((capture, vec![source]))
    }

    /// Frames come from now on.
    ///
    /// # Errors
    /// Where the kernel refuses the filter.
    pub fn start(&mut self) -> Result<(), CaptureError> {
        let attached = self.filter.attach(self.socket);
        attached.map_err(|cause| CaptureError::packet_socket(&self.interface, "given its filter", &cause))?;
        self.started = true;
        Ok(())
    }

    /// Starts the link watch; events arrive within a second.
    ///
    /// # Errors
    /// Where netlink is not to be had.
    pub fn watch_link(&mut self) -> Result<Receiver<LinkEvent>, CaptureError> {
        let (watch, events) = link::watch(self.interface.index, self.interface.running, None)?;
        self.watch = Some(watch);
        Ok(events)
    }

    /// Takes no more frames, and waits until the worker has those that the kernel has: a block that is not full is handed over
    /// after a moment, and its frames are nowhere to be seen before.
    pub fn stop(&mut self) {
        if let Err(error) = SocketFilter::nothing().attach(self.socket) {
            debug!("libpcap's socket goes on to take frames: {error}");
        }
        socket_filter::settle();
        let until = Instant::now() + UNDER_WAY;
        while Instant::now() < until {
            match self.shared.counts() {
                Ok((seen, dropped)) if self.taken.get() + dropped < seen => thread::sleep(Duration::from_millis(1)),
                _ => break,
            }
        }
        self.started = false;
    }

    /// The interface as it was at start.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Whether frames are taken now.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Whether only frames that match an expression are seen.
    pub fn filtered(&self) -> bool {
        self.filtered
    }

    /// What is captured and how: `eth0 (veth, libpcap 1.10.3), 1 worker`.
    pub fn describe(&self) -> String {
        format!("{} ({}, {}), 1 worker", self.interface.name, self.interface.driver, self.version)
    }

    /// What libpcap has counted so far.
    ///
    /// # Errors
    /// Where it can't say.
    pub fn queue_counts(&self) -> Result<Vec<QueueCounts>, CaptureError> {
        let counts = self.shared.counts();
        let (seen, dropped) = counts.map_err(|cause| PcapError::of(&self.interface.name, cause))?;
        let mut fates = [0; Fate::COUNT];
        fates[Fate::Redirected as usize] = seen;
        let sockets = SocketStatistics { ring_full: dropped, ..SocketStatistics::default() };
        Ok(vec![QueueCounts { queue: Some(0), fates, sockets }])
    }
}

/// Closes the socket that libpcap has just opened, and empties it of what came meanwhile. Returns the counts from which on
/// every frame is ours.
fn empty(handle: &mut Handle, socket: RawFd, interface: &Interface) -> Result<Statistics, CaptureError> {
    let closed = SocketFilter::nothing().attach(socket);
    closed.map_err(|cause| CaptureError::packet_socket(interface, "given its filter", &cause))?;
    socket_filter::settle();
    let (mut emptied, until) = (0u32, Instant::now() + UNDER_WAY);
    loop {
        let counted = handle
            .dispatch(u32::MAX, |_, _, _| emptied = emptied.wrapping_add(1))
            .and_then(|_| handle.statistics())
            .map_err(|cause| PcapError::of(&interface.name, cause))?;
        if emptied == counted.received.wrapping_sub(counted.dropped) || Instant::now() > until {
            return Ok(counted);
        }
        thread::sleep(Duration::from_millis(1));
    }
}
