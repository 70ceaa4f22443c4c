//! Which worker a packet of a file goes to.
//!
//! As the XDP program chooses a socket for a frame, and with the same walk; where the program can't look, this can:
//! through link layers other than Ethernet, through labels and tags, and into GRE and IP in IP, which have no connections of
//! their own. So each worker has all packets of its connections, and the records are those of one worker.
//!
//! One exception stays: tunnels over UDP are connections beside those that they carry, and go by their addresses. A
//! connection that travels between different ends of such tunnels is split.

use std::collections::HashMap;

use netmoth_shared::fragment::{Datagram, STALE_NS};
use netmoth_shared::hash::{Address, Flow, mapped};
use netmoth_shared::walk::{Steer, carries_packets, steer};

use crate::capture::file::CapturedPacket;
use crate::capture::random;
use crate::time::Instant;
use crate::wire::{self, Fragment, IpVersion, LinkType, MAX_TUNNELS, Packet};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Ports of Teredo (RFC 4380) and AYIYA, which carry packets, too. Their relays answer from other addresses than were asked.
const ROAMING: [u16; 2] = [3544, 5072];

/// Chooses the worker of each packet; call it in the order of arrival.
pub(super) struct Dealer {
    secret: [u64; 4],
    workers: u32,
    pieces: Pieces,
}

impl Dealer {
    pub(super) fn new(workers: u32) -> Self {
        Self { secret: std::array::from_fn(|_| random()), workers, pieces: Pieces::default() }
    }

    /// The number of the worker, 0 .. workers.
    #[inline]
    pub(super) fn worker(&mut self, packet: &CapturedPacket<'_>, now: Instant) -> usize {
        let plain = match packet.link {
            Some(LinkType::Ethernet) => plain_flow(packet.data),
            _ => None,
        };
        match plain {
            Some(flow) => self.pick(&flow) as usize,
            None => self.by_parsing(packet, now) as usize,
        }
    }

    /// A product is the same in both directions: unlike the program's hash, which needs the ends in an order, this takes a
    /// handful of instructions, of which one thread spends as many as there are packets.
    #[inline]
    fn pick(&self, flow: &Flow) -> u32 {
        let [high, low, port, all] = self.secret;
        let highs = fold(flow.source[0] ^ high, flow.destination[0] ^ high);
        let lows = fold(flow.source[1] ^ low, flow.destination[1] ^ low);
        let ports = fold(u64::from(flow.source_port) ^ port, u64::from(flow.destination_port) ^ port);
        let hash = fold(highs ^ lows.rotate_left(29), ports ^ all ^ u64::from(flow.protocol));
        ((u64::from(hash as u32) * u64::from(self.workers)) >> 32) as u32
    }

    /// For what the walk alone does not decide: parses as the worker will. What is not tracked may go anywhere.
    #[cold]
    fn by_parsing(&mut self, frame: &CapturedPacket<'_>, now: Instant) -> u32 {
        let Some(link) = frame.link else { return 0 };
        let Ok(mut packet) = wire::parse(link, frame.data, frame.wire_len) else { return 0 };
        for _ in 0..MAX_TUNNELS {
            if !(packet.may_be_a_tunnel() && packet.is_only_a_tunnel()) {
                break;
            }
            match wire::decapsulate(frame.data, &packet) {
                Ok(inner) => packet = inner,
                Err(_) => break,
            }
        }
        self.by_packet(&packet, now)
    }

    /// The worker of a packet that will be booked.
    fn by_packet(&mut self, packet: &Packet, now: Instant) -> u32 {
        match packet.fragment {
            Fragment::Whole => self.own(packet),
            Fragment::First { id } => {
                let worker = self.own(packet);
                self.pieces.remember(datagram(packet, id), now, worker);
                worker
            }
            // The table books a piece of an unknown datagram without ports.
            Fragment::Later { id } => self
                .pieces
                .recall(&datagram(packet, id), now)
                .unwrap_or_else(|| self.pick(&Flow { source_port: 0, destination_port: 0, ..flow(packet) })),
        }
    }

    fn own(&self, packet: &Packet) -> u32 {
        let flow = flow(packet);
        let ports = [packet.src_port, packet.dst_port];
        let through_carriers = ports.into_iter().any(carries_packets);
        let roams = packet.may_be_a_tunnel() || ports.iter().any(|port| ROAMING.contains(port));
        if packet.protocol == UDP && !through_carriers && roams { 0 } else { self.pick(&flow) }
    }
}

/// The flow of an Ethernet frame that surely carries no more than one packet, in one piece; None where that takes a closer
/// look.
#[inline]
fn plain_flow(data: &[u8]) -> Option<Flow> {
    let flow = match usual_flow(data) {
        Some(flow) => flow,
        None => match steer(data) {
            Steer::Flow(flow) => flow,
            _ => return None,
        },
    };
    let plain = match flow.protocol {
        TCP | ICMP | ICMPV6 => true,
        UDP => {
            let ports = [flow.source_port, flow.destination_port];
            // The walk gives no ports where one of them is a tunnel's.
            ports != [0, 0] && !ports.iter().any(|port| ROAMING.contains(port)) && !may_be_teredo(data)
        }
        _ => false,
    };
    plain.then_some(flow)
}

/// What the walk says of a frame with TCP or UDP in IPv4 as nearly all are, without tags, options, pieces and tunnels: a third of
/// the walk's instructions.
#[inline]
fn usual_flow(data: &[u8]) -> Option<Flow> {
    let head: &[u8; 38] = data.first_chunk()?;
    let whole = head[12..15] == [0x08, 0x00, 0x45] && head[20] & 0x3f == 0 && head[21] == 0;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (protocol, ports) = (head[23], word(34));
    let (source_port, destination_port) = ((ports >> 16) as u16, ports as u16);
    let usual = match protocol {
        TCP => whole,
        UDP => whole && !carries_packets(source_port) && !carries_packets(destination_port),
        _ => false,
    };
    usual.then(|| Flow {
        source: mapped(word(26)),
        destination: mapped(word(30)),
        source_port,
        destination_port,
        protocol,
    })
}

/// Whether the payload of a UDP frame may begin with an IPv6 header, which Teredo clients send each other on any port.
#[inline]
fn may_be_teredo(frame: &[u8]) -> bool {
    let payload = match frame.first_chunk::<21>() {
        // No tags and no options, as nearly always.
        Some([.., 0x08, 0x00, 0x45, _, _, _, _, _, _]) => 14 + 20 + 8,
        Some([.., 0x86, 0xdd, _, _, _, _, _, _, UDP]) => 14 + 40 + 8,
        _ => return true,
    };
    frame.get(payload).is_some_and(|first| first >> 4 == 6)
}

/// The high and the low half of a product, which depend on all bits of both factors, and on neither's place.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

/// Whose a packet is, as the walk says it of frames.
fn flow(packet: &Packet) -> Flow {
    let (source_port, destination_port) = match packet.protocol {
        UDP if carries_packets(packet.src_port) || carries_packets(packet.dst_port) => (0, 0),
        6 | 17 | 33 | 132 | 136 => (packet.src_port, packet.dst_port),
        _ => (0, 0),
    };
    Flow {
        source: address(&packet.src),
        destination: address(&packet.dst),
        source_port,
        destination_port,
        protocol: packet.protocol,
    }
}

fn address(bytes: &[u8; 16]) -> Address {
    let number = u128::from_be_bytes(*bytes);
    [(number >> 64) as u64, number as u64]
}

fn datagram(packet: &Packet, id: u32) -> Datagram {
    // The pieces of an IPv6 datagram may name different next headers.
    let protocol = if packet.version == IpVersion::V4 { u32::from(packet.protocol) } else { 0 };
    Datagram { source: address(&packet.src), destination: address(&packet.dst), id, protocol }
}

/// Datagrams of one generation: far more than the flow tables remember.
const REMEMBERED: usize = 65_536;

type Name = (Address, Address, u32, u32);

/// Where the first pieces of datagrams went. Two generations, so that the older half is forgotten at once.
#[derive(Default)]
struct Pieces {
    young: HashMap<Name, (u64, u32)>,
    old: HashMap<Name, (u64, u32)>,
}

impl Pieces {
    fn remember(&mut self, datagram: Datagram, now: Instant, worker: u32) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name(&datagram), (now.mono_ns, worker));
    }

    /// The worker that the first piece went to, where it came before, and not too long ago.
    fn recall(&self, datagram: &Datagram, now: Instant) -> Option<u32> {
        let name = name(datagram);
        let (seen_ns, worker) = self.young.get(&name).or_else(|| self.old.get(&name))?;
        (now.mono_ns.wrapping_sub(*seen_ns) < STALE_NS).then_some(*worker)
    }
}

fn name(datagram: &Datagram) -> Name {
    (datagram.source, datagram.destination, datagram.id, datagram.protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant { wall_ns: 0, mono_ns: 0 };

    /// An Ethernet frame with a UDP datagram, or with one of its pieces (flags and offset as in the header).
    fn frame(from: u8, to: u8, ports: [u16; 2], piece: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((28 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 7]);
        frame.extend(piece.to_be_bytes());
        frame.extend([64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
        frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        frame.extend((8 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    fn worker(dealer: &mut Dealer, link: LinkType, data: &[u8]) -> usize {
        let packet = CapturedPacket { link: Some(link), data, wire_len: data.len() as u32, wall_ns: 0 };
        dealer.worker(&packet, NOW)
    }

    #[test]
    fn both_directions_meet_whatever_link_layer_they_come_over() {
        let mut dealer = Dealer::new(61);
        for host in 0..200 {
            let (there, back) = (frame(host, 201, [4000, 53], 0, b"ask"), frame(201, host, [53, 4000], 0, b"answer"));
            let home = worker(&mut dealer, LinkType::Ethernet, &there);
            assert_eq!(worker(&mut dealer, LinkType::Ethernet, &back), home);
            assert_eq!(worker(&mut dealer, LinkType::RawIp, &there[14..]), home);
            let ppp = [&[0xff, 0x03, 0x00, 0x21], &back[14..]].concat();
            assert_eq!(worker(&mut dealer, LinkType::Ppp, &ppp), home);
            let label = [&back[..12], &[0x88, 0x47, 0, 0, 0x11, 0xff], &back[14..]].concat();
            assert_eq!(worker(&mut dealer, LinkType::Ethernet, &label), home, "behind a label");
        }
    }

    #[test]
    fn the_usual_frame_is_read_as_the_walk_reads_it_and_no_other() {
        let mut tcp = frame(3, 9, [4000, 443], 0x4000, &[0; 20]);
        tcp[23] = TCP;
        let mut udp = tcp.clone();
        udp[23] = UDP;
        for usual in [&tcp, &udp] {
            let Steer::Flow(walked) = steer(usual.as_slice()) else { panic!("a whole packet") };
            assert_eq!(usual_flow(usual), Some(walked));
        }
        assert_eq!(usual_flow(&frame(3, 9, [4000, 4789], 0, &[0; 20])), None, "VXLAN");
        for (at, value) in [(12, 0x81), (13, 6), (14, 0x46), (20, 0x20), (20, 0x01), (21, 1), (23, 47)] {
            let mut other = tcp.clone();
            other[at] = value;
            assert_eq!(usual_flow(&other), None, "byte {at}");
        }
        assert_eq!(usual_flow(&tcp[..37]), None);
    }

    #[test]
    fn connections_spread_over_all_workers() {
        let mut dealer = Dealer::new(3);
        let mut counts = [0; 3];
        for port in 1024..4024 {
            counts[worker(&mut dealer, LinkType::Ethernet, &frame(1, 2, [port, 443], 0, b""))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn later_pieces_follow_the_first_and_without_one_stay_together() {
        let mut dealer = Dealer::new(61);
        for host in 0..100 {
            let whole = frame(host, 201, [4000, 53], 0, b"12345678");
            let first = frame(host, 201, [4000, 53], 0x2000, b"12345678");
            let later = frame(host, 201, [0x1234, 0x5678], 2, b"12345678");
            let home = worker(&mut dealer, LinkType::Ethernet, &whole);
            let lost = worker(&mut dealer, LinkType::Ethernet, &later);
            assert_eq!(worker(&mut dealer, LinkType::Ethernet, &frame(host, 201, [9, 9], 3, b"")), lost);
            assert_eq!(worker(&mut dealer, LinkType::Ethernet, &first), home);
            assert_eq!(worker(&mut dealer, LinkType::Ethernet, &later), home);
        }
    }

    #[test]
    fn what_is_in_a_tunnel_of_ip_in_ip_goes_where_it_goes_outside_of_it() {
        let mut dealer = Dealer::new(61);
        for host in 0..100 {
            let bare = frame(host, 201, [4000, 53], 0, b"ask");
            let mut outer = frame(77, host, [0, 0], 0, &bare[14..])[..34].to_vec();
            (outer[23], outer[17]) = (4, (20 + bare.len() - 14) as u8);
            outer.extend(&bare[14..]);
            let home = worker(&mut dealer, LinkType::Ethernet, &bare);
            assert_eq!(worker(&mut dealer, LinkType::Ethernet, &outer), home);
        }
    }

    #[test]
    fn datagrams_are_forgotten_a_generation_at_a_time_and_when_they_are_old() {
        let mut pieces = Pieces::default();
        let named = |id| Datagram { source: [0, 1], destination: [0, 2], id, protocol: 17 };
        (0..3 * REMEMBERED as u32).for_each(|id| pieces.remember(named(id), NOW, id % 7));
        let last = 3 * REMEMBERED as u32 - 1;
        assert!(pieces.young.len() + pieces.old.len() <= 2 * REMEMBERED);
        assert_eq!(pieces.recall(&named(last), NOW), Some(last % 7));
        assert_eq!(pieces.recall(&named(last - REMEMBERED as u32), NOW), Some((last - REMEMBERED as u32) % 7));
        assert_eq!(pieces.recall(&named(0), NOW), None);
        assert_eq!(pieces.recall(&named(last), Instant { wall_ns: 0, mono_ns: STALE_NS }), None);
    }
}
