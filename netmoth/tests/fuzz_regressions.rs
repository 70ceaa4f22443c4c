//! The fuzzers' targets with a stable compiler: all seeds, all inputs that once found something (`fuzz/regressions`), and
//! as many changed seeds as an ordinary test run has time for. `scripts/fuzz.sh` does the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is a library where libFuzzer calls it")]
mod fuzz;

/// Changed seeds for each target.
const MUTATIONS: u64 = 20_000;

/// Of these, those of filters: each is compiled and loaded twice.
const FILTERS: u64 = 5_000;

/// A changed seed becomes no longer than this.
const LONGEST: usize = 2_000;

fn folder(of: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(of).join(target)
}

/// The files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

/// Pseudo-random numbers that are the same on every run: SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Changes an input in a few places: a bit, a byte, a piece that is left out, doubled, or taken from another input.
fn mutate(input: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(6) {
        let length = input.len().max(1);
        let (at, end) = (numbers.below(length), numbers.below(length + 1));
        match numbers.below(6) {
            _ if input.is_empty() => input.push(numbers.next() as u8),
            0 => input[at] ^= 1 << numbers.below(8),
            1 => input[at] = numbers.next() as u8,
            2 => input[at] = [0, 0xff, 0x7f, 0x80][numbers.below(4)],
            3 => drop(input.drain(at.min(end)..end)),
            4 => input.extend_from_within(at.min(end)..end),
            _ => drop(input.splice(at.., other[numbers.below(other.len())..].iter().copied())),
        }
        input.truncate(LONGEST);
    }
}

fn run(target: &str, mutations: u64, body: fn(&[u8])) {
    let seeds = files(&folder("seeds", target));
    let found = files(&folder("regressions", target));
    for input in seeds.values().chain(found.values()) {
        body(input);
    }
    let seeds: Vec<&Vec<u8>> = seeds.values().chain(found.values()).filter(|input| !input.is_empty()).collect();
    for number in 0..mutations {
        let mut numbers = Numbers(number);
        let mut input = seeds[numbers.below(seeds.len())].clone();
        mutate(&mut input, seeds[numbers.below(seeds.len())], &mut numbers);
        let outcome = std::panic::catch_unwind(|| body(&input));
        assert!(outcome.is_ok(), "{target}: mutation {number} found something: {}", hex(&input));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_frame_has_one_fate() {
    run("frame", MUTATIONS, fuzz::frame);
}

#[test]
fn every_story_leaves_the_table_in_order_and_loses_no_packet() {
    run("flows", MUTATIONS, fuzz::flows);
}

#[test]
fn any_file_is_read_to_its_end_or_refused() {
    run("capture_file", MUTATIONS, fuzz::capture_file);
}

#[test]
fn another_parser_reads_the_same() {
    run("parser_oracle", MUTATIONS, fuzz::parser_oracle);
}

#[test]
fn a_filter_says_the_same_wherever_it_runs() {
    run("filter", FILTERS, fuzz::filter);
}

#[test]
fn the_committed_seeds_are_what_their_source_makes() {
    for target in ["frame", "flows", "capture_file", "parser_oracle", "filter"] {
        let made = fuzz::seeds::all().into_iter().filter(|seed| seed.target == target);
        let made: BTreeMap<String, Vec<u8>> = made.map(|seed| (seed.name, seed.bytes)).collect();
        let folder = folder("seeds", target);
        if std::env::var_os("NETMOTH_WRITE_SEEDS").is_some() {
            write(&folder, &made);
        }
        assert!(made == files(&folder), "seeds of {target}: NETMOTH_WRITE_SEEDS=1 cargo test --test fuzz_regressions");
    }
}

/// Writes the seeds of one target anew.
fn write(folder: &Path, seeds: &BTreeMap<String, Vec<u8>>) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    for (name, bytes) in seeds {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
