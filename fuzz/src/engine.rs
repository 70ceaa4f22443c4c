//! An engine with a small table, and what must hold of what it counts and emits.

use std::collections::HashMap;
use std::sync::Arc;

use netmoth::flow::{EndReason, FlowConfig, FlowRecord};
use netmoth::metrics::{WorkerCounters, WorkerTotals};
use netmoth::wire::MAX_TUNNELS;
use netmoth::worker::{Arrival, Engine};

/// Packets that were booked on connections: what the records must add up to.
fn booked(totals: &WorkerTotals) -> u64 {
    totals.tracked + totals.tunnelled
}

/// The engine with its counters and everything that it has emitted.
pub(super) struct Bench {
    pub(super) engine: Engine,
    counters: Arc<WorkerCounters>,
    out: Vec<FlowRecord>,
    given: u64,
}

impl Bench {
    pub(super) fn new(config: &FlowConfig) -> Self {
        let counters = Arc::new(WorkerCounters::default());
        let engine = Engine::new(config, Arc::clone(&counters)).expect("a small table");
        Self { engine, counters, out: Vec::new(), given: 0 }
    }

    /// Hands up to a batch of frames over; each must have exactly one fate.
    pub(super) fn process(&mut self, frames: &[Arrival<'_>]) {
        self.given += frames.len() as u64;
        self.engine.process(frames.iter().copied(), &mut self.out);
        let totals = self.counters.snapshot();
        assert_eq!(totals.frames, self.given, "every frame is counted");
        assert_eq!(totals.frames, totals.tracked + totals.not_tracked_sum(), "every frame has one fate");
        assert!(totals.tunnelled <= totals.tracked * MAX_TUNNELS as u64, "only what is tracked carries packets");
    }

    /// Ends what is due at `now`.
    pub(super) fn advance(&mut self, now: netmoth::time::Instant) {
        self.engine.advance(now, &mut self.out);
    }

    /// Looks through the table; `timers`, too, where the clock never went back.
    pub(super) fn check(&self, timers: bool) {
        let table = self.engine.table();
        table.check_invariants().expect("the table's bookkeeping holds");
        if timers {
            table.check_timers().expect("timers fire in time");
        }
        let totals = self.counters.snapshot();
        assert_eq!(totals.flows_open, table.len() as u64, "the gauge says what is in the table");
        assert_eq!(totals.flows_started, table.flows_started());
    }

    /// Ends all connections and adds everything up.
    pub(super) fn finish(mut self) -> WorkerTotals {
        self.engine.finish(&mut self.out);
        self.check(false);
        assert!(self.engine.table().is_empty(), "the end ends every connection");
        let totals = self.counters.snapshot();
        let packets: u64 = self.out.iter().map(|record| record.src_packets + record.dst_packets).sum();
        assert_eq!(packets, booked(&totals), "every packet that was booked is in one record");
        assert_eq!(connections(&self.out), totals.flows_started, "every connection has a flow_id of its own");
        totals
    }
}

/// Checks the records of each connection in their order, and counts the connections.
fn connections(records: &[FlowRecord]) -> u64 {
    let mut last: HashMap<i64, &FlowRecord> = HashMap::new();
    for record in records {
        assert!(record.start_ns <= record.end_ns, "a part ends after its start: {record:?}");
        assert!(record.flow_id > 0, "positive: {record:?}");
        assert!(record.src_packets + record.dst_packets > 0, "no part is empty: {record:?}");
        assert!(record.src_bytes >= record.src_payload_bytes && record.dst_bytes >= record.dst_payload_bytes);
        match last.insert(record.flow_id, record) {
            None => assert_eq!(record.part, 0, "the first part is 0: {record:?}"),
            Some(before) => {
                assert_eq!(record.part, before.part + 1, "parts are numbered without gaps: {before:?} {record:?}");
                assert_eq!(before.end_reason, EndReason::Active, "nothing follows the end: {before:?} {record:?}");
            }
        }
    }
    for record in last.values() {
        assert_ne!(record.end_reason, EndReason::Active, "every connection ends: {record:?}");
    }
    last.len() as u64
}
