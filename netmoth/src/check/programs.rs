//! Programs of others on the interface: XDP, and traffic control.

use netmoth_shared::mirror::{EGRESS, INGRESS};

use super::facts::{TcProgram, Way, halves};
use super::interface::takes;
use super::{Check, InterfaceFacts, Wanted, strategy};

/// What answers about traffic control are named.
const TRAFFIC_CONTROL: &str = "traffic control";

/// XDP comes before traffic control: a tap needs its place, a mirror sees what it lets through.
pub(super) fn xdp(wanted: &Wanted, facts: &InterfaceFacts) -> Check {
    let name = &facts.interface.name;
    match &facts.attached {
        None => Check::ok("other programs", "no XDP program is attached"),
        Some(other) if !takes(wanted, facts) => Check::warn(
            "other programs",
            format!(
                "the XDP program {other} is attached to {name}, and no frame that it drops or redirects is mirrored"
            ),
            "right if those are not to be recorded; else stop the program that owns it",
        ),
        Some(other) => Check::fail(
            "other programs",
            format!("the XDP program {other} is attached to {name}"),
            format!("stop the program that owns it (another netmoth, perhaps), or: ip link set dev {name} xdp off"),
        ),
    }
}

/// Nothing there keeps Netmoth from starting, but who comes first sees what others hide.
pub(super) fn traffic_control(wanted: &Wanted, facts: &InterfaceFacts) -> Check {
    let found = match &facts.traffic_control {
        Ok(found) => found,
        Err(why) => {
            let (what, remedy) = halves(why);
            return Check::warn(TRAFFIC_CONTROL, what, remedy);
        }
    };
    if found.is_empty() {
        return Check::ok(TRAFFIC_CONTROL, "no programs and no filters");
    }
    let all = list(found.iter());
    if takes(wanted, facts) {
        return taken(found, all);
    }
    if strategy::copies(wanted) {
        return Check::ok(
            TRAFFIC_CONTROL,
            format!("{all}: packet sockets see received frames before, sent ones behind"),
        );
    }
    mirrored(found, all)
}

fn taken(found: &[TcProgram], all: String) -> Check {
    let starved: Vec<_> = found.iter().filter(|program| program.way == Way::Ingress).collect();
    if starved.is_empty() {
        return Check::ok(TRAFFIC_CONTROL, format!("{all}: frames that this host sends are not taken"));
    }
    Check::warn(
        TRAFFIC_CONTROL,
        format!("frames that are taken never reach {}", list(starved.into_iter())),
        "set mode: mirror if somebody needs what they do",
    )
}

fn mirrored(found: &[TcProgram], all: String) -> Check {
    if !found.iter().any(ours) {
        return Check::ok(TRAFFIC_CONTROL, format!("{all}: Netmoth's programs go before"));
    }
    let ahead: Vec<_> = found.iter().filter(|program| !ours(program) && stands_before_ours(program, found)).collect();
    if !ahead.is_empty() {
        return Check::warn(
            TRAFFIC_CONTROL,
            format!(
                "{} came before the programs of a running Netmoth, which sees no frame that they drop or redirect ({all})",
                list(ahead.into_iter())
            ),
            "start that Netmoth again: its programs go before those that are there",
        );
    }
    Check::warn(
        TRAFFIC_CONTROL,
        format!("a Netmoth mirrors already: {all}"),
        "right if it is the service and this only asks; a second one on the interface is refused while it runs",
    )
}

fn ours(program: &TcProgram) -> bool {
    program.name.as_deref().is_some_and(|name| [INGRESS, EGRESS].contains(&name))
}

/// `found` is in the order in which frames meet them.
fn stands_before_ours(program: &TcProgram, found: &[TcProgram]) -> bool {
    let same_way = || found.iter().filter(|other| other.way == program.way);
    let place = same_way().position(|other| std::ptr::eq(other, program));
    place < same_way().position(ours)
}

fn list<'a>(programs: impl Iterator<Item = &'a TcProgram>) -> String {
    programs.map(TcProgram::to_string).collect::<Vec<_>>().join(", ")
}
