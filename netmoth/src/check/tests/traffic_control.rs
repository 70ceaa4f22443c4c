use super::*;

fn tcx(way: Way, id: u32, name: &str) -> TcProgram {
    TcProgram { way, kind: "tcx".into(), id: Some(id), name: Some(name.into()) }
}

fn holds(programs: &[TcProgram]) -> impl Fn(&mut Facts) {
    move |facts| card(facts).traffic_control = Ok(programs.to_vec())
}

fn mirror(capture: &mut CaptureConfig) {
    capture.mode = Mode::Mirror;
}

/// The answer, of whatever status.
fn said(ask: impl FnOnce(&mut CaptureConfig), programs: &[TcProgram]) -> String {
    let (mut facts, mut wanted) = (good(), wanted());
    ask(&mut wanted.capture);
    holds(programs)(&mut facts);
    judge(&wanted, &facts).into_iter().find(|check| check.name == "traffic control").unwrap().found
}

#[test]
fn programs_of_others_are_named_and_a_mirror_goes_before_them() {
    let filter = TcProgram { way: Way::Egress, kind: "bpf".into(), id: Some(8), name: Some("cil_to_netdev".into()) };
    let others = [tcx(Way::Ingress, 7, "shaper"), filter];
    assert_eq!(complaints(mirror, holds(&others)), []);
    let expected = "`shaper` (id 7, tcx ingress), `cil_to_netdev` (id 8, bpf egress): Netmoth's programs go before";
    assert_eq!(said(mirror, &others), expected);
    let packets = said(|capture| capture.strategy = Strategy::AfPacket, &others);
    assert!(packets.contains("shaper") && packets.contains("packet sockets"), "{packets}");
}

#[test]
fn a_tap_starves_programs_at_ingress_alone() {
    let starved = ["never reach `shaper` (id 7", "mode: mirror"];
    complains(plain, holds(&[tcx(Way::Ingress, 7, "shaper")]), "traffic control", Status::Warn, &starved);
    assert_eq!(complaints(plain, holds(&[tcx(Way::Egress, 7, "shaper")])), []);
}

#[test]
fn a_netmoth_that_runs_is_no_failure_but_one_that_is_hidden_behind_others_is_told_apart() {
    let ours = [tcx(Way::Ingress, 5, "netmoth_ingress"), tcx(Way::Egress, 6, "netmoth_egress")];
    let running = ["a Netmoth mirrors already", "`netmoth_ingress` (id 5", "`netmoth_egress` (id 6", "refused"];
    complains(mirror, holds(&ours), "traffic control", Status::Warn, &running);
    let [ingress, egress] = ours;
    let behind = [ingress.clone(), tcx(Way::Ingress, 9, "later"), egress.clone()];
    complains(mirror, holds(&behind), "traffic control", Status::Warn, &running);
    let hidden = [tcx(Way::Ingress, 9, "drops"), ingress, egress, tcx(Way::Egress, 10, "later")];
    complains(
        mirror,
        holds(&hidden),
        "traffic control",
        Status::Warn,
        &["`drops` (id 9, tcx ingress) came before", "again"],
    );
}

#[test]
fn a_kernel_that_does_not_tell_is_told() {
    let silent = |facts: &mut Facts| card(facts).traffic_control = Err("eth1 can't be asked: no; run as root".into());
    complains(mirror, silent, "traffic control", Status::Warn, &["can't be asked", "run as root"]);
}
