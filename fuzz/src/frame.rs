//! One frame: the parser says what it is, and the engine counts it once.

use netmoth::flow::FlowConfig;
use netmoth::time::Instant;
use netmoth::wire::{self, LinkType};
use netmoth::worker::Arrival;

use super::engine::Bench;

/// Link types by the number in an input's first byte; one more stands for a link layer that is not parsed.
pub(super) const LINKS: [LinkType; 7] = [
    LinkType::Ethernet,
    LinkType::RawIp,
    LinkType::LinuxCooked,
    LinkType::LinuxCooked2,
    LinkType::BsdLoopback,
    LinkType::Ppp,
    LinkType::CiscoHdlc,
];

/// Takes one frame: a byte for the link type, one for what the frame's length on the wire exceeds that of what was
/// captured of it, the frame.
pub fn frame(input: &[u8]) {
    let [link, excess, data @ ..] = input else { return };
    let link = LINKS.get(usize::from(*link) % (LINKS.len() + 1)).copied();
    let wire_len = wire_len(data.len() as u32, *excess);
    let parsed = link.is_some_and(|link| parse(link, data, wire_len));
    let mut bench = Bench::new(&FlowConfig::new(4, [1, 2]));
    let at = Instant { wall_ns: 1_700_000_000_000_000_000, mono_ns: 0 };
    // Twice: the second time it meets its own connection.
    for _ in 0..2 {
        bench.process(&[Arrival { link, data, wire_len, at }]);
        bench.check(true);
    }
    let totals = bench.finish();
    assert_eq!(totals.tracked, if parsed { 2 } else { 0 }, "the engine tracks what the parser reads");
    assert_eq!(totals.bytes, 2 * u64::from(wire_len));
}

/// A length on the wire: that of what was captured, more (a frame that was cut), and what no source should say.
fn wire_len(captured: u32, excess: u8) -> u32 {
    match excess {
        0..=239 => captured + u32::from(excess) * u32::from(excess),
        240..=253 => captured.saturating_sub(u32::from(excess) - 239),
        254 => 0,
        255 => u32::MAX,
    }
}

/// Whether the frame is read; what is read of it must be possible.
fn parse(link: LinkType, data: &[u8], wire_len: u32) -> bool {
    let Ok(packet) = wire::parse(link, data, wire_len) else { return false };
    assert!(packet.payload_bytes <= packet.ip_bytes, "payload is part of the packet: {packet:?}");
    assert!(packet.ip_bytes <= wire_len, "the packet is part of the frame of {wire_len} bytes: {packet:?}");
    true
}
