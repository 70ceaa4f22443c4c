//! What must hold for any traffic, whatever the records are: through the engine, frame by frame, as live capture and
//! capture files go.
//!
//! Records are compared without `flow_id`, whose numbers follow the order in which connections begin.

#[path = "../support/captures.rs"]
mod captures;
mod dealing;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use netmoth::capture::BATCH;
use netmoth::flow::{ConnState, EndReason, FlowConfig, FlowRecord, History};
use netmoth::metrics::WorkerCounters;
use netmoth::sink::CommunityId;
use netmoth::time::Instant;
use netmoth::wire::LinkType;
use netmoth::worker::{Arrival, Engine};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use traffic::{Frame, Limits, Story, VXLAN, frames, stories};

/// Longer than anything here lasts.
const NEVER: Duration = Duration::from_secs(6 * 24 * 3600);

fn config() -> FlowConfig {
    FlowConfig::new(256, [7, 11])
}

fn engine(config: &FlowConfig) -> Engine {
    Engine::new(config, Arc::new(WorkerCounters::default())).unwrap()
}

/// The instant `ms` milliseconds after an arbitrary start.
fn at(ms: u64) -> Instant {
    Instant { wall_ns: 1_700_000_000_000_000_000 + ms as i64 * 1_000_000, mono_ns: ms * 1_000_000 }
}

fn arrival(data: &[u8], at: Instant) -> Arrival<'_> {
    Arrival { link: Some(LinkType::Ethernet), data, wire_len: data.len() as u32, at }
}

/// The records of these frames, which arrive at the times that `clock` gives them.
fn records_by(config: &FlowConfig, frames: &[Frame], clock: impl Fn(u64) -> Instant) -> Vec<FlowRecord> {
    let (mut engine, mut records) = (engine(config), Vec::new());
    for batch in frames.chunks(BATCH) {
        engine.process(batch.iter().map(|frame| arrival(&frame.data, clock(frame.at_ms))), &mut records);
    }
    engine.finish(&mut records);
    records
}

fn records_of(frames: &[Frame]) -> Vec<FlowRecord> {
    records_by(&config(), frames, at)
}

/// Records as text in an order of their own, so that lists of them compare as sets in which members may repeat.
fn multiset(records: &[FlowRecord]) -> Vec<String> {
    let mut lines: Vec<_> =
        records.iter().map(|record| format!("{:?}", FlowRecord { flow_id: 0, ..*record })).collect();
    lines.sort_unstable();
    lines
}

/// What all parts of a connection come to.
#[derive(Debug, Default, PartialEq)]
struct Whole {
    sums: [u64; 8],
    flags: [u8; 2],
    span: Option<(i64, i64)>,
    parts: u32,
    last: Option<(ConnState, History, EndReason)>,
}

impl Whole {
    fn add(&mut self, r: &FlowRecord) {
        let retransmits = [u64::from(r.src_retransmits), u64::from(r.dst_retransmits)];
        let counts = [r.src_packets, r.dst_packets, r.src_bytes, r.dst_bytes, r.src_payload_bytes, r.dst_payload_bytes];
        self.sums.iter_mut().zip(counts.into_iter().chain(retransmits)).for_each(|(sum, count)| *sum += count);
        self.flags = [self.flags[0] | r.src_tcp_flags, self.flags[1] | r.dst_tcp_flags];
        let (start, end) = self.span.unwrap_or((r.start_ns, r.end_ns));
        self.span = Some((start.min(r.start_ns), end.max(r.end_ns)));
        self.parts += 1;
        self.last = Some((r.conn_state, r.history, r.end_reason));
    }
}

/// Connections by their identifier, which the same frames give them again, and their endpoints.
fn wholes(records: &[FlowRecord]) -> BTreeMap<String, Whole> {
    let mut wholes: BTreeMap<String, Whole> = BTreeMap::new();
    for r in records {
        let ends = (r.src_ip, r.src_port, r.dst_ip, r.dst_port, r.proto, r.vlan_id, r.inner_vlan_id);
        let whole = wholes.entry(format!("{} {ends:?}", r.flow_id)).or_default();
        assert_eq!(r.part, whole.parts, "parts are numbered: {r:?}");
        assert!(whole.last.is_none_or(|(_, _, reason)| reason == EndReason::Active), "nothing follows an end: {r:?}");
        whole.add(r);
    }
    wholes
}

/// Whether a mirrored connection's ports change places. A tunnel's packets go to its port whoever sends them, and an echo's
/// type and code are no ports.
fn ports_swap(record: &FlowRecord) -> bool {
    matches!(record.proto, 6 | 17) && record.dst_port != VXLAN
}

fn swapped(record: &FlowRecord, ports: bool) -> FlowRecord {
    let mut swapped = FlowRecord { src_ip: record.dst_ip, dst_ip: record.src_ip, ..*record };
    if ports && ports_swap(record) {
        (swapped.src_port, swapped.dst_port) = (record.dst_port, record.src_port);
    }
    swapped
}

fn all_swapped(records: &[FlowRecord], ports: bool) -> Vec<FlowRecord> {
    records.iter().map(|record| swapped(record, ports)).collect()
}

fn told(stories: &[Story], otherwise: impl Fn(&Story) -> Story) -> Vec<FlowRecord> {
    records_of(&frames(&stories.iter().map(otherwise).collect::<Vec<_>>()))
}

/// The frames in an order of which only each story's own is kept.
fn interleaved(frames: &[Frame], order: &[Index]) -> Vec<Frame> {
    let mut left: BTreeMap<usize, Vec<Frame>> = BTreeMap::new();
    frames.iter().rev().for_each(|frame| left.entry(frame.story).or_default().push(frame.clone()));
    let mut mixed = Vec::new();
    for turn in order.iter().cycle() {
        left.retain(|_, frames| !frames.is_empty());
        if left.is_empty() || order.is_empty() {
            break;
        }
        let chosen = turn.index(left.len());
        mixed.extend(left.values_mut().nth(chosen).and_then(Vec::pop));
    }
    mixed
}

/// The properties are worth what their traffic is.
#[test]
fn the_traffic_that_is_made_up_is_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let stories = stories(Limits::NONE).new_tree(&mut runner).unwrap().current();
        let config = FlowConfig { active_timeout: Duration::from_secs(1), ..config() };
        for record in records_by(&config, &frames(&stories), at) {
            seen.insert(format!("proto {}", record.proto));
            seen.insert(record.conn_state.as_str().to_owned());
            seen.insert(record.end_reason.as_str().to_owned());
            seen.extend(record.history.as_str().chars().map(String::from));
            let facts = [
                ("part", record.part > 0),
                ("retransmits", record.src_retransmits > 0 && record.dst_retransmits == 0),
                ("round trip", record.tcp_rtt_us.is_some()),
                ("tag", record.vlan_id.is_some() && record.inner_vlan_id.is_none()),
                ("tags", record.inner_vlan_id.is_some()),
                ("tunnel", record.tunnel.is_some()),
                ("IPv6", record.src_ip.is_ipv6()),
                ("piece without its first", record.proto == 17 && record.src_port == 0),
            ];
            seen.extend(facts.into_iter().filter(|(_, is)| *is).map(|(name, _)| name.to_owned()));
        }
    }
    let wanted = "proto 1,proto 6,proto 17,proto 58,S0,S1,S2,S3,SF,REJ,RSTO,RSTR,SH,SHR,OTH,fin,rst,idle,active,shutdown,\
                  S,h,A,a,D,d,F,f,R,r,T,t,G,g,W,w,^,part,retransmits,round trip,tag,tags,tunnel,IPv6,piece without its first";
    let missing: Vec<_> = wanted.split(',').filter(|fact| !seen.contains(*fact)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {seen:?}");
}

proptest! {
    #[test]
    fn the_parts_of_a_connection_add_up_to_the_whole_wherever_it_is_cut(
        stories in stories(Limits::NONE), active_ms in prop_oneof![1u64..1_000, 1_000u64..60_000]
    ) {
        let frames = frames(&stories);
        let cut_after = |active_timeout| records_by(&FlowConfig { active_timeout, ..config() }, &frames, at);
        let (whole, cut) = (wholes(&cut_after(NEVER)), wholes(&cut_after(Duration::from_millis(active_ms))));
        prop_assert!(whole.values().all(|connection| connection.parts == 1));
        let joined = cut.into_iter().map(|(name, connection)| (name, Whole { parts: 1, ..connection })).collect();
        prop_assert_eq!(whole, joined);
    }

    #[test]
    fn every_packet_sent_by_the_other_side_swaps_the_ends_and_nothing_else(
        stories in stories(Limits { server_ports: false, ..Limits::NONE })
    ) {
        let (plain, mirrored) = (told(&stories, Story::clone), told(&stories, Story::mirrored));
        prop_assert_eq!(multiset(&all_swapped(&plain, true)), multiset(&mirrored));
        let ids = |records: &[FlowRecord]| {
            let mut ids: Vec<_> = records.iter().filter(|record| ports_swap(record))
                .map(|record| CommunityId::of(record, 0).as_str().to_owned()).collect();
            ids.sort_unstable();
            ids
        };
        prop_assert_eq!(ids(&plain), ids(&mirrored));
    }

    #[test]
    fn addresses_exchanged_everywhere_are_exchanged_in_the_records_and_change_nothing_else(
        stories in stories(Limits::NONE)
    ) {
        let (plain, readdressed) = (told(&stories, Story::clone), told(&stories, Story::readdressed));
        prop_assert_eq!(multiset(&all_swapped(&plain, false)), multiset(&readdressed));
    }

    #[test]
    fn frames_of_different_connections_at_one_moment_may_come_in_any_order(
        stories in stories(Limits::NONE), order in proptest::collection::vec(any::<Index>(), 1..40)
    ) {
        let frames = frames(&stories);
        let mixed: Vec<Frame> = frames.chunk_by(|a, b| a.at_ms == b.at_ms).flat_map(|moment| interleaved(moment, &order)).collect();
        prop_assert_eq!(multiset(&records_of(&frames)), multiset(&records_of(&mixed)));
    }

    #[test]
    fn where_no_timer_runs_frames_of_different_connections_may_come_in_any_order(
        stories in stories(Limits::NONE), order in proptest::collection::vec(any::<Index>(), 1..40)
    ) {
        let frames = frames(&stories);
        let mixed = interleaved(&frames, &order);
        let still = |ms| Instant { mono_ns: 0, ..at(ms) };
        prop_assert_eq!(multiset(&records_by(&config(), &frames, still)), multiset(&records_by(&config(), &mixed, still)));
    }
}
