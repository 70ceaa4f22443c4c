//! The private veth pair: clones go in at one end, AF_XDP takes them off the other.
//!
//! Both ends have the interface's index in their names (`netmoth-2` and `netmoth-2p`) and say in their alias what they are
//! for, so that a run finds what a killed one left behind. No address, no neighbours, no other offload than scatter-gather:
//! what leaves an end is cut to size, has its VLAN tags in the frame and its checksums finished.

use std::io;

use log::warn;
use netlink_packet_route::link::LinkAttribute;

use super::{leftover, link};
use crate::capture::interface::{attribute, links, name_of};
use crate::capture::{CaptureError, Interface};

/// What a veth with XDP in native mode takes of an IP packet (veth_xdp_set in drivers/net/veth.c), rounded down.
const LARGEST_MTU: u32 = 3_498;
/// Room beyond the interface's MTU: a second VLAN tag, of which the kernel's look at the length knows one.
const TAGS: u32 = 8;
/// Begins the alias of each end.
pub(super) const ALIAS: &str = "netmoth: private pair of ";

/// Both ends; removed when dropped.
#[derive(Debug)]
pub(super) struct Pair {
    /// The end that clones are sent out of.
    pub(super) near: End,
    /// The end that they are taken off.
    pub(super) far: End,
    /// Whether `near` has a queue.
    pub(super) queued: bool,
}

/// One end.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) name: String,
    pub(super) index: u32,
}

/// What the pair's driver has counted, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// The far end's ring was full, or the frame longer than what the far end takes.
    pub(super) refused: u64,
    /// Taken out of the ring by the far end, which shows each to XDP unless it has no memory for the copy that XDP needs.
    pub(super) arrived: u64,
}

impl Pair {
    /// Makes the pair of an interface, up and silent. What a killed run left of it is removed first.
    ///
    /// # Errors
    /// Where a running sensor has it, something else has its name, or the kernel refuses a step.
    pub(super) fn create(of: &Interface) -> Result<Self, CaptureError> {
        let (near, far) = names(of.index);
        leftover::clear(of, &near, &far)?;
        let mtu = mtu(of);
        let failed = |step| move |cause: io::Error| CaptureError::pair(&of.name, step, cause);
        link::create_veth(&near, &far, mtu).map_err(failed("made"))?;
        let all = links()?;
        let end = |name: String| {
            let index = all.iter().find(|link| name_of(link) == Some(&name)).map(|link| link.header.index);
            index.map(|index| End { name, index }).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
        };
        let mut pair =
            Self { near: end(near).map_err(failed("found"))?, far: end(far).map_err(failed("found"))?, queued: false };
        pair.set_up(&of.name)?;
        Ok(pair)
    }

    fn set_up(&mut self, of: &str) -> Result<(), CaptureError> {
        let failed = |step| move |cause: io::Error| CaptureError::pair(of, step, cause);
        for end in [&self.near, &self.far] {
            link::describe(end.index, &format!("{ALIAS}{of}")).map_err(failed("named"))?;
            link::keep_silent(end.index).map_err(failed("kept silent"))?;
            tuning::offload::turn_off(&end.name, unwanted)
                .map_err(|error| failed("freed of offloads")(io::Error::other(error)))?;
        }
        let left = tuning::features::read(&self.near.name);
        let left = left.map_err(|error| failed("freed of offloads")(io::Error::other(error)))?.unwrap_or_default();
        if let Some(kept) = ESSENTIAL.iter().find(|name| left.get(name).is_some_and(|feature| feature.active)) {
            return Err(failed("freed of offloads")(io::Error::other(format!("{kept} stays on"))));
        }
        self.queued = match link::add_queue(self.near.index) {
            Ok(()) => true,
            Err(cause) => {
                warn!("no queue for {}: {cause}; a burst of more than 256 frames loses some (counted)", self.near.name);
                false
            }
        };
        for end in [&self.near, &self.far] {
            link::set_up(end.index).map_err(failed("set up"))?;
        }
        Ok(())
    }

    /// What the driver has counted so far.
    pub(super) fn traffic(&self) -> Result<Traffic, CaptureError> {
        let near = links()?.into_iter().find(|link| link.header.index == self.near.index);
        let stats = near.as_ref().and_then(|link| {
            attribute(link, |a| if let LinkAttribute::Stats64(stats) = a { Some(*stats) } else { None })
        });
        let far = tuning::statistics::read(&self.far.name);
        let far = far.map_err(|error| CaptureError::netlink(io::Error::other(error)))?;
        // veth_xdp_rcv in drivers/net/veth.c; there is one queue.
        let arrived = far.get("rx_queue_0_xdp_packets").copied().unwrap_or(0);
        Ok(Traffic { refused: stats.map_or(0, |stats| stats.tx_dropped), arrived })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        match link::delete(self.near.index) {
            // Removed by somebody else, or its namespace is gone.
            Err(cause) if cause.raw_os_error() != Some(libc::ENODEV) => {
                warn!("the private pair {} was not removed: {cause}; the next start does it", self.near.name);
            }
            _ => {}
        }
    }
}

/// Offloads by which frames would reach the far end otherwise than on a wire.
fn unwanted(name: &str) -> bool {
    name.ends_with("-segmentation")
        || name.starts_with("tx-gso-")
        || name.starts_with("tx-checksum-")
        || name.starts_with("tx-vlan-")
        || name.starts_with("rx-vlan-")
        || name.starts_with("rx-gro")
        || name.starts_with("rx-udp-gro")
}

/// Those without which records would be wrong.
const ESSENTIAL: [&str; 4] =
    ["tx-vlan-hw-insert", "tx-vlan-stag-hw-insert", "tx-tcp-segmentation", "tx-tcp6-segmentation"];

fn mtu(of: &Interface) -> u32 {
    let wanted = of.mtu.saturating_add(TAGS);
    if wanted > LARGEST_MTU {
        warn!(
            "the MTU of {} is {}: packets longer than {} bytes don't fit the private pair; they reach the host, and are \
             missing in the records (counted as dropped)",
            of.name,
            of.mtu,
            LARGEST_MTU - TAGS
        );
    }
    wanted.clamp(1_500 + TAGS, LARGEST_MTU)
}

/// The ends of the pair of the interface with this index: 14 bytes or less.
fn names(index: u32) -> (String, String) {
    let near = format!("netmoth-{}", base36(index));
    let far = format!("{near}p");
    (near, far)
}

/// A number with as few digits as names have room for: an index has 31 bits. Capitals, so that none is taken for the far end's
/// small `p`.
fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).unwrap_or('0').to_ascii_uppercase());
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_index_fit_and_differ() {
        assert_eq!(names(2), ("netmoth-2".into(), "netmoth-2p".into()));
        assert_eq!((base36(25), base36(36)), ("P".into(), "10".into()));
        let (near, far) = names(i32::MAX as u32);
        assert!(near.len() < 16 && far.len() < 16, "{near} {far}");
        assert_eq!(u32::from_str_radix(near.strip_prefix("netmoth-").unwrap(), 36), Ok(i32::MAX as u32));
    }

    #[test]
    fn offloads_that_change_frames_are_unwanted_and_scatter_gather_is_not() {
        assert!(ESSENTIAL.iter().all(|name| unwanted(name)));
        assert!(unwanted("tx-udp-segmentation") && unwanted("tx-checksum-ip-generic") && unwanted("tx-gso-list"));
        assert!(!unwanted("tx-scatter-gather") && !unwanted("highdma"));
    }
}
