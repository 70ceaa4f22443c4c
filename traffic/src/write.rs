//! Writes a packet's headers and its payload of zeros.

use crate::Frame;
use crate::connection::{Message, Step};
use crate::identity::Identity;
use crate::sizes::MIN_SIZE;
use crate::sum;

/// Hardware addresses of the two sides: locally administered.
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const WINDOW: u16 = 0xffff;
/// Times to live of originator and responder.
const HOPS: [u8; 2] = [64, 57];
/// Types of an echo request and its reply.
const ECHO_V4: [u8; 2] = [8, 0];
const ECHO_V6: [u8; 2] = [128, 129];

/// Lengths of what was written, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The frame, padded to its least length.
    pub(crate) frame: usize,
    /// The IP packet.
    pub(crate) ip: usize,
}

/// Writes the frame; what lies behind its end stays as it was.
#[inline]
pub(crate) fn frame(frame: &mut Frame, identity: &Identity, step: &Step) -> Written {
    let segment = identity.transport() + usize::from(step.payload);
    let ip = identity.network() + segment;
    let (link, headers) = (identity.link(), identity.headers());
    let length = (link + ip).max(usize::from(MIN_SIZE));
    ethernet(frame, identity, step.side);
    let (head, rest) = frame.split_at_mut(headers);
    let (network, transport) = head[link..].split_at_mut(identity.network());
    let pseudo = if identity.ipv6 {
        ipv6(network, identity, step.side, segment)
    } else {
        ipv4(network, identity, step.side, ip)
    };
    let pseudo = pseudo + u32::from(identity.number()) + segment as u32;
    match step.message {
        Message::Tcp { sequence, acknowledged, flags } => {
            tcp(transport, identity, step.side, (sequence, acknowledged, flags), pseudo);
        }
        Message::Udp => udp(transport, identity, step.side, segment, pseudo),
        Message::Echo { sequence } => echo(transport, identity, step.side, sequence, pseudo),
    }
    rest[..length - headers].fill(0);
    Written { frame: length, ip }
}

#[inline]
fn put(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

#[inline]
fn put32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

#[inline]
fn ethernet(frame: &mut Frame, identity: &Identity, side: usize) {
    frame[..6].copy_from_slice(&MACS[1 - side]);
    frame[6..12].copy_from_slice(&MACS[side]);
    let ethertype = if identity.ipv6 { 0x86dd } else { 0x0800 };
    match identity.vlan {
        None => put(frame, 12, ethertype),
        Some(vlan) => {
            put(frame, 12, 0x8100);
            put(frame, 14, vlan);
            put(frame, 16, ethertype);
        }
    }
}

/// Returns the sum of the addresses.
#[inline]
fn ipv4(header: &mut [u8], identity: &Identity, side: usize, length: usize) -> u32 {
    let header = &mut header[..20];
    let (source, destination) = (identity.v4(side), identity.v4(1 - side));
    let hops = u16::from_be_bytes([HOPS[side], identity.number()]);
    let addresses = sum::words(&source) + sum::words(&destination);
    // Version and header length, total length, no identification, "don't fragment".
    let first = [0x4500, length as u16, 0, 0x4000, hops];
    for (at, word) in first.into_iter().enumerate() {
        put(header, 2 * at, word);
    }
    put(header, 10, sum::finish(sum::words(&first) + addresses));
    for (at, word) in source.into_iter().chain(destination).enumerate() {
        put(header, 12 + 2 * at, word);
    }
    addresses
}

/// Returns the sum of the addresses.
#[inline]
fn ipv6(header: &mut [u8], identity: &Identity, side: usize, length: usize) -> u32 {
    let header = &mut header[..40];
    let (source, destination) = (identity.v6(side), identity.v6(1 - side));
    put32(header, 0, 0x6000_0000);
    put(header, 4, length as u16);
    (header[6], header[7]) = (identity.number(), HOPS[side]);
    for (at, word) in source.into_iter().chain(destination).enumerate() {
        put(header, 8 + 2 * at, word);
    }
    sum::words(&source) + sum::words(&destination)
}

#[inline]
fn tcp(header: &mut [u8], identity: &Identity, side: usize, (sequence, acknowledged, flags): (u32, u32, u8), sum: u32) {
    let header = &mut header[..20];
    let (source, destination) = (identity.ports[side], identity.ports[1 - side]);
    let offset_and_flags = 5 << 12 | u16::from(flags);
    put(header, 0, source);
    put(header, 2, destination);
    put32(header, 4, sequence);
    put32(header, 8, acknowledged);
    put(header, 12, offset_and_flags);
    put(header, 14, WINDOW);
    let own = sum::words(&[source, destination, offset_and_flags, WINDOW]);
    put(header, 16, sum::finish(sum + own + sum::halves(sequence) + sum::halves(acknowledged)));
    put(header, 18, 0);
}

#[inline]
fn udp(header: &mut [u8], identity: &Identity, side: usize, length: usize, sum: u32) {
    let header = &mut header[..8];
    let own = [identity.ports[side], identity.ports[1 - side], length as u16];
    for (at, word) in own.into_iter().enumerate() {
        put(header, 2 * at, word);
    }
    // 0 would say that there is no checksum; its other form does not (RFC 768).
    let checksum = match sum::finish(sum + sum::words(&own)) {
        0 => 0xffff,
        other => other,
    };
    put(header, 6, checksum);
}

/// Only ICMPv6 sums its addresses.
#[inline]
fn echo(header: &mut [u8], identity: &Identity, side: usize, sequence: u16, pseudo: u32) {
    let header = &mut header[..8];
    let (kinds, pseudo) = if identity.ipv6 { (ECHO_V6, pseudo) } else { (ECHO_V4, 0) };
    let own = [u16::from_be_bytes([kinds[side], 0]), identity.ports[0], sequence];
    put(header, 0, own[0]);
    put(header, 2, sum::finish(pseudo + sum::words(&own)));
    put(header, 4, own[1]);
    put(header, 6, own[2]);
}
