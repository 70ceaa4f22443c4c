//! What capture is told.

use serde::Deserialize;

use super::AttachPreference;

/// How frames are taken off the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The best that works here.
    Auto,
    /// XDP and AF_XDP.
    #[default]
    Ebpf,
    /// Packet sockets with a ring (TPACKET_V3).
    AfPacket,
    /// libpcap.
    Pcap,
}

/// What [`Strategy::Ebpf`] does with the frames of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Mirror where the host uses the interface, tap where it doesn't.
    #[default]
    Auto,
    /// Takes them: the host never sees them.
    Tap,
    /// Copies them, both ways: the host goes on as if nobody looked.
    Mirror,
}

/// What the configuration says about capture.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// Interface to capture on.
    pub interface: String,
    /// How frames are taken off it.
    pub strategy: Strategy,
    /// What [`Strategy::Ebpf`] does with them.
    pub mode: Mode,
    /// Which frames are captured, in tcpdump's language; all where empty.
    pub filter: String,
    /// Receive queues to capture; all where empty.
    pub queues: Vec<u32>,
    /// Workers at most.
    pub workers: usize,
    /// Bytes of a frame that the parser may see.
    pub snapshot_length: u32,
    /// Ask for zero-copy.
    pub zero_copy: bool,
    /// Take frames that are not addressed to the interface.
    pub promiscuous: bool,
    /// Take an interface that the host uses.
    pub exclusive: bool,
    /// Native or generic XDP.
    pub xdp_mode: AttachPreference,
    /// Microseconds of busy polling; 0 for none.
    pub busy_poll_us: u32,
    /// Bytes of a UMEM frame, 2048 or 4096; by the MTU where `None`.
    pub frame_size: Option<u32>,
    /// Descriptors of a receive ring; the fill ring has twice as many.
    pub ring_size: u32,
}

impl CaptureConfig {
    /// The configuration's defaults, with one worker.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            strategy: Strategy::Ebpf,
            mode: Mode::Tap,
            filter: String::new(),
            queues: Vec::new(),
            workers: 1,
            snapshot_length: 65_536,
            zero_copy: true,
            promiscuous: true,
            exclusive: false,
            xdp_mode: AttachPreference::Auto,
            busy_poll_us: 0,
            frame_size: None,
            ring_size: 4_096,
        }
    }
}
