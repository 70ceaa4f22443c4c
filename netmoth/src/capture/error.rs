//! What can keep capture from starting, in sentences for the person at the terminal.

use std::io;

use super::interface::Interface;
use super::program::AttachedProgram;
use super::{PcapError, ProgramError};
use crate::cause::Cause;
use crate::filter::FilterError;

/// Why capture could not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CaptureError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Pcap(#[from] PcapError),
    #[error(
        "libpcap gives frames of {name} without an Ethernet header (link type {kind}, DLT_ of pcap/dlt.h); capture on the interface \
         that carries them, below the tunnel or the radio"
    )]
    NoEthernetForPcap { name: String, kind: i32 },
    #[error("there is no interface {name}; this host has: {existing}. Set interface: in the configuration, or -i")]
    NoInterface { name: String, existing: String },
    #[error(
        "interface {name} {uses}. Frames that Netmoth takes never reach the host's own stack: this host would fall off \
         the network, your SSH session with it. Set mode: mirror (or auto) to look at them without taking them; or capture \
         on a mirror or tap port without an address; or, if nothing depends on {name}, set exclusive: true in the \
         configuration"
    )]
    InUse { name: String, uses: String },
    #[error(
        "interface {name} is down or has no carrier; bring it up: ip link set dev {name} up (and look at the cable)"
    )]
    Down { name: String },
    #[error(
        "interface {name} has {queues} receive queues (0 to {last}); queue {queue} does not exist. Mend queues: in the configuration"
    )]
    NoQueue { name: String, queues: u32, last: u32, queue: u32 },
    #[error("queue {queue} is named twice in queues:; name it once")]
    QueueTwice { queue: u32 },
    #[error(
        "the locked-memory limit is too low for the frame memory: {needed} bytes are wanted, {limit} allowed. Raise it \
         (ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit), give CAP_IPC_LOCK, or lower ring_size: and max_cores:"
    )]
    Memlock { needed: u64, limit: u64 },
    #[error("the system has no {bytes} bytes for the frame memory ({cause}); lower ring_size: or max_cores:")]
    Memory { bytes: usize, cause: Cause },
    #[error(
        "not permitted to open AF_XDP sockets: run as root, or give the process CAP_NET_RAW (scripts/netmoth.service does)"
    )]
    NotPermitted,
    #[error(
        "no strategy can capture on {name} with this configuration (the lines above say why not which); set strategy: to one, and it \
         says what to do"
    )]
    NoWay { name: String },
    #[error(
        "not permitted to open packet sockets: run as root, or give the process CAP_NET_RAW (scripts/netmoth.service does)"
    )]
    NoPacketSockets,
    #[error(
        "a packet socket on {name} can't be {step}: {cause}; strategy: pcap does with less, strategy: ebpf without one"
    )]
    PacketSocket { name: String, step: &'static str, cause: Cause },
    #[error(
        "the system has no {bytes} bytes for the ring of a packet socket ({cause}); lower ring_size: or max_cores:"
    )]
    PacketRing { bytes: usize, cause: Cause },
    #[error(
        "frames of {name} have no Ethernet header (link type {kind} of linux/if_arp.h); capture on the interface that carries \
         them, below the tunnel or the radio"
    )]
    NoEthernet { name: String, kind: u16 },
    #[error(
        "queue {queue} of {name} is taken by another AF_XDP socket; stop the other program (ss --xdp lists sockets), or \
         leave the queue out of queues:"
    )]
    QueueBusy { name: String, queue: u32 },
    #[error(
        "an AF_XDP socket can't be bound to queue {queue} of {name} (driver {driver}): {cause}; netmoth check -i {name} looks closer"
    )]
    Bind { name: String, driver: String, queue: u32, cause: Cause },
    #[error(
        "this kernel is too old for the AF_XDP sockets of {name} (they want SO_NETNS_COOKIE, Linux 5.14); set strategy: \
         afpacket, or auto"
    )]
    TooOld { name: String },
    #[error(
        "busy_poll is set, but {option} did not take on {interface}: {cause}. It needs a kernel from 5.11 and \
         CAP_NET_ADMIN; set busy_poll: 0 to do without"
    )]
    BusyPoll { interface: String, option: &'static str, cause: Cause },
    #[error("promiscuous mode can't be set on {name}: {cause}; give CAP_NET_RAW, or set promiscuous: false")]
    Promiscuous { name: String, cause: Cause },
    #[error("the kernel does not answer over netlink: {0}; allow AF_NETLINK sockets to this process")]
    Netlink(Cause),
    #[error(
        "{0} of the interface's frame memory can't be set up: {1}; ring_size must be a power of two that the kernel can allocate"
    )]
    Ring(&'static str, Cause),
    #[error(
        "{name} carries {layer} frames, not Ethernet: they can't be mirrored. Capture on the interface that carries them \
         (for a tunnel or VPN, the one beneath it)"
    )]
    NotEthernet { name: String, layer: String },
    #[error(
        "queues: names receive queues of {name}, but mode: mirror takes its frames from no queue; leave queues: empty, or set \
         mode: tap (which takes the frames from the host)"
    )]
    MirrorQueues { name: String },
    #[error("bpf: {0}; man pcap-filter describes the language")]
    Filter(#[from] FilterError),
    #[error(
        "{name} is mirrored already: its private pair {pair} has the XDP program {program}. Stop the other sensor; if there \
         is none: ip link del {pair}"
    )]
    Mirrored { name: String, pair: String, program: AttachedProgram },
    #[error(
        "an interface {pair} is there that Netmoth did not make, and the private pair for {name} needs the name; rename it \
         or remove it: ip link del {pair}"
    )]
    PairName { name: String, pair: String },
    #[error("the private veth pair for {name} can't be {step}: {cause}. {remedy}")]
    Pair { name: String, step: &'static str, cause: Cause, remedy: &'static str },
    #[error(
        "the programs that mirror {name} can't be attached: {cause}. They need CAP_BPF and CAP_NET_ADMIN, and a kernel from \
         5.10 with CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS; mode: tap does without on an interface that the host doesn't use"
    )]
    Mirror { name: String, cause: Cause },
}

impl CaptureError {
    /// A step on the way to a private pair that failed.
    pub(super) fn pair(name: &str, step: &'static str, cause: io::Error) -> Self {
        let remedy = match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "Run as root, or give the process CAP_NET_ADMIN (scripts/netmoth.service does)"
            }
            Some(libc::EOPNOTSUPP) => "The kernel needs CONFIG_VETH: modprobe veth",
            _ => {
                "The kernel log (dmesg) may say more; mode: tap does without a pair on an interface that the host doesn't use"
            }
        };
        Self::Pair { name: name.to_owned(), step, cause: cause.into(), remedy }
    }

    pub(super) fn mirror(name: &str, cause: io::Error) -> Self {
        Self::Mirror { name: name.to_owned(), cause: cause.into() }
    }

    pub(super) fn netlink(cause: io::Error) -> Self {
        Self::Netlink(cause.into())
    }

    /// What a failed step of a packet socket means.
    pub(super) fn packet_socket(interface: &Interface, step: &'static str, cause: &io::Error) -> Self {
        match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NoPacketSockets,
            Some(libc::ENETDOWN) => Self::Down { name: interface.name.clone() },
            errno => {
                let cause = errno.map_or_else(|| io::Error::other(cause.to_string()), io::Error::from_raw_os_error);
                Self::PacketSocket { name: interface.name.clone(), step, cause: cause.into() }
            }
        }
    }

    /// What a failed bind (or a step towards it) means.
    pub(super) fn bind(interface: &Interface, queue: u32, cause: &io::Error) -> Self {
        let name = interface.name.clone();
        match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted,
            Some(libc::EBUSY) => Self::QueueBusy { name, queue },
            Some(libc::ENOPROTOOPT) => Self::TooOld { name },
            errno => {
                let cause = errno.map_or_else(|| io::Error::other(cause.to_string()), io::Error::from_raw_os_error);
                Self::Bind { name, driver: interface.driver.clone(), queue, cause: cause.into() }
            }
        }
    }
}
