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

/// Puts one of our programs there that nobody takes off again, as after SIGKILL.
fn leave_filter(name: &str, way: TcAttachType) {
    let object = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../netmoth-xdp/netmoth-xdp.o")).unwrap();
    let mut ebpf = aya::Ebpf::load(&object).unwrap();
    let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
    program.load().unwrap();
    let id = program.attach_with_options("tap0", way, TcAttachOptions::Netlink(NlOptions::default())).unwrap();
    std::mem::forget(program.take_link(id).unwrap());
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
    let times = |name| shown.matches(&format!(" name {name} ")).count();
    assert_eq!((times("netmoth_ingress"), times("netmoth_egress")), (1, 1), "{shown}");
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
    lab.within(|| {
        qdisc_add_clsact("tap0").unwrap();
        leave_filter("netmoth_unmirrored", TcAttachType::Ingress);
    });
    let before = lab.state();
    assert!(before.contains("clsact") && before.contains("netmoth_unmirrored"), "{before}");
    mirror_three_echoes(&lab);
    assert_eq!(lab.state(), before);
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
        qdisc_add_clsact("tap0").unwrap();
        leave_filter("netmoth_ingress", TcAttachType::Ingress);
        leave_filter("netmoth_egress", TcAttachType::Egress);
    });
    assert!(filters(&lab).contains("netmoth_ingress"));
    mirror_three_echoes(&lab);
    assert_eq!(lab.state(), before);
}
