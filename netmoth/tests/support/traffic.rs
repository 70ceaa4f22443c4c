//! What hosts do: real programs, and by hand what they can't be made to do.

use super::command::{Running, SHORT, run, until};
use super::frames::{self, Ethernet};
use super::lab::{Host, Hub};
use super::pcap::Seen;
use super::sender::{Job, Sender};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// A payload size that only the last ping of a test has.
const LAST: u64 = 1_313;
/// Size of the large file on the web server.
const LARGE: usize = 3_000_000;

/// Servers on host B: web (busybox), names (dnsmasq), iperf3. Dropping this ends them.
pub(crate) struct Servers {
    _running: Vec<Running>,
}

impl Servers {
    /// Starts them, with the web server's files in `folder`, and waits until they listen.
    #[track_caller]
    pub(crate) fn start(hub: &Hub, folder: &Path) -> Self {
        std::fs::write(folder.join("index.html"), "It is a fine day for moths.\n").unwrap();
        std::fs::write(folder.join("large"), vec![b'm'; LARGE]).unwrap();
        let mut web = hub.on(Host::B, "busybox");
        web.args(["httpd", "-f", "-p", "80", "-h"]).arg(folder);
        let mut names = hub.on(Host::B, "dnsmasq");
        names.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
        names.args(["--pid-file=", "--log-facility=/dev/null", "--address=/moth.test/10.71.0.2"]);
        names.args(["--address=/moth.test/fd71:0::2"]);
        let mut speed = hub.on(Host::B, "iperf3");
        let running = vec![Running::start(&mut web), Running::start(&mut names), Running::start(speed.arg("-s"))];
        until("the servers listen", SHORT, || {
            let listening = run(hub.on(Host::B, "ss").args(["-Hltn"]), SHORT).expect_success().stdout;
            [":80 ", ":53 ", ":5201 "].iter().all(|port| listening.contains(port)).then_some(())
        });
        Self { _running: running }
    }
}

/// Runs a program on host A. Its exit status is of no matter: what the network saw is.
fn ask(hub: &Hub, line: &str) {
    let mut words = line.split(' ');
    run(hub.on(Host::A, words.next().unwrap()).args(words), SHORT);
}

/// Like [`ask`], but it must succeed.
#[track_caller]
fn get(hub: &Hub, line: &str) {
    let mut words = line.split(' ');
    run(hub.on(Host::A, words.next().unwrap()).args(words), SHORT).expect_success();
}

/// Web, names, ping, bulk over TCP and UDP, fragments, refusals and silence, over both IP versions, on one network.
#[track_caller]
pub(crate) fn programs(hub: &Hub, queue: u32) {
    let (v4, v6) = (Host::B.v4(queue), Host::B.v6(queue));
    for host in [v4.clone(), format!("[{v6}]")] {
        get(hub, &format!("curl -sS -o /dev/null http://{host}/"));
        get(hub, &format!("curl -sS -o /dev/null http://{host}/large"));
        get(hub, &format!("curl -sS -o /dev/null http://{host}/nothing"));
        ask(hub, &format!("curl -sS -o /dev/null http://{host}:81/"));
    }
    for host in [&v4, &v6] {
        get(hub, &format!("dig @{host} moth.test A +short"));
        get(hub, &format!("dig @{host} moth.test AAAA +short"));
        get(hub, &format!("dig @{host} moth.test A +tcp +short"));
        ask(hub, &format!("dig @{host} -p 5353 moth.test A +tries=1 +time=1"));
        get(hub, &format!("ping -q -c 5 -i 0.01 {host}"));
        get(hub, &format!("ping -q -c 3 -i 0.01 -s 4000 {host}"));
        get(hub, &format!("iperf3 -c {host} -n 4M -b 400M"));
        get(hub, &format!("iperf3 -c {host} -u -l 1200 -n 600K -b 100M"));
        get(hub, &format!("iperf3 -c {host} -u -l 4000 -n 600K -b 100M"));
        get(hub, &format!("iperf3 -c {host} -R -n 4M -b 400M"));
    }
    // Nobody has this address: the SYN goes to host B's hardware address, and B does not forward.
    let nobody = format!("10.71.{queue}.99");
    let mac = Host::B.mac(queue).map(|byte| format!("{byte:02x}")).join(":");
    hub.script(Host::A, &format!("ip neighbour replace {nobody} lladdr {mac} dev eth{queue} nud permanent"));
    ask(hub, &format!("curl -sS --connect-timeout 0.3 http://{nobody}/"));
}

/// VLAN tags (one and two), SCTP, a protocol without ports, and ARP, from host A's interface of that network.
#[track_caller]
pub(crate) fn rarities(hub: &Hub, queue: u32) {
    let plain = Ethernet { to: Host::B.mac(queue), from: Host::A.mac(queue), tags: vec![] };
    let tagged = Ethernet { tags: vec![(0x8100, 71)], ..plain.clone() };
    let stacked = Ethernet { tags: vec![(0x88a8, 72), (0x8100, 73)], ..plain.clone() };
    let address = |text: String| text.parse::<IpAddr>().unwrap();
    let mut all = Vec::new();
    for (from, to) in [(Host::A.v4(queue), Host::B.v4(queue)), (Host::A.v6(queue), Host::B.v6(queue))] {
        let (from, to) = (address(from), address(to));
        let (client, server) = (SocketAddr::new(from, 40_000), SocketAddr::new(to, 9));
        for ethernet in [&tagged, &stacked] {
            all.push(frames::udp(ethernet, client, server, b"tagged"));
            all.push(frames::tcp(ethernet, client, server, 0x02, [1, 0], &[]));
        }
        all.push(frames::sctp(&plain, client, server, 1));
        all.push(frames::ip(&plain, from, to, 253, &[0; 40]));
    }
    let mut arp = [[0xff; 6], Host::A.mac(queue)].concat();
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.resize(frames::SMALLEST, 0);
    all.push(arp);
    let count = all.len() as u64;
    let job = Job {
        namespace: hub.namespace_file(Host::A),
        interface: format!("eth{queue}"),
        // See `lab`: the queue that a host's interface sends on is one more than the tap's.
        queues: vec![(if hub.queues == 1 { 0 } else { queue + 1 }, all)],
        rounds: Some(1),
        cpu: None,
        rate: None,
    };
    assert_eq!(Sender::start(job).wait().frames, count);
}

/// The last packets of a test: a ping of a size that nothing else has. [`is_last`] knows its answer.
#[track_caller]
pub(crate) fn last(hub: &Hub) {
    get(hub, &format!("ping -q -c 1 -s {LAST} {}", Host::B.v4(0)));
}

/// Whether this is the answer to [`last`].
pub(crate) fn is_last(packet: &Seen) -> bool {
    let answer = |from: IpAddr| from.to_string() == Host::B.v4(0);
    packet.bytes == LAST + 28 && packet.ip.is_some_and(|(from, _, protocol)| protocol == 1 && answer(from))
}
