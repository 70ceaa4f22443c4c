//! What capture promises about rings, queues and counts: on veths in network namespaces of their own, as root.

mod packets;
mod receiving;

mod every_frame_arrives_once;
mod the_interface_is_watched;
mod what_is_dropped_is_counted;

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../support/mod.rs"]
mod support;
