//! What the judgement is founded on, asked of the kernel once.

use tuning::TuningError;
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

/// The host.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Rights, limits, kernel.
    pub limits: Limits,
    /// CPUs of this process.
    pub cpus: Cpus,
    /// Nanoseconds since the Unix epoch.
    pub wall_ns: i64,
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
    /// Sentences about what could not be asked.
    pub unread: Vec<String>,
}

impl Facts {
    /// Asks the kernel about this process and an interface.
    ///
    /// # Errors
    /// Where procfs can't be read.
    pub fn gather(interface: &str) -> Result<Self, TuningError> {
        let interface = InterfaceFacts::gather(interface);
        Ok(Self {
            limits: limits::read()?,
            cpus: cpus::read()?,
            wall_ns: crate::time::Instant::now().wall_ns,
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
        let near_cpus = link.numa_node.map(cpus::of_node).unwrap_or_default();
        Ok(Self { interface, link, driver, queues, rss, features, xdp, near_cpus, attached, unread })
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
