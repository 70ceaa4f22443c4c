//! From a frame's bytes to one [`Packet`]: headers only, checked, without allocation.
//!
//! What enters: the captured bytes of a frame, its length on the wire and its [`LinkType`].
//! What leaves: a [`Packet`], or a [`Reject`] whose every variant is one counter.
//!
//! The files stand in the order of the headers: `link`, `ipv4` or `ipv6`, `transport`.

mod bytes;
mod ipv4;
mod ipv6;
mod link;
mod packet;
mod reject;
mod transport;

pub use packet::{Fragment, IpVersion, LinkType, NO_VLAN, Packet, tcp_flags};
pub use reject::Reject;

/// Reads the headers of one frame. `data` is what was captured of it (a snapshot length may have cut it), `wire_len` its
/// length on the wire in bytes.
///
/// # Errors
/// The reason for which the frame is not tracked.
#[inline]
pub fn parse(link: LinkType, data: &[u8], wire_len: u32) -> Result<Packet, Reject> {
    let network = link::network(link, data)?;
    let mut packet = Packet { vlan: network.vlan, inner_vlan: network.inner_vlan, ..Packet::BLANK };
    let v6 = match network.v6 {
        Some(v6) => v6,
        None => match data.get(network.offset).ok_or(Reject::TruncatedLink)? >> 4 {
            4 => false,
            6 => true,
            _ => return Err(Reject::NotIp),
        },
    };
    if v6 {
        ipv6::parse(data, network.offset, wire_len, &mut packet)?;
    } else {
        ipv4::parse(data, network.offset, wire_len, &mut packet)?;
    }
    Ok(packet)
}

#[cfg(test)]
mod tests;
