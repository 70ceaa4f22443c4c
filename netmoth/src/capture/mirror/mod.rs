//! `mode: mirror` of `strategy: ebpf`: clones of what an interface receives and sends, while the host goes on using it.
//!
//! What enters: the interface's socket buffers, at ingress and egress of traffic control. What leaves: frames, through a
//! private veth pair to the AF_XDP sockets of a [`Capture`] at its far end. What it owns: the pair (`pair`; `leftover`, what a
//! killed run left of one; `link` speaks to rtnetlink) and the programs (`program`; `clsact` for kernels without tcx).

mod clsact;
mod leftover;
pub(crate) mod link;
mod pair;
mod program;

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::{debug, warn};
use netlink_packet_route::link::LinkLayerType;
use netmoth_shared::mirror::Count;

use super::link::LinkWatch;
use super::promiscuous::Promiscuous;
use super::{
    Capture, CaptureConfig, CaptureCounts, CaptureError, Interface, LinkEvent, QueueCounts, XskSource, interface,
};
use crate::filter::Filter;
/// The same orders for other private pairs.
pub(crate) use link as veth;
use pair::{Pair, Traffic};
pub use program::Hook;
use program::MirrorProgram;

/// How long clones may be under way at the end.
const ARRIVAL: Duration = Duration::from_secs(2);

/// What the programs at traffic control have counted, and what got lost behind them, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounts {
    /// By [`Count`].
    pub counts: [u64; Count::COUNT],
    /// Lost in the pair: its ring was full, or they were longer than what it takes.
    pub refused: u64,
    /// Lost in the pair: no memory for a copy.
    pub no_memory: u64,
}

impl MirrorCounts {
    /// Frames of one kind.
    pub fn of(&self, what: Count) -> u64 {
        self.counts[what as usize]
    }

    /// Frames that a clone was made of.
    pub fn mirrored(&self) -> u64 {
        self.of(Count::Mirrored) + self.of(Count::QueueFull)
    }

    /// Clones that were lost before the far end, by reason.
    pub fn dropped(&self) -> [(&'static str, u64); 3] {
        [
            (Count::QueueFull.label(), self.of(Count::QueueFull)),
            ("ring_full_or_too_long", self.refused),
            ("no_memory", self.no_memory),
        ]
    }
}

/// A mirrored interface.
pub struct Mirror {
    interface: Interface,
    // Dropped in this order: programs, sockets, pair.
    program: MirrorProgram,
    tap: Capture,
    pair: Pair,
    hook: Option<Hook>,
    wanted_hook: Option<Hook>,
    watch: Option<LinkWatch>,
    _promiscuous: Option<Promiscuous>,
}

impl Mirror {
    /// Sets up pair, sockets and programs; nothing is mirrored before [`start`](Self::start). Returns one source per worker.
    /// `hook` insists on one way to attach; the best that the kernel has where `None`.
    ///
    /// # Errors
    /// See [`CaptureError`]: each message names the cause and the remedy.
    pub fn open(config: &CaptureConfig, hook: Option<Hook>) -> Result<(Self, Vec<XskSource>), CaptureError> {
        let interface = Interface::find(&config.interface)?;
        suitable(&interface, config)?;
        let filter = Filter::of(&config.filter)?;
        let pair = Pair::create(&interface)?;
        let far = CaptureConfig {
            interface: pair.far.name.clone(),
            exclusive: true,
            // A veth has neither.
            zero_copy: false,
            promiscuous: false,
            // Asked before a clone is made.
            filter: String::new(),
            ..config.clone()
        };
        let (mut tap, sources) = Capture::open(&far)?;
        if tap.interface().index != pair.far.index {
            return Err(CaptureError::PairName { name: interface.name, pair: pair.far.name.clone() });
        }
        // At once: by its program others see that the pair is in use. Nothing comes before there is something to clone.
        tap.attach()?;
        let mut program = MirrorProgram::load(pair.near.index, pair.queued, filter.as_ref())?;
        program.close(&pair.far.name);
        let promiscuous = config.promiscuous.then(|| Promiscuous::set(&interface)).transpose()?;
        let mirror = Self {
            interface,
            program,
            tap,
            pair,
            hook: None,
            wanted_hook: hook,
            watch: None,
            _promiscuous: promiscuous,
        };
        Ok((mirror, sources))
    }

    /// Frames are mirrored from now on.
    ///
    /// # Errors
    /// Where the kernel doesn't take the programs.
    pub fn start(&mut self) -> Result<(), CaptureError> {
        self.hook = Some(self.program.attach(&self.interface, self.wanted_hook)?);
        Ok(())
    }

    /// Starts the link watch on the host's interface and on the pair; events arrive within a second.
    ///
    /// # Errors
    /// Where netlink is not to be had.
    pub fn watch_link(&mut self) -> Result<Receiver<LinkEvent>, CaptureError> {
        let pair = Some(self.pair.near.index);
        let (watch, events) = super::link::watch(self.interface.index, self.interface.running, pair)?;
        self.watch = Some(watch);
        Ok(events)
    }

    /// Takes the programs off the interface, and waits until every clone has arrived.
    pub fn stop(&mut self) {
        self.program.detach();
        let until = Instant::now() + ARRIVAL;
        let mut before = None;
        loop {
            // A program that had begun before may still count.
            thread::sleep(Duration::from_millis(10));
            let now = self.arrivals().ok();
            if now == before && now.is_none_or(|(mirrored, arrived)| arrived >= mirrored) {
                break;
            }
            if Instant::now() > until {
                warn!("clones were still on their way {} s after the end", ARRIVAL.as_secs());
                break;
            }
            before = now;
        }
        self.tap.detach();
        debug!("the programs are off {}, every clone has arrived", self.interface.name);
    }

    /// Clones that were made, and those that were seen or dropped behind.
    fn arrivals(&self) -> Result<(u64, u64), CaptureError> {
        let (counts, seen) = (self.mirror_counts()?, self.seen_by_xdp()?);
        Ok((counts.mirrored(), seen + counts.dropped().iter().map(|(_, n)| n).sum::<u64>()))
    }

    fn seen_by_xdp(&self) -> Result<u64, CaptureError> {
        Ok(CaptureCounts::sum(&self.tap.queue_counts()?).fates.iter().sum())
    }

    /// The host's interface as it was at start.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What is captured and how, in a few words.
    pub fn describe(&self) -> String {
        let hook = match self.hook {
            None => "not attached",
            Some(Hook::Tcx) => "mirrored at tcx",
            Some(Hook::Clsact) => "mirrored at clsact",
        };
        let (name, driver) = (&self.interface.name, &self.interface.driver);
        format!("{name} ({driver}, {hook}) through {}", self.tap.describe())
    }

    /// What the sockets and the program at the far end have counted, by queue.
    ///
    /// # Errors
    /// Where the counters can't be read.
    pub fn queue_counts(&self) -> Result<Vec<QueueCounts>, CaptureError> {
        self.tap.queue_counts()
    }

    /// What was counted before the far end.
    ///
    /// # Errors
    /// Where the counters can't be read.
    pub fn mirror_counts(&self) -> Result<MirrorCounts, CaptureError> {
        let Traffic { refused, arrived } = self.pair.traffic()?;
        // Read after what arrived: while frames come, there are more of them.
        let seen = self.seen_by_xdp()?;
        Ok(MirrorCounts { counts: self.program.counts()?, refused, no_memory: arrived.saturating_sub(seen) })
    }
}

/// What could forbid a mirror.
fn suitable(interface: &Interface, config: &CaptureConfig) -> Result<(), CaptureError> {
    let name = interface.name.clone();
    match interface::link_layer(interface.index)? {
        Some(LinkLayerType::Ether | LinkLayerType::Loopback) => {}
        Some(layer) => return Err(CaptureError::NotEthernet { name, layer: layer.to_string() }),
        None => return Err(CaptureError::Down { name }),
    }
    if !config.queues.is_empty() {
        return Err(CaptureError::MirrorQueues { name });
    }
    if !interface.running {
        return Err(CaptureError::Down { name });
    }
    Ok(())
}

fn is_loopback(interface: &Interface) -> bool {
    matches!(interface::link_layer(interface.index), Ok(Some(LinkLayerType::Loopback)))
}
