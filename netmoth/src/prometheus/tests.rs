//! The page as a client meets it, and the dashboard that reads it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::endpoint::Limits;
use super::*;
use crate::capture::{MirrorCounts, QueueCounts, SocketStatistics};
use crate::flow::EndReason;
use crate::metrics::WorkerTotals;
use crate::sink::WriterCounters;
use crate::wire::Reject;

const DASHBOARD: &str = include_str!("../../../scripts/grafana-dashboard.json");

/// Two queues and all beyond, two workers, a store that is away; every number is another one.
fn snapshot() -> Snapshot {
    let captured = Captured {
        interface: "eth\"1".into(),
        driver: "ixgbe".into(),
        mode: "native".into(),
        zero_copy: true,
        started_ns: 1_770_000_000_250_000_000,
    };
    let sockets = SocketStatistics { dropped: 3, ring_full: 4, fill_ring_empty: 2, invalid_descriptors: 0 };
    let queue = |queue, fates| QueueCounts { queue, fates, sockets: SocketStatistics::default() };
    let first = QueueCounts { sockets, ..queue(Some(0), [100, 0, 5, 0]) };
    // More than a floating-point number can tell from its neighbours.
    let mut busy = WorkerTotals { frames: 60, bytes: (1 << 60) + 1, tracked: 58, ..WorkerTotals::default() };
    busy.busy_ns = 1_500_000_000;
    busy.not_tracked[Reject::Arp as usize] = 2;
    busy.emitted[EndReason::Fin as usize] = 7;
    let idle = WorkerTotals { flows_open: 11, ..WorkerTotals::default() };
    let writer = WriterCounters::default().report();
    let queues = vec![first, queue(Some(1), [0, 0, 0, 0]), queue(None, [0, 9, 0, 0])];
    let mirror = Some(MirrorCounts { counts: [70, 35, 102, 0, 1, 2], refused: 8, no_memory: 0 });
    Snapshot { captured, mirror, queues, workers: vec![busy, idle], writer, store_up: false, spool_bytes: 12 }
}

fn serve(limits: Limits) -> (SocketAddr, Page) {
    let endpoint = Endpoint::bind_with("127.0.0.1:0".parse().unwrap(), limits).unwrap();
    (endpoint.address(), endpoint.serve(snapshot()).unwrap())
}

fn patient() -> (SocketAddr, Page) {
    serve(Limits { requests: 4, time: Duration::from_secs(20) })
}

/// Sends one request; returns the answer's head and body.
#[track_caller]
fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(client, "{request} HTTP/1.1\r\nHost: moth\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

/// The names of all samples on a page.
fn names(page: &str) -> BTreeSet<String> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_page_is_openmetrics_with_every_value_at_its_labels() {
    let (address, _page) = patient();
    let (head, body) = ask(address, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    let interface = r#"interface="eth\"1""#;
    for line in [
        format!(
            "# TYPE netmoth_seen_frames counter\nnetmoth_seen_frames_total{{{interface},queue=\"0\",fate=\"redirected\"}} 100\n"
        ),
        format!("netmoth_seen_frames_total{{{interface},queue=\"other\",fate=\"queue_not_captured\"}} 9\n"),
        format!("netmoth_mirror_seen_frames_total{{{interface},direction=\"egress\"}} 35\n"),
        format!("netmoth_mirror_frames_total{{{interface},fate=\"mirrored\"}} 104\n"),
        format!("netmoth_mirror_dropped_frames_total{{{interface},reason=\"ring_full_or_too_long\"}} 8\n"),
        format!("netmoth_kernel_dropped_frames_total{{{interface},queue=\"0\",reason=\"rx_ring_full\"}} 4\n"),
        format!("netmoth_fill_ring_empty_total{{{interface},queue=\"0\"}} 2\n"),
        "# TYPE netmoth_received_bytes counter\n# UNIT netmoth_received_bytes bytes\n".into(),
        format!("netmoth_received_bytes_total{{{interface},worker=\"0\"}} 1152921504606846977\n"),
        format!("netmoth_not_tracked_frames_total{{{interface},worker=\"0\",reason=\"arp\"}} 2\n"),
        format!("netmoth_records_emitted_total{{{interface},worker=\"0\",reason=\"fin\"}} 7\n"),
        format!("netmoth_flows_open{{{interface},worker=\"1\"}} 11\n"),
        format!("netmoth_worker_busy_seconds_total{{{interface},worker=\"0\"}} 1.5\n"),
        format!("netmoth_records_lost_total{{{interface},reason=\"buffer_full\"}} 0\n"),
        format!("netmoth_store_up{{{interface}}} 0\n"),
        format!("netmoth_spool_bytes{{{interface}}} 12\n"),
        format!("netmoth_start_time_seconds{{{interface}}} 1770000000.25\n"),
        format!("netmoth_capture_info{{{interface},driver=\"ixgbe\",mode=\"native\",zero_copy=\"true\"}} 1\n"),
    ] {
        assert!(body.contains(&line), "{line:?} is not in:\n{body}");
    }
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn every_family_is_described_once_and_every_name_is_ours() {
    let (address, _page) = patient();
    let (_, body) = ask(address, "GET /metrics");
    let helps: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    let families: BTreeSet<&str> = helps.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(families.len(), helps.len(), "a family stands there twice:\n{body}");
    let names = names(&body);
    assert_eq!(names.len(), families.len(), "a family without a sample:\n{body}");
    assert!(names.iter().all(|name| name.starts_with("netmoth_") && name.matches("total").count() < 2), "{names:?}");
}

#[test]
fn newer_values_are_shown_as_soon_as_they_are_there() {
    let (address, page) = patient();
    let mut newer = snapshot();
    newer.store_up = true;
    page.update(newer);
    assert!(ask(address, "GET /metrics").1.contains("netmoth_store_up{interface=\"eth\\\"1\"} 1\n"));
}

#[test]
fn anything_else_is_not_found() {
    let (address, _page) = patient();
    for request in ["GET /", "GET /metrics/x", "GET /metricsx", "POST /metrics", "DELETE /metrics"] {
        let (head, _) = ask(address, request);
        assert!(head.starts_with("HTTP/1.1 404 "), "{request}: {head}");
    }
}

#[test]
fn clients_that_say_nothing_hold_nobody_up_for_longer_than_their_time() {
    let time = Duration::from_millis(300);
    let (address, page) = serve(Limits { requests: 2, time });
    let begin = Instant::now();
    let mut silent: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    silent[1].write_all(b"GET /metr").unwrap();
    page.update(snapshot());
    assert!(begin.elapsed() < time, "an update waits for nobody");
    assert!(ask(address, "GET /metrics").0.starts_with("HTTP/1.1 200 "));
    assert!(begin.elapsed() >= time, "both places were held until their time was over");
    // They were hung up on.
    for client in &mut silent {
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn the_thread_ends_with_the_page_whoever_is_being_answered() {
    let (address, page) = patient();
    let _silent = TcpStream::connect(address).unwrap();
    let begin = Instant::now();
    drop(page);
    assert!(begin.elapsed() < Duration::from_secs(10), "the client's time of 20 s was not waited for");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_that_can_not_be_had_is_answered_with_cause_and_remedy() {
    let holder = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Endpoint::bind(holder.address()).unwrap_err().to_string();
    let port = holder.address().port();
    assert!(error.contains(&format!("127.0.0.1:{port} is in use")) && error.contains("another port"), "{error}");
    // 192.0.2.0/24 is for documentation (RFC 5737).
    let error = Endpoint::bind("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("no address 192.0.2.1") && error.contains("ip -br address"), "{error}");
}

/// Every text under the keys `expr` and `query`, however deep: what Grafana asks.
fn queries<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                found.extend(value.as_str().filter(|_| key == "expr" || key == "query"));
                queries(value, found);
            }
        }
        serde_json::Value::Array(all) => all.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_is_exported_and_for_all_of_it() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut asked = Vec::new();
    queries(&dashboard, &mut asked);
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let used = asked.iter().flat_map(|query| query.split(word)).filter(|word| word.starts_with("netmoth_"));
    let used: BTreeSet<String> = used.map(String::from).collect();
    let (address, _page) = patient();
    let mut exported = names(&ask(address, "GET /metrics").1);
    // What it says is for people, not for a curve.
    exported.remove("netmoth_build_info");
    assert_eq!(used, exported);
}
