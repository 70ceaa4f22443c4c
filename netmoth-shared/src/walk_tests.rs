//! Frames of every kind that the walk knows, and all their truncations.

extern crate std;

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;

const A4: [u8; 4] = [10, 0, 0, 1];
const B4: [u8; 4] = [10, 0, 0, 2];
const A6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const B6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const PORTS: [u8; 8] = [0x80, 0x01, 0, 53, 0, 8, 0, 0];

fn ethernet(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

fn v4(options: usize, piece: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45 + (options / 4) as u8, 0];
    packet.extend(((20 + options + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(piece.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(A4);
    packet.extend(B4);
    packet.extend(vec![1; options]);
    packet.extend(payload);
    packet
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(A6);
    packet.extend(B6);
    packet.extend(payload);
    packet
}

fn address(bytes: [u8; 16]) -> Address {
    let value = u128::from_be_bytes(bytes);
    [(value >> 64) as u64, value as u64]
}

fn flow4(protocol: u8, ports: (u16, u16)) -> Flow {
    Flow {
        source: mapped(u32::from_be_bytes(A4)),
        destination: mapped(u32::from_be_bytes(B4)),
        source_port: ports.0,
        destination_port: ports.1,
        protocol,
    }
}

fn flow6(protocol: u8, ports: (u16, u16)) -> Flow {
    Flow { source: address(A6), destination: address(B6), source_port: ports.0, destination_port: ports.1, protocol }
}

fn walk(frame: &[u8]) -> Steer {
    steer(frame)
}

#[test]
fn ports_are_found_behind_options_and_up_to_four_tags() {
    for protocol in [6, 17, 33, 132, 136] {
        for options in [0, 4, 40] {
            for tags in 0..=4 {
                let frame =
                    ethernet(&[0x88a8, 0x8100, 0x9100, 0x8100][..tags], 0x0800, &v4(options, 0x4000, protocol, &PORTS));
                assert_eq!(walk(&frame), Steer::Flow(flow4(protocol, (0x8001, 53))));
            }
        }
    }
}

#[test]
fn five_tags_are_more_than_it_steps_over() {
    let frame = ethernet(&[0x8100; 5], 0x0800, &v4(0, 0, 6, &PORTS));
    assert_eq!(walk(&frame), Steer::Other { source: 0x0200_0000_000a, destination: 0x0200_0000_000b });
}

#[test]
fn icmp_and_protocols_without_ports_go_by_addresses() {
    for protocol in [1, 47, 50, 255] {
        assert_eq!(walk(&ethernet(&[], 0x0800, &v4(0, 0, protocol, &PORTS))), Steer::Flow(flow4(protocol, (0, 0))));
    }
    assert_eq!(walk(&ethernet(&[], 0x86dd, &v6(58, &PORTS))), Steer::Flow(flow6(58, (0, 0))));
}

#[test]
fn both_directions_of_a_tunnel_go_by_its_ends_whatever_its_ports() {
    for port in [2152_u16, 4754, 4789, 6081] {
        let [high, low] = port.to_be_bytes();
        for ports in [[0x80, 1, high, low, 0, 8, 0, 0], [high, low, 0x80, 2, 0, 8, 0, 0]] {
            assert_eq!(walk(&ethernet(&[], 0x0800, &v4(0, 0, 17, &ports))), Steer::Flow(flow4(17, (0, 0))));
            let tcp = Steer::Flow(flow4(
                6,
                (u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]])),
            ));
            assert_eq!(walk(&ethernet(&[], 0x0800, &v4(0, 0, 6, &ports))), tcp, "only UDP carries tunnels");
        }
    }
}

#[test]
fn ipv4_pieces_name_their_datagram() {
    let flow = flow4(17, (0x8001, 53));
    let datagram = Datagram { source: flow.source, destination: flow.destination, id: 0x1234, protocol: 17 };
    assert_eq!(walk(&ethernet(&[], 0x0800, &v4(0, 0x2000, 17, &PORTS))), Steer::FirstFragment { flow, datagram });
    for piece in [0x2001, 0x0001, 0x1fff] {
        assert_eq!(walk(&ethernet(&[], 0x0800, &v4(0, piece, 17, &PORTS))), Steer::LaterFragment { datagram });
    }
}

/// One extension header of 8 + 8 × `more` bytes.
fn extension(next: u8, more: u8) -> Vec<u8> {
    let mut header = vec![next, more];
    header.extend(vec![0; 6 + 8 * usize::from(more)]);
    header
}

#[test]
fn ports_are_found_behind_ipv6_extension_headers() {
    let mut chain = extension(43, 0);
    chain.extend(extension(60, 3));
    chain.extend(extension(51, 1));
    // Authentication: (4 + 2) × 4 bytes.
    chain.extend([17, 4]);
    chain.extend([0; 22]);
    chain.extend(PORTS);
    assert_eq!(walk(&ethernet(&[0x8100], 0x86dd, &v6(0, &chain))), Steer::Flow(flow6(17, (0x8001, 53))));
}

#[test]
fn a_chain_of_too_many_extension_headers_goes_by_addresses() {
    let chain: Vec<u8> = (0..7).flat_map(|_| extension(60, 0)).collect();
    assert_eq!(walk(&ethernet(&[], 0x86dd, &v6(60, &chain))), Steer::Flow(flow6(60, (0, 0))));
}

#[test]
fn ipv6_pieces_name_their_datagram_and_an_atomic_one_is_whole() {
    let flow = flow6(17, (0x8001, 53));
    let datagram = Datagram { source: flow.source, destination: flow.destination, id: 0x0102_0304, protocol: 0 };
    let piece = |offset_and_more: u16, next: u8| {
        let mut payload = vec![next, 0];
        payload.extend(offset_and_more.to_be_bytes());
        payload.extend([1, 2, 3, 4]);
        payload.extend(PORTS);
        ethernet(&[], 0x86dd, &v6(44, &payload))
    };
    assert_eq!(walk(&piece(1, 17)), Steer::FirstFragment { flow, datagram });
    assert_eq!(walk(&piece(8, 17)), Steer::LaterFragment { datagram });
    assert_eq!(walk(&piece(9, 60)), Steer::LaterFragment { datagram });
    assert_eq!(walk(&piece(0, 17)), Steer::Flow(flow));
}

#[test]
fn frames_that_are_not_ip_go_by_their_stations() {
    let stations = Steer::Other { source: 0x0200_0000_000a, destination: 0x0200_0000_000b };
    assert_eq!(walk(&ethernet(&[], 0x0806, &[0; 28])), stations);
    assert_eq!(walk(&ethernet(&[], 0x0800, &[0x44; 40])), stations);
    assert_eq!(walk(&ethernet(&[], 0x0800, &v6(6, &PORTS))), stations);
    assert_eq!(walk(&ethernet(&[], 0x86dd, &v4(0, 0, 6, &PORTS))), stations);
}

#[test]
fn a_packet_that_ends_in_its_addresses_goes_by_stations_and_one_that_ends_in_its_ports_by_addresses() {
    let whole = ethernet(&[0x8100], 0x0800, &v4(4, 0, 6, &PORTS));
    for length in 0..whole.len() {
        let expected = match length {
            0..12 => Steer::Other { source: 0, destination: 0 },
            12..38 => Steer::Other { source: 0x0200_0000_000a, destination: 0x0200_0000_000b },
            38..46 => Steer::Flow(flow4(6, (0, 0))),
            _ => Steer::Flow(flow4(6, (0x8001, 53))),
        };
        assert_eq!(walk(&whole[..length]), expected, "{length}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut frame in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..4, next: u8) {
        // Steer random bytes past the first decision, so that they reach the others.
        if frame.len() > 24 {
            match kind {
                0 => frame[12..15].copy_from_slice(&[0x08, 0x00, 0x40 | (next & 0x0f)]),
                1 => {
                    frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
                    frame[20] = [0, 43, 44, 51, 60, 6, 17, next][usize::from(next % 8)];
                }
                2 => frame[12..14].copy_from_slice(&[0x81, 0x00]),
                _ => {}
            }
        }
        let steered = walk(&frame);
        let never_longer = walk(&frame[..frame.len().min(12)]);
        let is_other = matches!(never_longer, Steer::Other { .. });
        prop_assert!(is_other);
        if frame.len() < 34 {
            let is_other = matches!(steered, Steer::Other { .. });
            prop_assert!(is_other);
        }
    }
}
