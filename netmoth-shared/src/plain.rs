//! The header walk again, for a verifier without CAP_PERFMON: the same decisions, in variables that are set from the
//! start.
//!
//! Such a verifier refuses to read a stack slot that some path has left unset, and that is what becomes of an `Option` or
//! an enum when registers run out. So nothing here is optional: what a frame doesn't have reads as 0. Only frames that
//! end inside their headers are steered otherwise than by [`walk`](crate::walk).

use crate::choose::Memory;
use crate::fragment::{Datagram, settle};
use crate::hash::{Address, Flow, HashKey, mapped, pick};
use crate::walk::{Bytes, MAX_EXTENSIONS, MAX_TAGS, ports_of_udp};

/// How the frame is steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Walked {
    source: Address,
    destination: Address,
    ports: u32,
    protocol: u32,
    /// Identification of a datagram in pieces.
    id: u32,
    /// One of the constants below.
    kind: u32,
}

const OTHER: u32 = 0;
const WHOLE: u32 = 1;
const FIRST: u32 = 2;
const LATER: u32 = 3;

/// The socket that takes the frame: 0 .. sockets.
#[inline(always)]
pub fn choose(frame: &impl Bytes, key: &HashKey, sockets: u32, memory: &impl Memory) -> u32 {
    let walked = walk(frame);
    if walked.kind == OTHER {
        let (start, rest) = (frame.u64(0).unwrap_or(0), frame.u32(8).unwrap_or(0));
        return pick(key.stations((start & 0xffff) << 32 | u64::from(rest), start >> 16), sockets);
    }
    let flow = Flow {
        source: walked.source,
        destination: walked.destination,
        source_port: (walked.ports >> 16) as u16,
        destination_port: walked.ports as u16,
        protocol: walked.protocol as u8,
    };
    let own = pick(key.flow(&flow), sockets);
    if walked.kind == WHOLE {
        return own;
    }
    let v4 = walked.source[0] == 0 && walked.source[1] >> 32 == 0xffff;
    let datagram = Datagram {
        source: walked.source,
        destination: walked.destination,
        id: walked.id,
        protocol: if v4 { walked.protocol } else { 0 },
    };
    let (socket, news) = settle(memory.recall(&datagram), memory.now_ns(), own, walked.kind == FIRST, sockets);
    if let Some(piece) = news {
        memory.remember(&datagram, &piece);
    }
    socket
}

#[inline(always)]
fn walk(frame: &impl Bytes) -> Walked {
    let mut walked = Walked { source: [0; 2], destination: [0; 2], ports: 0, protocol: 0, id: 0, kind: OTHER };
    let mut ether_type = frame.u16(12).unwrap_or(0);
    let mut at = 14;
    for _ in 0..MAX_TAGS {
        if !matches!(ether_type, 0x8100 | 0x88a8 | 0x9100) {
            break;
        }
        ether_type = frame.u16(at + 2).unwrap_or(0);
        at += 4;
    }
    let first = frame.u16(at).unwrap_or(0);
    let mut transport = 0;
    if ether_type == 0x0800 && first >> 12 == 4 && first >> 8 & 0x0f >= 5 {
        transport = ipv4(frame, at, first, &mut walked);
    } else if ether_type == 0x86dd && first >> 12 == 6 {
        transport = ipv6(frame, at, &mut walked);
    }
    if matches!(walked.kind, WHOLE | FIRST) && matches!(walked.protocol, 6 | 17 | 33 | 132 | 136) {
        walked.ports = frame.u32(transport).unwrap_or(0);
        if walked.protocol == 17 {
            walked.ports = ports_of_udp(walked.ports);
        }
    }
    walked
}

/// RFC 791 section 3.1. Returns where the transport header begins.
#[inline(always)]
fn ipv4(frame: &impl Bytes, at: usize, first: u16, walked: &mut Walked) -> usize {
    let piece = frame.u16(at + 6).unwrap_or(0);
    walked.id = u32::from(frame.u16(at + 4).unwrap_or(0));
    walked.protocol = u32::from(frame.u16(at + 8).unwrap_or(0) & 0xff);
    walked.source = mapped(frame.u32(at + 12).unwrap_or(0));
    walked.destination = mapped(frame.u32(at + 16).unwrap_or(0));
    walked.kind = if piece & 0x1fff != 0 {
        LATER
    } else if piece & 0x2000 != 0 {
        FIRST
    } else {
        WHOLE
    };
    at + usize::from(first >> 8 & 0x0f) * 4
}

/// RFC 8200 sections 3 and 4. Returns where the transport header begins.
#[inline(always)]
fn ipv6(frame: &impl Bytes, at: usize, walked: &mut Walked) -> usize {
    walked.source = [frame.u64(at + 8).unwrap_or(0), frame.u64(at + 16).unwrap_or(0)];
    walked.destination = [frame.u64(at + 24).unwrap_or(0), frame.u64(at + 32).unwrap_or(0)];
    walked.kind = WHOLE;
    let mut next = frame.u16(at + 6).unwrap_or(0) >> 8;
    let mut at = at + 40;
    for _ in 0..MAX_EXTENSIONS {
        if !matches!(next, 0 | 43 | 44 | 51 | 60) || walked.kind == LATER {
            break;
        }
        let start = frame.u16(at).unwrap_or(0);
        let length = usize::from(start & 0xff);
        let mut size = (length + 1) * 8;
        if next == 51 {
            size = (length + 2) * 4;
        }
        if next == 44 {
            let piece = frame.u16(at + 2).unwrap_or(0);
            if piece & 0xfff9 != 0 {
                walked.id = frame.u32(at + 4).unwrap_or(0);
                walked.kind = if piece & 0xfff8 != 0 { LATER } else { FIRST };
            }
            size = 8;
        }
        next = start >> 8;
        at += size;
    }
    // A later piece is known by its addresses alone.
    walked.protocol = if walked.kind == LATER { 0 } else { u32::from(next) };
    at
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::fragment::Piece;

    /// Remembers nothing, as for a datagram whose pieces are seen for the first time.
    struct Empty;

    impl Memory for Empty {
        fn recall(&self, _: &Datagram) -> Option<Piece> {
            None
        }
        fn remember(&self, _: &Datagram, _: &Piece) {}
        fn now_ns(&self) -> u64 {
            1
        }
    }

    /// A frame with up to `tags` tags and an IPv4 or IPv6 header of which some bytes are random.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        (proptest::collection::vec(any::<u8>(), 160), 0usize..4, any::<bool>(), 5u8..8, 0usize..12, any::<bool>())
            .prop_map(|(mut frame, tags, six, words, protocol, tunnel)| {
                let mut at = 12;
                for _ in 0..tags {
                    frame[at..at + 2].copy_from_slice(&[0x81, 0x00]);
                    at += 4;
                }
                let protocol = [6, 17, 1, 58, 0, 43, 44, 51, 60, 132, 47, 33][protocol];
                frame[at..at + 2].copy_from_slice(if six { &[0x86, 0xdd] } else { &[0x08, 0x00] });
                if six {
                    frame[at + 2] = 0x60;
                    frame[at + 2 + 6] = protocol;
                    // Short extension headers, so that chains stay inside the frame.
                    (0..4).for_each(|n| frame[at + 2 + 40 + 8 * n + 1] = 0);
                } else {
                    frame[at + 2] = 0x40 | words;
                    frame[at + 2 + 9] = protocol;
                    if tunnel {
                        // Behind the header as long as it says: VXLAN's port.
                        let ports = at + 2 + usize::from(words) * 4;
                        frame[ports + 2..ports + 4].copy_from_slice(&4789_u16.to_be_bytes());
                    }
                }
                frame
            })
    }

    proptest! {
        #[test]
        fn it_chooses_the_same_socket_as_the_walk_in_place(frame in frames(), seed in any::<[u64; 2]>(), sockets in 2u32..9) {
            let key = HashKey::expand(seed);
            let bytes = frame.as_slice();
            prop_assert_eq!(choose(&bytes, &key, sockets, &Empty), crate::choose::choose(&bytes, &key, sockets, &Empty));
        }
    }
}
