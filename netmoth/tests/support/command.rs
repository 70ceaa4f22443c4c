//! Programs that a test runs: with a time limit, with their output kept, and ended when the test ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a program that should only take a moment may take on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_secs(30);

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// Returns itself; panics with the program's own words if it did not exit with 0.
    #[track_caller]
    pub(crate) fn expect_success(self) -> Self {
        assert!(self.status.success(), "{}\n-- stdout\n{}\n-- stderr\n{}", self.status, self.stdout, self.stderr);
        self
    }

    /// Exit code, −1 where a signal ended it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// A command that the kernel ends when the thread that started it is gone, however that came about.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Runs `command` to its end and keeps what it wrote; panics where it is not there or takes longer than `limit`.
#[track_caller]
pub(crate) fn run(command: &mut Command, limit: Duration) -> Finished {
    Running::start(command).wait(limit)
}

/// Runs a shell script (`sh -e`) inside a network namespace.
#[track_caller]
pub(crate) fn script(namespace: &str, text: &str) -> Finished {
    run(command("ip").args(["netns", "exec", namespace, "sh", "-e", "-c", text]), SHORT).expect_success()
}

/// Lines that a program has written so far.
#[derive(Default)]
struct Lines {
    text: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Lines {
    fn follow(source: impl Read + Send + 'static) -> (Arc<Self>, JoinHandle<()>) {
        let lines = Arc::new(Self::default());
        let into = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                into.text.lock().unwrap().0.push_str(&String::from_utf8_lossy(&line));
                into.changed.notify_all();
                line.clear();
            }
            into.text.lock().unwrap().1 = true;
            into.changed.notify_all();
        });
        (lines, reader)
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().0.clone()
    }
}

/// A program that runs beside the test. Dropping it kills it.
pub(crate) struct Running {
    name: String,
    child: Child,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts `command` without standard input.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (stdout, out_reader) = Lines::follow(child.stdout.take().unwrap());
        let (stderr, err_reader) = Lines::follow(child.stderr.take().unwrap());
        Self { name, child, stdout, stderr, readers: vec![out_reader, err_reader] }
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until standard error contains `words`; panics with all of it when it ends, or `limit` passes, before.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str, limit: Duration) -> Duration {
        let begin = Instant::now();
        let mut text = self.stderr.text.lock().unwrap();
        while !text.0.contains(words) {
            let left = limit.saturating_sub(begin.elapsed());
            let why = if text.1 { "it ended" } else { "time is up" };
            assert!(!left.is_zero() && !text.1, "{} never said {words:?} ({why}); it said:\n{}", self.name, text.0);
            text = self.stderr.changed.wait_timeout(text, left).unwrap().0;
        }
        begin.elapsed()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name (`TERM`, `KILL`, `STOP`).
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success(), "{} has already ended; it said:\n{}", self.name, self.stderr());
    }

    /// Waits for its end; kills it and panics when `limit` passes before.
    #[track_caller]
    pub(crate) fn wait(mut self, limit: Duration) -> Finished {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > limit {
                panic!("{} still runs after {limit:?}; it said:\n{}", self.name, self.stderr());
            }
            // A bounded look at a process: nothing that the test asserts depends on this interval.
            std::thread::sleep(Duration::from_millis(2));
        };
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        Finished { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended: nothing to do. Otherwise the test is over and so is the program.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// Asks `ready` again and again until it answers; panics with `what` when `limit` passes before.
#[track_caller]
pub(crate) fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ready() {
            return answer;
        }
        assert!(begin.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
