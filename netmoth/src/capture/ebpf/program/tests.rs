//! The program as the kernel runs it (BPF_PROG_TEST_RUN), beside the same decisions on the host. As root.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use aya::programs::{TestRun as _, TestRunOptions};
use netmoth_shared::choose::{Memory, choose};
use netmoth_shared::fragment::{Datagram, Piece};

use super::*;
use crate::testing::is_root;

const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;
const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0x0fed_cba9_8765_4321];
const SOCKETS: u32 = 4;

/// An AF_XDP socket with an RX ring: as much of one as the map asks for.
#[expect(unsafe_code, reason = "sockets of this family are made by system calls")]
fn xdp_socket() -> OwnedFd {
    // SAFETY: the call takes three integers.
    let raw = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(raw >= 0, "AF_XDP socket: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let entries: u32 = 64;
    // SAFETY: the option's value is a u32 that lives through the call, and its size is passed.
    let status = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, libc::XDP_RX_RING, (&raw const entries).cast(), 4)
    };
    assert_eq!(status, 0, "RX ring: {}", std::io::Error::last_os_error());
    socket
}

struct Rig {
    program: XdpProgram,
    socket: OwnedFd,
}

impl Rig {
    fn new(sockets: u32) -> Self {
        let mut program = XdpProgram::load(1, SOCKETS, KEY).expect("root may load the program");
        program.set_queue(0, 0, sockets).expect("queue 0 is there");
        Self { program, socket: xdp_socket() }
    }

    fn run(&mut self, frame: &[u8]) -> u32 {
        let xdp = program(&mut self.program.ebpf, PROGRAM).expect("the program is there");
        let options = TestRunOptions { data_in: Some(frame), repeat: 1, ..TestRunOptions::default() };
        xdp.test_run(options).expect("the kernel runs it").return_value
    }

    /// Puts the socket at one index after the other, until the frame is redirected. The frame runs up to four times.
    fn chosen(&mut self, frame: &[u8]) -> u32 {
        for index in 0..SOCKETS {
            self.program.set_socket(index, &self.socket).expect("the map takes an AF_XDP socket");
            let action = self.run(frame);
            self.program.sockets.unset(index).expect("the socket is there");
            if action == XDP_REDIRECT {
                return index;
            }
            assert_eq!(action, XDP_PASS, "without the socket it asks for, a frame passes");
        }
        panic!("no socket was chosen");
    }
}

fn frame(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(packet);
    // The kernel takes no test frame below 14 bytes; real ones have 60.
    frame.resize(frame.len().max(60), 0);
    frame
}

fn v4(host: u8, protocol: u8, id: u16, piece: u16, ports: (u16, u16)) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40];
    packet.extend(id.to_be_bytes());
    packet.extend(piece.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, host, 10, 0, 1, 1]);
    packet.extend(ports.0.to_be_bytes());
    packet.extend(ports.1.to_be_bytes());
    packet.extend([0; 16]);
    frame(0x0800, &packet)
}

/// Destination options of 8 + 8 × `options` bytes, fragment header where there is a `piece`, UDP.
fn v6(host: u8, options: u8, id: u32, piece: Option<u16>, ports: (u16, u16)) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 64, 60, 64];
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    packet.extend([if piece.is_some() { 44 } else { 17 }, options]);
    packet.extend(vec![0; 6 + 8 * usize::from(options)]);
    if let Some(piece) = piece {
        packet.extend([17, 0]);
        packet.extend(piece.to_be_bytes());
        packet.extend(id.to_be_bytes());
    }
    packet.extend(ports.0.to_be_bytes());
    packet.extend(ports.1.to_be_bytes());
    packet.extend([0; 16]);
    frame(0x86dd, &packet)
}

/// Remembers nothing, so that whole packets and lone pieces are decided by what they carry.
struct Forgetful;

impl Memory for Forgetful {
    fn recall(&self, _: &Datagram) -> Option<Piece> {
        None
    }
    fn remember(&self, _: &Datagram, _: &Piece) {}
    fn now_ns(&self) -> u64 {
        0
    }
}

#[test]
fn the_kernel_chooses_the_socket_that_the_host_computes() {
    if !is_root() {
        return;
    }
    let mut frames = Vec::new();
    for host in 1..30 {
        let port = 40_000 + u16::from(host) * 7;
        frames.push(v4(host, 6, 0, 0x4000, (port, 443)));
        frames.push(v4(host, 17, 0, 0, (port, 53)));
        frames.push(v4(host, 1, 0, 0, (port, 0)));
        frames.push(v4(host, 17, u16::from(host), 0x2000, (port, 53)));
        frames.push(v4(host, 17, 0x100 + u16::from(host), 0x0010, (port, 53)));
        frames.push(v6(host, host, 0, None, (port, 53)));
        frames.push(v6(host, 0, u32::from(host), Some(1), (port, 53)));
        frames.push(v6(host, 2, 0x100 + u32::from(host), Some(8), (port, 53)));
        frames.push(frame(0x0806, &[host; 28]));
        let mut tagged = v4(host, 6, 0, 0, (port, 443));
        for _ in 0..host % 6 {
            tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        }
        frames.push(tagged);
    }
    let key = HashKey::expand(KEY);
    for sockets in [2, 3, 4] {
        let mut rig = Rig::new(sockets);
        let mut seen = [0; SOCKETS as usize];
        for frame in &frames {
            let expected = choose(&frame.as_slice(), &key, sockets, &Forgetful);
            assert_eq!(rig.chosen(frame), expected, "{frame:02x?}");
            seen[expected as usize] += 1;
        }
        assert!(seen[..sockets as usize].iter().all(|count| *count > 0), "{seen:?}");
    }
}

#[test]
fn the_kernel_and_the_host_agree_on_frames_cut_anywhere() {
    if !is_root() {
        return;
    }
    let key = HashKey::expand(KEY);
    let mut rig = Rig::new(4);
    for whole in [v4(9, 6, 0, 0, (50_000, 80)), v6(9, 1, 0, None, (50_000, 80))] {
        for length in 14..whole.len() {
            let cut = &whole[..length];
            assert_eq!(rig.chosen(cut), choose(&cut, &key, 4, &Forgetful), "cut to {length}");
        }
    }
}

#[test]
fn both_directions_meet_one_socket() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new(4);
    for host in 1..20 {
        let there = v4(host, 6, 0, 0, (50_000, 80));
        let mut back = v4(host, 6, 0, 0, (80, 50_000));
        back[26..30].copy_from_slice(&there[30..34]);
        back[30..34].copy_from_slice(&there[26..30]);
        assert_eq!(rig.chosen(&there), rig.chosen(&back));
    }
}

#[test]
fn all_pieces_of_a_datagram_meet_one_socket_whichever_comes_first() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new(4);
    let mut moved = 0;
    for host in 1..40 {
        let ports = (50_000 + u16::from(host), 53);
        let own = rig.chosen(&v4(host, 17, 0, 0, ports));
        let first = v4(host, 17, 1, 0x2000, ports);
        let later = v4(host, 17, 1, 0x0010, (0, 0));
        assert_eq!(rig.chosen(&first), own, "a first piece meets its connection's whole packets");
        assert_eq!(rig.chosen(&later), own);
        // The next datagram comes in the other order.
        let (first, later) = (v4(host, 17, 2, 0x2000, ports), v4(host, 17, 2, 0x0010, (0, 0)));
        let by_addresses = rig.chosen(&later);
        assert_eq!(rig.chosen(&first), by_addresses);
        moved += u32::from(by_addresses != own);
        let (first, later) = (v6(host, 0, 7, Some(1), ports), v6(host, 0, 7, Some(16), (0, 0)));
        assert_eq!(rig.chosen(&first), rig.chosen(&later));
    }
    assert!(moved > 0, "among so many some first pieces follow a later one to another socket");
}

#[test]
fn every_frame_is_counted_under_its_fate_and_no_other() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new(1);
    let frame = v4(1, 6, 0, 0, (50_000, 80));
    for _ in 0..5 {
        assert_eq!(rig.run(&frame), XDP_PASS);
    }
    let socket = rig.socket.try_clone().expect("a descriptor is left");
    rig.program.set_socket(0, &socket).expect("the map takes it");
    for _ in 0..7 {
        assert_eq!(rig.run(&frame), XDP_REDIRECT);
    }
    rig.program.set_queue(0, 0, 0).expect("queue 0 is there");
    for _ in 0..3 {
        assert_eq!(rig.run(&frame), XDP_PASS);
    }
    let mut expected = [0; Fate::COUNT];
    expected[Fate::NoSocket as usize] = 5;
    expected[Fate::Redirected as usize] = 7;
    expected[Fate::QueueNotCaptured as usize] = 3;
    assert_eq!(rig.program.fates().expect("the map can be read"), [expected, [0; Fate::COUNT]]);
}

#[test]
fn frames_of_queues_beyond_pass_and_are_counted_apart() {
    if !is_root() {
        return;
    }
    let mut program = XdpProgram::load(0, 1, KEY).expect("root may load the program");
    let xdp = super::program(&mut program.ebpf, PROGRAM).expect("the program is there");
    let frame = v4(1, 6, 0, 0, (50_000, 80));
    let options = TestRunOptions { data_in: Some(&frame), repeat: 1, ..TestRunOptions::default() };
    assert_eq!(xdp.test_run(options).expect("the kernel runs it").return_value, XDP_PASS);
    let mut expected = [0; Fate::COUNT];
    expected[Fate::QueueNotCaptured as usize] = 1;
    assert_eq!(program.fates().expect("the map can be read"), [expected]);
}

#[test]
fn entries_that_the_maps_have_no_room_for_are_refused_in_words() {
    if !is_root() {
        return;
    }
    let mut program = XdpProgram::load(2, 1, KEY).expect("root may load the program");
    let no_queue = program.set_queue(2, 0, 1).expect_err("queue 2 of 2").to_string();
    assert!(no_queue.contains("its index is 2, and the program was loaded for 2"), "{no_queue}");
    let plain = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    let no_socket = program.set_socket(0, &plain).expect_err("no AF_XDP socket").to_string();
    assert!(no_socket.contains("no AF_XDP socket"), "{no_socket}");
}
