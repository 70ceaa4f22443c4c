//! Capture by the strategy that the configuration asks for: one face for the sensor and its workers, whatever is behind it.

use crossbeam_channel::Receiver;

use super::{
    AfPacket, Capture, CaptureConfig, CaptureCounts, CaptureError, Frame, Interface, LinkEvent, PacketSource,
    PcapCapture, PcapSource, QueueCounts, Strategy, XskSource, choose,
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
#[expect(clippy::large_enum_variant, reason = "there is one of it, and it does not move")]
pub enum Live {
    /// XDP takes the frames.
    Tap(Capture),
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
                let (capture, sources) = Capture::open(config)?;
                Ok((Self::Tap(capture), sources.into_iter().map(Source::Xsk).collect()))
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
            Self::AfPacket(capture) => capture.watch_link(),
            Self::Pcap(capture) => capture.watch_link(),
        }
    }

    /// Ends capture: afterwards what the rings hold is all that will come.
    pub fn stop(&mut self) {
        match self {
            Self::Tap(capture) => capture.detach(),
            Self::AfPacket(capture) => capture.stop(),
            Self::Pcap(capture) => capture.stop(),
        }
    }

    /// The interface as it was at start.
    pub fn interface(&self) -> &Interface {
        match self {
            Self::Tap(capture) => capture.interface(),
            Self::AfPacket(capture) => capture.interface(),
            Self::Pcap(capture) => capture.interface(),
        }
    }

    /// What is captured and how, in a few words: `eth0 (i40e, native XDP, zero-copy), 4 queues, 4 workers`.
    pub fn describe(&self) -> String {
        match self {
            Self::Tap(capture) => capture.describe(),
            Self::AfPacket(capture) => capture.describe(),
            Self::Pcap(capture) => capture.describe(),
        }
    }

    /// Who counts the frames first, as the sums name it: `frames seen by XDP`.
    pub fn seen_by(&self) -> &'static str {
        match self {
            Self::Tap(_) => "frames seen by XDP",
            Self::AfPacket(capture) if capture.filtered() => "frames seen by AF_PACKET, of those that match",
            Self::AfPacket(_) => "frames seen by AF_PACKET",
            Self::Pcap(capture) if capture.filtered() => "frames seen by libpcap, of those that match",
            Self::Pcap(_) => "frames seen by libpcap",
        }
    }

    /// Whether the kernel only copies frames: none is passed on or redirected, and one sum says it.
    pub fn copies(&self) -> bool {
        match self {
            Self::Tap(_) => false,
            Self::AfPacket(_) | Self::Pcap(_) => true,
        }
    }

    /// In one word for the metrics how frames are taken; `none` before [`start`](Self::start).
    pub fn mode(&self) -> String {
        match self {
            Self::Tap(capture) => capture.mode().map_or_else(|| "none".into(), |mode| mode.to_string()),
            Self::AfPacket(capture) => if capture.started() { "afpacket" } else { "none" }.into(),
            Self::Pcap(capture) => if capture.started() { "pcap" } else { "none" }.into(),
        }
    }

    /// Whether frames come without a copy.
    pub fn zero_copy(&self) -> bool {
        match self {
            Self::Tap(capture) => capture.zero_copy(),
            Self::AfPacket(_) | Self::Pcap(_) => false,
        }
    }

    /// What the kernel has counted so far, by queue.
    ///
    /// # Errors
    /// Where the counters can't be read.
    pub fn queue_counts(&self) -> Result<Vec<QueueCounts>, CaptureError> {
        match self {
            Self::Tap(capture) => capture.queue_counts(),
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
}
