//! Brings packet sockets up so that no frame is seen before its time, and takes them down without losing count of one.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::debug;
use netmoth_shared::fate::Fate;

use super::ring::{Memory, Ring};
use super::socket::{PacketSocket, link_type};
use super::{BLOCK, PacketSource, RETIRE_MS, blocks, fanout};
use crate::capture::link::{self, LinkWatch};
use crate::capture::pcap::socket_program;
use crate::capture::promiscuous::Promiscuous;
use crate::capture::socket_filter::{self, SocketFilter};
use crate::capture::{CaptureConfig, CaptureError, Interface, LinkEvent, QueueCounts, SocketStatistics, random};
use crate::metrics::Counter;

/// Longest wait for blocks that the kernel holds back: many times what it needs, also where its timers are late.
const HELD_BACK: Duration = Duration::from_millis(100 * RETIRE_MS as u64);

/// One worker's socket as the main thread holds it.
struct Lane {
    socket: PacketSocket,
    memory: Arc<Memory>,
    /// The kernel's counts so far: it forgets what it has told.
    seen: Counter,
    dropped: Counter,
    /// Segments beyond the first of each frame of many, counted by the worker.
    segments: Arc<Counter>,
}

/// The kernel's side of capture, held by the main thread while workers own the sources.
pub struct AfPacket {
    interface: Interface,
    lanes: Vec<Lane>,
    filter: SocketFilter,
    filtered: bool,
    started: bool,
    watch: Option<LinkWatch>,
    _promiscuous: Option<Promiscuous>,
}

impl AfPacket {
    /// Sets up a socket and a ring per worker; nothing is captured before [`start`](Self::start). Returns one source per
    /// worker.
    ///
    /// # Errors
    /// See [`CaptureError`]: each message names the cause and the remedy.
    pub fn open(config: &CaptureConfig) -> Result<(Self, Vec<PacketSource>), CaptureError> {
        let interface = Interface::find(&config.interface)?;
        let first = opened(&interface)?;
        let once = ethernet(&first, &interface)?;
        if !interface.running {
            return Err(CaptureError::Down { name: interface.name });
        }
        let workers = config.workers.max(1);
        let sockets = std::iter::once(Ok(first)).chain((1..workers).map(|_| opened(&interface)));
        let lanes = sockets.map(|socket| lane(socket?, &interface, config)).collect::<Result<Vec<_>, _>>()?;
        group(&lanes, &interface)?;
        let filter = match config.filter.as_str() {
            "" => SocketFilter::everything(config.snapshot_length, once),
            wanted => SocketFilter::of(socket_program(&interface.name, wanted, config.snapshot_length)?, once),
        };
        let promiscuous = config.promiscuous.then(|| Promiscuous::set(&interface)).transpose()?;
        let source = |lane: &Lane| {
            let ring = Ring::new(Arc::clone(&lane.memory));
            PacketSource::new(ring, Arc::clone(lane.socket.fd()), config.snapshot_length, Arc::clone(&lane.segments))
        };
        let sources = lanes.iter().map(source).collect();
        let capture = Self {
            interface,
            lanes,
            filter,
            filtered: !config.filter.is_empty(),
            started: false,
            watch: None,
            _promiscuous: promiscuous,
        };
        Ok((capture, sources))
    }

    /// Frames come from now on.
    ///
    /// # Errors
    /// Where the kernel refuses the filter.
    pub fn start(&mut self) -> Result<(), CaptureError> {
        for lane in &self.lanes {
            let attached = self.filter.attach(lane.socket.fd().as_raw_fd());
            attached.map_err(|cause| CaptureError::packet_socket(&self.interface, "given its filter", &cause))?;
        }
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

    /// Takes no more frames, and waits until the kernel has handed over those that it has: afterwards what the rings hold is
    /// all that will come.
    pub fn stop(&mut self) {
        for lane in &self.lanes {
            if let Err(error) = SocketFilter::nothing().attach(lane.socket.fd().as_raw_fd()) {
                debug!("a packet socket goes on to take frames: {error}");
            }
        }
        socket_filter::settle();
        let until = Instant::now() + HELD_BACK;
        while self.lanes.iter().any(|lane| lane.memory.holds_back()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        self.started = false;
        debug!("the sockets take no frame any more, the rings are what they are");
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

    /// What is captured and how: `eth0 (veth, AF_PACKET), 2 workers`.
    pub fn describe(&self) -> String {
        let (Interface { name, driver, .. }, workers) = (&self.interface, self.lanes.len());
        format!("{name} ({driver}, AF_PACKET), {workers} {}", if workers == 1 { "worker" } else { "workers" })
    }

    /// What the kernel has counted so far, by worker: frames of many as their segments, where a worker has seen them.
    ///
    /// # Errors
    /// Where the counters can't be read.
    pub fn queue_counts(&self) -> Result<Vec<QueueCounts>, CaptureError> {
        let row = |(worker, lane): (usize, &Lane)| {
            let news = lane.socket.counted();
            let news =
                news.map_err(|cause| CaptureError::packet_socket(&self.interface, "asked for its counts", &cause))?;
            lane.seen.add(news.seen);
            lane.dropped.add(news.dropped);
            let mut fates = [0; Fate::COUNT];
            fates[Fate::Redirected as usize] = lane.seen.get() + lane.segments.get();
            let sockets = SocketStatistics { ring_full: lane.dropped.get(), ..SocketStatistics::default() };
            Ok(QueueCounts { queue: Some(worker as u32), fates, sockets })
        };
        self.lanes.iter().enumerate().map(row).collect()
    }
}

fn opened(interface: &Interface) -> Result<PacketSocket, CaptureError> {
    PacketSocket::open().map_err(|cause| CaptureError::packet_socket(interface, "opened", &cause))
}

/// Refuses interfaces whose frames have no Ethernet header. Returns whether it is the loopback, where each frame that goes out
/// comes in as well, and so only one of the two may count.
fn ethernet(socket: &PacketSocket, interface: &Interface) -> Result<bool, CaptureError> {
    let kind = link_type(socket.fd(), &interface.name);
    match kind.map_err(|cause| CaptureError::packet_socket(interface, "asked for its link", &cause))? {
        libc::ARPHRD_ETHER => Ok(false),
        libc::ARPHRD_LOOPBACK => Ok(true),
        kind => Err(CaptureError::NoEthernet { name: interface.name.clone(), kind }),
    }
}

/// A socket with its ring, bound.
fn lane(socket: PacketSocket, interface: &Interface, config: &CaptureConfig) -> Result<Lane, CaptureError> {
    let blocks = blocks(config.ring_size);
    let memory = socket.ring(blocks).and_then(|()| Memory::map(socket.fd(), blocks));
    let memory = memory.map_err(|cause| ring_error(interface, blocks * BLOCK, &cause))?;
    socket.bind(interface.index).map_err(|cause| CaptureError::packet_socket(interface, "bound", &cause))?;
    let (seen, dropped) = (Counter::default(), Counter::default());
    Ok(Lane { socket, memory: Arc::new(memory), seen, dropped, segments: Arc::default() })
}

fn ring_error(interface: &Interface, bytes: usize, cause: &io::Error) -> CaptureError {
    match cause.raw_os_error() {
        Some(errno @ (libc::ENOMEM | libc::ENOBUFS)) => {
            CaptureError::PacketRing { bytes, cause: io::Error::from_raw_os_error(errno).into() }
        }
        _ => CaptureError::packet_socket(interface, "given a ring (TPACKET_V3)", cause),
    }
}

/// Makes several sockets share the frames.
fn group(lanes: &[Lane], interface: &Interface) -> Result<(), CaptureError> {
    if lanes.len() < 2 {
        return Ok(());
    }
    let program = fanout::program(std::array::from_fn(|_| random() as u32));
    let mut group = None;
    for lane in lanes {
        let joined = lane.socket.join(group, &program);
        let joined = joined.map_err(|cause| CaptureError::packet_socket(interface, "put into a group", &cause));
        group = Some(joined?);
    }
    Ok(())
}
