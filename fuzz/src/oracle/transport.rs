//! The transport header, as etherparse reads it from the payload that it found.

use etherparse::{Icmpv4Slice, Icmpv6Slice, TcpHeaderSlice, UdpHeaderSlice};
use netmoth::wire::{Packet, Reject};

use super::seen::{Ip, Piece};
use super::{Explained, Verdict, refused, same};

const CUT: &[Reject] = &[Reject::TruncatedTransport];
const WRONG: &[Reject] = &[Reject::MalformedTransport];

/// `length` is that of the transport by the IP header.
pub(super) fn compare(ours: &Result<Packet, Reject>, ip: &Ip<'_>, piece: Piece, length: usize) -> Verdict {
    if piece.offset > 0 {
        plain(ours, length)?;
        return Ok(None);
    }
    match (ip.protocol, ip.v6) {
        (6, _) if length < 20 && piece.more => tiny(ours, ip.payload),
        (6, _) => tcp(ours, ip.payload, length),
        (17, _) if length < 8 && piece.more => tiny(ours, ip.payload),
        (17, _) => udp(ours, ip.payload, length),
        (1, false) | (58, true) => icmp(ours, ip, length),
        (1 | 58, _) => {
            plain(ours, length)?;
            Ok(Some(Explained::OtherIcmp))
        }
        (33 | 132 | 136, _) => {
            if let Ok(packet) = ours {
                let read = (packet.src_port, packet.dst_port);
                same("ports or none", read == (0, 0) || Some(read) == ports(ip.payload), true)?;
            }
            Ok(Some(Explained::OtherPorts))
        }
        _ => {
            plain(ours, length)?;
            Ok(None)
        }
    }
}

fn accepted(ours: &Result<Packet, Reject>) -> Result<&Packet, String> {
    ours.as_ref().map_err(|reject| format!("refused as {reject:?}, and etherparse sees no defect"))
}

/// Without ports, all of it payload.
fn plain(ours: &Result<Packet, Reject>, length: usize) -> Result<(), String> {
    let packet = accepted(ours)?;
    same("ports", (packet.src_port, packet.dst_port), (0, 0))?;
    same("payload", packet.payload_bytes as usize, length)
}

fn ports(payload: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *payload.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// Ports alone, of a header that is not there as a whole; without them, ours has to refuse.
fn ports_of_a_part(ours: &Result<Packet, Reject>, payload: &[u8], explained: Explained) -> Verdict {
    let Some(ports) = ports(payload) else { return refused(ours, CUT, "its ports are cut") };
    let packet = accepted(ours)?;
    same("ports", (packet.src_port, packet.dst_port), ports)?;
    Ok(Some(explained))
}

fn tiny(ours: &Result<Packet, Reject>, payload: &[u8]) -> Verdict {
    if let Ok(packet) = ours {
        same("tiny", packet.tiny, true)?;
        same("payload", packet.payload_bytes, 0)?;
    }
    ports_of_a_part(ours, payload, Explained::TinyFirstPiece)
}

fn tcp(ours: &Result<Packet, Reject>, payload: &[u8], length: usize) -> Verdict {
    use etherparse::err::tcp::HeaderSliceError::{Content, Len};
    let header = match TcpHeaderSlice::from_slice(payload) {
        Ok(header) => header,
        Err(Content(_)) => return refused(ours, WRONG, "its TCP header is shorter than one"),
        Err(Len(_)) if payload.len() < 20 => return refused(ours, CUT, "its TCP header is cut"),
        // The options are cut, by the capture or by the packet's own end.
        Err(Len(error)) if error.required_len > length => return refused(ours, WRONG, "its TCP header exceeds it"),
        Err(Len(_)) => return ports_of_a_part(ours, payload, Explained::TransportCut),
    };
    let packet = accepted(ours)?;
    let flags = [
        (header.fin(), 0x01),
        (header.syn(), 0x02),
        (header.rst(), 0x04),
        (header.psh(), 0x08),
        (header.ack(), 0x10),
        (header.urg(), 0x20),
        (header.ece(), 0x40),
        (header.cwr(), 0x80),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
    same("ports", (packet.src_port, packet.dst_port), (header.source_port(), header.destination_port()))?;
    same("sequence number", packet.tcp_seq, header.sequence_number())?;
    same("acknowledgement", packet.tcp_ack, header.acknowledgment_number())?;
    same("flags", packet.tcp_flags, flags)?;
    same("window", packet.tcp_window, header.window_size())?;
    same("payload", packet.payload_bytes as usize, length - header.slice().len())?;
    Ok(None)
}

fn udp(ours: &Result<Packet, Reject>, payload: &[u8], length: usize) -> Verdict {
    let Ok(header) = UdpHeaderSlice::from_slice(payload) else {
        if length < 8 {
            return refused(ours, WRONG, "its UDP header is cut");
        }
        return ports_of_a_part(ours, payload, Explained::TransportCut);
    };
    let packet = accepted(ours)?;
    same("ports", (packet.src_port, packet.dst_port), (header.source_port(), header.destination_port()))?;
    same("payload", packet.payload_bytes as usize, length - 8)?;
    let contradicts = header.length() != 0 && usize::from(header.length()) != length;
    Ok(contradicts.then_some(Explained::UdpLength))
}

fn icmp(ours: &Result<Packet, Reject>, ip: &Ip<'_>, length: usize) -> Verdict {
    let read = if ip.v6 {
        Icmpv6Slice::from_slice(ip.payload).map(|icmp| (icmp.type_u8(), icmp.code_u8()))
    } else {
        Icmpv4Slice::from_slice(ip.payload).map(|icmp| (icmp.type_u8(), icmp.code_u8()))
    };
    let ((kind, code), explained) = match (read, ip.payload) {
        (Ok(read), _) => (read, None),
        (Err(_), _) if length < 8 => return refused(ours, WRONG, "its ICMP header is cut"),
        (Err(_), [kind, code, rest @ ..]) => {
            let explained = if rest.len() < 6 { Explained::TransportCut } else { Explained::Timestamp };
            same("a timestamp", explained == Explained::TransportCut || matches!((*kind, *code), (13 | 14, 0)), true)?;
            ((*kind, *code), Some(explained))
        }
        (Err(_), _) => return refused(ours, CUT, "its ICMP type is cut"),
    };
    let packet = accepted(ours)?;
    same("type and code", (packet.src_port, packet.dst_port), (u16::from(kind), u16::from(code)))?;
    same("payload", packet.payload_bytes as usize, length - 8)?;
    Ok(explained)
}
