//! Made-up traffic as real frames: a few stories that happen at the same time, each between two ends of its own.
//!
//! A story knows what is said and when; who says it is filled in when its frames are made, so that the same story can be
//! told with the ends exchanged. Times lie on a coarse grid: many frames of different stories share a moment.

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, SingleVlanHeader,
    TcpHeader, UdpHeader, VlanId,
};
use netmoth::wire::tcp_flags::{ACK, FIN, PSH, RST, SYN};
use proptest::prelude::*;
use proptest::sample::select;

/// The port at which tunnels end.
pub(crate) const VXLAN: u16 = 4789;

/// One end of a story. Its number makes its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) host: u16,
    pub(crate) port: u16,
}

/// What one end sends to the other.
#[derive(Clone, Debug)]
enum Message {
    Segment {
        flags: u8,
        seq: u32,
        ack: u32,
        window: u16,
        payload: usize,
    },
    /// In as many pieces as said; the last one first where `overtaken`.
    Datagram {
        payload: usize,
        pieces: usize,
        overtaken: bool,
    },
    Echo,
}

/// A message, who sends it, and the milliseconds since the one before.
#[derive(Clone, Debug)]
struct Step {
    gap_ms: u64,
    from_client: bool,
    message: Message,
}

/// What two ends say to each other.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) client: End,
    pub(crate) server: End,
    six: bool,
    tags: Vec<u16>,
    /// The two talk through a tunnel (VXLAN), whose ends are theirs alone.
    tunnelled: bool,
    start_ms: u64,
    steps: Vec<Step>,
}

/// A frame of the story with this number.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) story: usize,
    pub(crate) at_ms: u64,
    pub(crate) data: Vec<u8>,
}

/// What the stories of a test may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Later pieces of a datagram may come before its first.
    pub(crate) overtaking: bool,
    /// Ports may say who the originator is, where the first packet doesn't.
    pub(crate) server_ports: bool,
}

impl Limits {
    pub(crate) const NONE: Self = Self { overtaking: true, server_ports: true };
}

/// Up to a dozen stories. Only the first one's datagrams come in pieces: which of two datagrams that are in pieces at the same
/// time is remembered may depend on the order of the others' frames.
pub(crate) fn stories(limits: Limits) -> impl Strategy<Value = Vec<Story>> {
    let first = prop_oneof![datagrams(4, limits.overtaking), talk()];
    let others = prop_oneof![4 => talk(), 2 => datagrams(1, false), 1 => echoes()];
    (first, proptest::collection::vec(others, 0..12), proptest::collection::vec(setting(limits), 12)).prop_map(
        |(first, others, settings)| {
            let steps = std::iter::once(first).chain(others);
            steps.zip(settings).zip(0..).map(|((steps, setting), number)| setting.story(number, steps)).collect()
        },
    )
}

/// The frames of all stories by time, and at the same moment by story.
pub(crate) fn frames(stories: &[Story]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = stories.iter().enumerate().flat_map(|(number, story)| story.frames(number)).collect();
    frames.sort_by_key(|frame| frame.at_ms);
    frames
}

/// Where and when a story happens.
#[derive(Clone, Debug)]
struct Setting {
    six: bool,
    tags: Vec<u16>,
    tunnelled: bool,
    start_ms: u64,
    /// The ports of client and server; None is one that nobody is registered for.
    ports: (Option<u16>, Option<u16>),
    gaps_ms: Vec<u64>,
}

fn setting(limits: Limits) -> impl Strategy<Value = Setting> {
    const SERVERS: [u16; 6] = [22, 53, 80, 123, 443, 5060];
    let tags = prop_oneof![3 => Just(vec![]), 1 => Just(vec![7]), 1 => Just(vec![7, 9])];
    let port = move |weight| {
        let registered = if limits.server_ports { weight } else { 0 };
        prop_oneof![8 - registered => Just(None), registered => select(&SERVERS[..]).prop_map(Some)]
    };
    let gap = prop_oneof![30 => 0u64..3, 3 => 10u64..100, 1 => 500u64..4_000].prop_map(|steps| steps * 100);
    let tunnelled = proptest::bool::weighted(0.2);
    let gaps = proptest::collection::vec(gap, 8);
    (any::<bool>(), tags, tunnelled, 0u64..5, port(1), port(6), gaps).prop_map(
        |(six, tags, tunnelled, start, client, server, gaps_ms)| Setting {
            six,
            tags,
            tunnelled,
            start_ms: start * 100,
            ports: (client, server),
            gaps_ms,
        },
    )
}

impl Setting {
    /// A story whose ends are nobody else's: a client with a registered port, or without any, has a host of its own, and so
    /// have both ends of a tunnel; the others share three and differ in their ports.
    fn story(self, number: u16, steps: Vec<(bool, Message)>) -> Story {
        let own_host = self.tunnelled
            || self.ports.0.is_some()
            || steps.iter().any(|(_, message)| matches!(message, Message::Echo));
        let client = End {
            host: if own_host { 100 + number } else { 1 + number % 3 },
            port: self.ports.0.unwrap_or(40_000 + number),
        };
        let server_host = if self.tunnelled { 150 + number } else { 50 + number % 2 };
        let server = End { host: server_host, port: self.ports.1.unwrap_or(33_000) };
        let steps = steps.into_iter().zip(self.gaps_ms.into_iter().cycle());
        let steps = steps.map(|((from_client, message), gap_ms)| Step { gap_ms, from_client, message }).collect();
        let Self { six, tags, tunnelled, start_ms, .. } = self;
        Story { client, server, six, tags, tunnelled, start_ms, steps }
    }
}

/// Requests and answers over UDP.
fn datagrams(pieces: usize, overtaking: bool) -> impl Strategy<Value = Vec<(bool, Message)>> {
    let datagram = (any::<bool>(), 0usize..200, 1..=pieces, any::<bool>()).prop_map(
        move |(from_client, payload, pieces, overtaken)| {
            (from_client, Message::Datagram { payload, pieces, overtaken: overtaken && overtaking })
        },
    );
    proptest::collection::vec(datagram, 1..8)
}

fn echoes() -> impl Strategy<Value = Vec<(bool, Message)>> {
    proptest::collection::vec(any::<bool>().prop_map(|from_client| (from_client, Message::Echo)), 1..6)
}

/// One TCP connection, or two in a row on the same ports.
fn talk() -> impl Strategy<Value = Vec<(bool, Message)>> {
    let opening =
        select(&[Opening::Handshake, Opening::Handshake, Opening::Answer, Opening::Middle, Opening::Refused][..]);
    let exchange =
        (any::<bool>(), 0usize..1_400, select(&[Delivery::Once, Delivery::Once, Delivery::Twice, Delivery::Lost][..]));
    let closing =
        select(&[Closing::Fins, Closing::OneFin, Closing::Reset(true), Closing::Reset(false), Closing::None][..]);
    let connection = (any::<[u32; 2]>(), opening, proptest::collection::vec(exchange, 0..8), closing)
        .prop_map(|(starts, opening, exchanges, closing)| Talk::new(starts).tell(opening, &exchanges, closing));
    proptest::collection::vec(connection, 1..3).prop_map(|connections| connections.concat())
}

#[derive(Clone, Copy, Debug)]
enum Opening {
    Handshake,
    /// The SYN was not seen.
    Answer,
    /// Nothing of the handshake was seen.
    Middle,
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum Delivery {
    Once,
    Twice,
    Lost,
}

#[derive(Clone, Copy, Debug)]
enum Closing {
    Fins,
    OneFin,
    /// By the client, or by the server.
    Reset(bool),
    None,
}

/// Keeps the numbers of both directions.
struct Talk {
    seq: [u32; 2],
    said: Vec<(bool, Message)>,
}

impl Talk {
    fn new(starts: [u32; 2]) -> Self {
        Self { seq: starts, said: Vec::new() }
    }

    fn tell(
        mut self,
        opening: Opening,
        exchanges: &[(bool, usize, Delivery)],
        closing: Closing,
    ) -> Vec<(bool, Message)> {
        match opening {
            Opening::Handshake => {
                self.say(true, SYN, 0);
                self.say(false, SYN | ACK, 0);
                self.say(true, ACK, 0);
            }
            Opening::Answer => self.say(false, SYN | ACK, 0),
            Opening::Middle => self.say(true, ACK, 0),
            Opening::Refused => {
                self.say(true, SYN, 0);
                self.say(false, RST | ACK, 0);
                return self.said;
            }
        }
        for &(from_client, payload, delivery) in exchanges {
            self.say(from_client, PSH | ACK, payload);
            match (delivery, self.said.last().cloned()) {
                (Delivery::Twice, Some(again)) => self.said.push(again),
                (Delivery::Lost, _) => drop(self.said.pop()),
                _ => {}
            }
            self.say(!from_client, ACK, 0);
        }
        match closing {
            Closing::Fins => {
                self.say(true, FIN | ACK, 0);
                self.say(false, FIN | ACK, 0);
                self.say(true, ACK, 0);
            }
            Closing::OneFin => self.say(false, FIN | ACK, 0),
            Closing::Reset(by_client) => self.say(by_client, RST | ACK, 0),
            Closing::None => {}
        }
        self.said
    }

    fn say(&mut self, from_client: bool, flags: u8, payload: usize) {
        let (mine, yours) = if from_client { (0, 1) } else { (1, 0) };
        let ack = if flags & ACK != 0 { self.seq[yours] } else { 0 };
        // Every thirteenth payload leaves the sender without room for an answer.
        let window = if payload % 13 == 12 { 0 } else { 500 };
        self.said.push((from_client, Message::Segment { flags, seq: self.seq[mine], ack, window, payload }));
        let taken = payload as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.seq[mine] = self.seq[mine].wrapping_add(taken);
    }
}

impl Story {
    /// Everything that this end sent is sent by the other one.
    pub(crate) fn mirrored(&self) -> Self {
        Self { client: self.server, server: self.client, ..self.clone() }
    }

    /// The ends exchange their addresses and keep their ports.
    pub(crate) fn readdressed(&self) -> Self {
        let client = End { host: self.server.host, ..self.client };
        let server = End { host: self.client.host, ..self.server };
        Self { client, server, ..self.clone() }
    }

    fn frames(&self, number: usize) -> Vec<Frame> {
        let mut at_ms = self.start_ms;
        let mut frames = Vec::new();
        for (id, step) in (1..).zip(&self.steps) {
            at_ms += step.gap_ms;
            for data in self.step(step, id) {
                frames.push(Frame { story: number, at_ms, data });
            }
        }
        frames
    }

    /// The frames of one message; `id` tells its pieces from those of others.
    fn step(&self, step: &Step, id: u16) -> Vec<Vec<u8>> {
        let (from, to) = if step.from_client { (self.client, self.server) } else { (self.server, self.client) };
        let (protocol, transport, pieces, overtaken) = match step.message {
            Message::Segment { flags, seq, ack, window, payload } => {
                (6, segment((from.port, to.port), flags, (seq, ack), window, payload), 1, false)
            }
            Message::Datagram { payload, pieces, overtaken } => {
                (17, datagram(from.port, to.port, payload), pieces, overtaken)
            }
            Message::Echo => (if self.six { 58 } else { 1 }, self.echo(step.from_client), 1, false),
        };
        // Pieces but the last have a multiple of eight bytes.
        let size = transport.len().div_ceil(pieces).next_multiple_of(8);
        let whole = size >= transport.len();
        let mut frames = Vec::new();
        for (index, piece) in transport.chunks(size).enumerate() {
            let last = (index + 1) * size >= transport.len();
            let place = (!whole).then_some(Place { id, offset: index * size, last });
            let frame = self.frame(from.host, to.host, protocol, piece, place);
            frames.push(if self.tunnelled {
                in_vxlan(from.host, to.host, if step.from_client { 50_000 } else { 51_000 }, &frame)
            } else {
                frame
            });
        }
        if overtaken {
            frames.rotate_right(1);
        }
        frames
    }

    fn echo(&self, request: bool) -> Vec<u8> {
        let kind = match (self.six, request) {
            (false, true) => 8,
            (false, false) => 0,
            (true, true) => 128,
            (true, false) => 129,
        };
        [&[kind, 0, 0, 0, 0, 1, 0, 1][..], b"anybody there?"].concat()
    }

    fn frame(&self, from: u16, to: u16, protocol: u8, transport: &[u8], place: Option<Place>) -> Vec<u8> {
        let mut frame = Vec::new();
        let network = if self.six { EtherType::IPV6 } else { EtherType::IPV4 };
        let outer = if self.tags.is_empty() { network } else { EtherType::VLAN_TAGGED_FRAME };
        Ethernet2Header { source: station(from), destination: station(to), ether_type: outer }
            .write(&mut frame)
            .unwrap();
        for (index, tag) in self.tags.iter().enumerate() {
            let ether_type = if index + 1 == self.tags.len() { network } else { EtherType::VLAN_TAGGED_FRAME };
            let vlan_id = VlanId::try_new(*tag).unwrap();
            SingleVlanHeader { vlan_id, ether_type, ..Default::default() }.write(&mut frame).unwrap();
        }
        if self.six {
            ipv6(&mut frame, from, to, protocol, transport.len(), place);
        } else {
            ipv4(&mut frame, from, to, protocol, transport.len(), place);
        }
        frame.extend(transport);
        frame
    }
}

/// The frame as the tunnel carries it between the hosts of its ends; each of them sends from a `port` of its own choice.
fn in_vxlan(from: u16, to: u16, port: u16, frame: &[u8]) -> Vec<u8> {
    const TUNNEL_ENDS: u16 = 1_000;
    let (from, to) = (from + TUNNEL_ENDS, to + TUNNEL_ENDS);
    let inside = [&[8, 0, 0, 0, 0, 0, 99, 0], frame].concat();
    let transport = [&datagram(port, VXLAN, inside.len())[..UdpHeader::LEN], &inside].concat();
    let mut outer = Vec::new();
    let ether_type = EtherType::IPV4;
    Ethernet2Header { source: station(from), destination: station(to), ether_type }.write(&mut outer).unwrap();
    ipv4(&mut outer, from, to, 17, transport.len(), None);
    [outer, transport].concat()
}

/// Which piece of a datagram something is.
#[derive(Clone, Copy)]
struct Place {
    id: u16,
    offset: usize,
    last: bool,
}

impl Place {
    fn units(self) -> IpFragOffset {
        IpFragOffset::try_new((self.offset / 8) as u16).unwrap()
    }
}

fn station(host: u16) -> [u8; 6] {
    let [high, low] = host.to_be_bytes();
    [2, 0, 0, 0, high, low]
}

fn ipv4(frame: &mut Vec<u8>, from: u16, to: u16, protocol: u8, length: usize, place: Option<Place>) {
    let address = |host: u16| [10, 0, host.to_be_bytes()[0], host.to_be_bytes()[1]];
    let mut header = Ipv4Header::new(length as u16, 64, IpNumber(protocol), address(from), address(to)).unwrap();
    if let Some(place) = place {
        header.identification = place.id;
        header.dont_fragment = false;
        header.more_fragments = !place.last;
        header.fragment_offset = place.units();
    }
    header.header_checksum = header.calc_header_checksum();
    header.write(frame).unwrap();
}

fn ipv6(frame: &mut Vec<u8>, from: u16, to: u16, protocol: u8, length: usize, place: Option<Place>) {
    let address = |host: u16| (0x2001_0db8_u128 << 96 | u128::from(host)).to_be_bytes();
    let fragment = place.map(|p| Ipv6FragmentHeader::new(IpNumber(protocol), p.units(), !p.last, u32::from(p.id)));
    let header = Ipv6Header {
        payload_length: (length + fragment.as_ref().map_or(0, Ipv6FragmentHeader::header_len)) as u16,
        next_header: if fragment.is_some() { IpNumber::IPV6_FRAGMENTATION_HEADER } else { IpNumber(protocol) },
        hop_limit: 64,
        source: address(from),
        destination: address(to),
        ..Default::default()
    };
    header.write(frame).unwrap();
    if let Some(fragment) = fragment {
        fragment.write(frame).unwrap();
    }
}

fn segment(ports: (u16, u16), flags: u8, (seq, ack): (u32, u32), window: u16, payload: usize) -> Vec<u8> {
    let mut header = TcpHeader::new(ports.0, ports.1, seq, window);
    header.acknowledgment_number = ack;
    (header.syn, header.ack, header.psh) = (flags & SYN != 0, flags & ACK != 0, flags & PSH != 0);
    (header.fin, header.rst) = (flags & FIN != 0, flags & RST != 0);
    let mut segment = Vec::new();
    header.write(&mut segment).unwrap();
    segment.resize(segment.len() + payload, b'x');
    segment
}

fn datagram(source_port: u16, destination_port: u16, payload: usize) -> Vec<u8> {
    let length = (UdpHeader::LEN + payload) as u16;
    let mut datagram = Vec::new();
    UdpHeader { source_port, destination_port, length, checksum: 0 }.write(&mut datagram).unwrap();
    datagram.resize(usize::from(length), b'x');
    datagram
}
