//! What the judgement is founded on, asked of the kernel once.

mod route;
mod traffic_control;
mod users;

use tuning::TuningError;
use tuning::clock::{self, Clock};
use tuning::cpus::{self, Cpus};
use tuning::driver::{self, Driver};
use tuning::features::{self, Features};
use tuning::limits::{self, Limits};
use tuning::link::{self, Link};
use tuning::queues::{self, Queues};
use tuning::rss::{self, Rss};
use tuning::xdp::{self, XdpFeatures};

use crate::capture::Interface;
use crate::capture::program::{AttachedProgram, attached_program};
use crate::sink::StoreUrl;
use users::Stack;

pub use traffic_control::{TcProgram, Way};
pub use users::{Session, StoreWay};

/// Where the kernel describes its own types (CONFIG_DEBUG_INFO_BTF).
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The host.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Rights, limits, kernel.
    pub limits: Limits,
    /// CPUs of this process.
    pub cpus: Cpus,
    /// Nanoseconds since the Unix epoch.
    pub wall_ns: i64,
    /// What it counts with, and who keeps it right.
    pub clock: Clock,
    /// Whether the kernel describes its types.
    pub btf: bool,
    /// The SSH session that this runs in.
    pub session: Option<Session>,
    /// How the store is reached.
    pub store_way: StoreWay,
    /// The interface, or the sentence why it can't be asked.
    pub interface: Result<InterfaceFacts, String>,
}

/// The interface.
#[derive(Clone, Debug)]
pub struct InterfaceFacts {
    /// As capture sees it.
    pub interface: Interface,
    /// As sysfs sees it.
    pub link: Link,
    /// Its driver.
    pub driver: Option<Driver>,
    /// Its queues.
    pub queues: Option<Queues>,
    /// How frames are spread over queues.
    pub rss: Option<Rss>,
    /// Offloads.
    pub features: Option<Features>,
    /// What the driver can do for XDP.
    pub xdp: Option<XdpFeatures>,
    /// CPUs of its NUMA node; empty where it has none.
    pub near_cpus: Vec<u32>,
    /// The XDP program on it.
    pub attached: Option<AttachedProgram>,
    /// What stands at traffic control, or the sentence why that can't be told.
    pub traffic_control: Result<Vec<TcProgram>, String>,
    /// Sentences about what could not be asked.
    pub unread: Vec<String>,
}

impl Facts {
    /// Asks the kernel about this process, an interface, and who needs it: a session, the way to the store.
    ///
    /// # Errors
    /// Where procfs can't be read.
    pub fn gather(interface: &str, store: &StoreUrl) -> Result<Self, TuningError> {
        let stack = Interface::find(interface).map_or_else(|_| Stack::default(), |found| Stack::of(found.index));
        let session = users::session(interface, &stack);
        let store_way = users::store(store, &stack);
        let interface = InterfaceFacts::gather(interface);
        Ok(Self {
            limits: limits::read()?,
            cpus: cpus::read()?,
            wall_ns: crate::time::Instant::now().wall_ns,
            clock: clock::read(),
            btf: std::path::Path::new(BTF).exists(),
            session,
            store_way,
            interface,
        })
    }
}

impl InterfaceFacts {
    fn gather(name: &str) -> Result<Self, String> {
        let interface = Interface::find(name).map_err(|error| error.to_string())?;
        let link = link::read(name).map_err(|error| error.to_string())?;
        let mut unread = Vec::new();
        let driver = heard(driver::read(name), &mut unread).flatten();
        let queues = heard(queues::read(name), &mut unread);
        let rss = heard(rss::read(name), &mut unread).flatten();
        let features = heard(features::read(name), &mut unread).flatten();
        let xdp = heard(xdp::read(name), &mut unread).flatten();
        let attached = heard(attached_program(name), &mut unread).flatten();
        let traffic_control = traffic_control::read(name, interface.index);
        let near_cpus = link.numa_node.map(cpus::of_node).unwrap_or_default();
        Ok(Self { interface, link, driver, queues, rss, features, xdp, near_cpus, attached, traffic_control, unread })
    }

    /// The driver's name, as far as it is known.
    pub(super) fn driver_name(&self) -> &str {
        self.driver.as_ref().map_or(&self.interface.driver, |driver| &driver.name)
    }
}

fn heard<T, E: std::fmt::Display>(answer: Result<T, E>, unread: &mut Vec<String>) -> Option<T> {
    answer.map_err(|error| unread.push(error.to_string())).ok()
}

/// An error as what was found and what to do.
pub(super) fn sentence(error: &TuningError) -> (String, String) {
    halves(&error.to_string())
}

/// Our errors are a cause, a semicolon or full stop, and a remedy.
pub(super) fn halves(sentence: &str) -> (String, String) {
    let split = sentence.rsplit_once("; ").or_else(|| sentence.rsplit_once(". "));
    match split {
        Some((what, remedy)) => (what.to_owned(), remedy.to_owned()),
        None => (sentence.to_owned(), "look at the system's log (dmesg)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_falls_apart_into_cause_and_remedy() {
        let (what, remedy) = halves("there is no interface x; this host has: lo. Set interface: in the configuration");
        assert_eq!(what, "there is no interface x");
        assert_eq!(remedy, "this host has: lo. Set interface: in the configuration");
        assert_eq!(halves("it failed. Look there").1, "Look there");
        assert_eq!(halves("it failed").0, "it failed");
    }
}
