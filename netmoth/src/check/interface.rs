//! The interface: its state, its use, what its driver can do, and the memory that its frames take.

use tuning::limits::Capability;

use super::{Check, Facts, InterfaceFacts, Wanted, programs, strategy, users};
use crate::capture::{AttachPreference, Interface, Mode, XdpMode, fitting_frame_size, frame_memory, plan};

/// What XDP in a driver leaves of a page for a frame, about: headroom and the tail of a buffer go off.
const NATIVE_MTU: u32 = 3_498;

pub(super) fn judge(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Vec<Check> {
    let mut checks = vec![
        state(interface),
        host_use(wanted, interface),
        xdp(wanted, interface),
        programs::xdp(wanted, interface),
        programs::traffic_control(wanted, interface),
        mtu(wanted, interface),
    ];
    checks.extend(users::judge(wanted, facts, interface));
    checks.extend(memory(wanted, facts, interface));
    checks
}

pub(super) fn state(facts: &InterfaceFacts) -> Check {
    let Interface { name, running, .. } = &facts.interface;
    if !running {
        let remedy = format!("bring it up: ip link set dev {name} up (and look at the cable)");
        let what = if facts.link.up { "has no carrier" } else { "is down" };
        return Check::fail("interface", format!("{name} {what}"), remedy);
    }
    let bus = facts.driver.as_ref().and_then(|driver| driver.bus.as_deref());
    let place = bus.map_or(String::new(), |bus| format!(" at {bus}"));
    Check::ok("interface", format!("{name} is up (driver {}{place})", facts.driver_name()))
}

fn host_use(wanted: &Wanted, facts: &InterfaceFacts) -> Check {
    let name = &facts.interface.name;
    match facts.interface.use_by_host() {
        None => Check::ok("use by the host", "none: no address, no default route"),
        Some(uses) if wanted.capture.exclusive && wanted.capture.mode != Mode::Mirror => Check::warn(
            "use by the host",
            format!("{name} {uses}, and exclusive: true takes all of its frames from this host"),
            "right only if nothing here, an SSH session least of all, depends on that interface",
        ),
        Some(uses) if wanted.capture.mode != Mode::Tap => {
            Check::ok("use by the host", format!("{name} {uses}: its frames are mirrored, and this host keeps them"))
        }
        Some(uses) => Check::fail(
            "use by the host",
            format!("{name} {uses}; with mode: tap this host would fall off the network"),
            "set mode: mirror (or auto); or exclusive: true if nothing depends on it",
        ),
    }
}

/// Whether frames would be taken from the host, and not mirrored or copied.
pub(super) fn takes(wanted: &Wanted, facts: &InterfaceFacts) -> bool {
    !strategy::copies(wanted)
        && match wanted.capture.mode {
            Mode::Tap => true,
            Mode::Mirror => false,
            Mode::Auto => wanted.capture.exclusive || facts.interface.use_by_host().is_none(),
        }
}

/// The mode that `run` would get, as far as the driver tells.
pub(super) fn expected_mode(wanted: &Wanted, facts: &InterfaceFacts) -> XdpMode {
    let native = facts.xdp.is_none_or(|xdp| xdp.native && xdp.redirect);
    if wanted.capture.xdp_mode == AttachPreference::Generic || !native { XdpMode::Generic } else { XdpMode::Native }
}

fn xdp(wanted: &Wanted, facts: &InterfaceFacts) -> Check {
    let driver = facts.driver_name();
    let Some(xdp) = facts.xdp else {
        let found = format!("this kernel does not say what driver {driver} can do; {} is tried", tried(wanted));
        return Check::ok("XDP", found);
    };
    let native = xdp.native && xdp.redirect;
    match (wanted.capture.xdp_mode, native) {
        (AttachPreference::Native, false) => Check::fail(
            "XDP",
            format!("driver {driver} has no native mode for AF_XDP"),
            "set xdp_mode: auto (generic mode costs a copy per frame), or use a card whose driver has it",
        ),
        (AttachPreference::Auto, false) => Check::warn(
            "XDP",
            format!("driver {driver} has no native mode for AF_XDP; generic mode costs a copy per frame"),
            "set xdp_mode: generic to say that it is meant, or use a card whose driver has native mode",
        ),
        (AttachPreference::Generic, _) => Check::ok("XDP", "generic mode, as configured"),
        (_, true) => {
            let copy = match (wanted.capture.zero_copy, xdp.zero_copy) {
                (true, true) => "with zero-copy".to_owned(),
                (true, false) => format!("with a copy: driver {driver} has no zero-copy"),
                (false, _) => "with a copy, as configured".to_owned(),
            };
            Check::ok("XDP", format!("native mode, {copy}"))
        }
    }
}

fn tried(wanted: &Wanted) -> &'static str {
    match wanted.capture.xdp_mode {
        AttachPreference::Auto => "native, then generic mode",
        AttachPreference::Native => "native mode",
        AttachPreference::Generic => "generic mode",
    }
}

fn mtu(wanted: &Wanted, facts: &InterfaceFacts) -> Check {
    let (name, mtu) = (&facts.interface.name, facts.interface.mtu);
    if mtu > NATIVE_MTU && expected_mode(wanted, facts) == XdpMode::Native {
        return Check::fail(
            "MTU",
            format!("{mtu} bytes: in native mode a frame must fit one page, about {NATIVE_MTU} bytes"),
            format!("ip link set dev {name} mtu {NATIVE_MTU} (for a veth, its peer's), or set xdp_mode: generic"),
        );
    }
    let (size, fits) = fitting_frame_size(mtu, wanted.capture.frame_size);
    if fits {
        return Check::ok("MTU", format!("{mtu} bytes fit frames of {size}"));
    }
    let remedy = if size < 4_096 {
        "set frame_size: auto".to_owned()
    } else {
        format!("lower it if the link allows: ip link set dev {name} mtu 3818")
    };
    Check::warn(
        "MTU",
        format!("{mtu} bytes: full-sized frames don't fit UMEM frames of {size}, and are dropped"),
        remedy,
    )
}

/// The queues that would be captured.
pub(super) fn queues(wanted: &Wanted, facts: &InterfaceFacts) -> Vec<u32> {
    if wanted.capture.queues.is_empty() { (0..facts.interface.queues).collect() } else { wanted.capture.queues.clone() }
}

fn memory(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Option<Check> {
    let queues = queues(wanted, interface);
    let sockets = plan(wanted.workers_on(facts.cpus.allowed.len()), &queues);
    let first = queues.first()?;
    let shared = sockets.iter().filter(|socket| socket.queue == *first).count() as u32;
    let needed = frame_memory(&wanted.capture, interface.interface.mtu, shared, queues.len());
    let mebibytes = needed.div_ceil(1 << 20);
    let limits = &facts.limits;
    Some(match limits.memlock {
        Some(limit) if limit < needed && !limits.has(Capability::IpcLock) => Check::fail(
            "locked memory",
            format!("frames take {mebibytes} MiB, and this process may lock {limit} bytes"),
            "ulimit -l unlimited (LimitMEMLOCK=infinity in the unit), or CAP_IPC_LOCK, or a smaller ring_size:",
        ),
        _ => {
            let huge = limits.huge_pages.free.saturating_mul(limits.huge_pages.size) >= needed;
            let pages = if huge {
                "in huge pages that were set aside"
            } else if limits.huge_pages.transparent {
                "in transparent huge pages, as far as there are any"
            } else {
                "in ordinary pages: too few huge pages are free, and transparent ones are off"
            };
            Check::ok("locked memory", format!("frames take {mebibytes} MiB, which is allowed, {pages}"))
        }
    })
}
