//! Everything that a plan is made from, as it stands on a host now; recorded states make plans for hosts that are elsewhere.

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::setting::{Backend, Setting, Value};
use crate::{TuningError, cpus, driver, error, features, limits, link};

/// Offloads that join frames or take parts of them away before capture sees them.
pub const OFFLOADS: [&str; 5] = ["rx-lro", "rx-gro-hw", "rx-gro", "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];

/// A host with an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The interface.
    pub interface: String,
    /// Hardware address and bus address: what tells this device from another of the same name.
    pub identity: String,
    /// Its driver; empty where there is none.
    pub driver: String,
    /// CPUs that capture may run on.
    pub cpus: Vec<u32>,
    /// CPUs of the device's NUMA node; empty where that is unknown.
    pub near_cpus: Vec<u32>,
    /// Limits of channels: rx, tx, other, combined.
    pub channel_limits: Option<[u32; 4]>,
    /// Limits of rings: rx, mini, jumbo, tx.
    pub ring_limits: Option<[u32; 4]>,
    /// Offloads that can't be changed.
    pub fixed: Vec<String>,
    /// Whether symmetric-xor may be asked for: reading does not tell a driver that has it off from one that has none.
    pub symmetric_xor: bool,
    /// Interrupts of the device's queues.
    pub interrupts: Vec<u32>,
    /// Whether irqbalance runs, which moves interrupts again.
    pub irqbalance: bool,
    /// Bytes that this process may lock; `None` where it is unlimited.
    pub memlock: Option<u64>,
    /// What is set now.
    pub values: Vec<(Setting, Value)>,
}

impl State {
    /// What a setting stands at.
    pub fn value(&self, setting: &Setting) -> Option<&Value> {
        self.values.iter().find(|(which, _)| which == setting).map(|(_, value)| value)
    }

    /// The file of an interface in sysfs.
    pub fn file(&self, name: &str) -> Setting {
        Setting::File(format!("/sys/class/net/{}/{name}", self.interface))
    }
}

/// The affinity of an interrupt.
pub fn affinity(interrupt: u32) -> Setting {
    Setting::File(format!("/proc/irq/{interrupt}/smp_affinity_list"))
}

/// The switch of transparent huge pages, which flow tables ask for (madvise).
pub fn huge_pages() -> Setting {
    Setting::File("/sys/kernel/mm/transparent_hugepage/enabled".into())
}

/// The frequency governor of a CPU.
pub fn governor(cpu: u32) -> Setting {
    Setting::File(format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"))
}

/// Reads the state of this host and an interface.
///
/// # Errors
/// No such interface, or a kernel that does not answer.
pub fn read(interface: &str) -> Result<State, TuningError> {
    let device = Device::open(interface)?;
    let (link, driver) = (link::read(interface)?, driver::read(interface)?);
    let folder = error::interface_folder(interface)?;
    let mac = error::read(&format!("{folder}/address"))?.trim().to_owned();
    let bus = driver.as_ref().and_then(|driver| driver.bus.clone()).unwrap_or_default();
    let list = features::read(interface)?.unwrap_or_default();
    let fixed = |name: &&str| list.get(name).is_some_and(|feature| !feature.changeable);
    let limits = limits::read()?;
    let name = driver.as_ref().map(|driver| driver.name.as_str()).unwrap_or_default();
    let symmetric_xor = limits.kernel >= limits::KernelVersion(6, 8) && matches!(name, "ice" | "iavf");
    let mut state = State {
        interface: interface.to_owned(),
        identity: format!("{mac} {bus}").trim().to_owned(),
        driver: driver.map(|driver| driver.name).unwrap_or_default(),
        cpus: cpus::read()?.allowed,
        near_cpus: link.numa_node.map(cpus::of_node).unwrap_or_default(),
        channel_limits: device.limits(&Setting::Channels)?,
        ring_limits: device.limits(&Setting::Rings)?,
        fixed: OFFLOADS.iter().filter(|name| fixed(name)).map(|name| (*name).to_owned()).collect(),
        interrupts: interrupts(interface),
        irqbalance: irqbalance(),
        memlock: limits.memlock,
        symmetric_xor,
        values: Vec::new(),
    };
    let mut settings = vec![Setting::Channels, Setting::Rings, Setting::Rss, huge_pages()];
    settings.extend(OFFLOADS.map(|name| Setting::Feature(name.into())));
    settings.extend(["udp4", "udp6"].map(|name| Setting::FlowHash(name.into())));
    settings.extend(["napi_defer_hard_irqs", "gro_flush_timeout"].map(|name| state.file(name)));
    settings.extend(state.interrupts.iter().copied().map(affinity));
    settings.extend(state.cpus.iter().copied().map(governor));
    for setting in settings {
        if let Some(value) = device.get(&setting)? {
            state.values.push((setting, value));
        }
    }
    Ok(state)
}

/// Interrupts of the device that /proc/interrupts names after queues: those of events and management stay where they are.
fn interrupts(interface: &str) -> Vec<u32> {
    let folders = ["device/msi_irqs", "device/../msi_irqs"].map(|tail| format!("/sys/class/net/{interface}/{tail}"));
    let Some(entries) = folders.iter().find_map(|folder| std::fs::read_dir(folder).ok()) else { return Vec::new() };
    let table = std::fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u32> = numbers.filter(|number| serves_queue(&table, *number)).collect();
    numbers.sort_unstable();
    numbers
}

fn serves_queue(table: &str, number: u32) -> bool {
    let line = table.lines().find(|line| line.trim_start().starts_with(&format!("{number}:")));
    let name = line.and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_ascii_lowercase();
    // i40e, ice, ixgbe, ena: eth0-TxRx-0; mlx5: mlx5_comp0@pci:…; virtio: virtio0-input.0.
    ["txrx", "tx-rx", "rx", "comp", "input"].iter().any(|word| name.contains(word))
}

fn irqbalance() -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|entry| entry.path().join("comm"))
        .any(|path| std::fs::read_to_string(path).is_ok_and(|name| name.trim() == "irqbalance"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_of_queues_are_told_from_others() {
        let table = "  CPU0\n 24: 7 PCI-MSI eth0-TxRx-0\n 25: 1 PCI-MSI mlx5_async0@pci:0\n 26: 0 virtio0-input.0\n";
        assert!(
            serves_queue(table, 24) && !serves_queue(table, 25) && serves_queue(table, 26) && !serves_queue(table, 2)
        );
    }

    #[test]
    fn a_state_survives_being_recorded() {
        let state = read("lo").unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}
