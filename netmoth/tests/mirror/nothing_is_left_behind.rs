//! After SIGTERM and after SIGKILL the interface is as it was; what a killed run leaves of its own goes at the next start.

use std::net::{SocketAddr, UdpSocket};

use crate::host::{HOST, Lab, PEER};
use crate::packet_socket;
use crate::support::command::{SHORT, until};
use crate::support::frames::{self, Ethernet};
use crate::support::netns;
use crate::support::sensor::{Sensor, Settings};
use crate::support::{alone, root};

#[test]
fn sigterm_leaves_the_interface_as_it_was() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let before = lab.state();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(2));
    assert_eq!((lab.tcx_programs(), lab.pair().len()), (2, 2));
    lab.ping(PEER, &["-c", "3"]);
    sensor.stop().assert_sums();
    assert_eq!((lab.tcx_programs(), lab.pair().len()), (0, 0));
    assert_eq!(lab.state(), before);
}

#[test]
fn sigkill_leaves_a_pair_that_the_next_start_removes_and_nothing_else() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let before = lab.state();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(2));
    let first = lab.pair();
    sensor.kill();
    until("the kernel takes the programs off", SHORT, || (lab.tcx_programs() == 0).then_some(()));
    lab.ping(PEER, &["-c", "3"]);
    assert_eq!(lab.pair(), first, "the pair is what a killed run leaves");
    let next = tempfile::tempdir().unwrap();
    let sensor = Sensor::start(lab.netmoth(), next.path(), &Settings::workers(2));
    assert!(sensor.process().stderr().contains("removing netmoth-"), "{}", sensor.process().stderr());
    let second = lab.pair();
    assert!(second.len() == 2 && second.iter().all(|index| !first.contains(index)), "{first:?}, then {second:?}");
    lab.ping(PEER, &["-c", "3"]);
    assert_eq!(sensor.stop().assert_nothing_lost(), 6);
    assert_eq!(lab.state(), before);
}

/// Between the end of its sockets and the end of its programs, a killed run has clones arrive that nobody takes.
#[test]
fn a_clone_that_no_socket_takes_does_not_reach_the_host_a_second_time() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1)).kill();
    let listener = lab.within(|| UdpSocket::bind("0.0.0.0:7000").unwrap());
    listener.set_read_timeout(Some(SHORT)).unwrap();
    let near = lab.script("cat /sys/class/net/netmoth-*[0-9]/ifindex").trim().parse().unwrap();
    let ethernet = Ethernet { to: [0xff; 6], from: [2, 0x79, 0, 0, 0, 2], tags: vec![] };
    let (peer, all) = (SocketAddr::new(PEER.parse().unwrap(), 7_001), "255.255.255.255:7000".parse().unwrap());
    let clone = |payload: &[u8]| {
        let frame = frames::udp(&ethernet, peer, all, payload);
        lab.within(|| packet_socket::send(near, false, &[frame]));
    };
    let received = || {
        let mut buffer = [0; 64];
        let length = listener.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    clone(b"a clone");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            netns::enter(&lab.wire.file("out"));
            UdpSocket::bind((PEER, 0)).unwrap().send_to(b"original", (HOST, 7_000)).unwrap();
        });
    });
    assert_eq!(received(), "original");
    // That it would have come without what stands there is what makes this a test.
    lab.script("tc qdisc del dev $(ip -br link | grep -o '^netmoth-[^@]*p@' | tr -d @) clsact");
    clone(b"another clone");
    assert_eq!(received(), "another clone");
}

#[test]
fn the_pair_of_an_interface_that_is_gone_is_removed_by_the_next_start_on_another() {
    if !root() {
        return;
    }
    let _alone = alone();
    let (folder, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lab = Lab::new();
    Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1)).kill();
    let first = lab.pair();
    until("the kernel takes the programs off", SHORT, || (lab.tcx_programs() == 0).then_some(()));
    // The same name, another index.
    lab.script(&format!(
        "ip link del tap0
         ip link add tap0 type veth peer name tap1
         ip link set tap0 up
         ip link set tap1 up
         ip address add {PEER}/24 dev tap0"
    ));
    let sensor = Sensor::start(lab.netmoth(), next.path(), &Settings::workers(1));
    let second = lab.pair();
    assert!(second.len() == 2 && second.iter().all(|index| !first.contains(index)), "{first:?}, then {second:?}");
    sensor.stop().assert_sums();
}

#[test]
fn a_pair_that_somebody_removes_ends_the_run_with_the_reason() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1));
    lab.script("ip link del $(ip -br link | grep -o '^netmoth-[^p@]*' | head -1)");
    let said = sensor.failed();
    assert!(said.contains("private veth pair of tap0 was removed"), "{said}");
    assert_eq!(lab.tcx_programs(), 0);
    lab.ping(PEER, &["-c", "3"]);
}

#[test]
fn an_interface_that_is_removed_ends_the_run_and_takes_the_pair_along() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(1));
    lab.script("ip link del tap0");
    let said = sensor.failed();
    assert!(said.contains("interface tap0 was removed"), "{said}");
    assert_eq!(lab.pair(), Vec::<String>::new());
}
