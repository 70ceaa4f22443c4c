//! Who uses the interface from here: the SSH session that this runs in, and the connection to the store.

use std::collections::HashSet;
use std::net::{IpAddr, ToSocketAddrs};

use super::route;
use crate::capture::above;
use crate::capture::interface::addresses;
use crate::sink::StoreUrl;

/// What sshd tells its session: client's address and port, server's address and port (ssh(1)).
const VARIABLE: &str = "SSH_CONNECTION";
/// Processes above this one that are asked; nobody nests deeper.
const PARENTS: u32 = 64;

/// An SSH session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The address that it comes from.
    pub client: IpAddr,
    /// The address of this host that it came to.
    pub server: IpAddr,
    /// Whether it goes through the interface.
    pub through: bool,
}

/// How the store is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreWay {
    /// A file, a socket of the file system, or an address of this host.
    Local,
    /// A server elsewhere.
    Remote {
        /// Its name and its address.
        server: String,
        /// Whether packets to it leave by the interface.
        through: bool,
    },
    /// Why it can't be told, as half a sentence.
    Unknown(String),
}

/// The interface, and those upon it that carry addresses in its stead, by their indices. Empty without an interface.
#[derive(Default)]
pub(super) struct Stack(HashSet<u32>);

impl Stack {
    pub(super) fn of(index: u32) -> Self {
        Self(above::stack(index).unwrap_or_else(|_| vec![index]).into_iter().collect())
    }

    fn leads_to(&self, address: IpAddr) -> bool {
        let route = route::to(address).ok().flatten();
        route.and_then(|route| route.interface).is_some_and(|index| self.0.contains(&index))
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|index| addresses(*index).is_ok_and(|all| all.contains(&address)))
    }
}

/// The session that this process runs in, if it does.
pub(super) fn session(interface: &str, stack: &Stack) -> Option<Session> {
    let ends = ends(&variable()?)?;
    let through = match ends.zone {
        // Link-local addresses name their interface.
        Some(zone) => zone == interface,
        // A session of another network namespace came to no address of this one.
        None => {
            let here = route::to(ends.server).is_ok_and(|route| route.is_some_and(|route| route.local));
            here && (stack.has(ends.server) || stack.leads_to(ends.client))
        }
    };
    Some(Session { client: ends.client, server: ends.server, through })
}

#[derive(Debug, PartialEq, Eq)]
struct Ends {
    client: IpAddr,
    server: IpAddr,
    zone: Option<String>,
}

fn ends(variable: &str) -> Option<Ends> {
    let mut words = variable.split_whitespace();
    let (client, server) = (words.next()?, words.nth(1)?);
    let address = |text: &str| text.split('%').next()?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let zone = [server, client].iter().find_map(|text| text.split_once('%')).map(|(_, zone)| zone.to_owned());
    Some(Ends { client: address(client)?, server: address(server)?, zone })
}

/// The variable of this process, or of the nearest one above that has it: sudo and su drop it.
fn variable() -> Option<String> {
    if let Ok(own) = std::env::var(VARIABLE) {
        return Some(own);
    }
    let mut process = std::os::unix::process::parent_id();
    for _ in 0..PARENTS {
        if process <= 1 {
            break;
        }
        // Root may read it of all; others of their own.
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        if let Some(found) = value_in(&environment) {
            return Some(found);
        }
        process = parent(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)?;
    }
    None
}

fn value_in(environment: &[u8]) -> Option<String> {
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn parent(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The way to the store.
pub(super) fn store(store: &StoreUrl, stack: &Stack) -> StoreWay {
    let StoreUrl::Postgres(options) = store else { return StoreWay::Local };
    let host = options.get_host();
    if options.get_socket().is_some() || host.starts_with('/') {
        return StoreWay::Local;
    }
    let found = match (host, options.get_port()).to_socket_addrs() {
        Ok(found) => found.map(|address| address.ip()).collect::<Vec<_>>(),
        Err(error) => return StoreWay::Unknown(format!("{host} is not found ({error})")),
    };
    let elsewhere = |ip: &IpAddr| !route::to(*ip).is_ok_and(|route| route.is_some_and(|route| route.local));
    let remote: Vec<_> = found.into_iter().filter(elsewhere).collect();
    let through = remote.iter().find(|ip| stack.leads_to(**ip));
    match through.or(remote.first()) {
        None => StoreWay::Local,
        Some(ip) if ip.to_string() == host => StoreWay::Remote { server: host.to_owned(), through: through.is_some() },
        Some(ip) => StoreWay::Remote { server: format!("{host} ({ip})"), through: through.is_some() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_session_are_taken_from_what_sshd_says() {
        let of = |text| ends(text).map(|ends| (ends.client.to_string(), ends.server.to_string(), ends.zone));
        let plain = ("192.0.2.7".to_owned(), "192.0.2.1".to_owned(), None);
        assert_eq!(of("192.0.2.7 50000 192.0.2.1 22"), Some(plain.clone()));
        assert_eq!(of("::ffff:192.0.2.7 50000 ::ffff:192.0.2.1 22"), Some(plain));
        let zone = ("fe80::7".to_owned(), "fe80::1".to_owned(), Some("eth0".to_owned()));
        assert_eq!(of("fe80::7%eth0 50000 fe80::1%eth0 22"), Some(zone));
        for wrong in ["", "192.0.2.7", "192.0.2.7 50000", "UNKNOWN 65535 UNKNOWN 65535"] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_process_above_is_asked_by_what_procfs_says() {
        let value = value_in(b"PATH=/bin\0XSSH_CONNECTION=no\0SSH_CONNECTION=a 1 b 2\0HOME=/root\0");
        assert_eq!(value.as_deref(), Some("a 1 b 2"));
        assert_eq!(value_in(b"PATH=/bin\0SSH_CONNECTIONS=x\0"), None);
        assert_eq!((parent("Name:\tsh\nPPid:\t17\n"), parent("Name:\tsh\n")), (Some(17), None));
    }

    #[test]
    fn a_store_of_this_host_needs_no_interface() {
        let nothing = Stack::default();
        let way = |url: &str| store(&url.parse().unwrap(), &nothing);
        assert_eq!(way("sqlite:/tmp/x.db"), StoreWay::Local);
        assert_eq!(way("postgres://moth@127.0.0.1/flows"), StoreWay::Local);
        assert_eq!(way("postgres://moth@localhost/flows?host=/run/postgresql"), StoreWay::Local);
    }
}
