//! Pairs that a killed run left: found by name, kind and alias, and removed unless a sensor runs on them.

use log::info;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::link;
use super::pair::ALIAS;
use crate::capture::interface::{attribute, links, name_of};
use crate::capture::{CaptureError, Interface, program};

/// Removes the pair that a killed run left, and those of interfaces that are no more.
pub(super) fn clear(of: &Interface, near: &str, far: &str) -> Result<(), CaptureError> {
    let all = links()?;
    for link in &all {
        let Some(name) = name_of(link) else { continue };
        let own = name == near || name == far;
        if !own && !orphaned(link, name, &all) {
            continue;
        }
        if own && !ours(link, &all) {
            return Err(CaptureError::PairName { name: of.name.clone(), pair: name.to_owned() });
        }
        // The far end of a running sensor has its program; the kernel takes it off when the process ends.
        let other = format!("{name}p");
        let program = program::attached_program(if own { far } else { &other }).ok().flatten();
        match (own, program) {
            (true, Some(program)) => {
                return Err(CaptureError::Mirrored { name: of.name.clone(), pair: near.to_owned(), program });
            }
            (false, Some(_)) => {}
            (_, None) => {
                info!("removing {name}, which a run left behind that was killed");
                match link::delete(link.header.index) {
                    Err(cause) if cause.raw_os_error() != Some(libc::ENODEV) => {
                        return Err(CaptureError::pair(&of.name, "removed", cause));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Whether this is an end of a pair that Netmoth made; one that was killed in between had no time to give it an alias.
fn ours(link: &LinkMessage, all: &[LinkMessage]) -> bool {
    let veth = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth))),
        _ => false,
    });
    let peer = attribute(link, |a| if let LinkAttribute::Link(index) = a { Some(*index) } else { None });
    let peer = peer.and_then(|index| all.iter().find(|link| link.header.index == index)).and_then(name_of);
    let named = match (name_of(link), peer) {
        (Some(name), Some(peer)) => peer == format!("{name}p") || name == format!("{peer}p"),
        _ => false,
    };
    veth && named && alias(link).is_none_or(|alias| alias.starts_with(ALIAS))
}

/// Whether this is the near end of a pair of ours whose interface is no more.
fn orphaned(link: &LinkMessage, name: &str, all: &[LinkMessage]) -> bool {
    let digits = name.strip_prefix("netmoth-").filter(|rest| !rest.ends_with('p'));
    let Some(index) = digits.and_then(|digits| u32::from_str_radix(digits, 36).ok()) else { return false };
    let there = all.iter().any(|link| link.header.index == index);
    !there && alias(link).is_some_and(|alias| alias.starts_with(ALIAS)) && ours(link, all)
}

fn alias(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|a| if let LinkAttribute::IfAlias(alias) = a { Some(alias.as_str()) } else { None })
}
