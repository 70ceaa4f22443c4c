//! From a frame's bytes to one [`Packet`]: headers only, checked, without allocation.
//!
//! What enters: the captured bytes of a frame, its length on the wire and its [`LinkType`].
//! What leaves: a [`Packet`], or a [`Reject`] whose every variant is one counter.

mod packet;
mod reject;

pub use packet::{Fragment, IpVersion, LinkType, NO_VLAN, Packet, tcp_flags};
pub use reject::Reject;
