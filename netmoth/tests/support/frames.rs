//! Frames made by hand: for what the programs of a small machine don't send, and for load.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// IANA numbers that the tests use.
pub(crate) const TCP: u8 = 6;
/// See [`TCP`].
pub(crate) const UDP: u8 = 17;
/// See [`TCP`].
pub(crate) const SCTP: u8 = 132;

/// A smallest Ethernet frame without its check sequence.
pub(crate) const SMALLEST: usize = 60;

/// One's complement sum of RFC 1071.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What stands before the IP header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ethernet {
    /// Destination address.
    pub(crate) to: [u8; 6],
    /// Source address.
    pub(crate) from: [u8; 6],
    /// Tags from the outside in: EtherType (0x8100, 0x88a8) and VLAN identifier.
    pub(crate) tags: Vec<(u16, u16)>,
}

/// An Ethernet frame with an IP packet that carries `transport` (header and payload, its checksum field zero).
pub(crate) fn ip(ethernet: &Ethernet, from: IpAddr, to: IpAddr, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut frame = [ethernet.to, ethernet.from].concat();
    for (kind, identifier) in &ethernet.tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(identifier.to_be_bytes());
    }
    let length = transport.len() as u16;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([0x08, 0x00]);
            let mut header = vec![0x45, 0];
            header.extend((length + 20).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&[&header]).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            frame.extend(header);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        _ => panic!("one IP version for both ends"),
    }
    frame.extend(transport);
    frame.resize(frame.len().max(SMALLEST), 0);
    frame
}

fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, length: u16) -> Vec<u8> {
    let mut bytes = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
        _ => panic!("one IP version for both ends"),
    };
    bytes.extend([0, protocol]);
    bytes.extend(length.to_be_bytes());
    bytes
}

/// A UDP datagram.
pub(crate) fn udp(ethernet: &Ethernet, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let mut segment = [from.port().to_be_bytes(), to.port().to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    segment.extend(payload);
    let sum = match checksum(&[&pseudo(from.ip(), to.ip(), UDP, length), &segment]) {
        0 => 0xffff,
        sum => sum,
    };
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(ethernet, from.ip(), to.ip(), UDP, &segment)
}

/// A TCP segment with these flags.
pub(crate) fn tcp(
    ethernet: &Ethernet,
    from: SocketAddr,
    to: SocketAddr,
    flags: u8,
    numbers: [u32; 2],
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    numbers.iter().for_each(|number| segment.extend(number.to_be_bytes()));
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    let sum = checksum(&[&pseudo(from.ip(), to.ip(), TCP, segment.len() as u16), &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(ethernet, from.ip(), to.ip(), TCP, &segment)
}

/// An SCTP packet that holds one chunk of `kind` (its CRC is left zero: nobody here checks it).
pub(crate) fn sctp(ethernet: &Ethernet, from: SocketAddr, to: SocketAddr, kind: u8) -> Vec<u8> {
    let mut packet = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, kind, 0, 0, 4]);
    ip(ethernet, from.ip(), to.ip(), SCTP, &packet)
}

/// Smallest frames of `flows` connections, both directions of each side by side; every second connection is TCP
/// (acknowledgements without payload, which repeat no sequence space), the others UDP.
pub(crate) fn load(flows: u32, first: u32) -> Vec<Vec<u8>> {
    let (there, back) = (
        Ethernet { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1], tags: vec![] },
        Ethernet { to: [2, 0, 0, 0, 0, 1], from: [2, 0, 0, 0, 0, 2], tags: vec![] },
    );
    (first..first + flows)
        .flat_map(|flow| {
            let client = Ipv4Addr::from(0x0a48_0000 | (flow & 0xffff));
            let client = SocketAddr::from((client, 10_000 + (flow % 50_000) as u16));
            let server = SocketAddr::from((Ipv4Addr::new(10, 73, 0, (flow % 250) as u8 + 1), 443));
            match flow % 2 {
                0 => [tcp(&there, client, server, 0x10, [1, 1], &[]), tcp(&back, server, client, 0x10, [1, 1], &[])],
                _ => [udp(&there, client, server, &[0x71; 18]), udp(&back, server, client, &[0x17; 18])],
            }
        })
        .collect()
}
