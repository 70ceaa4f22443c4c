//! How frames spread over queues and workers: what is captured, and whether both directions of a connection meet.

use tuning::rss::Symmetry;

use super::interface::queues;
use super::{Check, Facts, InterfaceFacts, Wanted};

pub(super) fn judge(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Vec<Check> {
    let mut checks = vec![coverage(wanted, facts, interface)];
    // One queue, or sockets that share one: the program's own hash is symmetric.
    if queues(wanted, interface).len() > 1 {
        checks.push(symmetry(interface));
    }
    checks
}

fn coverage(wanted: &Wanted, facts: &Facts, interface: &InterfaceFacts) -> Check {
    let (name, there) = (&interface.interface.name, interface.interface.queues);
    let captured = queues(wanted, interface);
    if let Some(absent) = captured.iter().find(|queue| **queue >= there) {
        return Check::fail(
            "queues",
            format!("queue {absent} does not exist: {name} has {there}, numbered from 0"),
            "mend queues: in the configuration, or remove it to capture all",
        );
    }
    if (captured.len() as u32) < there {
        return Check::warn(
            "queues",
            format!("{} of {there} are captured; frames on the others go to the host unseen", captured.len()),
            format!(
                "remove queues: to capture all, or have the card use fewer: ethtool -L {name} combined {}",
                captured.len()
            ),
        );
    }
    let workers = wanted.workers_on(facts.cpus.allowed.len());
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let shape = match captured.len() {
        queues if queues == workers => "one each",
        queues if queues > workers => "a worker polls several",
        _ => "workers share a queue",
    };
    let found = format!("{}, {}: {shape}", plural(captured.len(), "queue"), plural(workers, "worker"));
    match interface.queues.and_then(|queues| queues.channels) {
        Some(channels) if captured.len() < workers && channels.receive_limit as usize >= workers => Check::warn(
            "queues",
            format!("{found}, though the card has up to {}", channels.receive_limit),
            format!("a queue for each worker is faster: ethtool -L {name} combined {workers} (see symmetry)"),
        ),
        _ => Check::ok("queues", found),
    }
}

fn symmetry(interface: &InterfaceFacts) -> Check {
    let name = &interface.interface.name;
    let found = match interface.rss.as_ref().map(tuning::rss::Rss::symmetry) {
        Some(Symmetry::OneQueue) => return Check::ok("symmetry", "the card gives all frames to one queue"),
        Some(Symmetry::SymmetricInput) => return Check::ok("symmetry", "the card's hash sorts its input"),
        Some(Symmetry::SymmetricFunction) => return Check::ok("symmetry", "the card's hash function is symmetric"),
        Some(Symmetry::RepeatingKey) => return Check::ok("symmetry", "the card's hash key repeats every 16 bits"),
        Some(Symmetry::Asymmetric) => "the card's hash can part the two directions of a connection",
        None => {
            "the driver does not say how it spreads frames over queues; the two directions of a connection may part"
        }
    };
    Check::warn(
        "symmetry",
        found,
        format!(
            "either make the hash symmetric: ethtool -X {name} xfrm symmetric-xor, or a hkey that repeats 6d:5a; or use one \
             queue, which workers share by a symmetric hash of our own: ethtool -L {name} combined 1"
        ),
    )
}
