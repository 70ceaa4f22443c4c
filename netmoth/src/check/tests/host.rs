use super::*;

#[test]
fn a_kernel_that_is_too_old_for_af_xdp_is_refused_with_what_does_without() {
    let kernel = |minor| move |facts: &mut Facts| facts.limits.kernel = KernelVersion(5, minor);
    complains(plain, kernel(13), "kernel", Status::Fail, &["too old", "5.14", "strategy: afpacket"]);
    assert_eq!(complaints(|c| c.busy_poll_us = 20, kernel(14)), []);
    assert_eq!(complaints(|c| c.strategy = Strategy::Auto, kernel(13)), []);
}

#[test]
fn missing_capabilities_are_named_one_by_one() {
    let rights = |capabilities| move |facts: &mut Facts| facts.limits.capabilities = capabilities;
    complains(plain, rights(0), "privileges", Status::Fail, &["CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW", "root"]);
    complains(plain, rights(RIGHTS & !(1 << 13)), "privileges", Status::Fail, &["lacks CAP_NET_RAW"]);
    assert_eq!(complaints(plain, rights(1 << 12 | 1 << 13 | 1 << 21)), [], "CAP_SYS_ADMIN includes CAP_BPF");
}

#[test]
fn a_memory_limit_counts_unless_the_capability_lifts_it() {
    let limit = |facts: &mut Facts| facts.limits.memlock = Some(65_536);
    complains(plain, limit, "locked memory", Status::Fail, &["65536", "LimitMEMLOCK"]);
    let lifted = |facts: &mut Facts| {
        facts.limits.memlock = Some(65_536);
        facts.limits.capabilities |= 1 << 14;
    };
    assert_eq!(complaints(plain, lifted), []);
    // Two queues, a socket each: (2 + 1) rings of 64 frames of 2048 bytes, twice.
    let exact = |bytes| move |facts: &mut Facts| facts.limits.memlock = Some(bytes);
    assert_eq!(complaints(|c| c.ring_size = 64, exact(2 * 3 * 64 * 2_048)), []);
    complains(|c| c.ring_size = 64, exact(2 * 3 * 64 * 2_048 - 1), "locked memory", Status::Fail, &[]);
}

#[test]
fn fewer_cpus_than_workers_and_cpus_far_from_the_card_are_told() {
    let one = |facts: &mut Facts| facts.cpus.allowed = vec![0];
    complains(plain, one, "CPUs", Status::Warn, &["1 worker instead of the 2", "max_cores: 1"]);
    let far = |facts: &mut Facts| card(facts).near_cpus = vec![8, 9];
    complains(plain, far, "CPUs", Status::Warn, &["0, 1", "taskset -c 8,9"]);
}
