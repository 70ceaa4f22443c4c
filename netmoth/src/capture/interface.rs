//! What capture must know of an interface before it touches it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};

use super::netlink;
use super::{CaptureError, above};

/// An interface as the kernel describes it at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Largest IP packet that it sends and, with most drivers, receives.
    pub mtu: u32,
    /// Driver, as `ethtool -i` names it; "unknown" where it has none.
    pub driver: String,
    /// Receive queues.
    pub queues: u32,
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// Addresses that a host would use; link-local ones aside.
    pub addresses: Vec<IpAddr>,
    /// Whether a default route leaves through it.
    pub default_route: bool,
    /// What the host uses through it, in words: `is a port of br0`, `carries eth0.7, which has the address 10.0.7.1`.
    pub above: Vec<String>,
}

impl Interface {
    /// Asks the kernel about `name`.
    ///
    /// # Errors
    /// No such interface (the message lists those that exist), or a kernel that does not answer.
    pub fn find(name: &str) -> Result<Self, CaptureError> {
        let links = links()?;
        let Some(link) = links.iter().find(|link| name_of(link) == Some(name)) else {
            let existing = links.iter().filter_map(name_of).filter(|n| *n != "lo").collect::<Vec<_>>().join(", ");
            return Err(CaptureError::NoInterface { name: name.into(), existing });
        };
        let index = link.header.index;
        Ok(Self {
            name: name.into(),
            index,
            mtu: attribute(link, |a| if let LinkAttribute::Mtu(mtu) = a { Some(*mtu) } else { None }).unwrap_or(1500),
            driver: driver(name),
            queues: receive_queues(name, link),
            running: running(link),
            addresses: addresses(index)?,
            default_route: default_route(index)?,
            above: above::uses(index, &links)?,
        })
    }

    /// What the host uses this interface for, in words; `None` where it doesn't.
    pub fn use_by_host(&self) -> Option<String> {
        let mut uses = Vec::new();
        if !self.addresses.is_empty() {
            let list = self.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            uses.push(format!("has the address {list}"));
        }
        if self.default_route {
            uses.push("carries the default route".into());
        }
        uses.extend(self.above.iter().cloned());
        (!uses.is_empty()).then(|| uses.join(" and "))
    }
}

pub(super) fn links() -> Result<Vec<LinkMessage>, CaptureError> {
    let answers = netlink::dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).map_err(CaptureError::netlink)?;
    Ok(answers
        .into_iter()
        .filter_map(|message| if let RouteNetlinkMessage::NewLink(link) = message { Some(link) } else { None })
        .collect())
}

pub(super) fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|a| if let LinkAttribute::IfName(name) = a { Some(name.as_str()) } else { None })
}

pub(super) fn attribute<T>(link: &LinkMessage, pick: impl Fn(&LinkAttribute) -> Option<T>) -> Option<T> {
    link.attributes.iter().find_map(pick)
}

/// Administratively up, with a carrier. The flags say it at once; the operational state follows up to a second later.
pub(super) fn running(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp)
}

/// Whether the interface runs at this moment; `None` where it is gone.
pub(super) fn running_now(index: u32) -> Result<Option<bool>, CaptureError> {
    Ok(links()?.iter().find(|link| link.header.index == index).map(running))
}

/// What its frames begin with: Ethernet, or something else; `None` where it is gone.
pub(super) fn link_layer(index: u32) -> Result<Option<LinkLayerType>, CaptureError> {
    let link = links()?.into_iter().find(|link| link.header.index == index);
    Ok(link.map(|link| link.header.link_layer_type))
}

pub(crate) fn addresses(index: u32) -> Result<Vec<IpAddr>, CaptureError> {
    let answers =
        netlink::dump(RouteNetlinkMessage::GetAddress(AddressMessage::default())).map_err(CaptureError::netlink)?;
    let mut found = Vec::new();
    for answer in answers {
        let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
        if message.header.index != index {
            continue;
        }
        // IFA_LOCAL is the interface's own address; IFA_ADDRESS is the peer's on a point-to-point link.
        let local =
            message.attributes.iter().find_map(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
        let address = message
            .attributes
            .iter()
            .find_map(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None });
        found.extend(local.or(address).filter(|ip| !link_local(ip)));
    }
    Ok(found)
}

fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

pub(super) fn default_route(index: u32) -> Result<bool, CaptureError> {
    let answers =
        netlink::dump(RouteNetlinkMessage::GetRoute(RouteMessage::default())).map_err(CaptureError::netlink)?;
    Ok(answers.iter().any(|answer| match answer {
        RouteNetlinkMessage::NewRoute(route) => {
            let out = route.attributes.iter().any(|a| matches!(a, RouteAttribute::Oif(oif) if *oif == index));
            let to = route.attributes.iter().any(|a| matches!(a, RouteAttribute::Destination(_)));
            let unicast = route.header.kind == netlink_packet_route::route::RouteType::Unicast;
            out && !to && route.header.destination_prefix_length == 0 && unicast
        }
        _ => false,
    }))
}

/// The driver's name, as `ethtool -i` has it.
fn driver(name: &str) -> String {
    tuning::driver::read(name).ok().flatten().map_or_else(|| "unknown".into(), |driver| driver.name)
}

/// The queues in use, which sysfs alone lists; the kernel's message counts those that the driver has room for, which is
/// right for most and never too few.
fn receive_queues(name: &str, link: &LinkMessage) -> u32 {
    let folder = Path::new("/sys/class/net").join(name).join("queues");
    let used = fs::read_dir(folder).map(|entries| {
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count() as u32
    });
    let room = || attribute(link, |a| if let LinkAttribute::NumRxQueues(count) = a { Some(*count) } else { None });
    used.ok().or_else(room).unwrap_or(1).max(1)
}
