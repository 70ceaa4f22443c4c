//! The checksums of TCP and UDP, where the configuration asks for them.
//!
//! They cover the payload, so verifying them touches all of every packet; and frames of local hosts carry unfinished ones.
//! A wrong one never costs the packet its place in a record: it is noted.

use super::{Fragment, IpVersion, Packet};

/// Whether the transport checksum of a packet that [`parse`](super::parse) or [`decapsulate`](super::decapsulate) read from
/// `data` is wrong (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1). False where it can't be told: pieces of a
/// datagram, packets that were cut, other protocols, UDP without a checksum.
pub fn is_corrupt(data: &[u8], packet: &Packet) -> bool {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let start = packet.inside.transport as usize;
    let length = packet.transport_bytes as usize;
    let Some(transport) = data.get(start..start.saturating_add(length)) else { return false };
    let optional = packet.protocol == UDP && packet.version == IpVersion::V4 && transport.get(6..8) == Some(&[0, 0]);
    if !matches!(packet.protocol, TCP | UDP) || packet.fragment != Fragment::Whole || optional {
        return false;
    }
    // Of an address that stands in its mapped form, the constant part must not count.
    let from = if packet.version == IpVersion::V4 { 12 } else { 0 };
    let pseudo = sum(&packet.src[from..]) + sum(&packet.dst[from..]) + u64::from(packet.protocol) + length as u64;
    fold(pseudo + sum(transport)) != 0xffff
}

/// Sum of 16-bit words in network order, the last one filled up with zero; not folded (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::super::{LinkType, parse};
    use super::*;

    fn corrupt(frame: &[u8]) -> bool {
        is_corrupt(frame, &parse(LinkType::RawIp, frame, frame.len() as u32).unwrap())
    }

    fn frames(payload: &[u8]) -> [Vec<u8>; 4] {
        let mut made: [Vec<u8>; 4] = Default::default();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).tcp(1, 2, 3, 4).write(&mut made[0], payload).unwrap();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).udp(1, 2).write(&mut made[1], payload).unwrap();
        PacketBuilder::ipv6([1; 16], [2; 16], 9).tcp(1, 2, 3, 4).write(&mut made[2], payload).unwrap();
        PacketBuilder::ipv6([1; 16], [2; 16], 9).udp(1, 2).write(&mut made[3], payload).unwrap();
        made
    }

    #[test]
    fn right_ones_are_right_and_any_flipped_bit_is_found() {
        for length in [0, 1, 2, 3, 100] {
            for mut frame in frames(&vec![0x5a; length]) {
                assert!(!corrupt(&frame));
                let last = frame.len() - 1;
                frame[last] ^= 0x10;
                assert!(corrupt(&frame));
            }
        }
    }

    #[test]
    fn what_can_not_be_told_is_not_called_wrong() {
        let [mut tcp, mut udp, ..] = frames(b"some payload");
        udp[26..28].fill(0);
        assert!(!corrupt(&udp), "UDP without a checksum");
        tcp[30] ^= 1;
        assert!(corrupt(&tcp));
        let cut = parse(LinkType::RawIp, &tcp[..45], tcp.len() as u32).unwrap();
        assert!(!is_corrupt(&tcp[..45], &cut), "cut by a snapshot length");
        tcp[6] = 0x20;
        assert!(!corrupt(&tcp), "the first piece of a datagram");
    }
}
