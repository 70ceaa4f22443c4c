//! A host whose only interface, `tap0`, has an address and the default route, and a peer at the other end of the wire.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use aya::programs::{SchedClassifier, TcAttachType};

use crate::packet_socket;
use crate::support::command::{SHORT, command, run};
use crate::support::lab::Wire;
use crate::support::netns;
use crate::support::sensor::{NETMOTH, Outcome};

/// The host's address.
pub(crate) const HOST: &str = "10.79.0.1";
/// The peer's.
pub(crate) const PEER: &str = "10.79.0.2";

/// Asserts that every frame at the interface, and every clone of one, has exactly one fate, and all that comes behind.
#[track_caller]
pub(crate) fn assert_sums(outcome: &Outcome) {
    let sum = |name| outcome.sum(name);
    assert_eq!(sum("mirror_seen"), sum("mirror_passed") + sum("mirrored"), "{outcome:?}");
    assert_eq!(sum("mirrored"), sum("mirror_drops") + sum("frames_seen"), "{outcome:?}");
    outcome.assert_sums();
}

/// The two of them. Offloads are as they are on a veth by default, on: frames travel in buffers of up to 64 KiB, with VLAN
/// tags beside the frame and checksums unfinished.
pub(crate) struct Lab {
    pub(crate) wire: Wire,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let wire = Wire::new(1, 1500);
        wire.script_tap(&format!(
            "ip address add {HOST}/24 dev tap0
             ip route add default via {PEER}"
        ));
        wire.script_out(&format!("ip address add {PEER}/24 dev out0"));
        // Neighbours are known, so that only programs talk.
        let (host, peer) = ("cat /sys/class/net/tap0/address", "cat /sys/class/net/out0/address");
        let (host, peer) = (wire.script_tap(host), wire.ask_out(peer));
        wire.script_tap(&format!("ip neighbour replace {PEER} lladdr {} dev tap0 nud permanent", peer.trim()));
        wire.script_out(&format!("ip neighbour replace {HOST} lladdr {} dev out0 nud permanent", host.trim()));
        Self { wire }
    }

    /// A command that runs on the host.
    pub(crate) fn on_host(&self, program: &str) -> Command {
        self.wire.at_tap(program)
    }

    /// A command that runs on the peer.
    pub(crate) fn on_peer(&self, program: &str) -> Command {
        let mut command = command("nsenter");
        command.arg(format!("--net={}", self.wire.file("out"))).arg(program);
        command
    }

    /// The sensor's command, on the host.
    pub(crate) fn netmoth(&self) -> Command {
        self.wire.at_tap(NETMOTH)
    }

    /// The same as nobody, with the capabilities of the systemd unit; `folder` becomes everybody's.
    pub(crate) fn unprivileged_netmoth(&self, folder: &Path) -> Command {
        const CAPABILITIES: &str = "+bpf,+net_admin,+net_raw,+ipc_lock";
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        // The binary may lie where only root can look, so it is run from a copy.
        let binary = folder.join("netmoth");
        std::fs::copy(NETMOTH, &binary).unwrap();
        let mut netmoth = self.on_host("setpriv");
        netmoth.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
        netmoth.args(["--inh-caps", CAPABILITIES, "--ambient-caps", CAPABILITIES, "--bounding-set"]);
        netmoth.arg(format!("-all,{CAPABILITIES}")).arg(&binary);
        netmoth
    }

    /// Sends frames as they are, out of `tap0` on the host or out of `out0` on the peer. With `virtio` each begins with a
    /// struct virtio_net_hdr.
    pub(crate) fn send(&self, from: &str, virtio: bool, frames: &[Vec<u8>]) {
        let (namespace, index) = match from {
            HOST => ("tap", self.script("cat /sys/class/net/tap0/ifindex")),
            _ => ("out", self.wire.ask_out("cat /sys/class/net/out0/ifindex")),
        };
        let index = index.trim().parse().unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                netns::enter(&self.wire.file(namespace));
                packet_socket::send(index, virtio, frames);
            });
            inside.join().unwrap();
        });
    }

    /// Runs a shell script on the host.
    #[track_caller]
    pub(crate) fn script(&self, text: &str) -> String {
        self.wire.script_tap(text)
    }

    /// Sends that many echo requests to the peer, which answers all.
    #[track_caller]
    pub(crate) fn ping(&self, address: &str, more: &[&str]) {
        let mut ping = self.on_host("ping");
        run(ping.args(["-q", "-i", "0.01"]).args(more).arg(address), SHORT).expect_success();
    }

    /// Runs `work` in a thread in the host's namespace.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                netns::enter(&self.wire.file("tap"));
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// How many tcx programs stand at `tap0`, at ingress and egress together.
    pub(crate) fn tcx_programs(&self) -> usize {
        let count = |way| SchedClassifier::query_tcx("tap0", way).unwrap().1.len();
        self.within(|| count(TcAttachType::Ingress) + count(TcAttachType::Egress))
    }

    /// All that `ip` and `tc` say of the host's interfaces, the XDP programs and promiscuity among it.
    pub(crate) fn state(&self) -> String {
        self.script(
            "ip -d link show | grep -v ' state '; ip -br address; ip route; tc qdisc show; tc filter show dev tap0 ingress
             tc filter show dev tap0 egress; ethtool -k tap0; cat /proc/net/dev_mcast",
        )
    }

    /// The indices of the ends of the private pair; empty where there is none.
    pub(crate) fn pair(&self) -> Vec<String> {
        let links = self.script("ip -o link show");
        let ours = links.lines().filter(|line| line.contains(": netmoth-"));
        ours.map(|line| line.split(':').next().unwrap().to_owned()).collect()
    }

    /// TCP segments that the stacks of both have sent (/proc/net/snmp), whatever buffers they left in. OutSegs leaves out
    /// those that only repeat (RFC 4022).
    pub(crate) fn tcp_segments(&self) -> u64 {
        let ask = "grep '^Tcp:' /proc/net/snmp";
        let of = |text: String| {
            let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
            let value = |name: &str| values[names.iter().position(|n| *n == name).unwrap()].parse::<u64>().unwrap();
            value("OutSegs") + value("RetransSegs")
        };
        of(self.wire.script_tap(ask)) + of(self.wire.ask_out(ask))
    }
}
