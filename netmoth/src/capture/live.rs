//! Capture by the strategy that the configuration asks for: one face for the sensor and its workers, whatever is behind it.

use crossbeam_channel::Receiver;

use log::info;

use super::{
    AfPacket, Capture, CaptureConfig, CaptureCounts, CaptureError, Frame, Interface, LinkEvent, Mirror, MirrorCounts,
    Mode, PacketSource, PcapCapture, PcapSource, QueueCounts, Strategy, XskSource, choose,
};

/// What one worker polls.
pub enum Source {
    /// Receive rings of AF_XDP sockets.
    Xsk(XskSource),
    /// The ring of a packet socket.
    Packet(PacketSource),
    /// libpcap.
    Pcap(PcapSource),
}

impl Source {
    /// Receives up to [`BATCH`](super::BATCH) frames, shows them to `handle`, and gives their memory back to the kernel.
    /// Returns how many; 0 where nothing waits.
    #[inline]
    pub fn poll(&mut self, handle: impl FnOnce(&[Frame<'_>])) -> usize {
        match self {
            Self::Xsk(source) => source.poll(handle),
            Self::Packet(source) => source.poll(handle),
            Self::Pcap(source) => source.poll(handle),
        }
    }

    /// Sleeps until a frame arrives, for at most `timeout_ms`. Returns whether one has.
    pub fn wait(&mut self, timeout_ms: u32) -> bool {
        match self {
            Self::Xsk(source) => source.wait(timeout_ms),
            Self::Packet(source) => source.wait(timeout_ms),
            Self::Pcap(source) => source.wait(timeout_ms),
        }
    }
}

/// The kernel's side of capture, held by the main thread while workers own the sources.
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Live {
    /// XDP takes the frames.
    Tap(Capture),
    /// Clones of the frames are taken.
    Mirror(Mirror),
    /// Packet sockets copy them.
    AfPacket(AfPacket),
    /// libpcap copies them.
    Pcap(PcapCapture),
}

impl Live {
    /// Sets everything up; nothing is captured before [`start`](Self::start). Returns one source per worker.
    ///
    /// # Errors
    /// See [`CaptureError`]: each message names the cause and the remedy.
    pub fn open(config: &CaptureConfig) -> Result<(Self, Vec<Source>), CaptureError> {
        match config.strategy {
            Strategy::AfPacket => {
                let (capture, sources) = AfPacket::open(config)?;
                Ok((Self::AfPacket(capture), sources.into_iter().map(Source::Packet).collect()))
            }
            Strategy::Auto => choose::open(config),
            Strategy::Pcap => {
                let (capture, sources) = PcapCapture::open(config)?;
                Ok((Self::Pcap(capture), sources.into_iter().map(Source::Pcap).collect()))
            }
            Strategy::Ebpf => {
                let (live, sources) = match mode(config)? {
                    Mode::Mirror => {
                        let (mirror, sources) = Mirror::open(config, None)?;
                        (Self::Mirror(mirror), sources)
                    }
                    Mode::Tap | Mode::Auto => {
                        let (capture, sources) = Capture::open(config)?;
                        (Self::Tap(capture), sources)
                    }
                };
                Ok((live, sources.into_iter().map(Source::Xsk).collect()))
            }
        }
    }

    /// Frames come from now on.
    ///
    /// # Errors
    /// Where the kernel refuses the last step.
    pub fn start(&mut self) -> Result<(), CaptureError> {
        match self {
            Self::Tap(capture) => capture.attach().map(|_| ()),
            Self::Mirror(mirror) => mirror.start(),
            Self::AfPacket(capture) => capture.start(),
            Self::Pcap(capture) => capture.start(),
        }
    }

    /// Starts the link watch; events arrive within a second.
    ///
    /// # Errors
    /// Where netlink is not to be had.
    pub fn watch_link(&mut self) -> Result<Receiver<LinkEvent>, CaptureError> {
        match self {
            Self::Tap(capture) => capture.watch_link(),
            Self::Mirror(mirror) => mirror.watch_link(),
            Self::AfPacket(capture) => capture.watch_link(),
            Self::Pcap(capture) => capture.watch_link(),
        }
    }

    /// Ends capture: afterwards what the rings hold is all that will come.
    pub fn stop(&mut self) {
        match self {
            Self::Tap(capture) => capture.detach(),
            Self::Mirror(mirror) => mirror.stop(),
            Self::AfPacket(capture) => capture.stop(),
            Self::Pcap(capture) => capture.stop(),
        }
    }

    /// The interface as it was at start.
    pub fn interface(&self) -> &Interface {
        match self {
            Self::Tap(capture) => capture.interface(),
            Self::Mirror(mirror) => mirror.interface(),
            Self::AfPacket(capture) => capture.interface(),
            Self::Pcap(capture) => capture.interface(),
        }
    }

    /// What is captured and how, in a few words: `eth0 (i40e, native XDP, zero-copy), 4 queues, 4 workers`.
    pub fn describe(&self) -> String {
        match self {
            Self::Tap(capture) => capture.describe(),
            Self::Mirror(mirror) => mirror.describe(),
            Self::AfPacket(capture) => capture.describe(),
            Self::Pcap(capture) => capture.describe(),
        }
    }

    /// Who counts the frames first, as the sums name it: `frames seen by XDP`.
    pub fn seen_by(&self) -> &'static str {
        match self {
            Self::Tap(_) | Self::Mirror(_) => "frames seen by XDP",
            Self::AfPacket(capture) if capture.filtered() => "frames seen by AF_PACKET, of those that match",
            Self::AfPacket(_) => "frames seen by AF_PACKET",
            Self::Pcap(capture) if capture.filtered() => "frames seen by libpcap, of those that match",
            Self::Pcap(_) => "frames seen by libpcap",
        }
    }

    /// Whether the kernel only copies frames: none is passed on or redirected, and one sum says it.
    pub fn copies(&self) -> bool {
        match self {
            Self::Tap(_) | Self::Mirror(_) => false,
            Self::AfPacket(_) | Self::Pcap(_) => true,
        }
    }

    /// In one word for the metrics how frames are taken; `none` before [`start`](Self::start).
    pub fn mode(&self) -> String {
        match self {
            Self::Tap(capture) => capture.mode().map_or_else(|| "none".into(), |mode| mode.to_string()),
            Self::Mirror(_) => "mirror".into(),
            Self::AfPacket(capture) => if capture.started() { "afpacket" } else { "none" }.into(),
            Self::Pcap(capture) => if capture.started() { "pcap" } else { "none" }.into(),
        }
    }

    /// Whether frames come without a copy.
    pub fn zero_copy(&self) -> bool {
        match self {
            Self::Tap(capture) => capture.zero_copy(),
            Self::Mirror(_) | Self::AfPacket(_) | Self::Pcap(_) => false,
        }
    }

    /// What the kernel has counted so far, by queue.
    ///
    /// # Errors
    /// Where the counters can't be read.
    pub fn queue_counts(&self) -> Result<Vec<QueueCounts>, CaptureError> {
        match self {
            Self::Tap(capture) => capture.queue_counts(),
            Self::Mirror(mirror) => mirror.queue_counts(),
            Self::AfPacket(capture) => capture.queue_counts(),
            Self::Pcap(capture) => capture.queue_counts(),
        }
    }

    /// The same, summed.
    ///
    /// # Errors
    /// Where the counters can't be read.
    pub fn counts(&self) -> Result<CaptureCounts, CaptureError> {
        Ok(CaptureCounts::sum(&self.queue_counts()?))
    }

    /// What was counted before XDP saw the frames; `None` where nothing stands before it.
    ///
    /// # Errors
    /// Where the counters can't be read.
    pub fn mirror_counts(&self) -> Result<Option<MirrorCounts>, CaptureError> {
        match self {
            Self::Tap(_) | Self::AfPacket(_) | Self::Pcap(_) => Ok(None),
            Self::Mirror(mirror) => mirror.mirror_counts().map(Some),
        }
    }
}

/// What `mode:` comes to on this interface: never [`Mode::Auto`].
fn mode(config: &CaptureConfig) -> Result<Mode, CaptureError> {
    if config.mode != Mode::Auto {
        return Ok(config.mode);
    }
    let interface = Interface::find(&config.interface)?;
    let name = &interface.name;
    Ok(match interface.use_by_host() {
        Some(uses) if config.exclusive => {
            info!("{name} {uses}; exclusive: true takes its frames from this host");
            Mode::Tap
        }
        Some(uses) => {
            info!("{name} {uses}: its frames are mirrored (mode: auto), and this host keeps them");
            Mode::Mirror
        }
        None => {
            info!("this host does not use {name}: its frames are taken (mode: auto)");
            Mode::Tap
        }
    })
}
