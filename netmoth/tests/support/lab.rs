//! Networks for tests, made of namespaces and removed again.
//!
//! [`Hub`] is two hosts, a tap for the sensor and a port for tcpdump on one hub: a bridge that learns nothing, so every
//! port sees every frame. [`Wire`] is a sender and the sensor's interface, back to back.
//!
//! Which receive queue of the tap a frame reaches is decided where it is sent: XPS puts everything that a host's
//! interface sends on one chosen transmit queue, that choice travels in the frame's `queue_mapping` over the bridge
//! (`skb_tx_hash` takes it for the recorded receive queue), and a veth delivers to the queue of the same number. The
//! hosts have one interface per tap queue, so both directions of a connection meet on one queue, as with symmetric RSS.

use super::command::{SHORT, command, run, script, until};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// All namespaces of these tests: `nmg-PID-NUMBER-NAME`.
const PREFIX: &str = "nmg-";
static LABS: AtomicU32 = AtomicU32::new(0);

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Asks.
    A,
    /// Answers.
    B,
}

impl Host {
    fn namespace(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }

    /// Its IPv4 address on the network of tap queue `queue`.
    pub(crate) fn v4(self, queue: u32) -> String {
        format!("10.71.{queue}.{}", self.number())
    }

    /// Its IPv6 address on the network of tap queue `queue`.
    pub(crate) fn v6(self, queue: u32) -> String {
        format!("fd71:{queue}::{}", self.number())
    }

    /// The hardware address of its interface `eth{queue}`.
    pub(crate) fn mac(self, queue: u32) -> [u8; 6] {
        [0x02, 0x71, 0, 0, self.number() as u8, queue as u8]
    }

    fn mac_text(self, queue: u32) -> String {
        self.mac(queue).map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// Namespaces with a common prefix that go when this goes, and everything that runs in them.
struct Namespaces {
    prefix: String,
}

impl Namespaces {
    fn new(names: &[&str]) -> Self {
        sweep();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let this = Self { prefix: format!("{PREFIX}{}-{number}-", std::process::id()) };
        for name in names {
            let name = this.name(name);
            run(command("ip").args(["netns", "add", &name]), SHORT).expect_success();
            script(&name, "ip link set lo up");
        }
        this
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn command(&self, name: &str, program: &str) -> Command {
        let mut command = command("ip");
        command.args(["netns", "exec", &self.name(name), program]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        remove_all(|name| name.starts_with(&self.prefix));
    }
}

/// Removes what tests left that were killed before they could.
fn sweep() {
    remove_all(|name| {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        owner.is_some_and(|id| id.parse::<u32>().is_ok() && !std::path::Path::new("/proc").join(id).exists())
    });
}

/// Runs while a panic may be unwinding: it must not panic itself, so what fails is left to the next sweep.
fn remove_all(chosen: impl Fn(&str) -> bool) {
    let Ok(list) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for name in String::from_utf8_lossy(&list.stdout).lines().filter_map(|line| line.split(' ').next()) {
        if !chosen(name) {
            continue;
        }
        if let Ok(inside) = Command::new("ip").args(["netns", "pids", name]).output() {
            let ids = String::from_utf8_lossy(&inside.stdout).into_owned();
            if !ids.trim().is_empty() {
                Command::new("kill").args(["-s", "KILL"]).args(ids.split_whitespace()).output().ok();
            }
        }
        Command::new("ip").args(["netns", "del", name]).output().ok();
    }
}

/// What a [`Hub`] is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HubShape {
    /// Receive queues of the tap, and networks between the hosts.
    pub(crate) queues: u32,
    /// MTU of every interface.
    pub(crate) mtu: u32,
}

impl Default for HubShape {
    fn default() -> Self {
        Self { queues: 1, mtu: 1500 }
    }
}

/// Two hosts on a hub (VLAN tags stand in the frame at the tap, as on a wire: XDP doesn't see those that the kernel
/// keeps beside it), with a tap (`tap0`, no address, in a namespace of its own) and a port for tcpdump.
pub(crate) struct Hub {
    _backlog: Backlog,
    names: Namespaces,
    /// Receive queues of the tap.
    pub(crate) queues: u32,
}

impl Hub {
    /// Makes it; every interface is up every neighbour known, and nobody talks when this returns.
    pub(crate) fn new(shape: HubShape) -> Self {
        let names = Namespaces::new(&["hub", "a", "b", "tap"]);
        let hub = names.name("hub");
        script(
            &hub,
            "sysctl -qw net.ipv6.conf.default.disable_ipv6=1
             ip link add hub0 type bridge ageing_time 0 mcast_snooping 0
             ip link set hub0 up",
        );
        script(&names.name("tap"), "sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
        let HubShape { queues, mtu } = shape;
        let (tap, many) = (names.name("tap"), format!("numtxqueues {queues} numrxqueues {queues}"));
        script(
            &hub,
            &format!(
                "ip link add p-tap {many} mtu {mtu} type veth peer name tap0 {many} mtu {mtu} netns {tap}
                 ip link add p-dump mtu {mtu} type veth peer name dump0 mtu {mtu}
                 ethtool -K p-tap txvlan off tx-vlan-stag-hw-insert off >/dev/null
                 for port in p-tap p-dump; do ip link set $port master hub0 up; done
                 ip link set dump0 up
                 ip -n {tap} link set tap0 up"
            ),
        );
        let this = Self { _backlog: Backlog::raise(), names, queues };
        this.add_host(Host::A, mtu);
        this.add_host(Host::B, mtu);
        this.settle();
        this
    }

    /// Waits until the hosts have made their multicast memberships known (IPv6 can't be told not to).
    fn settle(&self) {
        let received = || script(&self.names.name("tap"), "cat /sys/class/net/tap0/statistics/rx_packets").stdout;
        let (mut last, mut same) = (received(), 0);
        until("the hub is quiet", SHORT, || {
            let now = received();
            same = if now == last { same + 1 } else { 0 };
            last = now;
            (same == 10).then_some(())
        });
    }

    /// One interface per tap queue: offloads off, so that the hub carries frames as a wire would; no router
    /// solicitations or duplicate address detection, multicast reports at once, and all neighbours known, so that only
    /// programs talk.
    fn add_host(&self, host: Host, mtu: u32) {
        let (hub, inside) = (self.names.name("hub"), self.names.name(host.namespace()));
        let peer = if host == Host::A { Host::B } else { Host::A };
        script(
            &inside,
            "sysctl -qw net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0 \
                        net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.addr_gen_mode=1 \
                        net.ipv6.conf.default.mldv1_unsolicited_report_interval=1 \
                        net.ipv6.conf.default.mldv2_unsolicited_report_interval=1 \
                        net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 net.ipv4.ip_forward=0 \
                        net.ipv4.ping_group_range='0 2147483647' net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0",
        );
        let queues = self.queues;
        for queue in 0..queues {
            let (port, eth) = (format!("p-{}{queue}", host.namespace()), format!("eth{queue}"));
            let transmit = queues + 1;
            script(
                &hub,
                &format!(
                    "ip link add {port} numtxqueues 1 numrxqueues {transmit} mtu {mtu} type veth \
                         peer name {eth} numtxqueues {transmit} numrxqueues 1 mtu {mtu} address {} netns {inside}
                     ip link set {port} master hub0 up",
                    host.mac_text(queue)
                ),
            );
            script(
                &inside,
                &format!(
                    "ethtool -K {eth} tso off gso off gro off tx off txvlan off >/dev/null
                     cd /sys/class/net/{eth}/queues
                     for queue in tx-*; do echo 0 > $queue/xps_cpus; done
                     printf '%x' $(( (1 << $(nproc --all)) - 1 )) > tx-{}/xps_cpus
                     ip address add {}/24 dev {eth}
                     ip address add {}/64 dev {eth} nodad
                     ip link set {eth} up
                     ip neighbour add {} lladdr {mac} dev {eth} nud permanent
                     ip neighbour add {} lladdr {mac} dev {eth} nud permanent",
                    // The receiving side subtracts the one that means "not recorded"; queue 0 of one is the only one.
                    if queues == 1 { 0 } else { queue + 1 },
                    host.v4(queue),
                    host.v6(queue),
                    peer.v4(queue),
                    peer.v6(queue),
                    mac = peer.mac_text(queue),
                ),
            );
        }
    }

    /// A command that will run on a host. All programs of hosts share one CPU: on several, the ports of the hub see the
    /// two directions of a connection in different orders, and a retransmission of one is a gap of the other.
    pub(crate) fn on(&self, host: Host, program: &str) -> Command {
        let mut command = self.names.command(host.namespace(), "taskset");
        command.args(["--cpu-list", "0", program]);
        command
    }

    /// Runs a shell script on a host.
    #[track_caller]
    pub(crate) fn script(&self, host: Host, text: &str) {
        script(&self.names.name(host.namespace()), text);
    }

    /// Cuts the hosts off, so that tap and tcpdump have seen the same frames whichever is stopped first.
    #[track_caller]
    pub(crate) fn silence(&self) {
        let ports = "for port in /sys/class/net/p-[ab]*; do ip link set ${port##*/} down; done";
        script(&self.names.name("hub"), ports);
    }

    /// A command that will run where the tap is.
    pub(crate) fn at_tap(&self, program: &str) -> Command {
        self.names.command("tap", program)
    }

    /// A command that will run where tcpdump's port `dump0` is.
    pub(crate) fn at_dump(&self, program: &str) -> Command {
        self.names.command("hub", program)
    }

    /// The file that stands for a host's namespace.
    pub(crate) fn namespace_file(&self, host: Host) -> String {
        format!("/run/netns/{}", self.names.name(host.namespace()))
    }
}

/// `out0` in one namespace and `tap0` in another, back to back, silent but for what is sent on purpose.
pub(crate) struct Wire {
    names: Namespaces,
}

impl Wire {
    /// Makes it, with that many queues each way.
    pub(crate) fn new(queues: u32, mtu: u32) -> Self {
        let names = Namespaces::new(&["out", "tap"]);
        let (out, tap, many) =
            (names.name("out"), names.name("tap"), format!("numtxqueues {queues} numrxqueues {queues}"));
        for name in [&out, &tap] {
            script(name, "sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
        }
        script(
            &out,
            &format!(
                "ip link add out0 {many} mtu {mtu} type veth peer name tap0 {many} mtu {mtu} netns {tap}
                 ip link set out0 up
                 ip -n {tap} link set tap0 up"
            ),
        );
        Self { names }
    }

    /// A command that will run where `tap0` is.
    pub(crate) fn at_tap(&self, program: &str) -> Command {
        self.names.command("tap", program)
    }

    /// Runs a shell script where `out0` is.
    #[track_caller]
    pub(crate) fn script_out(&self, text: &str) {
        self.ask_out(text);
    }

    /// The same for what the script prints.
    #[track_caller]
    pub(crate) fn ask_out(&self, text: &str) -> String {
        script(&self.names.name("out"), text).stdout
    }

    /// Runs a shell script where `tap0` is.
    #[track_caller]
    pub(crate) fn script_tap(&self, text: &str) -> String {
        script(&self.names.name("tap"), text).stdout
    }

    /// The file that stands for the namespace of `out0` ("out") or `tap0` ("tap").
    pub(crate) fn file(&self, namespace: &str) -> String {
        format!("/run/netns/{}", self.names.name(namespace))
    }
}

/// The queue of each CPU through which frames reach a veth without XDP, tcpdump's among them. The default of 1,000 frames
/// overflows in a burst, and then the witness has missed what the sensor has seen. The setting is the whole machine's:
/// it is put back.
struct Backlog {
    before: String,
}

impl Backlog {
    const SETTING: &str = "/proc/sys/net/core/netdev_max_backlog";

    fn raise() -> Self {
        let before = std::fs::read_to_string(Self::SETTING).unwrap_or_default();
        std::fs::write(Self::SETTING, "100000").ok();
        Self { before }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        std::fs::write(Self::SETTING, self.before.trim()).ok();
    }
}
