//! The strategies beside each other, on networks of namespaces: what one says of the same traffic, the others say as well.
//! All of them need root, and tcpdump, curl, busybox, dnsmasq, dig, ping, iperf3 and ethtool.

#[path = "../af_xdp/packets.rs"]
mod packets;
mod receiving;

mod a_frame_is_as_it_was_on_the_wire;
mod all_of_two_hosts_goes_to_one_worker;
mod auto_takes_the_best_that_works;
mod it_leaves_no_trace;
mod records_are_the_same_by_every_strategy;
mod users_are_told_what_is_wrong;
mod what_does_not_match_is_not_seen;

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../support/mod.rs"]
mod support;
