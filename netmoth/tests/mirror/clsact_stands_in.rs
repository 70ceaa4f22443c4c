//! On kernels without tcx the programs are filters of the clsact qdisc. This kernel has tcx, so it is told to do without.

use aya::programs::tc::{NlOptions, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{SchedClassifier, TcAttachType};
use netmoth::capture::{CaptureConfig, CaptureCounts, Hook, Mirror};

use crate::host::{Lab, PEER};
use crate::support::command::{SHORT, until};
use crate::support::{alone, root};

fn filters(lab: &Lab) -> String {
    lab.script("tc filter show dev tap0 ingress; tc filter show dev tap0 egress")
}

/// Mirrors three echoes by way of clsact, and looks at the filters meanwhile.
#[track_caller]
fn mirror_three_echoes(lab: &Lab) {
    let (mut mirror, sources) = lab.within(|| {
        let (mut mirror, sources) = Mirror::open(&CaptureConfig::new("tap0"), Some(Hook::Clsact)).unwrap();
        mirror.start().unwrap();
        (mirror, sources)
    });
    let shown = filters(lab);
    assert_eq!((shown.matches("netmoth_ingress").count(), shown.matches("netmoth_egress").count()), (1, 1), "{shown}");
    lab.ping(PEER, &["-c", "3"]);
    lab.within(|| {
        until("three echoes and their answers are mirrored", SHORT, || {
            let seen = CaptureCounts::sum(&mirror.queue_counts().unwrap()).fates.iter().sum::<u64>();
            (seen == 6).then_some(())
        });
        mirror.stop();
        let counts = mirror.mirror_counts().unwrap();
        assert_eq!((counts.mirrored(), counts.dropped().iter().map(|(_, n)| n).sum::<u64>()), (6, 0), "{counts:?}");
        drop(sources);
        drop(mirror);
    });
}

#[test]
fn its_filters_mirror_and_its_qdisc_goes_with_them() {
    if !root() {
        return;
    }
    let _alone = alone();
    let lab = Lab::new();
    lab.ping(PEER, &["-c", "1"]);
    let before = lab.state();
    mirror_three_echoes(&lab);
    assert_eq!(lab.state(), before);
}

#[test]
fn a_qdisc_that_was_there_stays_with_the_filters_of_others() {
    if !root() {
        return;
    }
    let _alone = alone();
    let lab = Lab::new();
    lab.ping(PEER, &["-c", "1"]);
    lab.script(
        "tc qdisc add dev tap0 clsact
         tc filter add dev tap0 ingress protocol all prio 7 matchall action ok",
    );
    let before = lab.state();
    mirror_three_echoes(&lab);
    let now = lab.state();
    assert!(now.contains("clsact") && now.contains("matchall"), "{now}");
    assert_eq!(now.lines().count(), before.lines().count(), "{now}");
}

#[test]
fn the_filters_of_a_killed_run_are_removed_at_the_next_start() {
    if !root() {
        return;
    }
    let _alone = alone();
    let lab = Lab::new();
    lab.ping(PEER, &["-c", "1"]);
    let before = lab.state();
    lab.within(|| {
        let object = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../netmoth-xdp/netmoth-xdp.o")).unwrap();
        let mut ebpf = aya::Ebpf::load(&object).unwrap();
        qdisc_add_clsact("tap0").unwrap();
        for (name, way) in [("netmoth_ingress", TcAttachType::Ingress), ("netmoth_egress", TcAttachType::Egress)] {
            let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
            let id = program.attach_with_options("tap0", way, TcAttachOptions::Netlink(NlOptions::default())).unwrap();
            // Nobody is left to take it off, as after SIGKILL.
            std::mem::forget(program.take_link(id).unwrap());
        }
    });
    assert!(filters(&lab).contains("netmoth_ingress"));
    mirror_three_echoes(&lab);
    assert_eq!(lab.state(), before);
}
