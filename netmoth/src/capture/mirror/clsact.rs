//! The clsact qdisc, which holds the programs on kernels without tcx (before 6.6).
//!
//! A filter stays where its process is killed. It is known by its program's name, and removed at the next start.

use std::io;

use aya::programs::TcAttachType;
use aya::programs::tc::{TcError, qdisc_add_clsact, qdisc_detach_program};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcHandle, TcMessage};
use netmoth_shared::mirror::{EGRESS, INGRESS};

use crate::capture::{Interface, netlink};

/// TC_H_CLSACT of linux/pkt_sched.h: the parent of the qdisc, and with these minors that of its filters.
const PARENT: u16 = 0xffff;
const CLSACT: u16 = 0xfff1;
const MIN_INGRESS: u16 = 0xfff2;
const MIN_EGRESS: u16 = 0xfff3;

/// Removes filters of ours. Returns whether there were any.
pub(super) fn sweep(interface: &str) -> bool {
    let mut found = false;
    for (way, name) in [(TcAttachType::Ingress, INGRESS), (TcAttachType::Egress, EGRESS)] {
        // Nothing there, or no clsact at all, is the rule.
        found |= qdisc_detach_program(interface, way, name).is_ok();
    }
    if found {
        log::info!("removed the filters on {interface} of a run that was killed");
    }
    found
}

/// The qdisc; when dropped, removed if it was made by Netmoth and nobody else has put a filter there.
#[derive(Debug)]
pub(super) struct Clsact {
    index: u32,
    made: bool,
}

impl Clsact {
    /// Makes it where it isn't there. `inherited`: filters of a killed run were there, so the qdisc is taken to be its.
    pub(super) fn add(to: &Interface, inherited: bool) -> io::Result<Self> {
        let made = match qdisc_add_clsact(&to.name) {
            Ok(()) => true,
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => inherited,
            Err(TcError::NetlinkError(error)) => {
                let errno = error.raw_os_error().map(io::Error::from_raw_os_error);
                return Err(errno.unwrap_or_else(|| io::Error::other(error.to_string())));
            }
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        Ok(Self { index: to.index, made })
    }

    fn in_use(&self) -> bool {
        [MIN_INGRESS, MIN_EGRESS].into_iter().any(|minor| {
            let mut question = message(self.index, minor);
            question.header.handle = TcHandle::default();
            // Where the kernel doesn't answer, somebody may be using it.
            netlink::dump(RouteNetlinkMessage::GetTrafficFilter(question)).map_or(true, |filters| !filters.is_empty())
        })
    }
}

impl Drop for Clsact {
    fn drop(&mut self) {
        if self.made && !self.in_use() {
            let removed = netlink::change(RouteNetlinkMessage::DelQueueDiscipline(message(self.index, CLSACT)), 0);
            if let Err(cause) = removed {
                log::debug!("the clsact qdisc stays: {cause}");
            }
        }
    }
}

fn message(index: u32, minor: u16) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index as i32;
    message.header.handle = TcHandle { major: PARENT, minor: 0 };
    message.header.parent = TcHandle { major: PARENT, minor };
    message
}
