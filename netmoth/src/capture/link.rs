//! The link watch: a removed device raises no poll event and a link that goes down raises nothing at all, so netlink
//! has to say it.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::warn;
use netlink_packet_route::RouteNetlinkMessage;

use super::poll::PollSet;
use super::{CaptureError, interface, netlink};

/// What happened to the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It has a carrier again, or was set up.
    Up,
    /// It lost its carrier or was set down; sockets and program stay.
    Down,
    /// It is gone, or moved to another network namespace.
    Removed,
}

/// Watches interface `index` until the returned guard is dropped.
pub(super) fn watch(index: u32, running: bool) -> Result<(LinkWatch, Receiver<LinkEvent>), CaptureError> {
    let socket = netlink::link_events().map_err(CaptureError::netlink)?;
    let (sender, receiver) = unbounded();
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    thread::Builder::new()
        .name("link-watch".into())
        .spawn(move || listen(&socket, index, running, &sender, &seen))
        .map_err(CaptureError::netlink)?;
    Ok((LinkWatch { stop }, receiver))
}

/// Ends the watch when dropped.
pub(super) struct LinkWatch {
    stop: Arc<AtomicBool>,
}

impl Drop for LinkWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn listen(socket: &netlink_sys::Socket, index: u32, mut running: bool, sender: &Sender<LinkEvent>, stop: &AtomicBool) {
    let mut sleeper = PollSet::new([socket.as_raw_fd()]);
    while !stop.load(Ordering::Relaxed) {
        if !sleeper.wait(500) {
            continue;
        }
        // ENOBUFS: the kernel had more news than room. The next change comes through again.
        let Ok(messages) = netlink::receive(socket) else {
            warn!("the link watch missed messages of the kernel");
            continue;
        };
        for message in messages {
            let event = match message {
                RouteNetlinkMessage::DelLink(link) if link.header.index == index => Some(LinkEvent::Removed),
                RouteNetlinkMessage::NewLink(link) if link.header.index == index => {
                    let now = interface::running(&link);
                    let changed = now != running;
                    running = now;
                    changed.then_some(if now { LinkEvent::Up } else { LinkEvent::Down })
                }
                _ => None,
            };
            if let Some(event) = event
                && sender.send(event).is_err()
            {
                return;
            }
        }
    }
}
