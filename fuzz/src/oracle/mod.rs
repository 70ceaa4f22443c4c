//! The parser beside etherparse, which was written by others from the same standards.
//!
//! Both read a frame; where both know what they read, they must read the same. Where they differ by design, the difference has
//! a name ([`Explained`]), a condition of its own, and is still held to what the standards leave no choice in.

mod explained;
mod seen;
mod transport;

pub use explained::Explained;

use netmoth::wire::{self, Fragment, IpVersion, LinkType, NO_VLAN, Packet, Reject};

use self::seen::{Ip, Piece, Stop, Theirs};

/// What one frame showed: nothing to explain, or the difference that it met.
pub type Verdict = Result<Option<Explained>, String>;

/// Reads one Ethernet frame of `wire_len` bytes on the wire, of which `data` was captured, with both.
///
/// # Errors
/// What they read differently.
pub fn compare(data: &[u8], wire_len: u32) -> Verdict {
    let ours = wire::parse(LinkType::Ethernet, data, wire_len);
    match seen::look(data) {
        Theirs::Cut => refused(&ours, &[Reject::TruncatedLink], "its link layer is cut"),
        Theirs::Arp => refused(&ours, &[Reject::Arp], "it is ARP"),
        Theirs::NoIp => {
            use Reject::{MalformedIpv4, MalformedIpv6, TruncatedIpv4, TruncatedIpv6};
            let known = [MalformedIpv4, MalformedIpv6, TruncatedIpv4, TruncatedIpv6];
            refused(&ours, &known, "its IP header is cut or impossible")
        }
        Theirs::MacSec => {
            refused(&ours, &[Reject::NotIp], "it is MACsec")?;
            Ok(Some(Explained::MacSec))
        }
        Theirs::Other(ethertype) => match Explained::of_ethertype(ethertype) {
            Some(explained) => Ok(Some(explained)),
            None => refused(&ours, &[Reject::NotIp], "its EtherType is not IP"),
        },
        Theirs::Ip(ip) => compare_ip(&ours, &ip, wire_len),
    }
}

/// Takes a byte for what the frame's length on the wire exceeds that of what was captured of it, and the frame.
///
/// # Panics
/// Where both parsers read something different.
pub fn parser_oracle(input: &[u8]) {
    let [excess, data @ ..] = input else { return };
    let wire_len = data.len() as u32 + u32::from(*excess) * u32::from(*excess);
    if let Err(difference) = compare(data, wire_len) {
        panic!("{difference}");
    }
}

/// Ours has to refuse, for one of these reasons.
fn refused(ours: &Result<Packet, Reject>, reasons: &[Reject], why: &str) -> Verdict {
    match ours {
        Err(reject) if reasons.contains(reject) => Ok(None),
        other => Err(format!("{why} by etherparse, and ours says {other:?}")),
    }
}

/// Both must say the same of something.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?}, and etherparse says {theirs:?}")) }
}

fn compare_ip(ours: &Result<Packet, Reject>, ip: &Ip<'_>, wire_len: u32) -> Verdict {
    let (malformed, truncated) = if ip.announced_v6 {
        (Reject::MalformedIpv6, Reject::TruncatedIpv6)
    } else {
        (Reject::MalformedIpv4, Reject::TruncatedIpv4)
    };
    if ip.v6 != ip.announced_v6 {
        refused(ours, &[malformed, truncated], "its EtherType names another version than its header")?;
        return Ok(Some(Explained::OtherVersion));
    }
    let on_wire = (wire_len as usize).saturating_sub(ip.offset);
    let (total, explained) = ip.total(on_wire);
    let explained = explained.or(ip.bad_checksum.is_none().then_some(Explained::ReservedBit));
    if total < ip.first_header || total > on_wire {
        same("that the length is impossible", true, ip.incomplete || total < ip.first_header)?;
        return refused(ours, &[malformed], "its length is impossible");
    }
    if let Ok(packet) = ours {
        compare_base(packet, ip, total)?;
    }
    if explained == Some(Explained::EmptyIpv6) {
        if let Ok(packet) = ours {
            same("payload of an empty packet", packet.payload_bytes, 0)?;
        }
        return Ok(explained);
    }
    if let Some(explained) = extensions(ours, ip, total)? {
        return Ok(explained.known());
    }
    let piece = ip.piece();
    if let Ok(packet) = ours {
        same("protocol", packet.protocol, ip.protocol)?;
        compare_piece(packet, piece)?;
    }
    let found = transport::compare(ours, ip, piece, total - ip.headers)?;
    Ok(found.or(explained))
}

/// Tags, addresses, length and the header's checksum.
fn compare_base(packet: &Packet, ip: &Ip<'_>, total: usize) -> Result<(), String> {
    let tag = |at: usize| ip.tags.get(at).copied().unwrap_or(NO_VLAN);
    same("outer tag", packet.vlan, tag(0))?;
    same("inner tag", packet.inner_vlan, tag(1))?;
    same("version", packet.version, if ip.v6 { IpVersion::V6 } else { IpVersion::V4 })?;
    same("source", packet.src, ip.src)?;
    same("destination", packet.dst, ip.dst)?;
    same("IP bytes", packet.ip_bytes as usize, total)?;
    same("wrong checksum", packet.bad_checksum, ip.bad_checksum.unwrap_or(packet.bad_checksum))
}

fn compare_piece(packet: &Packet, piece: Piece) -> Result<(), String> {
    let fragment = match (piece.offset, piece.more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First { id: piece.id },
        _ => Fragment::Later { id: piece.id },
    };
    same("fragment", packet.fragment, fragment)?;
    same("piece's offset", packet.piece_offset, piece.offset)
}

/// Whether the headers between IP and the transport leave anything to compare behind them.
enum Ended {
    Explained(Explained),
    Refused,
}

impl Ended {
    fn known(&self) -> Option<Explained> {
        match self {
            Self::Explained(explained) => Some(*explained),
            Self::Refused => None,
        }
    }
}

fn extensions(ours: &Result<Packet, Reject>, ip: &Ip<'_>, total: usize) -> Result<Option<Ended>, String> {
    let explained = |explained| Ok(Some(Ended::Explained(explained)));
    if ip.authenticated_v4 {
        let packet = ours.as_ref().map_err(|reject| format!("an IPv4 authentication header: {reject:?}"))?;
        same("protocol", packet.protocol, 51)?;
        same("ports", (packet.src_port, packet.dst_port), (0, 0))?;
        return explained(Explained::Ipv4Authentication);
    }
    if ip.extensions > 10 {
        refused(ours, &[Reject::TooManyExtensions], "it has many extension headers")?;
        return explained(Explained::ManyExtensions);
    }
    if let Some(protocol) = ip.behind_later_piece {
        let packet = ours.as_ref().map_err(|reject| format!("a later piece: {reject:?}"))?;
        compare_piece(packet, ip.piece())?;
        same("protocol of a later piece", packet.protocol, protocol)?;
        return explained(Explained::BehindALaterPiece);
    }
    if ip.pieces.len() > 1 {
        return explained(Explained::TwoFragmentHeaders);
    }
    match ip.stop {
        Some(Stop::HopByHopNotFirst) => return explained(Explained::HopByHopNotFirst),
        Some(Stop::AuthenticationOfNoLength) => return explained(Explained::AuthenticationOfNoLength),
        Some(Stop::Length) if ip.captured < total && ours.is_ok() => return explained(Explained::ExtensionCut),
        Some(Stop::Length) => {
            use Reject::{MalformedIpv6, MalformedTransport, TooManyExtensions, TruncatedIpv6, TruncatedTransport};
            let known = [MalformedIpv6, MalformedTransport, TooManyExtensions, TruncatedIpv6, TruncatedTransport];
            refused(ours, &known, "an extension header is cut")?;
            return Ok(Some(Ended::Refused));
        }
        None => {}
    }
    if ip.v6 && ip.piece().offset == 0 && matches!(ip.protocol, 135 | 139 | 140) {
        return explained(Explained::MobilityAndKin);
    }
    Ok(None)
}
