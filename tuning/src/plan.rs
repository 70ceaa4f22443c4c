//! From what is and what is wished for to a list of steps. Pure: it asks nothing and changes nothing.

use serde::Serialize;

use crate::setting::{RssValue, Setting, Value};
use crate::state::{OFFLOADS, State, affinity, governor, huge_pages};

/// RXH_IP_SRC and RXH_IP_DST of linux/ethtool.h.
const ADDRESSES: u32 = 0b0011_0000;
/// RXH_XFRM_SYM_XOR.
const SYMMETRIC_XOR: u8 = 1;
/// More descriptors than this cost cache and memory and win nothing.
const RING: u32 = 8_192;
const LINK: &str = "the link goes down for a moment with many drivers";

/// What capture wants.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Workers that run.
    pub workers: u32,
    /// Whether workers poll the device themselves (`busy_poll`).
    pub busy_poll: bool,
}

/// One setting, and what is to become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which one.
    pub setting: Setting,
    /// What it stands at.
    pub current: Option<Value>,
    /// What it should stand at.
    pub wanted: Option<Value>,
    /// What does as well, where the driver refuses that.
    pub otherwise: Option<Value>,
    /// Why.
    pub why: String,
    /// What that costs the host.
    pub cost: String,
    /// Why it can't be done here; `None` where it can.
    pub unsupported: Option<String>,
}

impl Step {
    /// It already stands as it should.
    pub fn is_done(&self) -> bool {
        self.unsupported.is_none() && self.stands()
    }

    /// It is to be changed and can be.
    pub fn is_due(&self) -> bool {
        self.unsupported.is_none() && !self.stands()
    }

    fn stands(&self) -> bool {
        self.current == self.wanted || (self.otherwise.is_some() && self.current == self.otherwise)
    }
}

/// All of it, in the order in which it is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What no step can do.
    pub notes: Vec<String>,
}

/// Makes the plan.
pub fn plan(state: &State, wishes: Wishes) -> Plan {
    let channels = channels(state, wishes);
    let queues = queues_after(state, &channels);
    let rss = rss(state, queues);
    // A table that names more queues than are left keeps a driver from having fewer; fewer first would be refused.
    let shrinks = queues < queues_now(state);
    let mut steps = if shrinks { vec![rss, channels] } else { vec![channels, rss] };
    steps.extend(["udp4", "udp6"].map(|name| flow_hash(state, name, queues)));
    steps.push(rings(state));
    steps.extend(OFFLOADS.iter().filter_map(|name| offload(state, name)));
    steps.extend(affinities(state, wishes));
    steps.extend(deferral(state, wishes));
    steps.extend(host(state));
    Plan { steps, notes: notes(state) }
}

fn step(state: &State, setting: Setting, why: &str, cost: &str) -> Step {
    let current = state.value(&setting).cloned();
    let unsupported = current.is_none().then(|| format!("driver {} has no such setting", named(&state.driver)));
    let wanted = current.clone();
    Step { setting, current, wanted, otherwise: None, why: why.into(), cost: cost.into(), unsupported }
}

fn named(driver: &str) -> &str {
    if driver.is_empty() { "(none)" } else { driver }
}

fn channels(state: &State, wishes: Wishes) -> Step {
    let mut step = step(state, Setting::Channels, "a queue of its own for each worker", LINK);
    if let (Some(Value::Counts(now)), Some(limits)) = (step.current.clone(), state.channel_limits) {
        let mut wanted = now;
        // Combined ones where the device has them; else receive queues, and transmit queues stay.
        let place = if limits[3] > 0 { 3 } else { 0 };
        wanted[place] = wishes.workers.clamp(1, limits[place].max(1));
        if wanted[place] < wishes.workers {
            step.why = format!("as many queues as the device has ({}); workers share them", limits[place]);
        }
        step.wanted = Some(Value::Counts(wanted));
    }
    step
}

fn count(value: Option<&Value>) -> Option<u32> {
    match value {
        Some(Value::Counts([rx, _, _, combined])) => Some(rx.saturating_add(*combined)),
        _ => None,
    }
}

fn queues_now(state: &State) -> u32 {
    count(state.value(&Setting::Channels)).unwrap_or(1)
}

fn queues_after(state: &State, channels: &Step) -> u32 {
    let table = match state.value(&Setting::Rss) {
        Some(Value::Rss(rss)) => rss.table.iter().max().map(|most| most + 1),
        _ => None,
    };
    count(channels.wanted.as_ref()).or(table).unwrap_or(1).max(1)
}

fn rss(state: &State, queues: u32) -> Step {
    let why = "both directions of a connection must meet one queue, and every queue gets its share";
    let mut step = step(state, Setting::Rss, why, "connections move to other queues");
    let Some(Value::Rss(now)) = step.current.clone() else { return step };
    let mut wanted = RssValue { table: (0..now.table.len() as u32).map(|n| n % queues).collect(), ..now.clone() };
    let symmetric = now.transform != 0xff && now.transform & 3 != 0;
    match now.function {
        _ if queues == 1 || symmetric || now.function == 2 => {}
        1 if state.symmetric_xor => {
            // Some of the cards with this driver have no such transform.
            if !now.key.is_empty() {
                step.otherwise = Some(Value::Rss(RssValue { key: repeated(now.key.len()), ..wanted.clone() }));
            }
            wanted.transform = SYMMETRIC_XOR;
        }
        0 | 1 if !now.key.is_empty() => wanted.key = repeated(now.key.len()),
        _ => step.unsupported = Some(format!("driver {} takes no key", named(&state.driver))),
    }
    step.wanted = Some(Value::Rss(wanted));
    step
}

/// 6d5a again and again: Toeplitz with it is symmetric (Woo and Park, 2012).
fn repeated(len: usize) -> Vec<u8> {
    [0x6d, 0x5a].into_iter().cycle().take(len).collect()
}

fn flow_hash(state: &State, name: &str, queues: u32) -> Step {
    // Later pieces of a datagram have no ports: with ports in the hash they meet another queue than their connection.
    let why = "the pieces of a datagram must meet the queue of their connection, and have no ports";
    let mut step = step(state, Setting::FlowHash(name.into()), why, "all UDP of two hosts has one queue");
    if queues > 1 && step.unsupported.is_none() {
        step.wanted = Some(Value::Fields(ADDRESSES));
    }
    step
}

fn rings(state: &State) -> Step {
    let mut step = step(state, Setting::Rings, "a longer ring outlasts a longer burst", LINK);
    if let (Some(Value::Counts(now)), Some(limits)) = (step.current.clone(), state.ring_limits) {
        let mut wanted = now;
        // What capture does not need, the transmit ring, stays. So does a longer one that somebody chose.
        wanted[0] = now[0].max(limits[0].min(RING));
        step.wanted = Some(Value::Counts(wanted));
    }
    step
}

fn offload(state: &State, name: &str) -> Option<Step> {
    let setting = Setting::Feature(name.into());
    state.value(&setting)?;
    let (why, cost) = if name.contains("vlan") {
        ("the tag stays in the frame", "the kernel takes tags off itself")
    } else {
        ("frames are counted as they were on the wire", "the host's own TCP takes more CPU")
    };
    let mut step = step(state, setting, why, cost);
    step.wanted = Some(Value::Switch(false));
    if !step.is_done() && state.fixed.iter().any(|fixed| fixed == name) {
        step.unsupported = Some(format!("driver {} has it fixed", named(&state.driver)));
    }
    Some(step)
}

/// CPUs for interrupts: near the device and without a worker; workers take the first allowed ones (`Crew::start`).
fn beside(state: &State, workers: u32) -> Vec<u32> {
    let free: Vec<u32> = state.cpus.iter().skip(workers as usize).copied().collect();
    let near: Vec<u32> = free.iter().filter(|cpu| state.near_cpus.contains(cpu)).copied().collect();
    if near.is_empty() { free } else { near }
}

fn affinities(state: &State, wishes: Wishes) -> Vec<Step> {
    let cpus = beside(state, wishes.workers);
    let each = |(number, interrupt): (usize, &u32)| {
        let why = "the interrupt is served beside the workers' CPUs, on the device's NUMA node where there is room";
        let mut step = step(state, affinity(*interrupt), why, "that CPU has more to do");
        match cpus.get(number % cpus.len().max(1)) {
            Some(cpu) => step.wanted = Some(Value::Text(cpu.to_string())),
            None => step.unsupported = Some(format!("each of the {} CPUs has a worker", state.cpus.len())),
        }
        step
    };
    state.interrupts.iter().enumerate().map(each).collect()
}

fn deferral(state: &State, wishes: Wishes) -> Vec<Step> {
    if !wishes.busy_poll {
        return Vec::new();
    }
    let each = |(name, value): (&str, &str)| {
        let why = "busy polling takes frames, and interrupts only come where it stops";
        let mut step = step(state, state.file(name), why, "up to 0.2 ms later where nobody polls");
        step.wanted = step.current.as_ref().map(|_| Value::Text(value.into()));
        step
    };
    [("napi_defer_hard_irqs", "2"), ("gro_flush_timeout", "200000")].map(each).into()
}

fn host(state: &State) -> Vec<Step> {
    let mut steps = Vec::new();
    let never = Value::Text("never".into());
    if let Some(now) = state.value(&huge_pages()) {
        let mut step =
            step(state, huge_pages(), "flow tables stand in huge pages", "other programs may ask for them too");
        let wanted = if *now == never { Value::Text("madvise".into()) } else { now.clone() };
        step.wanted = Some(wanted);
        steps.push(step);
    }
    for cpu in state.cpus.iter().filter(|cpu| state.value(&governor(**cpu)).is_some()) {
        let mut step = step(state, governor(*cpu), "a CPU that slows down drops the next burst", "power");
        step.wanted = Some(Value::Text("performance".into()));
        steps.push(step);
    }
    steps
}

fn notes(state: &State) -> Vec<String> {
    let mut notes = Vec::new();
    if state.irqbalance && !state.interrupts.is_empty() {
        notes.push(
            "irqbalance runs and moves interrupts again: stop it, or ban these (IRQBALANCE_BANNED_CPULIST)".into(),
        );
    }
    if let Some(bytes) = state.memlock {
        notes.push(format!(
            "this process may lock {bytes} bytes: a process's limit is set where it starts (LimitMEMLOCK=infinity)"
        ));
    }
    notes
}
