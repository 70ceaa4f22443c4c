//! A capture file read by Netmoth and by others: time, CPU, memory, and what each found in it.
//!
//! `cargo bench --bench peers_file [-- --format json]`; `scripts/install-tools.sh --for-benches` installs the others,
//! and what is not installed has an empty row. `NETMOTH_BENCH_PACKETS` (default 3000000) is the length of the capture,
//! `NETMOTH_BENCH_ROUNDS` (default 3) the number of rounds, in each of which every reader has its turn.

mod capture;
#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "shared with the benchmarks that send on a wire")]
mod common;
mod measure;
mod reader;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

use common::settings;
use netmoth::bench::{Cell, Column, Report, Spread};
use reader::{Found, Reader, Setup};

/// One reader's turn.
struct Turn {
    used: measure::Used,
    found: Found,
}

fn main() {
    let Some(format) = settings::asked() else { return };
    let packets = settings::number("NETMOTH_BENCH_PACKETS", 3_000_000);
    let rounds = settings::number("NETMOTH_BENCH_ROUNDS", 3).max(1);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the capture");
    let file = folder.path().join("capture.pcap");
    let made = capture::write(&file, packets).expect("room for the capture");
    // The page cache is warm for everybody.
    std::io::copy(&mut std::fs::File::open(&file).unwrap(), &mut std::io::sink()).unwrap();
    let readers: Vec<Reader> = Reader::ALL.into_iter().filter(|reader| reader.is_known()).collect();
    let mut turns: Vec<Vec<Turn>> = readers.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (reader, into) in readers.iter().zip(&mut turns).filter(|(reader, _)| reader.is_installed()) {
            into.push(turn(*reader, &file));
        }
    }
    let report = report(&made, &readers, &turns);
    report.print(format, &mut std::io::stdout()).expect("standard output");
}

fn turn(reader: Reader, file: &std::path::Path) -> Turn {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for what it writes");
    let sink = (reader == Reader::Softflowd).then(|| common::sink::Sink::start(None));
    let setup = Setup { file, folder: folder.path(), port: sink.as_ref().map_or(0, |sink| sink.port) };
    let (used, said) = measure::run(&mut reader.command(&setup), folder.path());
    let datagrams = sink.map(common::sink::Sink::stop);
    Turn { used, found: reader.found(&setup, &said, datagrams) }
}

fn report(made: &capture::Made, readers: &[Reader], turns: &[Vec<Turn>]) -> Report {
    let mut report = Report::new(
        format!(
            "{} packets of {} connections, {} MB: TCP, UDP, ICMP, one in ten over IPv6, frames of the simple IMIX",
            made.packets,
            made.connections,
            made.bytes / 1_000_000
        ),
        [
            Column::text("reader"),
            Column::number("wall", "s", 2),
            Column::number("CPU", "s", 2),
            Column::number("rate", "packets/s", 0),
            Column::number("CPU per packet", "ns", 0),
            Column::number("peak memory", "MB", 0),
            Column::number("packets", "", 0),
            Column::number("flows", "", 0),
            Column::text("remark"),
        ],
    );
    for (reader, turns) in readers.iter().zip(turns) {
        report.row(row(*reader, turns, made.packets));
    }
    for reader in readers {
        report.note(format!("{}: {}", reader.name(), reader.command_line()));
    }
    if !Reader::TwoWorkers.is_known() {
        report.note("netmoth read has no --workers here: the row with two workers is left out.");
    }
    report.note(
        "CPU is user and system time of the process and the children that it waited for; peak memory is that of the \
         largest process. The file is in the page cache. Flows are counted as each reader counts them: nfpcapd and \
         pmacctd have one for each direction. pmacctd sleeps two seconds before a file and for moments in it: its wall \
         time is no measure, its CPU time is.",
    );
    report
}

fn row(reader: Reader, turns: &[Turn], packets: u64) -> Vec<Cell> {
    let Some(last) = turns.last() else { return vec![format!("{}: not installed", reader.name()).into()] };
    let spread =
        |of: fn(&measure::Used) -> f64| Spread::of(&turns.iter().map(|turn| of(&turn.used)).collect::<Vec<_>>());
    let wall = spread(|used| used.wall.as_secs_f64());
    let cpu = spread(|used| used.cpu.as_secs_f64());
    let missed = last.found.packets.is_some_and(|found| found != packets);
    let remark = if missed { format!("saw not all packets; {}", last.found.remark) } else { last.found.remark.clone() };
    vec![
        reader.name().into(),
        wall.into(),
        cpu.into(),
        (packets as f64 / wall.median).into(),
        (cpu.median * 1e9 / packets as f64).into(),
        spread(|used| used.peak_bytes as f64 / 1e6).median.into(),
        last.found.packets.into(),
        last.found.flows.into(),
        remark.into(),
    ]
}
