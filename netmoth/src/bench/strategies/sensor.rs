//! The sensor that is measured: `netmoth run` of this very binary, as a process of its own.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::folder::Folder;
use super::patience::Patience;
use super::way::Way;
use super::wire::TAP;
use crate::bench::BenchError;

/// How long it may take to be ready, and to end, on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks whether to go on waiting.
const LOOK: Duration = Duration::from_millis(20);

/// It, while it runs. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Sensor {
    child: Child,
    lines: Receiver<String>,
    _folder: Folder,
}

impl Sensor {
    /// Starts it in the calling thread's namespace, on one CPU, and waits until it captures. It goes when the calling thread
    /// does.
    ///
    /// # Errors
    /// What it said itself where it ended.
    pub(super) fn start(way: Way, cpu: usize, patience: &Patience) -> Result<Self, BenchError> {
        let folder = Folder::new()?;
        let mut child = command(way, cpu, &folder)?.spawn().map_err(|cause| failed("can't be started", &cause))?;
        let lines = child.stderr.take().map_or_else(|| channel().1, read);
        let mut sensor = Self { child, lines, _folder: folder };
        sensor.wait_for("capturing on", patience)?;
        Ok(sensor)
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order, and gives the frames that it received.
    ///
    /// # Errors
    /// Where it does not end in time, or says no sums.
    pub(super) fn stop(mut self, patience: &Patience) -> Result<u64, BenchError> {
        self.terminate();
        let line = self.wait_for("summary-json ", patience)?;
        let sums = line.split_once("summary-json ").and_then(|(_, json)| serde_json::from_str::<Value>(json).ok());
        let received = sums.and_then(|sums| sums["received"].as_u64());
        let begun = Instant::now();
        while self.child.try_wait().map_err(|cause| failed("can't be waited for", &cause))?.is_none() {
            if begun.elapsed() > LIMIT {
                return Err(BenchError::Sensor(format!("the sensor did not end within {} s", LIMIT.as_secs())));
            }
            patience.sleep(LOOK)?;
        }
        received.ok_or_else(|| BenchError::Sensor("the sensor did not say what it received".into()))
    }

    /// The next line of its log that holds these words.
    fn wait_for(&mut self, words: &str, patience: &Patience) -> Result<String, BenchError> {
        let (begun, mut last) = (Instant::now(), String::new());
        while begun.elapsed() < LIMIT {
            patience.check()?;
            match self.lines.recv_timeout(LOOK) {
                Ok(line) if line.contains(words) => return Ok(line),
                Ok(line) => last = line,
                Err(RecvTimeoutError::Timeout) => {}
                // Its log has ended.
                Err(RecvTimeoutError::Disconnected) => return Err(BenchError::Sensor(message(&last).to_owned())),
            }
        }
        Err(BenchError::Sensor(format!("the sensor did not say {words:?} within {} s", LIMIT.as_secs())))
    }

    #[expect(unsafe_code, reason = "the standard library can only kill")]
    fn terminate(&self) {
        // SAFETY: takes numbers by value. The child has not been waited for, so the number is its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to do: the handle knows.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command, with its configuration in `folder`: one worker, its log without status lines, all else at its default.
#[expect(unsafe_code, reason = "a process is put on a CPU between fork and exec")]
fn command(way: Way, cpu: usize, folder: &Folder) -> Result<Command, BenchError> {
    let file = folder.path().join("netmoth.yml");
    let spool = folder.path().join("spool");
    let text = format!(
        "interface: {TAP}\nnumber_of_rings: 1\nmax_cores: 1\nstatus_interval: 0\nspool: {{path: {spool:?}}}\n{}\n",
        way.line().replace(", ", "\n")
    );
    let place = || folder.path().display().to_string();
    fs::write(&file, text).map_err(|cause| BenchError::Folder { place: place(), cause: cause.into() })?;
    let binary = std::env::current_exe().map_err(|cause| failed("is not found", &cause))?;
    let mut command = Command::new(binary);
    command.args(["run", "-i", TAP, "--store"]).arg(format!("sqlite:{}/flows.db", place())).arg("-c").arg(file);
    command.env("RUST_LOG", "info,netmoth::summary=debug").env_remove("NETMOTH_DEBUG");
    // Whoever supervises this process is told nothing by that one.
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("JOURNAL_STREAM");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: between fork and exec `place_on` makes two system calls, and touches no memory but its own.
    unsafe { command.pre_exec(move || place_on(cpu)) };
    Ok(command)
}

/// The calling process stays on one CPU, and is killed when the thread goes that has started it.
#[expect(unsafe_code, reason = "affinity and the parent's death are kernel interfaces")]
fn place_on(cpu: usize) -> io::Result<()> {
    // SAFETY: a set of CPUs is an array of bits: all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the set is ours, and has room for this CPU.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set lives for the whole call, and its size is its own.
    let placed = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } == 0;
    // SAFETY: takes numbers by value.
    let bound = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == 0;
    if placed && bound { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Its log, line by line.
fn read(log: ChildStderr) -> Receiver<String> {
    let (say, hear) = channel();
    // Ends with the log, which ends with the process.
    thread::spawn(move || BufReader::new(log).lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
    hear
}

/// A line of the log without time and level.
fn message(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|line| line.split_once("] "));
    rest.map_or(line, |(_, rest)| rest)
}

fn failed(what: &str, cause: &io::Error) -> BenchError {
    BenchError::Sensor(format!("netmoth run {what}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_its_message() {
        assert_eq!(
            message("[2026-01-01T00:00:00.000Z ERROR] no libpcap: [libpcap.so] is missing"),
            "no libpcap: [libpcap.so] is missing"
        );
        assert_eq!(message("netmoth: no"), "netmoth: no");
    }
}
