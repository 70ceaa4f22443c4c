//! Why the XDP program isn't there, and what to do about it.

use std::io;

use crate::cause::Cause;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::{ProgramError as AyaProgramError, XdpError};

use super::attached::interface_facts;
use super::{AttachedProgram, OBJECT_VARIABLE, XdpMode, attached_program};
use crate::filter::FilterError;

/// What XDP in a driver leaves of a page of 4096 bytes for a frame, about: headroom and the tail of a buffer go off.
const SINGLE_BUFFER_MTU: u32 = 3_498;
/// The kernel's own "not supported" (include/linux/errno.h), which leaks out of some drivers.
const ENOTSUPP: i32 = 524;

/// Errors of the XDP program. Each says what, why and what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is, and its fields are the words in it")]
pub enum ProgramError {
    #[error("the interface {interface} does not exist in this network namespace: `ip -br link` lists those that do")]
    NoInterface { interface: String },

    #[error(
        "may not load the XDP program: this process lacks {missing}. Run as root, or give it the capabilities \
         CAP_BPF and CAP_NET_ADMIN (and CAP_NET_RAW for the sockets), as the systemd unit does"
    )]
    Permission { missing: &'static str },

    #[error(
        "the kernel refused memory for the XDP program's maps although the capabilities are there. Kernels before 5.11 \
         count it as locked memory: raise the limit (`ulimit -l unlimited`, or LimitMEMLOCK=infinity in the unit)"
    )]
    Memlock,

    #[error(
        "the kernel {release} lacks what the XDP program needs ({source}). Netmoth needs Linux 5.10 or later with \
         CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS"
    )]
    Kernel { release: String, source: Cause },

    #[error(
        "the kernel's verifier rejected the XDP program ({source}). Older kernels want CAP_PERFMON for it, too \
         (netmoth-perfmon.conf gives it to the unit); strategy: afpacket does without. If that is not it, please report it with the kernel's release \
         ({release}) and this end of its log:\n{log}"
    )]
    Verifier { release: String, source: Cause, log: String },

    #[error(
        "another XDP program is attached to {interface}: {}. An interface takes one. End the process that attached it \
         (`bpftool link` and `bpftool net` name it), or take it off with `ip link set dev {interface} xdp off` \
         (`xdpgeneric off` for generic mode)",
        other.as_ref().map_or_else(|| "the kernel doesn't say which".to_owned(), ToString::to_string)
    )]
    Occupied { interface: String, other: Option<AttachedProgram> },

    #[error(
        "{interface} (driver {driver}) does not support XDP in native mode ({source}). Generic mode works on every \
         interface, and is slower"
    )]
    NativeUnsupported { interface: String, driver: String, source: Cause },

    #[error(
        "the MTU of {interface} ({mtu} bytes, driver {driver}) is too large for XDP in native mode, where a frame must \
         fit one page: about {SINGLE_BUFFER_MTU} bytes. For a veth the MTU of its peer counts. Lower it \
         (`ip link set dev {interface} mtu {SINGLE_BUFFER_MTU}`), or use generic mode"
    )]
    MtuTooLarge { interface: String, mtu: u32, driver: String },

    #[error(
        "{interface} (driver {driver}) refused the XDP program in native mode ({source}): it ran out of transmit queues \
         or of memory. Fewer combined channels (`ethtool -L {interface} combined N`) leave it some"
    )]
    Resources { interface: String, driver: String, source: Cause },

    #[error(
        "{interface} (driver {driver}) refused the XDP program in {mode} mode ({source}). The kernel log (`dmesg`) may \
         have the driver's reason; large receive offload is a frequent one (`ethtool -K {interface} lro off`)"
    )]
    Refused { interface: String, driver: String, mode: XdpMode, source: Cause },

    #[error("the XDP program is attached already: detach it first")]
    AlreadyAttached,

    #[error("{queues} receive queues are more than the XDP program can count: give the number that the interface has")]
    TooManyQueues { queues: u32 },

    #[error("bpf: {source}")]
    Filter { source: FilterError },

    #[error("the kernel refused an entry of the XDP program's map {map}: {reason}")]
    Map { map: &'static str, reason: String },

    #[error("can't read the XDP object {}: {source}. Unset {OBJECT_VARIABLE} to use the embedded one", path.display())]
    ObjectFile { path: PathBuf, source: Cause },

    #[error(
        "the XDP object is not Netmoth's, or one of another version: {reason}. Rebuild it with scripts/build-ebpf.sh, or \
         unset {OBJECT_VARIABLE} to use the embedded one"
    )]
    Malformed { reason: String },

    #[error(
        "the XDP object is not Netmoth's, or one of another version: it has no usable `{missing}`. Rebuild it with \
         scripts/build-ebpf.sh, or unset {OBJECT_VARIABLE} to use the embedded one"
    )]
    WrongObject { missing: &'static str },

    #[error(
        "the kernel did not answer a question about {interface} over rtnetlink: {source}. Is a sandbox in the way?"
    )]
    Netlink { interface: String, source: Cause },
}

impl ProgramError {
    /// Whether generic mode may work where native mode gave this error.
    pub(super) fn is_about_native_mode(&self) -> bool {
        matches!(
            self,
            Self::NativeUnsupported { .. }
                | Self::MtuTooLarge { .. }
                | Self::Resources { .. }
                | Self::Refused { mode: XdpMode::Native, .. }
        )
    }

    pub(in crate::capture) fn map(map: &'static str, error: MapError) -> Self {
        let reason = match &error {
            MapError::OutOfBounds { index, max_entries } => {
                format!("its index is {index}, and the program was loaded for {max_entries}")
            }
            MapError::SyscallError(failed) => match failed.io_error.raw_os_error() {
                Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOTSOCK) => {
                    "the descriptor is no AF_XDP socket with an RX ring".to_owned()
                }
                _ => failed.io_error.to_string(),
            },
            other => other.to_string(),
        };
        Self::Map { map, reason }
    }

    pub(in crate::capture) fn from_load(error: EbpfError) -> Self {
        match error {
            EbpfError::MapError(MapError::CreateError { io_error, .. }) => Self::from_errno(io_error, None),
            EbpfError::MapError(MapError::SyscallError(failed)) => Self::from_errno(failed.io_error, None),
            EbpfError::ProgramError(error) => Self::from_program(error),
            other => Self::Malformed { reason: other.to_string() },
        }
    }

    pub(in crate::capture) fn from_program(error: AyaProgramError) -> Self {
        match error {
            AyaProgramError::LoadError { io_error, verifier_log } => {
                Self::from_errno(io_error, Some(tail(&verifier_log.to_string(), 12)))
            }
            AyaProgramError::SyscallError(failed) => Self::from_errno(failed.io_error, None),
            other => Self::Malformed { reason: other.to_string() },
        }
    }

    fn from_errno(source: io::Error, log: Option<String>) -> Self {
        let errno = source.raw_os_error();
        if matches!(errno, Some(libc::EPERM | libc::EACCES))
            && let Some(missing) = missing_capabilities(&status())
        {
            return Self::Permission { missing };
        }
        match (errno, log) {
            (_, Some(log)) if !log.is_empty() => Self::Verifier { release: release(), source: source.into(), log },
            (Some(libc::EPERM), _) => Self::Memlock,
            _ => Self::Kernel { release: release(), source: source.into() },
        }
    }

    pub(super) fn from_attach(interface: &str, mode: XdpMode, error: AyaProgramError) -> Self {
        let source = match error {
            AyaProgramError::SyscallError(failed) => failed.io_error,
            AyaProgramError::UnknownInterface { name } => return Self::NoInterface { interface: name },
            AyaProgramError::XdpError(XdpError::NetlinkError(failed)) => match failed.raw_os_error() {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => io::Error::other(failed.to_string()),
            },
            other => io::Error::other(other.to_string()),
        };
        Self::from_attach_errno(interface, mode, source)
    }

    fn from_attach_errno(interface: &str, mode: XdpMode, source: io::Error) -> Self {
        let interface = interface.to_owned();
        let errno = source.raw_os_error().unwrap_or(0);
        if matches!(errno, libc::EPERM | libc::EACCES)
            && let Some(missing) = missing_capabilities(&status())
        {
            return Self::Permission { missing };
        }
        if matches!(errno, libc::EBUSY | libc::EEXIST) {
            let other = attached_program(&interface).ok().flatten();
            return Self::Occupied { interface, other };
        }
        if errno == libc::ENODEV {
            return Self::NoInterface { interface };
        }
        let facts = interface_facts(&interface).unwrap_or_default();
        let driver = facts.driver.unwrap_or_else(|| "unknown".to_owned());
        if mode == XdpMode::Native {
            // Drivers have no common code for it: veth says ERANGE, others EINVAL or EOPNOTSUPP.
            if errno == libc::ERANGE || facts.mtu > SINGLE_BUFFER_MTU {
                return Self::MtuTooLarge { interface, mtu: facts.mtu, driver };
            }
            if matches!(errno, libc::EOPNOTSUPP | ENOTSUPP | libc::EINVAL) {
                return Self::NativeUnsupported { interface, driver, source: source.into() };
            }
            if matches!(errno, libc::ENOMEM | libc::ENOSPC) {
                return Self::Resources { interface, driver, source: source.into() };
            }
        }
        Self::Refused { interface, driver, mode, source: source.into() }
    }
}

fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |it| it.trim().to_owned())
}

fn status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// Which of the capabilities a process with this `/proc/PID/status` lacks; None where it has them, or root's own.
fn missing_capabilities(status: &str) -> Option<&'static str> {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    const BPF: u64 = 1 << 39;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let held = u64::from_str_radix(line.trim(), 16).ok()?;
    match (held & (BPF | SYS_ADMIN) != 0, held & NET_ADMIN != 0) {
        (true, true) => None,
        (false, true) => Some("CAP_BPF"),
        (true, false) => Some("CAP_NET_ADMIN"),
        (false, false) => Some("CAP_BPF and CAP_NET_ADMIN"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_that_are_missing_are_named() {
        let held = |bits: u64| format!("Name:\tx\nCapEff:\t{bits:016x}\nCapBnd:\t0\n");
        assert_eq!(missing_capabilities(&held(0)), Some("CAP_BPF and CAP_NET_ADMIN"));
        assert_eq!(missing_capabilities(&held(1 << 39)), Some("CAP_NET_ADMIN"));
        assert_eq!(missing_capabilities(&held(1 << 12)), Some("CAP_BPF"));
        assert_eq!(missing_capabilities(&held(1 << 12 | 1 << 39)), None);
        assert_eq!(missing_capabilities(&held(1 << 12 | 1 << 21)), None);
    }

    #[test]
    fn the_end_of_a_verifier_log_is_kept() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }

    #[test]
    fn only_causes_in_the_driver_lead_to_generic_mode() {
        let native =
            |errno| ProgramError::from_attach_errno("lo", XdpMode::Native, io::Error::from_raw_os_error(errno));
        assert!(native(libc::EOPNOTSUPP).is_about_native_mode());
        assert!(native(libc::ENOMEM).is_about_native_mode());
        assert!(!native(libc::EBUSY).is_about_native_mode());
        assert!(!native(libc::ENODEV).is_about_native_mode());
    }
}
