//! How far a long piece of work has come, for a person at a terminal: one line that is written over once a second.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::sensor::grouped;

/// Batches between two looks at the clock, so that reading a file costs no clock reads to speak of.
const BATCHES: u32 = 1024;

/// The line; silent where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    shown: bool,
    batches: u32,
    last: Instant,
    terminal: bool,
}

impl Progress {
    /// `what` follows the number: "packets read".
    pub(crate) fn of(what: &'static str) -> Self {
        Self { what, shown: false, batches: 0, last: Instant::now(), terminal: io::stderr().is_terminal() }
    }

    /// The same without a line, for work that is part of another's.
    pub(crate) fn silent() -> Self {
        Self { what: "", shown: false, batches: 0, last: Instant::now(), terminal: false }
    }

    /// What is being done now; for steps that take a while each.
    pub(crate) fn step(&mut self, doing: &str) {
        if self.terminal {
            self.shown = true;
            let _ = write!(io::stderr(), "\r\x1b[K{doing}");
        }
    }

    /// One batch more; `packets` in all.
    pub(crate) fn batch(&mut self, packets: u64) {
        self.batches += 1;
        if !self.terminal || self.batches < BATCHES {
            return;
        }
        self.moment(packets);
    }

    /// So many in all by now; for those who come by only now and then.
    pub(crate) fn moment(&mut self, packets: u64) {
        self.batches = 0;
        if self.terminal && self.last.elapsed() >= Duration::from_secs(1) {
            self.last = Instant::now();
            self.shown = true;
            // Nobody is worse off without this line.
            let _ = write!(io::stderr(), "\r\x1b[K{} {}", grouped(packets), self.what);
        }
    }
}

impl Drop for Progress {
    /// Takes the line away, so that what follows begins at the margin.
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
