//! The sensor as a whole, on networks of namespaces, held against what others say of the same traffic. One module per
//! promise; all of them need root, and tcpdump, curl, busybox, dnsmasq, dig, ping, iperf3 and ethtool.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "the tests of the store use the rest of it")]
mod postgres;

mod connections_are_counted_as_tcpdump_counts_them;
mod it_ends_in_order;
mod metrics_say_what_the_summary_says;
mod records_land_in_postgresql;
mod root_is_not_needed;
mod systemd_is_told;
mod the_lab_is_what_it_says;
mod the_store_may_be_away;
mod tunnels_are_followed;
mod users_are_told_what_is_wrong;
