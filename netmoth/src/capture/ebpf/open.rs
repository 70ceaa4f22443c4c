//! Brings the parts of capture up in order, and takes them down without losing count of a frame.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver as ChannelReceiver;
use log::{debug, warn};
use xdpilone::{Umem, UmemConfig, User};

use super::handback::{self, Giver};
use super::program::{AttachPreference, ProgramError, XdpMode, XdpProgram, attached_program};
use super::queue::FillSide;
use super::socket::{self, Bound, SocketOptions};
use super::source::{Receiver, WayBack, XskSource};
use super::umem::UmemArea;
use super::{PlannedSocket, memlock, plan};
use crate::capture::link::{self, LinkWatch};
use crate::capture::promiscuous::Promiscuous;
use crate::capture::{CaptureConfig, CaptureCounts, CaptureError, Interface, LinkEvent, QueueCounts};
use crate::filter::Filter;

/// The kernel puts this much room before a frame (XDP_PACKET_HEADROOM, linux/bpf.h).
const HEADROOM: u32 = 256;

/// Ethernet header and two VLAN tags: what a frame has beyond the MTU.
const LINK_HEADERS: u32 = 14 + 8;

/// The kernel's side of capture, held by the main thread while workers own the sources.
pub struct Capture {
    interface: Interface,
    program: XdpProgram,
    preference: AttachPreference,
    mode: Option<XdpMode>,
    sockets: Vec<(PlannedSocket, User)>,
    zero_copy: bool,
    workers: usize,
    queues: usize,
    watch: Option<LinkWatch>,
    _promiscuous: Option<Promiscuous>,
}

impl Capture {
    /// Sets up sockets and rings on the interface and loads the program; nothing is captured before
    /// [`Capture::attach`]. Returns one source per worker.
    ///
    /// # Errors
    /// See [`CaptureError`]: each message names the cause and the remedy.
    pub fn open(config: &CaptureConfig) -> Result<(Self, Vec<XskSource>), CaptureError> {
        let interface = Interface::find(&config.interface)?;
        let queues = usable(&interface, config)?;
        let frame_size = frame_size(&interface, config);
        let sockets = plan(config.workers, &queues);
        let per_queue = sockets.iter().filter(|s| s.queue == queues[0]).count() as u32;
        let workers = sockets.iter().map(|s| s.worker + 1).max().unwrap_or(0);
        // Asked before the sockets are made: a sensor that runs already holds them, too, and its name says more.
        if let Some(other) = attached_program(&interface.name)? {
            return Err(ProgramError::Occupied { interface: interface.name, other: Some(other) }.into());
        }
        let hash_key = std::array::from_fn(|_| crate::capture::random());
        let mut program = XdpProgram::load(interface.queues, sockets.len() as u32, hash_key)?;
        if let Some(filter) = Filter::of(&config.filter)? {
            program.set_filter(&filter)?;
        }
        memlock::check(frame_memory(config, interface.mtu, per_queue, queues.len()))?;
        let mut setup = Setup { interface: &interface, config, frame_size, users: Vec::new(), receivers: Vec::new() };
        for &queue in &queues {
            let here: Vec<_> = sockets.iter().copied().filter(|s| s.queue == queue).collect();
            setup.queue(&here)?;
            program.set_queue(queue, here[0].index, here.len() as u32)?;
        }
        let (users, receivers) = (setup.users, setup.receivers);
        for (planned, user) in &users {
            program.set_socket(planned.index, &user.as_raw_fd())?;
        }
        let zero_copy = users.iter().all(|(_, user)| socket::is_zero_copy(user.as_raw_fd()));
        let sources = sources(workers, receivers, config);
        let promiscuous = config.promiscuous.then(|| Promiscuous::set(&interface)).transpose()?;
        let capture = Self {
            program,
            preference: config.xdp_mode,
            mode: None,
            sockets: users,
            zero_copy,
            workers,
            queues: queues.len(),
            watch: None,
            _promiscuous: promiscuous,
            interface,
        };
        Ok((capture, sources))
    }

    /// Attaches the program: frames come from now on.
    ///
    /// # Errors
    /// See [`super::ProgramError`].
    pub fn attach(&mut self) -> Result<XdpMode, CaptureError> {
        let mode = self.program.attach(&self.interface.name, self.preference)?;
        self.mode = Some(mode);
        Ok(mode)
    }

    /// Starts the link watch; events arrive within a second.
    ///
    /// # Errors
    /// Where netlink is not to be had.
    pub fn watch_link(&mut self) -> Result<ChannelReceiver<LinkEvent>, CaptureError> {
        let (watch, events) = link::watch(self.interface.index, self.interface.running, None)?;
        self.watch = Some(watch);
        Ok(events)
    }

    /// The interface as it was at start.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What is captured and how, in a few words: `eth0 (i40e, native XDP, zero-copy), 4 queues, 4 workers`.
    pub fn describe(&self) -> String {
        let mode = self.mode.map_or_else(|| "not attached".into(), |mode| format!("{mode} XDP"));
        let copy = if self.zero_copy { "zero-copy" } else { "copy mode" };
        format!(
            "{} ({}, {mode}, {copy}), {} {}, {} {}",
            self.interface.name,
            self.interface.driver,
            self.queues,
            if self.queues == 1 { "queue" } else { "queues" },
            self.workers,
            if self.workers == 1 { "worker" } else { "workers" },
        )
    }

    /// What the program and the sockets have counted so far.
    ///
    /// # Errors
    /// Where the maps can't be read.
    pub fn counts(&self) -> Result<CaptureCounts, CaptureError> {
        Ok(CaptureCounts::sum(&self.queue_counts()?))
    }

    /// The same by receive queue. The last row is that of all queues beyond.
    ///
    /// # Errors
    /// Where the maps can't be read.
    pub fn queue_counts(&self) -> Result<Vec<QueueCounts>, CaptureError> {
        let fates = self.program.fates()?;
        let last = fates.len() - 1;
        let numbered = fates.into_iter().enumerate();
        let mut rows: Vec<QueueCounts> = numbered
            .map(|(at, fates)| QueueCounts { queue: (at < last).then_some(at as u32), fates, ..QueueCounts::default() })
            .collect();
        for (planned, user) in &self.sockets {
            let mut one = socket::statistics(user).unwrap_or_default();
            // The fill ring, and so its count of empty moments, is shared by the sockets of a queue: count it once.
            one.fill_ring_empty = if planned.owner { one.fill_ring_empty } else { 0 };
            rows[planned.queue as usize].sockets.add(one);
        }
        Ok(rows)
    }

    /// Where the program runs; `None` before [`attach`](Self::attach).
    pub fn mode(&self) -> Option<XdpMode> {
        self.mode
    }

    /// Whether every socket got zero-copy.
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Takes the program off the interface and waits until no frame is under way any more: afterwards what the rings
    /// hold is all that will come.
    pub fn detach(&mut self) {
        self.program.detach();
        let until = Instant::now() + Duration::from_millis(500);
        let mut before = self.program.fates().ok();
        // A driver's poll that had begun before may still redirect a frame; it ends within a scheduler tick.
        loop {
            thread::sleep(Duration::from_millis(10));
            let now = self.program.fates().ok();
            if now == before || Instant::now() > until {
                break;
            }
            before = now;
        }
        debug!("the program is off the interface, the rings are what they are");
    }
}

/// The queues to capture, after the questions that could forbid it.
fn usable(interface: &Interface, config: &CaptureConfig) -> Result<Vec<u32>, CaptureError> {
    let name = interface.name.clone();
    if !config.exclusive
        && let Some(uses) = interface.use_by_host()
    {
        return Err(CaptureError::InUse { name, uses });
    }
    if !interface.running {
        return Err(CaptureError::Down { name });
    }
    if config.queues.is_empty() {
        return Ok((0..interface.queues).collect());
    }
    if let Some(&queue) = config.queues.iter().find(|q| **q >= interface.queues) {
        return Err(CaptureError::NoQueue { name, queues: interface.queues, last: interface.queues - 1, queue });
    }
    let mut seen = config.queues.clone();
    seen.sort_unstable();
    if let Some(pair) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(CaptureError::QueueTwice { queue: pair[0] });
    }
    Ok(config.queues.clone())
}

/// UMEM frames of one queue: its fill ring, and a receive ring in hand for each socket.
fn frames(config: &CaptureConfig, sockets: u32) -> u32 {
    config.ring_size * (2 + sockets)
}

/// Frames that go round where the kernel copies: as many as the receive rings hold, so that a worker may be held up for as long
/// as before any is lost, and some that are in hand. The fewer, the more of them stand in a cache when they are written.
fn in_circulation(ring_size: u32, sockets: u32) -> u32 {
    ring_size * sockets + ring_size / 8
}

/// Bytes of memory that the frames of all queues take, where `sockets` sockets share a queue at most.
pub(crate) fn frame_memory(config: &CaptureConfig, mtu: u32, sockets: u32, queues: usize) -> u64 {
    let size = fitting_frame_size(mtu, config.frame_size).0;
    u64::from(frames(config, sockets)) * u64::from(size) * queues as u64
}

/// The size of a UMEM frame: as configured, or the smaller of the two that takes a full-sized frame of this MTU; and
/// whether a full-sized frame fits.
pub(crate) fn fitting_frame_size(mtu: u32, configured: Option<u32>) -> (u32, bool) {
    let longest = mtu.saturating_add(LINK_HEADERS);
    let size = configured.unwrap_or(if longest <= 2048 - HEADROOM { 2048 } else { 4096 });
    (size, longest <= size.saturating_sub(HEADROOM))
}

/// The size of a UMEM frame on this interface; says so where full-sized frames don't fit.
fn frame_size(interface: &Interface, config: &CaptureConfig) -> u32 {
    let (size, fits) = fitting_frame_size(interface.mtu, config.frame_size);
    if !fits {
        warn!(
            "the MTU of {} is {}: frames longer than {} bytes do not fit a UMEM frame of {size} and will be dropped by \
             the kernel (counted as dropped); {}",
            interface.name,
            interface.mtu,
            size - HEADROOM,
            if size < 4096 { "set frame_size: 4096" } else { "lower the MTU of the link to at most 3818" },
        );
    }
    size
}

fn sources(workers: usize, receivers: Vec<(usize, Receiver)>, config: &CaptureConfig) -> Vec<XskSource> {
    let mut per_worker: Vec<Vec<Receiver>> = (0..workers).map(|_| Vec::new()).collect();
    for (worker, receiver) in receivers {
        per_worker[worker].push(receiver);
    }
    let busy = config.busy_poll_us > 0;
    per_worker.into_iter().map(|own| XskSource::new(own, config.snapshot_length, busy)).collect()
}

/// The queues as they are set up one after the other.
struct Setup<'a> {
    interface: &'a Interface,
    config: &'a CaptureConfig,
    frame_size: u32,
    users: Vec<(PlannedSocket, User)>,
    receivers: Vec<(usize, Receiver)>,
}

impl Setup<'_> {
    /// Sets up one queue: UMEM, first socket, further sockets, rings.
    fn queue(&mut self, sockets: &[PlannedSocket]) -> Result<(), CaptureError> {
        let queue = sockets[0].queue;
        let frames = frames(self.config, sockets.len() as u32);
        let area = Arc::new(UmemArea::map(frames, self.frame_size)?);
        let umem = self.umem(&area)?;
        let options = SocketOptions {
            ring_size: self.config.ring_size,
            zero_copy: self.config.zero_copy,
            busy_poll_us: self.config.busy_poll_us,
        };
        let (first, device) = socket::bind_first(self.interface, queue, &umem, &options)?;
        if options.zero_copy && self.users.is_empty() && !socket::is_zero_copy(first.user.as_raw_fd()) {
            warn!(
                "driver {} of {} has no zero-copy; copying each frame once instead",
                self.interface.driver, self.interface.name
            );
        }
        let mut bound = vec![first];
        for _ in 1..sockets.len() {
            bound.push(socket::bind_further(self.interface, queue, &umem, &device, &options)?);
        }
        let (givers, takers): (Vec<Giver>, Vec<_>) = (1..sockets.len()).map(|_| handback::ring(frames)).unzip();
        let most = match socket::is_zero_copy(bound[0].user.as_raw_fd()) {
            // The card's own ring takes from the fill ring, too.
            true => frames,
            false => in_circulation(self.config.ring_size, sockets.len() as u32),
        };
        let fill = Box::new(FillSide::new(device, Arc::clone(&area), frames, most, takers));
        let ways = std::iter::once(WayBack::Fill(fill)).chain(givers.into_iter().map(WayBack::Owner));
        for ((planned, Bound { user, ring }), back) in sockets.iter().zip(bound).zip(ways) {
            self.receivers.push((planned.worker, Receiver::new(ring, Arc::clone(&area), back)));
            self.users.push((*planned, user));
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "the UMEM is registered with the kernel by address")]
    fn umem(&self, area: &UmemArea) -> Result<Umem, CaptureError> {
        let config = UmemConfig {
            fill_size: self.config.ring_size * 2,
            complete_size: self.config.ring_size,
            frame_size: self.frame_size,
            headroom: 0,
            flags: 0,
        };
        // SAFETY: the area is a page-aligned mapping of exactly this length. The kernel pins its pages for as long as
        // a socket of it lives, and every receiver of ours that reads it holds the mapping by an Arc.
        let umem = unsafe { Umem::new(config, area.as_slice_ptr()) };
        umem.map_err(|errno| umem_error(area.as_slice_ptr().len(), socket::io_error(&errno)))
    }
}

fn umem_error(bytes: usize, cause: io::Error) -> CaptureError {
    match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => CaptureError::NotPermitted,
        Some(libc::ENOBUFS) => {
            memlock::check(bytes as u64).err().unwrap_or(CaptureError::Memory { bytes, cause: cause.into() })
        }
        _ => CaptureError::Memory { bytes, cause: cause.into() },
    }
}
