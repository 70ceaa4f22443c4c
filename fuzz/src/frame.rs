//! One frame: the parser says what it is, and the engine counts it once.

use netmoth::flow::FlowConfig;
use netmoth::time::Instant;
use netmoth::wire::{self, Fragment, LinkType, MAX_LAYERS};
use netmoth::worker::Arrival;

use super::engine::Bench;

/// The longest IP packet that a header can announce; a piece of a datagram carries packets that end beyond its frame.
const LONGEST: u32 = 65_535 + 40;

/// The link type that a byte stands for; one byte stands for a link layer that is not parsed.
pub(super) fn link_type(byte: u8) -> Option<LinkType> {
    LinkType::ALL.get(usize::from(byte) % (LinkType::ALL.len() + 1)).copied()
}

/// Takes one frame: a byte for the link type, one for what the frame's length on the wire exceeds that of what was
/// captured of it, the frame.
pub fn frame(input: &[u8]) {
    let [link, excess, data @ ..] = input else { return };
    let link = link_type(*link);
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

/// Whether the frame is read; what is read of it, and of what it carries, must be possible.
fn parse(link: LinkType, data: &[u8], wire_len: u32) -> bool {
    let Ok(mut packet) = wire::parse(link, data, wire_len) else { return false };
    assert!(packet.ip_bytes <= wire_len, "the packet is part of the frame of {wire_len} bytes: {packet:?}");
    let mut tunnels = 0;
    loop {
        assert!(packet.payload_bytes <= packet.ip_bytes, "payload is part of the packet: {packet:?}");
        assert!(packet.ip_bytes <= wire_len.max(LONGEST), "more bytes than a frame of {wire_len} carries: {packet:?}");
        if !packet.may_be_a_tunnel() {
            return true;
        }
        let Ok(inner) = wire::decapsulate(data, &packet) else { return true };
        assert!(inner.tunnel.is_some(), "it came in a tunnel: {inner:?}");
        let fits = inner.ip_bytes <= packet.payload_bytes || packet.fragment != Fragment::Whole;
        assert!(fits, "what is carried is part of what carries it: {inner:?} in {packet:?}");
        tunnels += 1;
        assert!(tunnels <= MAX_LAYERS, "tunnels end: {inner:?}");
        packet = inner;
    }
}
