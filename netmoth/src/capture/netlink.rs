//! Questions to the kernel's rtnetlink, and orders: links, addresses, routes, qdiscs. Man page rtnetlink(7).

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Enough for the largest message that the kernel sends in one piece (NLMSG_GOODSIZE is a page; dumps use up to 32 KiB).
const BUFFER: usize = 64 * 1024;

/// Sends a dump request and gathers the answers.
pub(crate) fn dump(request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    let socket = send(request, NLM_F_DUMP)?;
    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for payload in messages(&datagram) {
            match payload {
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
        }
    }
}

/// Sends a question that has one answer.
pub(crate) fn ask(request: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
    let socket = send(request, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for payload in messages(&datagram) {
            match payload {
                NetlinkPayload::InnerMessage(message) => return Ok(message),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
        }
    }
}

/// Has the kernel change something; `flags` beside NLM_F_REQUEST and NLM_F_ACK.
pub(super) fn change(request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let socket = send(request, NLM_F_ACK | flags)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for payload in messages(&datagram) {
            if let NetlinkPayload::Error(answer) = payload {
                return if answer.code.is_none() { Ok(()) } else { Err(answer.to_io()) };
            }
        }
    }
}

fn send(request: RouteNetlinkMessage, flags: u16) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// A socket that hears of every change of a link.
pub(super) fn link_events() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    // RTMGRP_LINK
    socket.bind(&SocketAddr::new(0, 1))?;
    socket.set_rx_buf_sz(1_i32 << 20)?;
    Ok(socket)
}

/// Waits for the next datagram of an event socket.
pub(super) fn receive(socket: &Socket) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut buffer = Vec::with_capacity(BUFFER);
    socket.recv(&mut buffer, 0)?;
    Ok(messages(&buffer)
        .into_iter()
        .filter_map(|payload| match payload {
            NetlinkPayload::InnerMessage(message) => Some(message),
            _ => None,
        })
        .collect())
}

fn messages(datagram: &[u8]) -> Vec<NetlinkPayload<RouteNetlinkMessage>> {
    let mut found = Vec::new();
    let mut rest = datagram;
    // One that is not understood is passed over: the end of the list may stand behind it.
    while let Some(Ok(length)) = rest.get(..4).map(<[u8; 4]>::try_from) {
        found.extend(NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).ok().map(|message| message.payload));
        // Messages are aligned to four bytes (NLMSG_ALIGN).
        let length = (u32::from_ne_bytes(length) as usize).next_multiple_of(4);
        if length == 0 || length >= rest.len() {
            break;
        }
        rest = &rest[length..];
    }
    found
}
