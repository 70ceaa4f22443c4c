use tuning::clock::Clock;
use tuning::cpus::Cpus;
use tuning::driver::Driver;
use tuning::limits::{HugePages, KernelVersion, Limits};
use tuning::link::Link;
use tuning::queues::{Channels, Queues};
use tuning::rss::{HashFunction, Rss};
use tuning::xdp::XdpFeatures;

use super::*;
use crate::capture::program::AttachedProgram;
use crate::capture::{AttachPreference, Interface, Mode, Strategy, XdpMode};

mod clock;
mod host;
mod traffic_control;
mod users;

const NS_2026: i64 = 1_770_000_000_000_000_000;
/// CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF.
const RIGHTS: u64 = 1 << 12 | 1 << 13 | 1 << 39;

/// A host with a good card of two queues, on which everything is right.
fn good() -> Facts {
    let interface = Interface {
        name: "eth1".into(),
        index: 3,
        mtu: 1_500,
        driver: "ixgbe".into(),
        queues: 2,
        running: true,
        addresses: Vec::new(),
        default_route: false,
        above: Vec::new(),
    };
    let link = Link {
        index: 3,
        mtu: 1_500,
        up: true,
        carrier: Some(true),
        operstate: "up".into(),
        promiscuous: false,
        loopback: false,
        master: None,
        speed_mbps: Some(10_000),
        numa_node: Some(0),
    };
    let rss = Rss {
        function: Some(HashFunction::Toeplitz),
        key: [0x6d, 0x5a].repeat(20),
        indirection: vec![0, 1],
        symmetric_input: false,
    };
    Facts {
        limits: Limits {
            memlock: None,
            capabilities: RIGHTS,
            huge_pages: HugePages::default(),
            release: "6.12.0".into(),
            kernel: KernelVersion(6, 12),
        },
        cpus: Cpus { allowed: vec![0, 1] },
        wall_ns: NS_2026,
        clock: Clock { source: Some("tsc".into()), synchronised: Some(true) },
        btf: true,
        session: None,
        store_way: StoreWay::Local,
        interface: Ok(InterfaceFacts {
            interface,
            link,
            driver: Some(Driver {
                name: "ixgbe".into(),
                version: None,
                firmware: None,
                bus: Some("0000:03:00.0".into()),
            }),
            queues: Some(Queues {
                receive: 2,
                transmit: 2,
                channels: Some(Channels { receive: 2, receive_limit: 63 }),
            }),
            rss: Some(rss),
            features: Some(tuning::features::Features::default()),
            xdp: Some(XdpFeatures { native: true, redirect: true, zero_copy: true, multi_buffer: false }),
            near_cpus: vec![0, 1],
            attached: None,
            traffic_control: Ok(Vec::new()),
            unread: Vec::new(),
        }),
    }
}

/// Two workers on that card, all defaults.
fn wanted() -> Wanted {
    let capture = CaptureConfig { workers: 2, ring_size: 2_048, ..CaptureConfig::new("eth1") };
    Wanted { capture, workers: 2 }
}

/// Nothing but the defaults.
fn plain(_: &mut CaptureConfig) {}

fn generic_mode(capture: &mut CaptureConfig) {
    capture.xdp_mode = AttachPreference::Generic;
}

/// The checks that are not fine, with one change to the good host.
fn complaints(ask: impl FnOnce(&mut CaptureConfig), change: impl FnOnce(&mut Facts)) -> Vec<Check> {
    let (mut facts, mut wanted) = (good(), wanted());
    ask(&mut wanted.capture);
    change(&mut facts);
    judge(&wanted, &facts).into_iter().filter(|check| check.status != Status::Ok).collect()
}

/// One complaint, of this name and status, with these words in what was found or in the remedy.
#[track_caller]
fn complains(
    ask: impl FnOnce(&mut CaptureConfig),
    change: impl FnOnce(&mut Facts),
    name: &str,
    status: Status,
    words: &[&str],
) {
    let found = complaints(ask, change);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].name, found[0].status), (name, status), "{found:?}");
    let text = format!("{} {}", found[0].found, found[0].remedy.as_deref().expect("a remedy"));
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

fn card(facts: &mut Facts) -> &mut InterfaceFacts {
    facts.interface.as_mut().unwrap()
}

#[test]
fn a_good_host_passes_every_check() {
    let checks = judge(&wanted(), &good());
    assert!(checks.iter().all(|check| check.status == Status::Ok && check.remedy.is_none()), "{checks:#?}");
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    for name in
        ["kernel", "privileges", "CPUs", "clock", "interface", "use by the host", "XDP", "other programs", "MTU"]
    {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    let more = ["BTF", "clock source", "traffic control", "SSH session", "way to the store"];
    assert!(more.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(
        ["locked memory", "queues", "symmetry", "segment offload", "VLAN offload"].iter().all(|n| names.contains(n))
    );
}

#[test]
fn an_interface_in_use_is_refused_unless_exclusive() {
    let address = |facts: &mut Facts| card(facts).interface.addresses = vec!["10.0.0.1".parse().unwrap()];
    complains(plain, address, "use by the host", Status::Fail, &["10.0.0.1", "exclusive: true"]);
    complains(|c| c.exclusive = true, address, "use by the host", Status::Warn, &["SSH"]);
    let route = |facts: &mut Facts| card(facts).interface.default_route = true;
    complains(plain, route, "use by the host", Status::Fail, &["default route"]);
}

#[test]
fn an_interface_that_is_down_or_absent_or_unnamed_is_told_apart() {
    let down = |facts: &mut Facts| {
        card(facts).interface.running = false;
        card(facts).link.up = false;
    };
    complains(plain, down, "interface", Status::Fail, &["is down", "ip link set dev eth1 up"]);
    complains(plain, |facts| card(facts).interface.running = false, "interface", Status::Fail, &["no carrier"]);
    let absent = |facts: &mut Facts| facts.interface = Err("there is no interface eth1; this host has: lo".into());
    complains(plain, absent, "interface", Status::Fail, &["no interface eth1", "this host has: lo"]);
    let mut unnamed = wanted();
    unnamed.capture.interface.clear();
    let checks = judge(&unnamed, &good());
    assert!(checks.iter().any(|check| check.status == Status::Fail && check.found == "none is named"));
}

#[test]
fn a_driver_without_native_mode_is_judged_by_what_was_asked_for() {
    let generic = |facts: &mut Facts| {
        card(facts).xdp = Some(XdpFeatures { native: false, redirect: false, zero_copy: false, multi_buffer: false })
    };
    complains(plain, generic, "XDP", Status::Warn, &["ixgbe", "copy"]);
    complains(|c| c.xdp_mode = AttachPreference::Native, generic, "XDP", Status::Fail, &["xdp_mode: auto"]);
    assert_eq!(complaints(generic_mode, generic), []);
    assert_eq!(complaints(plain, |facts| card(facts).xdp = None), [], "an old kernel does not tell");
}

#[test]
fn a_program_of_somebody_else_is_named() {
    let attached = AttachedProgram { id: 42, name: Some("xdp_filter".into()), mode: XdpMode::Native };
    let change = |facts: &mut Facts| card(facts).attached = Some(attached.clone());
    complains(plain, change, "other programs", Status::Fail, &["`xdp_filter` (id 42", "ip link set dev eth1 xdp off"]);
    let mirror = |capture: &mut CaptureConfig| capture.mode = Mode::Mirror;
    complains(mirror, change, "other programs", Status::Warn, &["`xdp_filter` (id 42", "no frame that it drops"]);
}

#[test]
fn an_mtu_is_held_against_page_and_frame() {
    let mtu = |bytes| move |facts: &mut Facts| card(facts).interface.mtu = bytes;
    assert_eq!(complaints(plain, mtu(3_498)), []);
    complains(plain, mtu(9_000), "MTU", Status::Fail, &["9000", "ip link set dev eth1 mtu 3498"]);
    complains(generic_mode, mtu(9_000), "MTU", Status::Warn, &["4096", "3818"]);
    complains(|c| c.frame_size = Some(2_048), mtu(1_771), "MTU", Status::Warn, &["frame_size: auto"]);
    assert_eq!(complaints(|c| c.frame_size = Some(2_048), mtu(1_770)), []);
}

#[test]
fn queues_that_are_absent_or_left_out_are_told() {
    complains(|c| c.queues = vec![0, 5], |_| {}, "queues", Status::Fail, &["queue 5", "has 2"]);
    complains(|c| c.queues = vec![0], |_| {}, "queues", Status::Warn, &["1 of 2", "unseen"]);
    let one_queue = |facts: &mut Facts| card(facts).interface.queues = 1;
    complains(plain, one_queue, "queues", Status::Warn, &["workers share a queue", "ethtool -L eth1 combined 2"]);
    let fixed = |facts: &mut Facts| {
        card(facts).interface.queues = 1;
        card(facts).queues = None;
    };
    assert_eq!(complaints(plain, fixed), []);
}

#[test]
fn an_asymmetric_hash_matters_with_several_queues_alone() {
    let asymmetric = |facts: &mut Facts| card(facts).rss.as_mut().unwrap().key = (0..40).collect();
    complains(plain, asymmetric, "symmetry", Status::Warn, &["symmetric-xor", "combined 1"]);
    complains(plain, |facts| card(facts).rss = None, "symmetry", Status::Warn, &["does not say", "combined 1"]);
    let one_queue = |facts: &mut Facts| {
        asymmetric(facts);
        card(facts).interface.queues = 1;
        card(facts).queues = None;
    };
    assert_eq!(complaints(plain, one_queue), []);
}

#[test]
fn what_a_driver_did_not_answer_is_told() {
    let unread =
        |facts: &mut Facts| card(facts).unread.push("eth1 does not tell its RSS sizes: no; ethtool shows".into());
    complains(plain, unread, "driver", Status::Warn, &["RSS sizes", "ethtool shows"]);
}

#[test]
fn this_host_is_asked_without_a_failure_of_the_asking() {
    let facts = Facts::gather("lo", &"sqlite:x.db".parse().unwrap()).unwrap();
    assert!(facts.interface.as_ref().unwrap().unread.is_empty(), "{facts:?}");
    assert!(judge(&wanted(), &facts).len() >= 10);
}

#[test]
fn packet_sockets_want_less_and_an_interface_of_the_host_is_none_of_their_concern() {
    let copying = |capture: &mut CaptureConfig| capture.strategy = Strategy::AfPacket;
    let used = |facts: &mut Facts| {
        facts.limits.capabilities = 1 << 13;
        facts.limits.kernel = KernelVersion(4, 18);
        card(facts).interface.addresses = vec![[192, 0, 2, 1].into()];
        card(facts).interface.mtu = 9_000;
    };
    assert_eq!(complaints(copying, used), []);
    complains(copying, |facts| facts.limits.capabilities = 0, "privileges", Status::Fail, &["CAP_NET_RAW"]);
}

#[test]
fn the_strategy_that_auto_comes_to_is_named_and_why_not_a_better_one() {
    let strategy = |change: fn(&mut Facts)| {
        let (mut facts, mut wanted) = (good(), wanted());
        (wanted.capture.strategy, wanted.capture.mode) = (Strategy::Auto, Mode::Auto);
        change(&mut facts);
        let checks = judge(&wanted, &facts);
        assert!(checks.iter().all(|check| check.status == Status::Ok), "{checks:?}");
        checks.into_iter().find(|check| check.name == "strategy").unwrap().found
    };
    assert_eq!(strategy(|_| {}), "ebpf (tap)");
    let used = strategy(|facts| card(facts).interface.addresses = vec![[192, 0, 2, 1].into()]);
    assert!(used.starts_with("ebpf (mirror) (not ebpf (tap): eth1 has the address"), "{used}");
    let poor = strategy(|facts| facts.limits.capabilities = 1 << 13);
    assert!(poor.starts_with("afpacket (not ebpf (tap): this process lacks CAP_BPF"), "{poor}");
    let old = strategy(|facts| facts.limits.kernel = KernelVersion(5, 10));
    assert!(old.starts_with("afpacket (not ebpf (tap): Linux ") && old.contains("too old"), "{old}");
}
