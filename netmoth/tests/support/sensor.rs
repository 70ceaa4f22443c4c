//! The sensor itself: `netmoth run` as a process of its own, and what it left behind.

use super::command::{Finished, Running, SHORT, command, run};
use super::compare::{Record, parse};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The binary under test.
pub(crate) const NETMOTH: &str = env!("CARGO_BIN_EXE_netmoth");

/// How long the sensor may take to be ready.
const READY: Duration = Duration::from_secs(20);
/// How long it may take to end: what §4 promises.
pub(crate) const END: Duration = Duration::from_secs(10);

/// How the sensor is to run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `max_cores`.
    pub(crate) cores: u32,
    /// `number_of_rings`.
    pub(crate) rings: u32,
    /// The interface to capture on.
    pub(crate) interface: &'static str,
    /// `spool.max_bytes`.
    pub(crate) spool_bytes: u64,
    /// Further lines of the configuration file.
    pub(crate) more: String,
}

impl Settings {
    /// That many workers, each with a ring at least.
    pub(crate) fn workers(count: u32) -> Self {
        Self { cores: count, rings: count, interface: "tap0", spool_bytes: 1 << 30, more: String::new() }
    }

    /// Writes the configuration file into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let file = folder.join("netmoth.yml");
        let text = format!(
            "interface: {}\nnumber_of_rings: {}\nmax_cores: {}\nzero_copy: true\nspool: {{path: {:?}, max_bytes: {}}}\n{}\n",
            self.interface,
            self.rings,
            self.cores,
            folder.join("spool"),
            self.spool_bytes,
            self.more
        );
        std::fs::write(&file, text).unwrap();
        file
    }
}

/// `netmoth run`, ready. Dropping it kills it.
pub(crate) struct Sensor {
    running: Running,
    store: String,
}

impl Sensor {
    /// Starts it (`netmoth` is the command of that name in the right namespace) with its store in `folder`, and waits
    /// until it captures.
    #[track_caller]
    pub(crate) fn start(netmoth: Command, folder: &Path, settings: &Settings) -> Self {
        let store = format!("sqlite:{}", folder.join("flows.db").display());
        Self::start_with_store(netmoth, folder, settings, store)
    }

    /// The same with a store elsewhere.
    #[track_caller]
    pub(crate) fn start_with_store(mut netmoth: Command, folder: &Path, settings: &Settings, store: String) -> Self {
        let file = settings.write(folder);
        netmoth
            .args(["run", "-i", settings.interface, "--store", &store, "-c"])
            .arg(file)
            .env("RUST_LOG", "info,netmoth::summary=debug");
        let running = Running::start(&mut netmoth);
        running.wait_for("capturing on", READY);
        Self { running, store }
    }

    /// The process.
    pub(crate) fn process(&self) -> &Running {
        &self.running
    }

    /// Sends SIGTERM and waits for the end, which must be in order and in time.
    #[track_caller]
    pub(crate) fn stop(self) -> Outcome {
        self.running.signal("TERM");
        self.ended(0)
    }

    /// Waits for the end, which must come in time, with this exit status and with a summary.
    #[track_caller]
    pub(crate) fn ended(self, status: i32) -> Outcome {
        let finished = self.running.wait(END);
        assert_eq!(finished.code(), status, "exit status; it said:\n{}", finished.stderr);
        Outcome { summary: summary(&finished), store: self.store }
    }

    /// Waits for an end that is none in order, and gives what it said.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        let finished = self.running.wait(END);
        assert!(!finished.status.success(), "it ended in order; it said:\n{}", finished.stderr);
        finished.stderr
    }

    /// Sends SIGKILL and waits for the end.
    #[track_caller]
    pub(crate) fn kill(self) {
        self.running.signal("KILL");
        let finished = self.running.wait(END);
        assert!(!finished.status.success());
    }
}

/// The sums that a run printed as its last words.
#[track_caller]
fn summary(finished: &Finished) -> Value {
    let line = finished.stderr.lines().rev().find_map(|line| line.split_once("summary-json ").map(|(_, json)| json));
    let line = line.unwrap_or_else(|| panic!("no summary in:\n{}", finished.stderr));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the summary {line}"))
}

/// A run that ended in order.
#[derive(Debug)]
pub(crate) struct Outcome {
    summary: Value,
    store: String,
}

impl Outcome {
    /// A sum of the summary: a number, or all numbers of an object (fates by reason).
    #[track_caller]
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let whole = || panic!("no counts under {name:?} in {}", self.summary);
        match &self.summary[name] {
            Value::Object(reasons) => reasons.values().map(|count| count.as_u64().unwrap_or_else(whole)).sum(),
            count => count.as_u64().unwrap_or_else(whole),
        }
    }

    /// One reason's count in an object of the summary; reasons that did not occur don't stand there.
    #[track_caller]
    pub(crate) fn reason(&self, name: &str, reason: &str) -> u64 {
        let counts = self.summary[name].as_object().unwrap_or_else(|| panic!("no reasons in {}", self.summary));
        counts.get(reason).map_or(0, |count| count.as_u64().unwrap())
    }

    /// Asserts that every frame and every record has exactly one fate (§10), and returns the frames seen.
    #[track_caller]
    pub(crate) fn assert_sums(&self) -> u64 {
        let sum = |name| self.sum(name);
        let all = &self.summary;
        assert_eq!(sum("frames_seen"), sum("passed") + sum("redirected"), "seen = passed + redirected: {all}");
        assert_eq!(sum("redirected"), sum("received") + sum("kernel_drops"), "redirected = received + drops: {all}");
        assert_eq!(sum("received"), sum("tracked") + sum("not_tracked"), "received = tracked + not tracked: {all}");
        self.assert_records();
        sum("frames_seen")
    }

    /// Asserts that every record has exactly one fate.
    #[track_caller]
    pub(crate) fn assert_records(&self) {
        let sum = |name| self.sum(name);
        let known = sum("committed") + sum("waiting") + sum("spooled") + sum("lost");
        assert_eq!(sum("emitted") + sum("recovered"), known, "records: {}", self.summary);
    }

    /// Asserts besides that nothing was lost on the way.
    #[track_caller]
    pub(crate) fn assert_nothing_lost(&self) -> u64 {
        for name in ["kernel_drops", "waiting", "lost"] {
            assert_eq!(self.sum(name), 0, "{name}: {}", self.summary);
        }
        self.assert_sums()
    }

    /// The records in the store.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut flows = command(NETMOTH);
        flows.args(["flows", "--store", &self.store, "--format", "json", "--limit", "100000000"]);
        let records = parse(&run(&mut flows, SHORT).expect_success().stdout);
        assert_eq!(records.len() as u64, self.sum("committed"), "rows in the store against {}", self.summary);
        records
    }
}

/// The records that `netmoth read` makes of a capture file.
#[track_caller]
pub(crate) fn read(file: &Path) -> Vec<Record> {
    let mut read = command(NETMOTH);
    read.args(["read", "--format", "json"]);
    parse(&run(read.arg(file), SHORT).expect_success().stdout)
}
