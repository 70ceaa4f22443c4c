//! From a frame's bytes to one [`Packet`]: headers only, checked, without allocation.
//!
//! What enters: the captured bytes of a frame, its length on the wire and its [`LinkType`].
//! What leaves: a [`Packet`], or a [`Reject`] whose every variant is one counter. Where the packet
//! [may be a tunnel](Packet::may_be_a_tunnel), [`decapsulate`] gives the packet inside, and so on inwards.
//!
//! `common` reads nearly all frames in one piece; the other files, in the order of the headers, read all of them: `link`
//! (and `wifi`), `ipv4` or `ipv6`, `transport`, `tunnel`; `checksum` verifies that of the transport.

mod bytes;
mod checksum;
mod common;
mod ipv4;
mod ipv6;
mod link;
mod packet;
mod reject;
mod transport;
mod tunnel;
mod wifi;

pub use checksum::is_corrupt;
pub use common::parse as parse_common;
#[cfg(test)]
pub(crate) use packet::Inside;
pub use packet::{Fragment, IpVersion, LinkType, NO_VLAN, Packet, Tunnel, tcp_flags};
pub use reject::Reject;
pub use tunnel::{Nothing, decapsulate};

/// Headers around each other that are followed, from the link layer to the innermost IP: tags, labels, tunnels. IPv6
/// extension headers have a bound of their own.
pub const MAX_LAYERS: u8 = 16;

/// Tunnels in each other that are followed.
pub const MAX_TUNNELS: usize = 4;

/// Reads the headers of one frame, up to the first transport header. `data` is what was captured of it (a snapshot length
/// may have cut it), `wire_len` its length on the wire in bytes.
///
/// # Errors
/// The reason for which the frame is not tracked.
#[inline]
pub fn parse(link: LinkType, data: &[u8], wire_len: u32) -> Result<Packet, Reject> {
    let mut packet = Packet::BLANK;
    parse_into(link, data, wire_len, &mut packet)?;
    Ok(packet)
}

/// The same into a packet that is there already, whose contents are replaced: a batch then needs no copies. After an error
/// what is in it means nothing.
///
/// # Errors
/// As [`parse`].
#[inline]
pub fn parse_into(link: LinkType, data: &[u8], wire_len: u32, packet: &mut Packet) -> Result<(), Reject> {
    if link == LinkType::Ethernet && parse_common(data, wire_len, packet) {
        return Ok(());
    }
    parse_any(link, data, wire_len, packet)
}

/// The long way, on which nothing is taken for granted.
#[inline(never)]
fn parse_any(link: LinkType, data: &[u8], wire_len: u32, packet: &mut Packet) -> Result<(), Reject> {
    let network = link::network(link, data)?;
    *packet = Packet { vlan: network.vlan, inner_vlan: network.inner_vlan, ..Packet::BLANK };
    ip(data, &network, wire_len, packet)
}

/// Reads an IP packet into one that knows its tags. `end` is where that which carries it ends on the wire.
#[inline]
fn ip(data: &[u8], network: &link::Network, end: u32, packet: &mut Packet) -> Result<(), Reject> {
    if network.layers >= MAX_LAYERS {
        return Err(Reject::TooManyLayers);
    }
    packet.inside.layers = network.layers + 1;
    let v6 = match network.v6 {
        Some(v6) => v6,
        None => match data.get(network.offset).ok_or(Reject::TruncatedLink)? >> 4 {
            4 => false,
            6 => true,
            _ => return Err(Reject::NotIp),
        },
    };
    if v6 { ipv6::parse(data, network.offset, end, packet) } else { ipv4::parse(data, network.offset, end, packet) }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_tunnel;
