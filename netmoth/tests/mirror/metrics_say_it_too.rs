//! What `/metrics` shows of the mirror when all is quiet is what the summary says at the end.

use crate::host::{Lab, PEER, assert_sums};
use crate::support::command::{SHORT, until};
use crate::support::metrics::Metrics;
use crate::support::sensor::{Sensor, Settings};
use crate::support::{alone, root};

const ADDRESS: &str = "127.0.0.1:9470";

#[test]
fn the_page_agrees_with_the_summary() {
    if !root() {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let settings = Settings { more: format!("metrics: {ADDRESS:?}"), ..Settings::workers(2) };
    let sensor = Sensor::start(lab.netmoth(), folder.path(), &settings);
    lab.ping(PEER, &["-c", "5"]);
    let page = until("the page shows all frames", SHORT, || {
        let page = Metrics::fetch(lab.on_host("curl"), ADDRESS);
        (page.sum("netmoth_received_frames_total", &[]) == 10).then_some(page)
    });
    let outcome = sensor.stop();
    assert_sums(&outcome);
    for way in ["ingress", "egress"] {
        let shown = page.sum("netmoth_mirror_seen_frames_total", &[("direction", way)]);
        assert_eq!((shown, outcome.reason("mirror_seen", way)), (5, 5), "{way}");
    }
    assert_eq!(page.sum("netmoth_mirror_frames_total", &[("fate", "mirrored")]), outcome.sum("mirrored"));
    assert_eq!(page.sum("netmoth_mirror_frames_total", &[("fate", "not_cloned")]), outcome.sum("mirror_passed"));
    assert_eq!(page.sum("netmoth_mirror_dropped_frames_total", &[]), outcome.sum("mirror_drops"));
    assert_eq!(page.sum("netmoth_seen_frames_total", &[]), outcome.sum("mirrored"));
    assert_eq!(page.sum("netmoth_capture_info", &[("mode", "mirror")]), 1);
}
