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
    /// The private pair through which it is mirrored is gone.
    PairRemoved,
}

/// Watches interface `index`, and the end of the pair that belongs to it, until the returned guard is dropped.
pub(super) fn watch(
    index: u32,
    running: bool,
    pair: Option<u32>,
) -> Result<(LinkWatch, Receiver<LinkEvent>), CaptureError> {
    let socket = netlink::link_events().map_err(CaptureError::netlink)?;
    let (sender, receiver) = unbounded();
    let mut news = News { index, pair, running, sender };
    // What changed between the look at the interface and this subscription sent its message to nobody.
    news.look_again()?;
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    thread::Builder::new()
        .name("link-watch".into())
        .spawn(move || listen(&socket, &mut news, &seen))
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

/// What was last reported of the interface, and to whom.
struct News {
    index: u32,
    pair: Option<u32>,
    running: bool,
    sender: Sender<LinkEvent>,
}

impl News {
    /// Reports a state that differs from the last one. A receiver that is gone is no reason to stop: the guard that ends
    /// the watch goes with it.
    fn is_running(&mut self, now: bool) {
        if now != self.running {
            self.running = now;
            self.sender.send(if now { LinkEvent::Up } else { LinkEvent::Down }).ok();
        }
    }

    fn is_gone(&self) {
        self.sender.send(LinkEvent::Removed).ok();
    }

    /// Asks the kernel, where its messages may have been missed.
    fn look_again(&mut self) -> Result<(), CaptureError> {
        match interface::running_now(self.index)? {
            Some(running) => self.is_running(running),
            None => self.is_gone(),
        }
        if let Some(pair) = self.pair
            && interface::running_now(pair)?.is_none()
        {
            self.sender.send(LinkEvent::PairRemoved).ok();
        }
        Ok(())
    }
}

fn listen(socket: &netlink_sys::Socket, news: &mut News, stop: &AtomicBool) {
    let mut sleeper = PollSet::new([socket.as_raw_fd()]);
    while !stop.load(Ordering::Relaxed) {
        if !sleeper.wait(500) {
            continue;
        }
        let Ok(messages) = netlink::receive(socket) else {
            // ENOBUFS: the kernel had more news than room, the one that matters perhaps among them.
            if let Err(error) = news.look_again() {
                warn!("the link watch missed messages of the kernel: {error}");
            }
            continue;
        };
        for message in messages {
            match message {
                RouteNetlinkMessage::DelLink(link) if link.header.index == news.index => news.is_gone(),
                RouteNetlinkMessage::DelLink(link) if Some(link.header.index) == news.pair => {
                    news.sender.send(LinkEvent::PairRemoved).ok();
                }
                RouteNetlinkMessage::NewLink(link) if link.header.index == news.index => {
                    news.is_running(interface::running(&link));
                }
                _ => {}
            }
        }
    }
}
