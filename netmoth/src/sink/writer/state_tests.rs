//! What goes beside what.

use super::*;
use crate::sink::SpoolConfig;
use crate::sink::row::tests::record;

/// A state with batches of 10 records, and the workers' end of its channel.
struct Bench {
    state: State,
    sender: Sender<Batch>,
    counters: Arc<WriterCounters>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// What `spooled` says waits in the spool: batches of so many records.
    fn new(spooled: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolConfig { path: folder.path().join("spool"), max_bytes: 1 << 20 };
        let mut config = WriterConfig::new("sqlite:never-opened.db".parse().unwrap(), "edge");
        config =
            WriterConfig { batch_records: 10, flush_interval: Duration::ZERO, spool: Some(spool.clone()), ..config };
        let run = RunIdentity { sensor: "edge".into(), run: 7, community_id_seed: 0 };
        let mut spool = Spool::open(spool).unwrap();
        for (seq, records) in (0..).zip(spooled) {
            let run = RunIdentity { run: 6, ..run.clone() };
            spool.append(&Unit { run, seq, node: 1, records: vec![record(); *records] }).unwrap();
        }
        let (sender, received) = crossbeam_channel::unbounded();
        let (recycle, _) = crossbeam_channel::unbounded();
        let counters = Arc::new(WriterCounters::default());
        let state = State::new(&config, run, (received, recycle), Some(spool), Arc::clone(&counters));
        Self { state, sender, counters, _folder: folder }
    }

    fn send(&mut self, records: usize) {
        self.counters.add_emitted(records as u64);
        self.sender.send(Batch { records: vec![record(); records], ..Batch::default() }).unwrap();
        self.state.drain();
    }

    #[track_caller]
    fn next(&mut self, from: Place, records: usize) -> Pending {
        let next = self.state.next();
        assert_is(next.as_ref(), from, records);
        next.unwrap()
    }

    fn assert_conserved(&self) {
        assert!(self.counters.report().is_balanced(), "{:?}", self.counters.report());
    }
}

#[track_caller]
fn assert_is(pending: Option<&Pending>, from: Place, records: usize) {
    assert_eq!(pending.map(|pending| (pending.from, pending.unit.records.len())), Some((from, records)));
}

fn rejected() -> StoreError {
    StoreError::Failed { at: "there".into(), cause: "it does not like this".into() }
}

#[test]
fn only_a_whole_batch_goes_beside_another() {
    let mut bench = Bench::new(&[]);
    bench.send(29);
    let first = bench.state.next();
    let second = bench.state.beside();
    assert_is(first.as_ref(), Place::Memory, 10);
    assert_is(second.as_ref(), Place::Memory, 10);
    // It is due for its flush, and still no reason for a second connection.
    assert!(!bench.state.has_backlog() && bench.state.beside().is_none());
    bench.state.committed(&second.unwrap());
    assert!(bench.state.beside().is_none());
    bench.send(1);
    let third = bench.state.beside();
    assert_is(third.as_ref(), Place::Memory, 10);
    for pending in [first, third] {
        bench.state.committed(&pending.unwrap());
    }
    bench.send(9);
    assert_is(bench.state.next().as_ref(), Place::Memory, 9);
    bench.assert_conserved();
}

#[test]
fn while_the_store_is_away_one_batch_tries_it() {
    let mut bench = Bench::new(&[]);
    bench.send(20);
    let (first, second) = (bench.state.next().unwrap(), bench.state.beside().unwrap());
    bench.state.again(second);
    bench.state.again(first);
    bench.state.away = true;
    let again = bench.state.next().unwrap();
    assert_eq!(again.unit.seq, 0, "the one that came back last was first");
    assert!(!bench.state.has_backlog() && bench.state.beside().is_none());
    bench.state.away = false;
    assert_eq!(bench.state.beside().unwrap().unit.seq, 1);
}

#[test]
fn the_spool_is_read_one_batch_at_a_time_and_memory_goes_beside_it() {
    let mut bench = Bench::new(&[3, 4]);
    let spooled = bench.state.next().unwrap();
    assert_is(Some(&spooled), Place::Spool, 3);
    assert!(bench.state.beside().is_none(), "the next one of the spool is not for now");
    bench.send(20);
    let memory = bench.state.beside().unwrap();
    assert_is(Some(&memory), Place::Memory, 10);
    bench.state.committed(&memory);
    assert_eq!(bench.counters.spooled(), 7);
    bench.state.committed(&spooled);
    assert_eq!((bench.counters.spooled(), bench.counters.committed()), (4, 13));
    for (from, records) in [(Place::Memory, 10), (Place::Spool, 4)] {
        let next = bench.next(from, records);
        bench.state.committed(&next);
    }
    assert_eq!(bench.state.disk.spool.as_ref().map(Spool::records), Some(0));
    bench.assert_conserved();
}

#[test]
fn a_batch_leaves_the_spool_when_the_last_of_its_parts_has_its_fate() {
    let mut bench = Bench::new(&[2, 1]);
    let whole = bench.next(Place::Spool, 2);
    bench.state.rejected(&whole, &rejected());
    let first = bench.next(Place::Spool, 1);
    bench.send(10);
    assert!(bench.state.beside().is_none(), "parts of what was rejected are written alone");
    bench.state.committed(&first);
    assert_eq!(bench.state.disk.spool.as_ref().map(Spool::records), Some(3), "its second half is open");
    let second = bench.next(Place::Spool, 1);
    // The last part is under way and nothing of the batch waits: it is still the spool's.
    let memory = bench.state.beside().unwrap();
    bench.state.committed(&memory);
    assert_eq!(bench.state.disk.spool.as_ref().map(Spool::records), Some(3));
    bench.state.rejected(&second, &rejected());
    assert_eq!(bench.state.disk.spool.as_ref().map(Spool::records), Some(1));
    assert_eq!(bench.counters.lost(LostReason::Rejected), 1);
    bench.assert_conserved();
}

#[test]
fn what_is_under_way_at_the_end_goes_to_the_spool() {
    let mut bench = Bench::new(&[5]);
    let _from_spool = bench.state.next().unwrap();
    bench.send(23);
    let _from_memory = bench.state.beside().unwrap();
    assert!(!bench.state.is_done());
    bench.state.give_up();
    assert!(bench.state.is_done());
    assert_eq!((bench.counters.spooled(), bench.counters.lost_total()), (28, 0));
    bench.assert_conserved();
}
