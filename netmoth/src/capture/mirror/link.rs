//! The orders to rtnetlink that make a private pair.

use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use crate::capture::netlink::change;

/// Buffers that wait while the far end's ring of 256 frames is full. A buffer may be 64 KiB that become dozens of frames.
const QUEUE: u32 = 1_024;

/// Makes a veth pair, down, with one queue each way.
pub(crate) fn create_veth(near: &str, far: &str, mtu: u32) -> io::Result<()> {
    let end = |name: &str| {
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::TxQueueLen(QUEUE),
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
        ];
        link
    };
    let mut link = end(near);
    let peer = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(end(far))));
    link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), peer]));
    change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
}

/// Sets the alias, which `ip link` shows.
pub(super) fn describe(index: u32, alias: &str) -> io::Result<()> {
    let mut link = link(index);
    link.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
    change(RouteNetlinkMessage::SetLink(link), 0)
}

/// No ARP, no IPv6 address.
pub(crate) fn keep_silent(index: u32) -> io::Result<()> {
    let mut without_arp = link(index);
    without_arp.header.flags = LinkFlags::Noarp;
    without_arp.header.change_mask = LinkFlags::Noarp;
    change(RouteNetlinkMessage::SetLink(without_arp), 0)?;
    let mut without_address = link(index);
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    without_address.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
    match change(RouteNetlinkMessage::SetLink(without_address), 0) {
        // A kernel without IPv6, or with it off for the interface: nothing to silence.
        Err(cause) if matches!(cause.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => Ok(()),
        other => other,
    }
}

/// A queue before the device (pfifo, as long as the device's txqueuelen says). From Linux 6.16 on a veth whose ring is full
/// has its queue wait rather than drop the frame.
pub(super) fn add_queue(index: u32) -> io::Result<()> {
    let mut queue = TcMessage::default();
    queue.header.index = index as i32;
    queue.header.handle = TcHandle { major: 1, minor: 0 };
    queue.header.parent = TcHandle::ROOT;
    queue.attributes.push(TcAttribute::Kind("pfifo".to_owned()));
    change(RouteNetlinkMessage::NewQueueDiscipline(queue), NLM_F_CREATE | NLM_F_EXCL)
}

/// Administratively up.
pub(crate) fn set_up(index: u32) -> io::Result<()> {
    let mut link = link(index);
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    change(RouteNetlinkMessage::SetLink(link), 0)
}

/// Removes an end, and its peer with it.
pub(crate) fn delete(index: u32) -> io::Result<()> {
    change(RouteNetlinkMessage::DelLink(link(index)), 0)
}

fn link(index: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link
}
