//! The parser beside etherparse: frames of captures, and frames that are made for it.
//!
//! What is compared, and where the two may differ, stands in `fuzz/src/oracle`, which the fuzzer's target of that name uses, too.

#[path = "../support/captures.rs"]
mod captures;
mod frames;
#[path = "../../../fuzz/src/oracle/mod.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is part of a library where libFuzzer calls it")]
mod oracle;

use std::cell::RefCell;
use std::collections::BTreeMap;

use netmoth::capture::file::CaptureFile;
use netmoth::wire::LinkType;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use frames::frames;
use oracle::{Explained, compare};

/// Frames that are made.
const CASES: u32 = 400_000;

/// How often each difference was met.
type Counts = BTreeMap<Explained, u64>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares the Ethernet frames of one file, as far as it can be read. Gives their number.
fn compare_file(path: &std::path::Path, counts: &mut Counts) -> u64 {
    let mut frames = 0;
    let mut file = CaptureFile::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    loop {
        let more = file.next_batch(|packets| {
            for packet in packets.iter().filter(|packet| packet.link == Some(LinkType::Ethernet)) {
                frames += 1;
                match compare(packet.data, packet.wire_len) {
                    Ok(explained) => {
                        explained.into_iter().for_each(|explained| *counts.entry(explained).or_default() += 1)
                    }
                    Err(difference) => panic!(
                        "{}, Ethernet frame {frames} of {} bytes on the wire: {difference}\n{}",
                        path.display(),
                        packet.wire_len,
                        hex(packet.data)
                    ),
                }
            }
        });
        // A file that is damaged ends there: other tests look at that.
        if !matches!(more, Ok(true)) {
            return frames;
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "what was met is worth a look where the test is run by hand")]
fn another_parser_reads_the_same_in_every_capture() {
    let Some(shared) = captures::shared() else { return };
    let mut files = Vec::new();
    captures::files(&shared, &mut files);
    let mut counts = Counts::new();
    let frames: u64 = files.iter().map(|file| compare_file(file, &mut counts)).sum();
    eprintln!("{frames} Ethernet frames of {} files; explained: {counts:?}", files.len());
    assert!(frames > 5_000, "{frames} Ethernet frames");
}

#[test]
#[expect(clippy::print_stderr, reason = "what was met is worth a look where the test is run by hand")]
fn another_parser_reads_the_same_in_frames_that_were_made_and_every_explained_difference_is_met() {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let numbers = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (counts, read) = (RefCell::new(Counts::new()), RefCell::new(0_u32));
    let outcome = TestRunner::new_with_rng(config, numbers).run(&frames(), |made| {
        let data = made.captured();
        match compare(data, made.wire_len) {
            Ok(Some(explained)) => *counts.borrow_mut().entry(explained).or_default() += 1,
            Ok(None) => {
                *read.borrow_mut() += u32::from(netmoth::wire::parse(LinkType::Ethernet, data, made.wire_len).is_ok())
            }
            Err(difference) => return Err(TestCaseError::fail(difference)),
        }
        Ok(())
    });
    let (counts, read) = (counts.into_inner(), read.into_inner());
    eprintln!("{read} of {CASES} read by both without a difference; explained: {counts:?}");
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
    let never: Vec<_> = Explained::ALL.iter().filter(|explained| !counts.contains_key(explained)).collect();
    assert!(never.is_empty(), "differences that are explained and do not exist: {never:?}");
    assert!(read > CASES / 4, "{read} of {CASES} frames were read by both");
}
