//! Can this host do what the configuration asks for: a list of answers, each with its remedy.
//!
//! What enters: what is [`Wanted`]. What leaves: one [`Check`] per question. [`facts`](Facts) asks the kernel, everything else is a
//! pure judgement of what it said, so hosts that nobody has at hand can be tested. Nothing is changed anywhere.

mod clock;
mod disk;
mod facts;
mod host;
mod interface;
mod metrics;
mod offload;
mod programs;
pub mod report;
mod spool;
mod spread;
mod store;
mod strategy;
mod users;

use serde::Serialize;

use crate::capture::CaptureConfig;
use crate::sink::{SpoolConfig, StoreUrl};

pub use facts::{Facts, InterfaceFacts, Session, StoreWay, TcProgram, Way};
pub use metrics::metrics;

/// How an answer is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// `netmoth run` starts, but sees less or works harder than it could.
    Warn,
    /// `netmoth run` would not start.
    Fail,
}

/// What this host is to do.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What capture is told; its `interface` is empty where none was named.
    pub capture: CaptureConfig,
    /// Workers that the configuration allows, whatever the CPUs.
    pub workers: usize,
}

impl Wanted {
    /// Workers that run with this many CPUs.
    fn workers_on(&self, cpus: usize) -> usize {
        self.workers.min(cpus).max(1)
    }
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was asked about, in a word or two.
    pub name: &'static str,
    /// How it is meant.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it; `None` where nothing is to be done.
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), remedy: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Asks everything that `netmoth run` depends on; the store is to keep rows for `retention_days`, 0 for all of them.
pub fn run(wanted: &Wanted, store: &StoreUrl, retention_days: u32, spool: Option<&SpoolConfig>) -> Vec<Check> {
    let mut checks = match Facts::gather(&wanted.capture.interface, store) {
        Ok(facts) => judge(wanted, &facts),
        Err(error) => {
            let (what, remedy) = facts::sentence(&error);
            vec![Check::fail("host", what, remedy)]
        }
    };
    checks.extend(strategy::library(wanted));
    checks.push(store::reachable(store, retention_days));
    checks.extend(disk::of_store(store));
    checks.push(spool::judge(spool));
    checks
}

/// The judgement alone, of facts however they were come by.
pub fn judge(wanted: &Wanted, facts: &Facts) -> Vec<Check> {
    let (asked, wanted) = (wanted, &strategy::settled(wanted, facts));
    let mut checks = host::judge(wanted, facts);
    checks.extend(clock::judge(facts));
    match &facts.interface {
        _ if wanted.capture.interface.is_empty() => checks.push(Check::fail(
            "interface",
            "none is named",
            "give -i IFACE, or set interface: in the configuration (ip -br link lists them)",
        )),
        Err(why) => {
            let (what, remedy) = facts::halves(why);
            checks.push(Check::fail("interface", what, remedy));
        }
        Ok(interface) if strategy::copies(wanted) => {
            checks.push(interface::state(interface));
            checks.extend(strategy::auto(asked, facts, interface));
            checks.extend(strategy::judge(wanted, facts, interface));
            checks.push(programs::traffic_control(wanted, interface));
            checks.extend(users::judge(wanted, facts, interface));
        }
        Ok(interface) => {
            checks.extend(strategy::auto(asked, facts, interface));
            checks.extend(interface::judge(wanted, facts, interface));
            checks.extend(spread::judge(wanted, facts, interface));
            checks.extend(offload::judge(wanted, interface));
            checks.extend(interface.unread.iter().map(|why| {
                let (what, remedy) = facts::halves(why);
                Check::warn("driver", what, remedy)
            }));
        }
    }
    checks
}

#[cfg(test)]
mod tests;
