//! Inputs to begin with, made by hand: one frame for each link layer, tunnel and transport, one story for each thing that
//! happens to connections, one file for each format. `NETMOTH_WRITE_SEEDS=1 cargo test --test fuzz_regressions` writes them
//! into `fuzz/seeds`.

use netmoth::wire::LinkType;

use super::frames::{self, Ends, ICMP, ICMPV6, SCTP, Segment, TCP, UDP, Wrapping};
use super::story::{Step, What};

/// One input of one target.
pub struct Seed {
    /// The target's name.
    pub target: &'static str,
    /// The name of its file.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const V4: Ends = Ends { v6: false, from: 1, to: 2 };
const V6: Ends = Ends { v6: true, from: 1, to: 2 };

/// All seeds of all targets.
pub fn all() -> Vec<Seed> {
    let seeds =
        |target, made: Vec<(String, Vec<u8>)>| made.into_iter().map(move |(name, bytes)| Seed { target, name, bytes });
    let stories = stories().into_iter().map(|(name, settings, steps)| {
        (name.into(), [vec![settings], steps.iter().flat_map(|step| step.encode()).collect()].concat())
    });
    seeds("frame", frame_inputs())
        .chain(seeds("flows", stories.collect()))
        .chain(seeds("capture_file", files()))
        .chain(seeds("parser_oracle", oracle_inputs()))
        .chain(seeds("filter", filters()))
        .collect()
}

/// An expression of each depth, before a frame: the choices count up, so that together they choose everything.
fn filters() -> Vec<(String, Vec<u8>)> {
    let frames: Vec<Vec<u8>> = packets().into_iter().map(|(_, packet)| Wrapping::Ethernet.around(&packet, 5)).collect();
    (0..32_u8)
        .map(|number| {
            let choices: Vec<u8> =
                (0..16_u8).map(|at| number.wrapping_mul(37).wrapping_add(at.wrapping_mul(11))).collect();
            (format!("choices_{number:02}"), [choices, frames[usize::from(number) % frames.len()].clone()].concat())
        })
        .collect()
}

fn syn(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    frames::tcp(from, to, Segment { flags: SYN, seq: 7, ack: 0, window: 1000 }, payload)
}

/// IP packets with a name each.
fn packets() -> Vec<(&'static str, Vec<u8>)> {
    // Hop-by-hop, routing and destination options, each of 8 bytes; an authentication header of 24.
    let options: [(u8, &[u8]); 3] =
        [(0, &[0, 1, 4, 0, 0, 0, 0]), (43, &[0, 4, 0, 0, 0, 0, 0]), (60, &[0, 1, 4, 0, 0, 0, 0])];
    let authentication: [(u8, &[u8]); 1] = [(51, &[4; 23])];
    vec![
        ("tcp4", frames::ip(V4, TCP, &[], &syn(50_123, 80, &[]))),
        ("tcp6", frames::ip(V6, TCP, &[], &syn(50_123, 80, b"early data"))),
        ("udp4", frames::ip(V4, UDP, &[], &frames::udp(50_123, 53, b"a question"))),
        ("udp6", frames::ip(V6, UDP, &[], &frames::udp(50_123, 53, b"a question"))),
        ("sctp4", frames::ip(V4, SCTP, &[], &frames::sctp(5000, 5001, 1))),
        ("echo4", frames::ip(V4, ICMP, &[], &frames::icmp(8, 0, b"abcdefgh"))),
        ("echo6", frames::ip(V6, ICMPV6, &[], &frames::icmp(128, 0, b"abcdefgh"))),
        ("unreachable4", frames::ip(V4, ICMP, &[], &frames::icmp(3, 3, &frames::ip(V4, UDP, &[], &[0; 8])))),
        ("ospf4", frames::ip(V4, 89, &[], &[2, 1, 0, 44])),
        ("extensions6", frames::ip(V6, TCP, &options, &syn(50_123, 443, &[]))),
        ("authentication6", frames::ip(V6, UDP, &authentication, &frames::udp(1, 2, &[]))),
        ("nothing6", frames::ip(V6, 59, &[], &[])),
        ("first_piece4", frames::piece(V4, UDP, 9, true, &frames::udp(50_123, 53, &[0; 24]))),
        ("later_piece4", frames::piece(V4, UDP, 9, false, &[0; 24])),
        ("first_piece6", frames::piece(V6, TCP, 9, true, &syn(50_123, 80, &[0; 24]))),
        ("later_piece6", frames::piece(V6, TCP, 9, false, &[0; 24])),
    ]
}

/// Every packet on Ethernet, and one of each IP version in every wrapping.
fn frame_inputs() -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    let mut add = |name: String, wrapping: Wrapping, packet: &[u8], excess: u8| {
        let link = LinkType::ALL.iter().position(|link| *link == wrapping.link()).unwrap_or(0) as u8;
        inputs.push((name, [vec![link, excess], wrapping.around(packet, 5)].concat()));
    };
    for (name, packet) in packets() {
        add(name.into(), Wrapping::Ethernet, &packet, 0);
    }
    let (v4, v6) =
        (frames::ip(V4, TCP, &[], &syn(50_123, 80, &[])), frames::ip(V6, UDP, &[], &frames::udp(1, 53, b"?")));
    for wrapping in &Wrapping::ALL[1..] {
        let name = format!("{wrapping:?}").to_lowercase();
        add(format!("{name}_4"), *wrapping, &v4, 0);
        add(format!("{name}_6"), *wrapping, &v6, 0);
    }
    add("cut".into(), Wrapping::Vlan, &v4, 7);
    // A tunnel in a tunnel: the IP packet around VXLAN, without its Ethernet header, in GRE.
    let inner = Wrapping::Vxlan.around(&v6, 3);
    add("vxlan_in_gre".into(), Wrapping::Gre, &inner[14..], 0);
    inputs.push(("arp".into(), [&[0, 0], [0xff; 12].as_slice(), &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat()));
    inputs
}

/// A TCP segment of a story: which side sends (0 or 1), flags, its numbers in units, payload.
fn segment(side: u8, flags: u8, seq: u8, ack: u8, length: u8) -> Step {
    let (ends, ports) = if side == 0 { (0b1001, 0b0001) } else { (0b0110, 0b0100) };
    Step { pause: 1 << 5 | 3, ends, ports, flags, numbers: seq << 4 | ack, length, ..Step::default() }
}

fn datagram(side: u8) -> Step {
    Step { what: What::Udp.number(), length: 20, ..segment(side, 0, 0, 0, 0) }
}

fn handshake() -> Vec<Step> {
    vec![segment(0, SYN, 0, 0, 0), segment(1, SYN | ACK, 0, 1, 0), segment(0, ACK, 1, 1, 0)]
}

/// Names, settings and steps of all stories.
fn stories() -> Vec<(&'static str, u8, Vec<Step>)> {
    let wait = |pause| Step { pause, what: What::Timers.number(), ..Step::default() };
    let closed = [
        handshake(),
        vec![segment(0, ACK, 1, 1, 16), segment(1, ACK, 1, 3, 8), segment(0, ACK, 1, 2, 16)],
        vec![segment(0, FIN | ACK, 3, 2, 0), segment(1, FIN | ACK, 2, 4, 0), segment(0, ACK, 4, 3, 0)],
    ];
    let reset = [handshake(), vec![segment(1, RST | ACK, 1, 1, 0)], handshake(), vec![wait(3 << 5 | 31)], handshake()];
    let hold = (0..40).map(|i| Step { ports: i & 15, ends: i, flags: SYN, ..segment(0, SYN, 0, 0, 0) });
    let gaps =
        vec![segment(0, ACK, 5, 1, 8), segment(0, ACK, 3, 1, 8), segment(1, ACK, 9, 7, 0x80), segment(0, ACK, 3, 1, 8)];
    let parts = (0..24).map(|i| Step { pause: 2 << 5 | 3, ..datagram(i & 1) });
    let back = (0..12).map(|i| Step { pause: if i & 2 == 0 { 5 } else { 3 } << 5 | i, ..datagram(i & 1) });
    let wild = (0..24).map(|i| Step { pause: i << 5 | i, ..segment(i & 1, ACK, i & 7, 1, 8) });
    let wrapped = (0..44).map(|i| Step { wrapping: i / 2, ends: (i & 1) << 4 | 0b1001 | i << 5, ..datagram(0) });
    vec![
        ("closed", 2, closed.concat()),
        ("reset_and_again", 2 | 32, reset.concat()),
        ("half_open_too_many", 2, hold.clone().collect()),
        ("half_open_one_place", 0, hold.collect()),
        ("gaps", 2, [handshake(), gaps].concat()),
        ("parts", 2 | 8, parts.collect()),
        ("silence", 1 | 16, (0..8).flat_map(|i| [datagram(i & 1), wait(4 << 5 | (4 * i))]).collect()),
        ("stamps_go_back", 3, back.collect()),
        ("wild_clock", 3 | 64, wild.collect()),
        ("pieces", 2, pieces()),
        ("echoes", 2, echoes()),
        ("every_wrapping", 3, wrapped.collect()),
    ]
}

/// First and later pieces of datagrams of all kinds, the later ones with a known first and without.
fn pieces() -> Vec<Step> {
    let one =
        |what: What, id: u8, flags| Step { what: what.number(), ports: id << 4 | 1, ..segment(0, flags, 0, 0, 16) };
    (0..4)
        .flat_map(|kind| {
            [
                one(What::FirstPiece, kind, kind),
                one(What::LaterPiece, kind, kind),
                one(What::LaterPiece, kind + 4, kind),
            ]
        })
        .collect()
}

/// Echoes with their answers, an error, neighbours; SCTP, extension headers and a protocol without ports.
fn echoes() -> Vec<Step> {
    let one = |side, what: What, kind| Step { what: what.number(), ..segment(side, kind, 0, 0, 8) };
    let six = |step: Step| Step { ends: step.ends | 16, ..step };
    vec![
        one(0, What::Icmp, 8),
        one(1, What::Icmp, 0),
        one(1, What::Icmp, 3),
        six(one(0, What::Icmp, 128)),
        six(one(1, What::Icmp, 129)),
        six(one(0, What::Icmp, 135)),
        one(0, What::Sctp, 1),
        one(0, What::Other, 89),
        six(Step { numbers: 3, ..one(0, What::Extensions, SYN) }),
    ]
}

/// Every packet on Ethernet, and one of each IP version behind tags: a byte for the length on the wire, the frame.
fn oracle_inputs() -> Vec<(String, Vec<u8>)> {
    let frame = |wrapping: Wrapping, packet: &[u8]| [vec![0], wrapping.around(packet, 5)].concat();
    let plain = packets().into_iter().map(|(name, packet)| (name.to_owned(), frame(Wrapping::Ethernet, &packet)));
    let tagged = packets().into_iter().filter(|(name, _)| name.starts_with("tcp"));
    let tagged = tagged.map(|(name, packet)| (format!("{name}_tagged"), frame(Wrapping::QinQ, &packet)));
    plain.chain(tagged).collect()
}

/// A capture of three packets in each format.
fn files() -> Vec<(String, Vec<u8>)> {
    let ethernet: Vec<Vec<u8>> =
        packets()[..3].iter().map(|(_, packet)| Wrapping::Ethernet.around(packet, 0)).collect();
    let raw: Vec<Vec<u8>> = packets()[..3].iter().map(|(_, packet)| packet.clone()).collect();
    let little = pcap(false, 0xa1b2_c3d4, 4, 1, &ethernet);
    vec![
        ("pcap_little_gzip".into(), gzip(&little)),
        ("pcap_little_microseconds".into(), little),
        ("pcap_big_nanoseconds".into(), pcap(true, 0xa1b2_3c4d, 4, 101, &raw)),
        ("pcap_version_2_3".into(), pcap(false, 0xa1b2_c3d4, 3, 113, &raw)),
        ("pcap_link_not_parsed".into(), pcap(false, 0xa1b2_c3d4, 4, 220, &raw)),
        ("pcapng_little".into(), pcapng(false, &ethernet)),
        ("pcapng_big".into(), pcapng(true, &ethernet)),
        ("pcapng_gzip_twice".into(), [gzip(&pcapng(false, &ethernet)), gzip(&pcapng(true, &ethernet))].concat()),
    ]
}

fn word(big: bool, value: u32) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn half(big: bool, value: u16) -> [u8; 2] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn pcap(big: bool, magic: u32, minor: u16, link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [word(big, magic).as_slice(), &half(big, 2), &half(big, minor), &[0; 8]].concat();
    file.extend([word(big, 65_535), word(big, link)].concat());
    for (second, packet) in packets.iter().enumerate() {
        for value in [1_700_000_000 + second as u32, 5, packet.len() as u32, packet.len() as u32] {
            file.extend(word(big, value));
        }
        file.extend(packet);
    }
    file
}

/// One section with two interfaces of different clocks, packets of all three kinds, and a block that is passed over.
fn pcapng(big: bool, packets: &[Vec<u8>]) -> Vec<u8> {
    let (word, half) = (|value| word(big, value), |value| half(big, value));
    let block = |kind, body: &[u8]| {
        let length = word(body.len().next_multiple_of(4) as u32 + 12);
        let padding = &[0; 3][..body.len().next_multiple_of(4) - body.len()];
        [word(kind).as_slice(), &length, body, padding, &length].concat()
    };
    let section = [word(0x1a2b_3c4d).as_slice(), &half(1), &half(0), &[0xff; 8]].concat();
    // Options: 9 is the clock's resolution, 14 its offset.
    let nanoseconds = [half(9), half(1), [9, 0], [0, 0], half(0), half(0)].concat();
    let halves = [half(9).as_slice(), &half(1), &[0x8a, 0, 0, 0], &half(14), &half(8), &[0; 8]].concat();
    let interface = |options: &[u8]| [half(1).as_slice(), &half(0), &word(96), options].concat();
    let length = |packet: &[u8]| word(packet.len() as u32);
    let [first, second, third] = packets else { return Vec::new() };
    let enhanced = [&word(0), &word(0x18_0000), &word(9), &length(first), &length(first), first.as_slice()].concat();
    let obsolete =
        [&[half(1), half(0)].concat(), word(0).as_slice(), &word(5), &length(second), &word(1500), second].concat();
    [
        block(0x0a0d_0d0a, &section),
        block(1, &interface(&nanoseconds)),
        block(1, &interface(&halves)),
        block(6, &enhanced),
        block(5, &[0; 20]),
        block(2, &obsolete),
        block(3, &[length(third).as_slice(), third].concat()),
    ]
    .concat()
}

/// A gzip member (RFC 1952) with one stored block (RFC 1951 section 3.2.4).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    member.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    member.extend(bytes);
    member.extend([crc32(bytes).to_le_bytes(), u32::from(length).to_le_bytes()].concat());
    member
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
