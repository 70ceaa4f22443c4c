//! The transport header: ports, and for TCP what its state follows.
//!
//! Checksums are the business of `checksum`.

use super::bytes::{be16, be32};
use super::packet::Carrier;
use super::tunnel::{is_tunnel_port, looks_like_teredo};
use super::{Fragment, Packet, Reject};

/// What stands behind the IP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transport<'a> {
    /// Its captured bytes.
    pub(super) captured: &'a [u8],
    /// Where it begins in the frame.
    pub(super) at: usize,
    /// Its length by the IP header.
    pub(super) length: usize,
    /// IANA protocol number.
    pub(super) protocol: u8,
    /// Behind IPv6: ICMPv6 is 58 there, and 1 means nothing.
    pub(super) v6: bool,
}

/// Fills in ports, payload length and the fields of TCP.
#[inline]
pub(super) fn parse(transport: Transport<'_>, packet: &mut Packet) -> Result<(), Reject> {
    packet.src_port = 0;
    packet.dst_port = 0;
    packet.tcp_seq = 0;
    packet.tcp_ack = 0;
    packet.tcp_window = 0;
    packet.tcp_flags = 0;
    packet.payload_bytes = transport.length as u32;
    packet.inside.transport = u32::try_from(transport.at).unwrap_or(u32::MAX);
    packet.transport_bytes = transport.length as u32;
    if matches!(packet.fragment, Fragment::Later { .. }) {
        return Ok(());
    }
    match transport.protocol {
        6 => tcp(transport, packet),
        17 => udp(transport, packet),
        // UDP-Lite (RFC 3828).
        136 => ports(transport, 8, packet),
        // DCCP (RFC 4340): the generic header without extended sequence numbers; SCTP (RFC 9260): the common header. Without
        // a chunk behind it that is no packet of an association (section 3), and its ports stand for nothing.
        132 if transport.length <= 12 => Ok(()),
        33 | 132 => ports(transport, 12, packet),
        1 if !transport.v6 => icmp(transport, packet),
        58 if transport.v6 => icmp(transport, packet),
        4 | 41 => may_carry(Carrier::Ip, 0, transport, packet),
        47 => may_carry(Carrier::Gre, 0, transport, packet),
        _ => Ok(()),
    }
}

/// Notes that a packet may follow `header` bytes into the transport.
fn may_carry(carrier: Carrier, header: usize, transport: Transport<'_>, packet: &mut Packet) -> Result<(), Reject> {
    // The first piece of a datagram ends before what it carries does.
    let end = match packet.fragment {
        Fragment::Whole => transport.at + transport.length,
        _ => u32::MAX as usize,
    };
    packet.inside.carrier = carrier;
    packet.inside.offset = u32::try_from(transport.at + header).unwrap_or(u32::MAX);
    packet.inside.end = u32::try_from(end).unwrap_or(u32::MAX);
    Ok(())
}

/// RFC 768, and whether it carries a tunnel.
#[inline]
fn udp(transport: Transport<'_>, packet: &mut Packet) -> Result<(), Reject> {
    ports(transport, 8, packet)?;
    if packet.tiny {
        return Ok(());
    }
    if is_tunnel_port(packet.src_port)
        || is_tunnel_port(packet.dst_port)
        || looks_like_teredo(transport.captured.get(8..).unwrap_or(&[]), packet.payload_bytes as usize)
    {
        may_carry(Carrier::Udp, 8, transport, packet)?;
    }
    Ok(())
}

fn is_first_piece(packet: &Packet) -> bool {
    matches!(packet.fragment, Fragment::First { .. })
}

/// The first piece of a datagram that ends inside its transport header: it still says whose the datagram is.
#[cold]
fn tiny(transport: Transport<'_>, packet: &mut Packet) -> Result<(), Reject> {
    let ports = be32(transport.captured, 0).ok_or(Reject::TruncatedTransport)?;
    packet.src_port = (ports >> 16) as u16;
    packet.dst_port = ports as u16;
    packet.payload_bytes = 0;
    packet.tiny = true;
    Ok(())
}

/// RFC 9293 section 3.1.
#[inline]
fn tcp(transport: Transport<'_>, packet: &mut Packet) -> Result<(), Reject> {
    if transport.length < 20 && is_first_piece(packet) {
        packet.tcp_seq = be32(transport.captured, 4).unwrap_or(0);
        return tiny(transport, packet);
    }
    let header: &[u8; 20] = transport.captured.first_chunk().ok_or(Reject::TruncatedTransport)?;
    let length = usize::from(header[12] >> 4) * 4;
    if length < 20 || length > transport.length {
        return Err(Reject::MalformedTransport);
    }
    packet.src_port = u16::from_be_bytes([header[0], header[1]]);
    packet.dst_port = u16::from_be_bytes([header[2], header[3]]);
    packet.tcp_seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    packet.tcp_ack = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    packet.tcp_flags = header[13];
    packet.tcp_window = u16::from_be_bytes([header[14], header[15]]);
    packet.payload_bytes = (transport.length - length) as u32;
    Ok(())
}

/// Protocols that begin with their ports; `header` bytes come before the payload.
#[inline]
fn ports(transport: Transport<'_>, header: usize, packet: &mut Packet) -> Result<(), Reject> {
    if transport.length < header {
        return if is_first_piece(packet) { tiny(transport, packet) } else { Err(Reject::MalformedTransport) };
    }
    let ports = be32(transport.captured, 0).ok_or(Reject::TruncatedTransport)?;
    packet.src_port = (ports >> 16) as u16;
    packet.dst_port = ports as u16;
    packet.payload_bytes = (transport.length - header) as u32;
    Ok(())
}

/// ICMP (RFC 792) and ICMPv6 (RFC 4443): type and code stand where ports do; what follows the 8-byte header is payload.
#[inline]
fn icmp(transport: Transport<'_>, packet: &mut Packet) -> Result<(), Reject> {
    if transport.length < 8 {
        return Err(Reject::MalformedTransport);
    }
    let kind = be16(transport.captured, 0).ok_or(Reject::TruncatedTransport)?;
    packet.src_port = kind >> 8;
    packet.dst_port = kind & 0xff;
    packet.payload_bytes = (transport.length - 8) as u32;
    Ok(())
}
