//! What etherparse sees in a frame.

use etherparse::err::ipv6_exts::HeaderError;
use etherparse::err::packet::SliceError;
use etherparse::{
    EtherType, IpAuthHeaderSlice, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice, LaxIpv4Slice, LaxIpv6Slice,
    LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, ether_type,
};

use super::Explained;

/// Length of an Ethernet header, and of a tag.
const ETHERNET: usize = 14;
const TAG: usize = 4;

pub(super) enum Theirs<'a> {
    /// It ends inside the link layer.
    Cut,
    Arp,
    /// An IP header that is cut, or no IP header.
    NoIp,
    MacSec,
    /// Another EtherType.
    Other(u16),
    Ip(Ip<'a>),
}

/// Why the extension headers could not be read to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Length,
    HopByHopNotFirst,
    AuthenticationOfNoLength,
}

/// What a fragment header, or IPv4's own fields, say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    pub(super) offset: u16,
    pub(super) more: bool,
    pub(super) id: u32,
}

pub(super) struct Ip<'a> {
    pub(super) tags: Vec<u16>,
    /// The version by the EtherType, and by the header.
    pub(super) announced_v6: bool,
    pub(super) v6: bool,
    pub(super) src: [u8; 16],
    pub(super) dst: [u8; 16],
    /// None where etherparse leaves a bit of the header out of its sum.
    pub(super) bad_checksum: Option<bool>,
    /// Where the header begins in the frame.
    pub(super) offset: usize,
    /// Bytes of the header without extension headers, and with them.
    pub(super) first_header: usize,
    pub(super) headers: usize,
    /// Bytes that were captured from the header on.
    pub(super) captured: usize,
    /// Length with the header, by the header; none where it says 0.
    length: Option<usize>,
    /// What follows IP's own header.
    first_next: u8,
    /// The header announces more than was captured.
    pub(super) incomplete: bool,
    /// Extension headers, without the fragment header of a later piece.
    pub(super) extensions: usize,
    pub(super) pieces: Vec<Piece>,
    /// The protocol of a later piece behind whose fragment header extension headers seem to be.
    pub(super) behind_later_piece: Option<u8>,
    pub(super) authenticated_v4: bool,
    pub(super) stop: Option<Stop>,
    /// The transport.
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
}

impl Ip<'_> {
    /// The length of the packet, its header included, where `on_wire` bytes are there.
    pub(super) fn total(&self, on_wire: usize) -> (usize, Option<Explained>) {
        match self.length {
            Some(length) => (length, None),
            None if self.v6 && !matches!(self.first_next, 0 | 6 | 17) => {
                (self.first_header, (self.captured > self.first_header).then_some(Explained::EmptyIpv6))
            }
            None => (on_wire, Some(Explained::LengthZero)),
        }
    }

    /// Which piece of a datagram it is.
    pub(super) fn piece(&self) -> Piece {
        self.pieces.first().copied().unwrap_or_default()
    }
}

pub(super) fn look(data: &[u8]) -> Theirs<'_> {
    let Ok(sliced) = LaxSlicedPacket::from_ethernet(data) else { return Theirs::Cut };
    let is_macsec = |ext: &LaxLinkExtSlice<'_>| matches!(ext, LaxLinkExtSlice::Macsec(_));
    let next = sliced.ether_payload().map(|payload| payload.ether_type);
    if sliced.link_exts.iter().any(is_macsec) || next == Some(ether_type::MACSEC) {
        return Theirs::MacSec;
    }
    let tags: Vec<u16> = sliced.vlan_ids().iter().map(|id| id.value()).collect();
    let offset = ETHERNET + TAG * tags.len();
    let captured = data.len() - offset.min(data.len());
    let announced_v6 = next == Some(ether_type::IPV6);
    let base = Ip { tags, announced_v6, offset, captured, ..BLANK };
    match &sliced.net {
        Some(LaxNetSlice::Arp(_)) => Theirs::Arp,
        Some(LaxNetSlice::Ipv4(ip)) => Theirs::Ip(v4(base, ip)),
        Some(LaxNetSlice::Ipv6(ip)) => Theirs::Ip(v6(base, ip, &sliced)),
        None => match next {
            Some(ether_type::ARP) => Theirs::Arp,
            Some(ether_type::IPV4 | ether_type::IPV6) => Theirs::NoIp,
            // Where there is room for another tag, it ended inside one.
            _ if sliced.stop_err.is_some() => Theirs::Cut,
            Some(EtherType(other)) => Theirs::Other(other),
            None => Theirs::Cut,
        },
    }
}

const BLANK: Ip<'static> = Ip {
    tags: Vec::new(),
    announced_v6: false,
    v6: false,
    src: [0; 16],
    dst: [0; 16],
    bad_checksum: Some(false),
    offset: 0,
    first_header: 0,
    headers: 0,
    captured: 0,
    length: None,
    first_next: 0,
    incomplete: false,
    extensions: 0,
    pieces: Vec::new(),
    behind_later_piece: None,
    authenticated_v4: false,
    stop: None,
    protocol: 0,
    payload: &[],
};

fn v4<'a>(base: Ip<'a>, ip: &LaxIpv4Slice<'a>) -> Ip<'a> {
    let header = ip.header();
    let first_header = header.slice().len();
    let piece = Piece {
        offset: header.fragments_offset().value(),
        more: header.more_fragments(),
        id: u32::from(header.identification()),
    };
    let right = header.to_header().calc_header_checksum();
    // Both forms of zero are one in ones' complement.
    let is_right = header.header_checksum() == right || (right == 0 && header.header_checksum() == u16::MAX);
    Ip {
        src: header.source_addr().to_ipv6_mapped().octets(),
        dst: header.destination_addr().to_ipv6_mapped().octets(),
        bad_checksum: (header.slice()[6] & 0x80 == 0).then_some(!is_right),
        first_header,
        headers: first_header,
        length: Some(usize::from(header.total_len())).filter(|length| *length > 0),
        first_next: header.protocol().0,
        incomplete: ip.payload().incomplete,
        pieces: vec![piece],
        authenticated_v4: header.protocol().0 == 51,
        protocol: ip.payload().ip_number.0,
        payload: ip.payload().payload,
        ..base
    }
}

fn v6<'a>(base: Ip<'a>, ip: &LaxIpv6Slice<'a>, sliced: &LaxSlicedPacket<'a>) -> Ip<'a> {
    let header = ip.header();
    let first_header = header.slice().len();
    let chain = chain(header.next_header().0, ip.extensions().slice());
    Ip {
        v6: true,
        src: header.source(),
        dst: header.destination(),
        first_header,
        headers: first_header + ip.extensions().slice().len(),
        length: Some(first_header + usize::from(header.payload_length())).filter(|length| *length > first_header),
        first_next: header.next_header().0,
        incomplete: ip.payload().incomplete,
        extensions: chain.extensions,
        pieces: chain.pieces,
        behind_later_piece: chain.behind_later_piece,
        stop: stop(sliced)
            .map(|stop| if ends_in_authentication_of_no_length(ip) { Stop::AuthenticationOfNoLength } else { stop }),
        protocol: ip.payload().ip_number.0,
        payload: ip.payload().payload,
        ..base
    }
}

/// What is worth knowing of a chain of extension headers.
#[derive(Default)]
struct Chain {
    extensions: usize,
    pieces: Vec<Piece>,
    behind_later_piece: Option<u8>,
}

/// Walks the headers that etherparse found whole, one by one: its own iterator goes on behind their end where an error ended
/// them (0.21.0).
fn chain(mut next: u8, mut rest: &[u8]) -> Chain {
    let mut chain = Chain::default();
    while !rest.is_empty() {
        let length;
        (next, length) = match next {
            44 => {
                let Ok(header) = Ipv6FragmentHeaderSlice::from_slice(rest) else { break };
                let (offset, next) = (header.fragment_offset().value(), header.next_header().0);
                let piece = Piece { offset, more: header.more_fragments(), id: header.identification() };
                if offset > 0 && matches!(next, 0 | 43 | 44 | 51 | 60) {
                    // What etherparse reads behind it is the middle of something.
                    return Chain { pieces: vec![piece], behind_later_piece: Some(next), ..chain };
                }
                chain.extensions += usize::from(offset == 0);
                chain.pieces.push(piece);
                (next, header.slice().len())
            }
            51 => {
                let Ok(header) = IpAuthHeaderSlice::from_slice(rest) else { break };
                chain.extensions += 1;
                (header.next_header().0, header.slice().len())
            }
            _ => {
                let Ok(header) = Ipv6RawExtHeaderSlice::from_slice(rest) else { break };
                chain.extensions += 1;
                (header.next_header().0, header.slice().len())
            }
        };
        rest = &rest[length..];
    }
    chain
}

/// Behind the headers that were read stands an authentication header that says it is shorter than its own first fields: where the
/// packet ends soon, etherparse speaks of the end and not of the length.
fn ends_in_authentication_of_no_length(ip: &LaxIpv6Slice<'_>) -> bool {
    ip.payload().ip_number.0 == 51 && ip.payload().payload.get(1) == Some(&0)
}

/// Why the extension headers ended early: not for what came behind them.
fn stop(sliced: &LaxSlicedPacket<'_>) -> Option<Stop> {
    use etherparse::err::Layer;
    match sliced.stop_err.as_ref()? {
        (SliceError::Ipv6Exts(HeaderError::HopByHopNotAtStart), _) => Some(Stop::HopByHopNotFirst),
        (SliceError::Ipv6Exts(HeaderError::IpAuth(_)), _) => Some(Stop::AuthenticationOfNoLength),
        (_, Layer::Ipv6HopByHopHeader | Layer::Ipv6DestOptionsHeader | Layer::Ipv6RouteHeader) => Some(Stop::Length),
        (_, Layer::Ipv6FragHeader | Layer::IpAuthHeader) => Some(Stop::Length),
        _ => None,
    }
}
