use super::*;

fn session(through: bool) -> Session {
    Session { client: [192, 0, 2, 7].into(), server: [192, 0, 2, 1].into(), through }
}

fn server(through: bool) -> StoreWay {
    StoreWay::Remote { server: "db.example (198.51.100.5)".into(), through }
}

/// An interface with the address that the session came to.
fn at_home(facts: &mut Facts) {
    card(facts).interface.addresses = vec![[192, 0, 2, 1].into()];
    facts.session = Some(session(true));
    facts.store_way = server(true);
}

/// Status and words of the two answers.
fn users(ask: impl FnOnce(&mut CaptureConfig), change: impl FnOnce(&mut Facts)) -> Vec<(Status, String)> {
    let (mut facts, mut wanted) = (good(), wanted());
    ask(&mut wanted.capture);
    change(&mut facts);
    let mut checks = judge(&wanted, &facts);
    checks.retain(|check| ["SSH session", "way to the store"].contains(&check.name));
    checks.into_iter().map(|c| (c.status, format!("{} {}", c.found, c.remedy.unwrap_or_default()))).collect()
}

#[test]
fn a_tap_on_the_interface_of_session_and_store_is_a_failure_that_names_them() {
    let found = users(plain, at_home);
    assert!(found.iter().all(|(status, text)| *status == Status::Fail && text.contains("cut off")), "{found:?}");
    assert!(found[0].1.contains("from 192.0.2.7 to 192.0.2.1 goes through eth1"), "{found:?}");
    assert!(found[1].1.contains("to db.example (198.51.100.5) through eth1"), "{found:?}");
    assert!(found.iter().all(|(_, text)| text.contains("set mode: mirror, or ")), "{found:?}");
}

#[test]
fn exclusive_is_a_warning_that_names_them() {
    for mode in [Mode::Tap, Mode::Auto] {
        let exclusive = |capture: &mut CaptureConfig| (capture.exclusive, capture.mode) = (true, mode);
        let found = users(exclusive, at_home);
        assert!(found.iter().all(|(s, text)| *s == Status::Warn && text.contains("exclusive: true")), "{found:?}");
    }
}

#[test]
fn with_a_mirror_and_with_packet_sockets_both_stay() {
    for (mode, strategy, how) in [
        (Mode::Mirror, Strategy::Ebpf, "mirrored"),
        (Mode::Auto, Strategy::Ebpf, "mirrored"),
        (Mode::Auto, Strategy::AfPacket, "copied"),
        (Mode::Auto, Strategy::Pcap, "copied"),
    ] {
        let found = users(|c| (c.mode, c.strategy) = (mode, strategy), at_home);
        let stays =
            |(status, text): &(Status, String)| *status == Status::Ok && text.contains("stays") && text.contains(how);
        assert!(found.len() == 2 && found.iter().all(stays), "{found:?}");
    }
}

/// No address, so `run` would take it, but the route to the store leads there.
#[test]
fn a_route_alone_is_a_warning_with_every_mode_that_takes() {
    for mode in [Mode::Tap, Mode::Auto] {
        let found = users(|capture| capture.mode = mode, |facts| facts.store_way = server(true));
        assert!(found[1].0 == Status::Warn && found[1].1.contains("a tap takes all of its frames"), "{found:?}");
    }
}

#[test]
fn what_goes_elsewhere_is_no_concern() {
    let elsewhere = |facts: &mut Facts| {
        facts.session = Some(session(false));
        facts.store_way = server(false);
    };
    let found = users(plain, elsewhere);
    assert!(
        found.iter().all(|(s, text)| *s == Status::Ok && text.contains("another interface than eth1")),
        "{found:?}"
    );
    let unknown = |facts: &mut Facts| facts.store_way = StoreWay::Unknown("db is not found (no)".into());
    complains(plain, unknown, "way to the store", Status::Warn, &["db is not found", "getent"]);
}
