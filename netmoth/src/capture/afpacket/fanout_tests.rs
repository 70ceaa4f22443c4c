//! The program, run by a small interpreter on frames as the kernel shows them.

use std::collections::HashSet;

use super::*;

const KEY: [u32; 5] = [0x9e37_79b9, 0x85eb_ca6b, 0xc2b2_ae35, 0x27d4_eb2f, 0x1656_67b1];

/// A frame at the moment when a worker is picked.
struct Shown<'a> {
    outgoing: bool,
    protocol: u32,
    data: &'a [u8],
}

/// The instructions that the program is made of; a load beyond the frame ends it with 0, as in the kernel.
fn run(program: &[sock_filter], shown: &Shown<'_>) -> u32 {
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0);
    let bytes = |from: u32, count: usize| {
        let from = from as usize;
        shown.data.get(from..from + count).map(|b| b.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    };
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let loaded = match u32::from(code) {
            0x30 if k as i32 == libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE => Some(if shown.outgoing { 4 } else { 0 }),
            0x20 if k as i32 == libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL => Some(shown.protocol),
            0x28 => bytes(k, 2),
            0x48 => bytes(x + k, 2),
            0x40 => bytes(x + k, 4),
            0x60 => Some(memory[k as usize]),
            0x87 => Some(x),
            0x04 => Some(a.wrapping_add(k)),
            0x0c => Some(a.wrapping_add(x)),
            0x24 => Some(a.wrapping_mul(k)),
            0x74 => Some(a >> k),
            0xac => Some(a ^ x),
            other => {
                match other {
                    0x01 => x = k,
                    0x61 => x = memory[k as usize],
                    0x07 => x = a,
                    0x02 => memory[k as usize] = a,
                    0x03 => memory[k as usize] = x,
                    0x05 => at += k as usize,
                    0x15 => at += usize::from(if a == k { jt } else { jf }),
                    0x06 => return k,
                    0x16 => return a,
                    _ => panic!("{other:#x}"),
                }
                continue;
            }
        };
        match loaded {
            Some(value) => a = value,
            None => return 0,
        }
    }
}

fn v4(source: [u8; 4], destination: [u8; 4], protocol: u8, piece: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 1];
    packet.extend(piece.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend([source, destination].concat());
    packet.extend([source[3], 1, 2, 3, 4, 5, 6, 7]);
    packet
}

fn v6(source: u16, destination: u16) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
    for last in [source, destination] {
        packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend(last.to_be_bytes());
    }
    packet
}

fn comes_in(protocol: u32, packet: &[u8]) -> u32 {
    run(&program(KEY), &Shown { outgoing: false, protocol, data: packet })
}

fn goes_out(tags: &[u16], ether_type: u16, packet: &[u8]) -> u32 {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(packet);
    run(&program(KEY), &Shown { outgoing: true, protocol: 0, data: &frame })
}

#[test]
fn both_directions_and_all_forms_of_two_hosts_traffic_have_one_worker() {
    let (a, b) = ([10, 0, 0, 1], [192, 168, 7, 9]);
    let there = comes_in(0x0800, &v4(a, b, 6, 0));
    let others = [
        comes_in(0x0800, &v4(b, a, 6, 0)),
        comes_in(0x0800, &v4(b, a, 17, 0x2000)),
        comes_in(0x0800, &v4(a, b, 17, 0x00b9)),
        goes_out(&[], 0x0800, &v4(b, a, 1, 0)),
        goes_out(&[0x8100], 0x0800, &v4(b, a, 1, 0)),
        goes_out(&[0x88a8, 0x8100, 0x9100, 0x8100], 0x0800, &v4(a, b, 1, 0)),
        // Of a tag that is still in a frame that comes in, the packet begins behind the type.
        comes_in(0x8100, &[&[0, 7, 8, 0][..], &v4(b, a, 6, 0)].concat()),
    ];
    assert_eq!(others, [there; 7]);
    let there = comes_in(0x86dd, &v6(1, 99));
    assert_eq!([comes_in(0x86dd, &v6(99, 1)), goes_out(&[0x8100], 0x86dd, &v6(99, 1))], [there; 2]);
}

#[test]
fn what_is_no_ip_or_ends_too_soon_goes_to_the_first() {
    assert_eq!(comes_in(0x0806, &[0; 28]), 0);
    assert_eq!(comes_in(0x0800, &v4([10, 0, 0, 1], [10, 0, 0, 2], 6, 0)[..19]), 0);
    assert_eq!(goes_out(&[], 0x88cc, &[0; 40]), 0);
}

#[test]
fn pairs_of_hosts_spread_over_the_workers() {
    for workers in [2, 3, 4] {
        let mut counts = vec![0; workers];
        for host in 0..4_096u16 {
            let [high, low] = host.to_be_bytes();
            counts[comes_in(0x0800, &v4([10, 0, high, low], [10, 1, 0, 1], 6, 0)) as usize % workers] += 1;
            counts[comes_in(0x86dd, &v6(host, 0xffff)) as usize % workers] += 1;
        }
        let fair = 8_192 / workers;
        assert!(counts.iter().all(|count: &usize| count.abs_diff(fair) < fair / 8), "{counts:?}");
    }
    let all: HashSet<u32> = (0..4_096).map(|host| comes_in(0x86dd, &v6(host, 0xffff))).collect();
    assert!(all.len() > 4_090, "{}", all.len());
}

#[test]
fn the_kernel_takes_the_program() {
    use crate::capture::socket_filter::SocketFilter;
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    SocketFilter::of(program(KEY), false).attach(socket.as_raw_fd()).unwrap();
    SocketFilter::everything(96, true).attach(socket.as_raw_fd()).unwrap();
    SocketFilter::nothing().attach(socket.as_raw_fd()).unwrap();
}
