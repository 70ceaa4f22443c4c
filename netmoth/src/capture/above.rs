//! What the host uses an interface for by way of another one: a bridge or bond that it is a port of, VLANs and their like.

use std::net::IpAddr;

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::CaptureError;
use super::interface::{addresses, attribute, default_route, name_of};

/// Interfaces upon interfaces upon interfaces: more than anybody stacks.
const DEPTH: u32 = 8;

/// The uses of interface `index`, in words. A master uses all of its ports; what else stands upon an interface does where it
/// has an address or a default route.
pub(super) fn uses(index: u32, links: &[LinkMessage]) -> Result<Vec<String>, CaptureError> {
    let mut found = Vec::new();
    let find = |index: u32| links.iter().find(|link| link.header.index == index);
    if let Some(master) = find(index).and_then(master).and_then(find).and_then(name_of) {
        found.push(format!("is a port of {master}"));
    }
    for (upper, name) in upon(index, links, DEPTH) {
        if let Some(address) = addresses(upper)?.first() {
            found.push(format!("carries {name}, which has the address {}", IpAddr::to_string(address)));
        } else if default_route(upper)? {
            found.push(format!("carries {name}, which carries the default route"));
        }
    }
    Ok(found)
}

/// The interface, its master, and what stands upon either: the indices that the host's traffic through it may name.
pub(crate) fn stack(index: u32) -> Result<Vec<u32>, CaptureError> {
    let links = super::interface::links()?;
    let own = links.iter().find(|link| link.header.index == index);
    let mut found = vec![index];
    found.extend(own.and_then(master));
    let upper: Vec<u32> = found.iter().flat_map(|index| upon(*index, &links, DEPTH)).map(|(index, _)| index).collect();
    found.extend(upper);
    Ok(found)
}

fn master(link: &LinkMessage) -> Option<u32> {
    attribute(link, |a| if let LinkAttribute::Controller(index) = a { Some(*index) } else { None })
}

/// VLANs, macvlans and so on that stand upon interface `index`, and those upon them.
fn upon(index: u32, links: &[LinkMessage], depth: u32) -> Vec<(u32, &str)> {
    let mut found = Vec::new();
    for link in links.iter().filter(|link| lower(link) == Some(index)) {
        found.extend(name_of(link).map(|name| (link.header.index, name)));
        if depth > 0 {
            found.extend(upon(link.header.index, links, depth - 1));
        }
    }
    found
}

/// The interface beneath. That of a veth is its peer, and one of another namespace is none of ours.
fn lower(link: &LinkMessage) -> Option<u32> {
    let elsewhere = link.attributes.iter().any(|a| matches!(a, LinkAttribute::LinkNetNsId(_)));
    let veth = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth))),
        _ => false,
    });
    if elsewhere || veth {
        return None;
    }
    attribute(link, |a| if let LinkAttribute::Link(index) = a { Some(*index) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: InfoKind, more: Vec<LinkAttribute>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes = vec![LinkAttribute::IfName(name.into()), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])];
        link.attributes.extend(more);
        link
    }

    #[test]
    fn what_stands_upon_an_interface_is_found_over_several_steps() {
        let links = [
            link(1_000_002, "eth0", InfoKind::Dummy, vec![LinkAttribute::Controller(1_000_009)]),
            link(1_000_003, "eth0.7", InfoKind::Vlan, vec![LinkAttribute::Link(1_000_002)]),
            link(1_000_004, "mac0", InfoKind::MacVlan, vec![LinkAttribute::Link(1_000_003)]),
            link(1_000_005, "veth0", InfoKind::Veth, vec![LinkAttribute::Link(1_000_002)]),
            link(1_000_006, "far", InfoKind::Vlan, vec![LinkAttribute::Link(1_000_002), LinkAttribute::LinkNetNsId(1)]),
            link(1_000_009, "br0", InfoKind::Bridge, vec![]),
        ];
        assert_eq!(upon(1_000_002, &links, DEPTH), [(1_000_003, "eth0.7"), (1_000_004, "mac0")]);
        assert_eq!(uses(1_000_002, &links).unwrap(), ["is a port of br0"], "those without an address don't count");
    }

    #[test]
    fn a_circle_ends() {
        let circle = [link(1, "a", InfoKind::Vlan, vec![LinkAttribute::Link(1)])];
        assert_eq!(upon(1, &circle, DEPTH).len(), DEPTH as usize + 1);
    }
}
