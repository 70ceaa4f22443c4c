//! The input of [`flows`](super::flows) as a story: a byte of settings, then steps of eight bytes each. Alphabets are small,
//! so that what is made meets: four hosts, four ports, sequence numbers near the point where they wrap.

use std::time::Duration;

use netmoth::flow::FlowConfig;
use netmoth::wire::LinkType;

use super::frame::link_type;
use super::frames::{self, Ends, ICMP, ICMPV6, SCTP, Segment, TCP, UDP, Wrapping};

/// What is in the second byte's low half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Tcp,
    Udp,
    Icmp,
    Sctp,
    Other,
    FirstPiece,
    LaterPiece,
    Extensions,
    Raw,
    Timers,
}

impl What {
    /// By number; TCP, which has the most to it, more often than others.
    const TABLE: [Self; 16] = [
        Self::Tcp,
        Self::Udp,
        Self::Icmp,
        Self::Sctp,
        Self::Other,
        Self::FirstPiece,
        Self::LaterPiece,
        Self::Extensions,
        Self::Raw,
        Self::Timers,
        Self::Tcp,
        Self::Tcp,
        Self::Tcp,
        Self::Tcp,
        Self::Udp,
        Self::Udp,
    ];

    /// The lowest number that stands for it.
    pub(super) fn number(self) -> u8 {
        Self::TABLE.iter().position(|what| *what == self).unwrap_or(0) as u8
    }
}

/// One step: time passes, and a frame comes or the timers are looked at.
#[derive(Clone, Copy, Default)]
pub(super) struct Step {
    /// Kind of the pause in the upper three bits, its length in the lower five.
    pub(super) pause: u8,
    /// [`What`] in the lower four bits; the upper four are free to vary.
    pub(super) what: u8,
    /// Wrapping.
    pub(super) wrapping: u8,
    /// Sender, receiver, IPv6, a second family of ports: two bits, two, one; three for the VLAN or tunnel.
    pub(super) ends: u8,
    /// Ports of sender and receiver, two bits each; four bits for the protocol or the identification.
    pub(super) ports: u8,
    /// TCP flags, or the type of an ICMP message.
    pub(super) flags: u8,
    /// Sequence number in the upper half, acknowledgement in the lower, both in units of [`UNIT`].
    pub(super) numbers: u8,
    /// Bytes of payload, or of a raw frame.
    pub(super) length: u8,
}

const PORTS: [u16; 4] = [80, 50_123, 53, 443];

/// Bytes between two sequence numbers.
const UNIT: u32 = 8;

/// The first sequence number: a few units before they wrap.
const FIRST: u32 = u32::MAX - 5 * UNIT + 1;

/// Zeros for payload.
const PAYLOAD: [u8; 256] = [0; 256];

impl Step {
    /// Bytes of one step.
    const SIZE: usize = 8;

    fn decode(bytes: [u8; Self::SIZE]) -> Self {
        let [pause, what, wrapping, ends, ports, flags, numbers, length] = bytes;
        Self { pause, what, wrapping, ends, ports, flags, numbers, length }
    }

    /// As in an input.
    pub(super) fn encode(self) -> [u8; Self::SIZE] {
        [self.pause, self.what, self.wrapping, self.ends, self.ports, self.flags, self.numbers, self.length]
    }

    /// What happens.
    pub(super) fn what(self) -> What {
        What::TABLE[usize::from(self.what & 15)]
    }

    /// Nanoseconds that pass; negative where the clock is set back.
    pub(super) fn pause_ns(self) -> i64 {
        let amount = i64::from(self.pause & 31);
        let unit = match self.pause >> 5 {
            0 => return 0,
            1 => 1_000_000,
            2 => 100_000_000,
            3 => 1_000_000_000,
            4 => 30_000_000_000,
            5 => -700_000_000,
            // Up to a month and a half.
            6 => 36 * 3_600_000_000_000,
            // Up to three hundred years: what damaged stamps bring.
            _ => 9 * 365 * 86_400_000_000_000,
        };
        amount * unit
    }

    /// The frame and its link layer. A raw frame takes its bytes from `rest`.
    pub(super) fn frame(self, rest: &mut &[u8]) -> (Option<LinkType>, Vec<u8>) {
        if self.what() == What::Raw {
            let (raw, behind) = rest.split_at(rest.len().min(usize::from(self.length)));
            *rest = behind;
            return (link_type(self.wrapping), raw.to_vec());
        }
        let wrapping = Wrapping::ALL[usize::from(self.wrapping) % Wrapping::ALL.len()];
        (Some(wrapping.link()), wrapping.around(&self.packet(), self.ends >> 5))
    }

    fn packet(self) -> Vec<u8> {
        let ends = Ends { from: self.ends & 3, to: self.ends >> 2 & 3, v6: self.ends & 16 != 0 };
        let (from, to) = (PORTS[usize::from(self.ports & 3)], PORTS[usize::from(self.ports >> 2 & 3)]);
        let id = self.ports >> 4;
        let payload = &PAYLOAD[..usize::from(self.length & 0x7f)];
        let icmp = if ends.v6 { ICMPV6 } else { ICMP };
        match self.what() {
            What::Udp => frames::ip(ends, UDP, &[], &frames::udp(from, to, payload)),
            What::Icmp => frames::ip(ends, icmp, &[], &frames::icmp(self.flags, self.numbers, payload)),
            What::Sctp => frames::ip(ends, SCTP, &[], &frames::sctp(from, to, self.flags)),
            What::Other => frames::ip(ends, self.flags, &[], payload),
            What::FirstPiece if self.flags & 1 == 0 => {
                frames::piece(ends, UDP, id, true, &frames::udp(from, to, payload))
            }
            What::FirstPiece if self.flags & 2 == 0 => {
                frames::piece(ends, TCP, id, true, &frames::tcp(from, to, self.segment(), payload))
            }
            What::FirstPiece => frames::piece(ends, icmp, id, true, &frames::icmp(self.flags, 0, payload)),
            What::LaterPiece => {
                frames::piece(ends, [UDP, TCP, UDP, icmp][usize::from(self.flags & 3)], id, false, payload)
            }
            What::Extensions => {
                let extensions: [(u8, &[u8]); 3] =
                    [(0, &[0, 1, 4, 0, 0, 0, 0]), (43, &[0, 4, 0, 0, 0, 0, 0]), (60, &[0; 7])];
                let some = &extensions[..usize::from(self.numbers) % 4];
                frames::ip(ends, TCP, some, &frames::tcp(from, to, self.segment(), payload))
            }
            _ => frames::ip(ends, TCP, &[], &frames::tcp(from, to, self.segment(), payload)),
        }
    }

    fn segment(self) -> Segment {
        let number = |units: u8| FIRST.wrapping_add(u32::from(units) * UNIT);
        let window = if self.length & 0x80 == 0 { 1000 } else { 0 };
        Segment { flags: self.flags, seq: number(self.numbers >> 4), ack: number(self.numbers & 15), window }
    }
}

/// The settings of a story, from its first byte.
pub(super) struct Settings {
    pub(super) flow: FlowConfig,
    /// The engine is told any times, and not those that [`netmoth::time::ReplayClock`] makes of them.
    pub(super) wild: bool,
}

impl Settings {
    pub(super) fn new(byte: u8) -> Self {
        let mut flow = FlowConfig::new([1, 3, 16, 64][usize::from(byte & 3)], [3, 4]);
        flow.key_vlan = byte & 4 == 0;
        flow.key_tunnel = byte & 4 == 0;
        // Stories carry no checksums, so that nothing but TCP's counters is left where they are verified.
        flow.verify_checksums = byte & 0x88 == 0x88;
        flow.worker = byte;
        if byte & 8 != 0 {
            flow.active_timeout = Duration::from_millis(500);
        }
        if byte & 16 != 0 {
            // Beyond the reach of the timer wheel.
            flow.timeouts.udp = Duration::from_secs(1000);
            flow.timeouts.tcp_established = netmoth::flow::MAX_TIMEOUT;
        }
        if byte & 32 != 0 {
            flow.timeouts.tcp_attempt = Duration::from_millis(1);
            flow.timeouts.tcp_closed = Duration::from_millis(1);
            flow.timeouts.icmp = Duration::from_millis(200);
        }
        Self { flow, wild: byte & 64 != 0 }
    }
}

/// The next step of an input; what is left at its end is no step.
pub(super) fn next(input: &mut &[u8]) -> Option<Step> {
    let (step, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(Step::decode(*step))
}
