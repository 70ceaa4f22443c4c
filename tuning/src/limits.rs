//! What this process may do, and what the kernel is.

use serde::Serialize;

use crate::TuningError;
use crate::error::read as read_file;

/// Limits, rights and the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes that this process may lock (soft limit); `None` where it is unlimited.
    pub memlock: Option<u64>,
    /// Capabilities in effect, one a bit (capabilities(7)).
    pub capabilities: u64,
    /// Huge pages that are reserved and free, with their size in bytes.
    pub huge_pages: HugePages,
    /// The kernel's release as uname prints it.
    pub release: String,
    /// Its version, for comparing.
    pub kernel: KernelVersion,
}

/// The pool of huge pages of the default size, and whether there are transparent ones besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HugePages {
    /// Pages that are free.
    pub free: u64,
    /// Bytes of each.
    pub size: u64,
    /// Whether the kernel makes transparent ones where it is asked to.
    pub transparent: bool,
}

/// Major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct KernelVersion(pub u32, pub u32);

/// A right that capture needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Capability {
    /// Attach programs, set up interfaces.
    NetAdmin = 12,
    /// Open AF_XDP sockets.
    NetRaw = 13,
    /// Lock memory beyond the limit.
    IpcLock = 14,
    /// Before Linux 5.8, what CAP_BPF is now.
    SysAdmin = 21,
    /// Load programs and maps.
    Bpf = 39,
}

impl Capability {
    /// Its name, as units and setcap write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::IpcLock => "CAP_IPC_LOCK",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Bpf => "CAP_BPF",
        }
    }
}

impl Limits {
    /// Whether a capability is in effect.
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities >> capability as u32 & 1 == 1
    }
}

/// From here on there is CAP_BPF; before, CAP_SYS_ADMIN stands for it.
const HAS_CAP_BPF: KernelVersion = KernelVersion(5, 8);

impl Limits {
    /// Of the capabilities that loading programs and AF_XDP sockets take, those that this process lacks.
    pub fn lacking_for_ebpf(&self) -> Vec<Capability> {
        let load = if self.kernel < HAS_CAP_BPF { Capability::SysAdmin } else { Capability::Bpf };
        // CAP_SYS_ADMIN includes what CAP_BPF allows.
        let can_load = self.has(load) || self.has(Capability::SysAdmin);
        let rest = [Capability::NetAdmin, Capability::NetRaw].into_iter().filter(|one| !self.has(*one));
        (!can_load).then_some(load).into_iter().chain(rest).collect()
    }
}

/// Reads all of it for this process (capabilities: of its first thread).
///
/// # Errors
/// Where procfs can't be read, or speaks in ways not known.
pub fn read() -> Result<Limits, TuningError> {
    let (limits, status) = (read_file("/proc/self/limits")?, read_file("/proc/self/status")?);
    let release = release();
    Ok(Limits {
        memlock: memlock(&limits),
        capabilities: capabilities(&status)
            .ok_or_else(|| TuningError::Content { path: "/proc/self/status".into(), found: "CapEff".into() })?,
        huge_pages: HugePages {
            transparent: are_made(&std::fs::read_to_string(TRANSPARENT).unwrap_or_default()),
            ..pool(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
        },
        kernel: version(&release)
            .ok_or_else(|| TuningError::Content { path: "uname".into(), found: release.clone() })?,
        release,
    })
}

/// As uname(2) has it: where a unit hides /proc/sys (ProcSubset=pid), there is no file to read.
#[expect(unsafe_code, reason = "uname has no safe interface in the standard library")]
fn release() -> String {
    // SAFETY: arrays of characters, for which zeros are a value.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes into the live structure alone, a zero at the end of each text.
    unsafe { libc::uname(&raw mut names) };
    let bytes: Vec<u8> = names.release.iter().map(|c| *c as u8).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn memlock(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?.split_whitespace().next()?.parse().ok()
}

fn capabilities(status: &str) -> Option<u64> {
    u64::from_str_radix(status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim(), 16).ok()
}

const TRANSPARENT: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Of `always [madvise] never`, where brackets mark what holds.
fn are_made(choice: &str) -> bool {
    choice.contains("[always]") || choice.contains("[madvise]")
}

fn pool(meminfo: &str) -> HugePages {
    let field = |name: &str| -> Option<u64> {
        meminfo.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    HugePages {
        free: field("HugePages_Free:").unwrap_or(0),
        size: field("Hugepagesize:").unwrap_or(0).saturating_mul(1024),
        transparent: false,
    }
}

fn version(release: &str) -> Option<KernelVersion> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some(KernelVersion(numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_prints_them() {
        let text = "Max processes             95690    95690    processes\nMax locked memory         65536    131072    bytes\n";
        assert_eq!(memlock(text), Some(65_536));
        assert_eq!(memlock("Max locked memory         unlimited    unlimited    bytes\n"), None);
        let text = "HugePages_Total:       8\nHugePages_Free:        3\nHugepagesize:       2048 kB\n";
        assert_eq!(pool(text), HugePages { free: 3, size: 2 << 20, transparent: false });
        assert_eq!(pool(""), HugePages::default());
        assert!(are_made("always [madvise] never\n") && are_made("[always] madvise never\n"));
        assert!(!are_made("always madvise [never]\n") && !are_made(""));
    }

    #[test]
    fn capabilities_are_bits_of_the_effective_set() {
        let capabilities = capabilities("CapPrm:\t0\nCapEff:\t0000008000003000\n").unwrap();
        let huge_pages = HugePages::default();
        let limits =
            Limits { memlock: None, capabilities, huge_pages, release: "6.1".into(), kernel: KernelVersion(6, 1) };
        assert!(limits.has(Capability::Bpf) && limits.has(Capability::NetAdmin) && limits.has(Capability::NetRaw));
        assert!(!limits.has(Capability::IpcLock) && !limits.has(Capability::SysAdmin));
    }

    #[test]
    fn what_is_missing_is_named_as_the_kernel_calls_it() {
        use Capability::{Bpf, NetAdmin, NetRaw, SysAdmin};
        let lacking = |held: &[Capability], kernel| {
            let capabilities = held.iter().fold(0, |bits, one| bits | 1 << *one as u32);
            let (huge_pages, release) = (HugePages::default(), String::new());
            Limits { memlock: None, capabilities, huge_pages, release, kernel }.lacking_for_ebpf()
        };
        let (old, new) = (KernelVersion(5, 4), KernelVersion(6, 1));
        assert_eq!(lacking(&[], new), [Bpf, NetAdmin, NetRaw]);
        assert_eq!(lacking(&[], old), [SysAdmin, NetAdmin, NetRaw]);
        assert_eq!(lacking(&[Bpf, NetAdmin, NetRaw], new), []);
        assert_eq!(lacking(&[Bpf, NetAdmin, NetRaw], old), [SysAdmin]);
        assert_eq!(lacking(&[SysAdmin, NetRaw], new), [NetAdmin]);
    }

    #[test]
    fn kernel_versions_compare_by_number() {
        assert_eq!(version("6.18.44-fc-v657"), Some(KernelVersion(6, 18)));
        assert!(version("5.10.0-28-amd64") < version("5.4.1").map(|_| KernelVersion(5, 11)));
        assert!(version("5.10.0") > version("5.4.200"));
        assert_eq!((version("six"), version("6")), (None, None));
    }

    #[test]
    fn this_process_has_limits() {
        let limits = read().unwrap();
        assert!(limits.kernel >= KernelVersion(4, 0), "{limits:?}");
        assert_eq!(limits.release, read_file("/proc/sys/kernel/osrelease").unwrap().trim());
    }
}
