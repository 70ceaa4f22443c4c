//! Which interface the kernel would send by: one RTM_GETROUTE, as `ip route get` asks.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::capture::netlink;

/// Where packets to an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The address is one of this host's own.
    pub(super) local: bool,
    /// Index of the interface that they leave by.
    pub(super) interface: Option<u32>,
}

/// Asks; `None` where no route leads there.
pub(super) fn to(address: IpAddr) -> io::Result<Option<Route>> {
    let mut question = RouteMessage::default();
    (question.header.address_family, question.header.destination_prefix_length) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    question.attributes.push(RouteAttribute::Destination(address.into()));
    match netlink::ask(RouteNetlinkMessage::GetRoute(question)) {
        Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(Some(Route {
            local: route.header.kind == RouteType::Local,
            interface: route
                .attributes
                .iter()
                .find_map(|a| if let RouteAttribute::Oif(i) = a { Some(*i) } else { None }),
        })),
        Ok(_) => Err(io::Error::other("the kernel answered something else than a route")),
        Err(error) => match error.raw_os_error() {
            // ip route add unreachable, prohibit, blackhole.
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL | libc::EAFNOSUPPORT) => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_host_is_local_and_goes_by_the_loopback() {
        let route = to([127, 0, 0, 1].into()).unwrap().unwrap();
        assert_eq!(route, Route { local: true, interface: Some(1) });
    }
}
