//! Who would be cut off: the SSH session that this runs in, and the connection to the store.

use super::facts::StoreWay;
use super::interface::takes;
use super::{Check, Facts, InterfaceFacts, Wanted, strategy};

pub(super) fn judge(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Vec<Check> {
    vec![session(wanted, facts, interface), store(wanted, facts, interface)]
}

fn session(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Check {
    let (check, name) = ("SSH session", &interface.interface.name);
    match &facts.session {
        None => Check::ok(check, "this runs in none"),
        Some(session) if !session.through => {
            Check::ok(check, format!("that from {} goes through another interface than {name}", session.client))
        }
        Some(session) => {
            let what = format!("that from {} to {} goes through {name}", session.client, session.server);
            depends(check, what, "run this from a console or by another interface", wanted, interface)
        }
    }
}

fn store(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Check {
    let (check, name) = ("way to the store", &interface.interface.name);
    match &facts.store_way {
        StoreWay::Local => Check::ok(check, "it is on this host"),
        StoreWay::Unknown(why) => {
            let remedy = "mend the name or the resolver (getent hosts NAME), or give an address";
            Check::warn(check, format!("whether it leads through {name} can't be told: {why}"), remedy)
        }
        StoreWay::Remote { server, through: false } => {
            Check::ok(check, format!("to {server} by another interface than {name}"))
        }
        StoreWay::Remote { server, through: true } => {
            let what = format!("to {server} through {name}");
            depends(check, what, "reach the store by another interface", wanted, interface)
        }
    }
}

/// Something needs the interface: what capture does to it. Where `run` refuses to take it, that is a failure here, too.
fn depends(check: &'static str, what: String, other: &str, wanted: &Wanted, interface: &InterfaceFacts) -> Check {
    if strategy::copies(wanted) {
        return Check::ok(check, format!("{what}, and stays: frames are copied"));
    }
    if !takes(wanted, interface) {
        return Check::ok(check, format!("{what}, and stays: frames are mirrored"));
    }
    let remedy = format!("set mode: mirror, or {other}");
    let refused = interface.interface.use_by_host().is_some() && !wanted.capture.exclusive;
    let why = if wanted.capture.exclusive { "exclusive: true" } else { "a tap" };
    let found = format!("{what}, and would be cut off: {why} takes all of its frames from this host");
    if refused { Check::fail(check, found, remedy) } else { Check::warn(check, found, remedy) }
}
