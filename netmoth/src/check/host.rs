//! The host apart from the interface: kernel, rights, CPUs.

use tuning::limits::KernelVersion;

use super::{Check, Facts, Wanted, strategy};

/// SO_NETNS_COOKIE of an AF_XDP socket, by which xdpilone tells the sockets of one namespace; links (5.9) and busy polling (5.11) are
/// older.
pub(super) const AF_XDP: KernelVersion = KernelVersion(5, 14);

pub(super) fn judge(wanted: &Wanted, facts: &Facts) -> Vec<Check> {
    vec![kernel(wanted, facts), btf(facts), privileges(wanted, facts), cpus(wanted, facts)]
}

fn kernel(wanted: &Wanted, facts: &Facts) -> Check {
    let (name, release) = ("kernel", &facts.limits.release);
    let version = facts.limits.kernel;
    if strategy::copies(wanted) {
        return Check::ok(name, format!("Linux {release}"));
    }
    if version < AF_XDP {
        let found = format!("Linux {release} is too old for AF_XDP sockets as they are used here");
        return Check::fail(name, found, "install Linux 5.14 or later, or set strategy: afpacket (or auto)");
    }
    Check::ok(name, format!("Linux {release}"))
}

/// The programs of Netmoth read frames and their own maps, and hold no relocation against the kernel's types (CO-RE).
fn btf(facts: &Facts) -> Check {
    let found = if facts.btf {
        "the kernel describes its types, and Netmoth's programs don't need it"
    } else {
        "the kernel does not describe its types: Netmoth's programs don't need it, other tools (bpftrace) do"
    };
    Check::ok("BTF", found)
}

fn privileges(wanted: &Wanted, facts: &Facts) -> Check {
    let missing = strategy::lacking(&facts.limits, wanted.capture.strategy);
    if missing.is_empty() {
        let may =
            if strategy::copies(wanted) { "open packet sockets" } else { "load programs and open AF_XDP sockets" };
        return Check::ok("privileges", format!("may {may}"));
    }
    Check::fail(
        "privileges",
        format!("this process lacks {}", missing.join(", ")),
        "run as root (sudo netmoth check …), or as a service with scripts/netmoth.service, which grants them",
    )
}

fn cpus(wanted: &Wanted, facts: &Facts) -> Check {
    let allowed = facts.cpus.allowed.len();
    let (wanted, workers) = (wanted.workers, wanted.workers_on(allowed));
    let found = format!("{allowed} allowed, {workers} {}", if workers == 1 { "worker" } else { "workers" });
    if wanted > workers {
        let remedy = format!(
            "fine if {workers} keep up; otherwise allow more CPUs (CPUAffinity= in the unit, taskset), or set max_cores: \
             {workers} to say that it is meant"
        );
        return Check::warn("CPUs", format!("{found} instead of the {wanted} that are configured"), remedy);
    }
    if let Ok(interface) = &facts.interface {
        let used = facts.cpus.allowed.iter().take(workers);
        let far: Vec<String> = used
            .filter(|cpu| !interface.near_cpus.is_empty() && !interface.near_cpus.contains(cpu))
            .map(u32::to_string)
            .collect();
        if !far.is_empty() {
            let near: Vec<String> = interface.near_cpus.iter().map(u32::to_string).collect();
            return Check::warn(
                "CPUs",
                format!(
                    "{found}, of which {} are on another NUMA node than {}",
                    far.join(", "),
                    interface.interface.name
                ),
                format!("start it on the card's own node: taskset -c {} (CPUAffinity= in the unit)", near.join(",")),
            );
        }
    }
    Check::ok("CPUs", found)
}
