//! What `mode: mirror` promises: an interface that a host uses is looked at, both ways, and the host goes on using it. On
//! veths in network namespaces, as root, with iperf3, ping, tc and ip.

mod host;
mod packet_socket;

mod a_filter_chooses;
mod clsact_stands_in;
mod every_frame_is_seen_both_ways;
mod metrics_say_it_too;
mod nothing_is_left_behind;
mod sessions_go_on;
mod what_it_costs;
mod what_it_refuses;

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../support/mod.rs"]
mod support;
