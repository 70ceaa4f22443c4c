//! What goes in comes out, in order and once; what was damaged is counted; whatever stands in the files, nothing else comes out.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::flow::FlowRecord;
use crate::sink::row::tests::record;
use crate::sink::store::RunIdentity;

fn config(folder: &TempDir, max_bytes: u64) -> SpoolConfig {
    SpoolConfig { path: folder.path().join("spool"), max_bytes }
}

fn unit(seq: i64, records: u32) -> Unit {
    let run = RunIdentity { sensor: "edge".into(), run: 7, community_id_seed: 3 };
    let records = (0..records).map(|part| FlowRecord { part, flow_id: seq, ..record() }).collect();
    Unit { run, seq, node: 1, records }
}

/// Everything that comes out.
fn drained(spool: &mut Spool) -> Vec<Unit> {
    let mut units = Vec::new();
    while let Some(unit) = spool.front().unwrap() {
        units.push(unit);
        spool.consumed().unwrap();
    }
    assert_eq!(spool.records(), 0);
    units
}

fn segments(folder: &TempDir) -> Vec<PathBuf> {
    let path = folder.path().join("spool");
    numbers(&path).unwrap().into_iter().map(|number| segment::path(&path, number)).collect()
}

#[test]
fn batches_come_back_in_order_over_segments_and_restarts_and_leave_nothing() {
    let folder = TempDir::new().unwrap();
    let wanted: Vec<Unit> = (0..30).map(|seq| unit(seq, 10_000)).collect();
    let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
    wanted[..20].iter().for_each(|unit| spool.append(unit).unwrap());
    assert_eq!(spool.records(), 200_000);
    assert!(segments(&folder).len() > 1, "16 MiB each");
    assert_eq!(spool.front().unwrap().as_ref(), Some(&wanted[0]));
    spool.consumed().unwrap();
    drop(spool);

    let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
    assert_eq!(spool.records(), 200_000, "a segment of which something is left is offered whole");
    wanted[20..].iter().for_each(|unit| spool.append(unit).unwrap());
    assert_eq!(drained(&mut spool), wanted);
    assert_eq!((segments(&folder).len(), spool.bytes(), spool.damage()), (0, 0, Damage::default()));
}

#[test]
fn what_is_appended_while_it_is_drained_comes_too() {
    let folder = TempDir::new().unwrap();
    let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
    for seq in 0..100 {
        spool.append(&unit(seq, 3)).unwrap();
        if seq % 3 == 2 {
            assert_eq!(spool.front().unwrap(), Some(unit(seq / 3, 3)));
            spool.consumed().unwrap();
        }
    }
    assert_eq!(drained(&mut spool), (33..100).map(|seq| unit(seq, 3)).collect::<Vec<_>>());
}

#[test]
fn its_bound_holds_and_two_processes_do_not_share_it() {
    let folder = TempDir::new().unwrap();
    let mut spool = Spool::open(config(&folder, 100_000)).unwrap();
    let mut kept = 0;
    let full = loop {
        match spool.append(&unit(kept, 100)) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SpoolError::Full { .. }) && full.to_string().contains("spool.max_bytes"), "{full}");
    assert!(spool.bytes() <= 100_000 && kept > 3, "{kept} batches, {} bytes", spool.bytes());
    assert!(matches!(Spool::open(config(&folder, 100_000)), Err(SpoolError::Taken { .. })));
    assert_eq!(drained(&mut spool).len() as i64, kept);
    spool.append(&unit(0, 100)).unwrap();
}

#[test]
fn a_torn_tail_is_cut_off_and_counted_once() {
    let folder = TempDir::new().unwrap();
    let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
    (0..5).for_each(|seq| spool.append(&unit(seq, 10)).unwrap());
    drop(spool);
    let file = &segments(&folder)[0];
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
    let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
    assert_eq!((spool.records(), spool.damage().records), (40, 10));
    drop(spool);
    spool = Spool::open(config(&folder, 1 << 30)).unwrap();
    assert_eq!(spool.damage(), Damage::default(), "it was cut off");
    assert_eq!(drained(&mut spool).len(), 4);
}

#[test]
fn a_flipped_bit_costs_its_batch_and_no_other() {
    let folder = TempDir::new().unwrap();
    let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
    (0..5).for_each(|seq| spool.append(&unit(seq, 10)).unwrap());
    drop(spool);
    let file = &segments(&folder)[0];
    let whole = fs::read(file).unwrap();
    let length = whole.len() / 5;
    for (at, known) in [(2 * length + entry::HEADER + 50, 10), (2 * length + 5, 0)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(file, &bytes).unwrap();
        let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
        let found: Vec<i64> = drained(&mut spool).iter().map(|unit| unit.seq).collect();
        assert_eq!(found, [0, 1, 3, 4]);
        assert_eq!(spool.damage(), Damage { records: known, bytes: length as u64 });
        drop(spool);
        fs::write(file, &whole).unwrap();
    }
}

#[test]
fn another_process_can_tell_its_size_and_age() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder, 1 << 30);
    assert_eq!(SpoolFacts::of(&config.path).unwrap(), SpoolFacts::default());
    let mut spool = Spool::open(config.clone()).unwrap();
    spool.append(&unit(0, 10)).unwrap();
    let facts = SpoolFacts::of(&config.path).unwrap();
    assert_eq!(facts.bytes, spool.bytes());
    assert!(facts.oldest.unwrap().elapsed().unwrap().as_secs() < 60);
}

/// What may happen to a file on a disk.
#[derive(Clone, Debug)]
enum Harm {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    /// A stretch is written again elsewhere.
    Copy(usize, usize, usize),
    Swap,
}

fn harm() -> impl Strategy<Value = Harm> {
    let place = || 0usize..100_000;
    prop_oneof![
        (place(), 1u8..).prop_map(|(at, bits)| Harm::Flip(at, bits)),
        place().prop_map(Harm::Cut),
        (place(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        (place(), place(), place()).prop_map(|(from, to, length)| Harm::Copy(from, to, length)),
        Just(Harm::Swap),
    ]
}

fn do_harm(files: &[PathBuf], harm: &Harm) {
    let file = &files[files.len() / 2];
    let mut bytes = fs::read(file).unwrap();
    let length = bytes.len().max(1);
    match harm {
        Harm::Flip(at, bits) if !bytes.is_empty() => bytes[at % length] ^= bits,
        Harm::Flip(..) => {}
        Harm::Cut(at) => bytes.truncate(at % length),
        Harm::Insert(at, more) => {
            let at = at % (bytes.len() + 1);
            bytes.splice(at..at, more.iter().copied());
        }
        Harm::Copy(from, to, count) => {
            let (from, to) = (from % length, to % length);
            let count = (*count).min(bytes.len() - from.min(bytes.len())).min(bytes.len() - to.min(bytes.len()));
            bytes.copy_within(from..from + count, to);
        }
        Harm::Swap => return fs::rename(file, file.with_file_name("9999999999999999.seg")).unwrap(),
    }
    fs::write(file, bytes).unwrap();
}

proptest! {
    #[test]
    fn whatever_happens_to_the_files_only_what_was_written_comes_out(
        sizes in proptest::collection::vec(1u32..40, 1..12), harms in proptest::collection::vec(harm(), 1..5),
    ) {
        let folder = TempDir::new().unwrap();
        let written: Vec<Unit> = sizes.iter().enumerate().map(|(seq, size)| unit(seq as i64, *size)).collect();
        let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
        for (at, unit) in written.iter().enumerate() {
            if at % 4 == 0 {
                spool.begin_segment().unwrap();
            }
            spool.append(unit).unwrap();
        }
        drop(spool);
        harms.iter().for_each(|harm| do_harm(&segments(&folder), harm));
        let mut spool = Spool::open(config(&folder, 1 << 30)).unwrap();
        let found = drained(&mut spool);
        prop_assert!(found.iter().all(|unit| written.contains(unit)), "what was never written came out");
        prop_assert!(segments(&folder).is_empty());
        spool.append(&unit(99, 5)).unwrap();
        prop_assert_eq!(drained(&mut spool), vec![unit(99, 5)]);
    }
}
