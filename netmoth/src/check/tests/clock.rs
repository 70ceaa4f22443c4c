use super::*;

#[test]
fn a_clock_before_its_time_is_told() {
    complains(plain, |facts| facts.wall_ns = 0, "clock", Status::Warn, &["NTP"]);
}

#[test]
fn a_clock_that_nothing_keeps_right_is_told() {
    complains(
        plain,
        |f| f.clock.synchronised = Some(false),
        "clock",
        Status::Warn,
        &["drift", "timedatectl", "chrony"],
    );
    assert_eq!(complaints(plain, |facts| facts.clock.synchronised = None), [], "it may not be asked");
}

#[test]
fn a_slow_clock_source_is_told_with_the_way_back() {
    for name in ["hpet", "acpi_pm", "jiffies"] {
        let source = |facts: &mut Facts| facts.clock.source = Some(name.into());
        complains(plain, source, "clock source", Status::Warn, &[name, "current_clocksource"]);
    }
    for name in ["tsc", "kvm-clock", "arch_sys_counter"] {
        assert_eq!(complaints(plain, |facts| facts.clock.source = Some(name.into())), []);
    }
    assert_eq!(complaints(plain, |facts| facts.clock.source = None), []);
}

#[test]
fn a_kernel_that_does_not_describe_its_types_is_no_concern_of_ours_but_it_is_said() {
    let facts = Facts { btf: false, ..good() };
    let checks = judge(&wanted(), &facts);
    let btf = checks.iter().find(|check| check.name == "BTF").unwrap();
    assert!(btf.status == Status::Ok && btf.found.contains("bpftrace"), "{btf:?}");
}
