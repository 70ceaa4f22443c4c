//! Who reads the capture, how each is called, and how it is known what it found.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::program::{installed, number_behind};
use crate::support::command::{SHORT, run};
use crate::support::sensor::NETMOTH;

/// A program that reads captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Netmoth,
    TwoWorkers,
    Nfpcapd,
    Softflowd,
    Argus,
    Pmacctd,
}

/// Where everything is in one turn.
pub(crate) struct Setup<'a> {
    pub(crate) file: &'a Path,
    /// Empty, for what the reader writes.
    pub(crate) folder: &'a Path,
    /// Of the collector.
    pub(crate) port: u16,
}

/// What a reader has found, by its own account or its own tools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) packets: Option<u64>,
    pub(crate) flows: Option<u64>,
    /// How it is known, and what else is to be said.
    pub(crate) remark: String,
}

/// pmacctd takes no arguments for half of this. The cache has room for all flows (in the default's, most collide), the
/// pipe for the whole file; the buffer is large because the core sleeps for some milliseconds after each.
const PMACCTD: &str = "aggregate: src_host,dst_host,src_port,dst_port,proto
plugins: print
print_output: csv
print_output_file: FOLDER/flows.csv
print_refresh_time: 3600
print_cache_entries: 262147
plugin_buffer_size: 10240000
plugin_pipe_size: 512000000
pcap_savefile: FILE
";

impl Reader {
    pub(crate) const ALL: [Self; 6] =
        [Self::Netmoth, Self::TwoWorkers, Self::Nfpcapd, Self::Softflowd, Self::Argus, Self::Pmacctd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Netmoth => "netmoth read",
            Self::TwoWorkers => "netmoth read, two workers",
            Self::Nfpcapd => "nfpcapd",
            Self::Softflowd => "softflowd",
            Self::Argus => "argus",
            Self::Pmacctd => "pmacctd",
        }
    }

    fn program(self) -> String {
        match self {
            Self::Netmoth | Self::TwoWorkers => NETMOTH.into(),
            other => installed(other.name()).map_or(other.name().into(), |path| path.display().to_string()),
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        Path::new(&self.program()).is_absolute()
    }

    /// Whether there is such a reader at all.
    pub(crate) fn is_known(self) -> bool {
        self != Self::TwoWorkers || knows_workers()
    }

    /// FILE, FOLDER and PORT stand for those of a turn.
    fn arguments(self) -> &'static str {
        match self {
            Self::Netmoth if knows_workers() => "read --format none --workers 1 FILE",
            Self::Netmoth => "read --format none FILE",
            Self::TwoWorkers => "read --format none --workers 2 FILE",
            Self::Nfpcapd => "-r FILE -w FOLDER",
            Self::Softflowd => "-d -r FILE -m 2000000 -v 9 -n 127.0.0.1:PORT",
            Self::Argus => "-X -r FILE -w FOLDER/flows.argus",
            Self::Pmacctd => "-f FOLDER/pmacctd.conf",
        }
    }

    /// The command line as people would write it.
    pub(crate) fn command_line(self) -> String {
        let name = match self {
            Self::Netmoth | Self::TwoWorkers => "netmoth",
            other => other.name(),
        };
        let mut line = format!("{name} {}", self.arguments());
        if self == Self::Pmacctd {
            line += " with ";
            line += &PMACCTD.trim_end().replace('\n', "; ");
        }
        line
    }

    pub(crate) fn command(self, setup: &Setup<'_>) -> Command {
        if self == Self::Pmacctd {
            fs::write(setup.folder.join("pmacctd.conf"), setup.fill(PMACCTD)).unwrap();
        }
        let mut command = Command::new(self.program());
        command.args(self.arguments().split(' ').map(|argument| setup.fill(argument)));
        command.env("RUST_LOG", "info,netmoth::summary=debug");
        command
    }

    /// What it found, after it has ended; `said` is what it wrote to the terminal.
    pub(crate) fn found(self, setup: &Setup<'_>, said: &str, datagrams: Option<u64>) -> Found {
        match self {
            Self::Netmoth | Self::TwoWorkers => netmoth(said),
            Self::Nfpcapd => nfpcapd(setup.folder),
            Self::Softflowd => softflowd(said, datagrams.unwrap_or(0)),
            Self::Argus => argus(setup.folder),
            Self::Pmacctd => pmacctd(setup.folder),
        }
    }
}

impl Setup<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("FILE", &self.file.display().to_string())
            .replace("FOLDER", &self.folder.display().to_string())
            .replace("PORT", &self.port.to_string())
    }
}

fn knows_workers() -> bool {
    run(Command::new(NETMOTH).args(["read", "--help"]), SHORT).stdout.contains("--workers")
}

fn netmoth(said: &str) -> Found {
    let json = said.lines().rev().find_map(|line| line.split_once("summary-json ")).map(|(_, json)| json);
    let sums: serde_json::Value = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let remark = if sums["exact"] == true { "its summary; exact" } else { "its summary does not add up" };
    Found { packets: sums["tracked"].as_u64(), flows: sums["flows_started"].as_u64(), remark: remark.into() }
}

fn nfpcapd(folder: &Path) -> Found {
    let mut dump = Command::new("nfdump");
    dump.arg("-R").arg(folder).arg("-I");
    // Its own words are in the folder, too.
    fs::remove_file(folder.join("said")).ok();
    let text = run(&mut dump, SHORT).stdout;
    Found {
        packets: number_behind(&text, "\nPackets:"),
        flows: number_behind(&text, "\nFlows:"),
        remark: "nfdump -I".into(),
    }
}

fn softflowd(said: &str, datagrams: u64) -> Found {
    let sent = said.lines().find(|line| line.starts_with("Flows exported")).unwrap_or_default();
    Found {
        packets: number_behind(said, "Packets processed"),
        flows: number_behind(said, "Flows exported"),
        remark: format!(
            "its statistics; {} datagrams of NetFlow, {datagrams} of them taken",
            number_behind(sent, "records) in").unwrap_or(0)
        ),
    }
}

fn argus(folder: &Path) -> Found {
    if installed("racount").is_none() {
        return Found { remark: "not checked: racount is not installed".into(), ..Found::default() };
    }
    let mut count = Command::new("racount");
    count.arg("-r").arg(folder.join("flows.argus"));
    let text = run(&mut count, SHORT).stdout;
    let sums = text.lines().find(|line| line.trim_start().starts_with("sum")).unwrap_or_default();
    let mut numbers = sums.split_whitespace().skip(1).map(|number| number.parse().ok());
    // One of its records is about itself.
    let flows = numbers.next().flatten().map(|records: u64| records.saturating_sub(1));
    Found { packets: numbers.next().flatten(), flows, remark: "racount".into() }
}

fn pmacctd(folder: &Path) -> Found {
    let text = fs::read_to_string(folder.join("flows.csv")).unwrap_or_default();
    let packets = text.lines().skip(1).filter_map(|line| line.rsplit(',').nth(1)?.parse::<u64>().ok());
    let (flows, packets) = packets.fold((0, 0), |(flows, sum), packets| (flows + 1, sum + packets));
    Found { packets: Some(packets), flows: Some(flows), remark: "what it printed".into() }
}
