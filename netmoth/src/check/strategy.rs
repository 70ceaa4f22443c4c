//! Which strategy it will be, and the questions to an interface whose frames are copied and not taken.

use tuning::limits::{Capability, Limits};

use super::{Check, Facts, InterfaceFacts, Status, Wanted};
use crate::capture::choose::{Way, objection};
use crate::capture::{CaptureConfig, Strategy, packet_ring_bytes, pcap};

/// What is wanted, with the strategy that `auto` will find: the first one that nothing speaks against. Without an interface it
/// stays what it is.
pub(super) fn settled(wanted: &Wanted, facts: &Facts) -> Wanted {
    match &facts.interface {
        Ok(interface) if wanted.capture.strategy == Strategy::Auto => {
            let open = |way: &&Way| why_not(**way, facts, interface, &wanted.capture).is_none();
            let way = Way::ALL.iter().find(open).unwrap_or(&Way::AfPacket);
            Wanted { capture: way.alone(&wanted.capture), ..wanted.clone() }
        }
        _ => wanted.clone(),
    }
}

/// What speaks against a way, for want of rights too.
fn why_not(way: Way, facts: &Facts, interface: &InterfaceFacts, config: &CaptureConfig) -> Option<String> {
    let ebpf = matches!(way, Way::Tap | Way::Mirror);
    let old = ebpf && facts.limits.kernel < super::host::AF_XDP;
    let short = ebpf && !lacking(&facts.limits, Strategy::Ebpf).is_empty();
    let program = way == Way::Tap && interface.attached.is_some();
    objection(way, &interface.interface, config)
        .or_else(|| {
            old.then(|| format!("Linux {} is too old for AF_XDP sockets as they are used here", facts.limits.release))
        })
        .or_else(|| short.then(|| format!("this process lacks {}", lacking(&facts.limits, Strategy::Ebpf).join(", "))))
        .or_else(|| program.then(|| format!("another XDP program is attached to {}", interface.interface.name)))
}

/// What `strategy: auto` comes to.
pub(super) fn auto(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Option<Check> {
    if wanted.capture.strategy != Strategy::Auto {
        return None;
    }
    let mut reasons = Vec::new();
    for way in Way::ALL {
        match why_not(way, facts, interface, &wanted.capture) {
            Some(why) => reasons.push(format!("not {}: {why}", way.name())),
            None if reasons.is_empty() => return Some(Check::ok("strategy", way.name())),
            None => return Some(Check::ok("strategy", format!("{} ({})", way.name(), reasons.join("; ")))),
        }
    }
    let remedy = "set strategy: to one of them, and this says what to do";
    Some(Check::fail("strategy", reasons.join("; "), remedy))
}

/// Whether frames are copied, so that the host keeps them.
pub(super) fn copies(wanted: &Wanted) -> bool {
    matches!(wanted.capture.strategy, Strategy::AfPacket | Strategy::Pcap)
}

/// The capabilities that a strategy needs and this process lacks.
pub(super) fn lacking(limits: &Limits, strategy: Strategy) -> Vec<&'static str> {
    if matches!(strategy, Strategy::AfPacket | Strategy::Pcap) {
        return [Capability::NetRaw].iter().filter(|c| !limits.has(**c)).map(|c| c.name()).collect();
    }
    limits.lacking_for_ebpf().into_iter().map(Capability::name).collect()
}

/// The questions to the interface.
pub(super) fn judge(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Vec<Check> {
    let uses = match interface.interface.use_by_host() {
        None => Check::ok("use by the host", "none: no address, no default route"),
        Some(uses) => Check::ok(
            "use by the host",
            format!("{} {uses}, and keeps its frames: they are copied", interface.interface.name),
        ),
    };
    let mut checks = vec![uses];
    match wanted.capture.strategy {
        Strategy::Pcap => checks.extend(joined(interface)),
        _ => {
            let workers = wanted.workers_on(facts.cpus.allowed.len());
            let bytes = packet_ring_bytes(wanted.capture.ring_size) * workers;
            checks.push(Check::ok("rings", format!("{workers} of {} MiB in all", bytes.div_ceil(1 << 20))));
        }
    }
    checks
}

/// Whether libpcap is there, where it is needed.
pub(super) fn library(wanted: &Wanted) -> Option<Check> {
    if wanted.capture.strategy != Strategy::Pcap && wanted.capture.filter.is_empty() {
        return None;
    }
    Some(match pcap::version() {
        Ok(version) => Check::ok("libpcap", version),
        Err(error) => {
            let (what, remedy) = super::facts::halves(&error.to_string());
            Check::fail("libpcap", what, remedy)
        }
    })
}

/// libpcap does not say which frames stand for many.
fn joined(interface: &InterfaceFacts) -> Option<Check> {
    let features = interface.features.as_ref()?;
    let active = |name: &str| features.get(name).is_some_and(|feature| feature.active);
    let joins = features.lro() || ["rx-gro", "tx-tcp-segmentation", "tx-generic-segmentation"].into_iter().any(active);
    let (name, what) = (&interface.interface.name, "segment offload");
    Some(match joins {
        false => {
            Check { name: what, status: Status::Ok, found: "frames come as they were on the wire".into(), remedy: None }
        }
        true => Check::warn(
            what,
            "segments are joined, and libpcap does not say of how many: packets are counted too few",
            format!(
                "set strategy: afpacket, which counts them right; or ethtool -K {name} gro off gso off tso off lro off"
            ),
        ),
    })
}
