//! Several workers for one capture, which read it, parse it and book what is in it together.
//!
//! The file goes through in pieces, which are numbered (`intake`). A worker that has nothing to book reads the next one, walks through
//! it when its turn comes and says whose each packet is (`desk`), and parses it for all (`stretch`). Reading and parsing go on beside
//! each other; only the walk, which has to begin where the one before ended, is one at a time.
//!
//! Every worker books its own packets of all stretches, in the order of the file (`worker`). Who is done last gives a stretch back
//! to be filled again. There are few of them, so that they stay in the processor's cache.

mod desk;
mod intake;
mod stretch;
mod worker;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded, unbounded};

use super::output::Outputs;
use super::{ReplayConfig, ReplayError};
use crate::capture::file::{CaptureFile, FileError};
use crate::progress::Progress;
use crate::sink::Writer;
use crate::time::Instant;
use crate::worker::{Engine, Parser};

use desk::Shared;
use stretch::Stretch;
use worker::Worker;

/// Between two looks at whether the workers still live, and how far they are.
const LOOK: Duration = Duration::from_millis(100);

/// What a worker is told.
enum Order {
    /// Book your packets of this.
    Take(Arc<Stretch>),
    /// There is a file to read.
    Read,
    /// That was all: so many pieces, and this is the time of the last packet. End your connections.
    End(Instant, u64),
}

/// A file that was read, and how that ended.
type Read = (CaptureFile, Result<(), FileError>);

type Thread = JoinHandle<Result<(), ReplayError>>;

/// The workers, as the main thread sees them.
pub(super) struct Crew {
    shared: Arc<Shared>,
    workers: Vec<(Sender<Order>, Thread)>,
    _leave: Leave,
}

/// Tells the workers to end, however the main thread leaves.
struct Leave(Arc<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.failed.store(true, Ordering::Release);
    }
}

impl Crew {
    /// Starts the workers.
    pub(super) fn start<W: Write + Send + 'static>(
        config: &ReplayConfig,
        outputs: &mut Outputs<W>,
        writer: Option<&Writer>,
    ) -> Result<Self, ReplayError> {
        let count = usize::from(config.workers);
        // The stretches are counted, so these stay short, and who deals never waits here.
        let (orders, taken): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded()).unzip();
        let shared = Arc::new(Shared::new(count));
        let mut workers = Vec::with_capacity(count);
        for (number, taken) in taken.into_iter().enumerate() {
            let (output, counters) = outputs.add(writer);
            let mut flow = config.flow;
            flow.worker = number as u8;
            let worker = Worker {
                number,
                parser: Parser::new(Arc::clone(&counters), flow.verify_checksums),
                engine: Engine::new(&flow, counters)?,
                output,
                orders: taken,
                ways: orders.clone(),
                shared: Arc::clone(&shared),
            };
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || worker.run());
            workers.push((orders[number].clone(), thread.map_err(ReplayError::Thread)?));
        }
        Ok(Self { _leave: Leave(Arc::clone(&shared)), shared, workers })
    }

    /// Has the workers read one file to its end. What comes back are the file and how its reading ended; an error is the workers'.
    pub(super) fn file(&mut self, file: CaptureFile) -> Result<Read, ReplayError> {
        let mut progress = Progress::of("packets read");
        let (done, ended) = bounded(1);
        if !self.shared.put(file, done) {
            return Err(self.failure());
        }
        for (orders, _) in &self.workers {
            // One that is not there any more says why below.
            orders.send(Order::Read).ok();
        }
        loop {
            match ended.recv_timeout(LOOK) {
                Ok(result) if !self.shared.failed.load(Ordering::Acquire) => return Ok(result),
                Err(RecvTimeoutError::Timeout) if self.workers.iter().all(|(_, thread)| !thread.is_finished()) => {}
                _ => return Err(self.failure()),
            }
            progress.moment(self.shared.packets.load(Ordering::Relaxed));
        }
    }

    /// A worker has ended: what it says, once all others have ended, too.
    fn failure(&mut self) -> ReplayError {
        let panicked = self.workers.iter().position(|(_, thread)| thread.is_finished()).unwrap_or_default();
        self.shared.failed.store(true, Ordering::Release);
        let mut said = self.workers.drain(..).filter_map(|(_, thread)| thread.join().ok()?.err());
        said.next().unwrap_or(ReplayError::WorkerEnded(panicked))
    }

    /// Has all workers end their connections, as of the time of the last packet of all, and waits for them.
    pub(super) fn finish(self) -> Result<(), ReplayError> {
        let (last, turns) = self.shared.latest();
        for (orders, _) in &self.workers {
            // One that is not there any more says why when it is waited for.
            orders.send(Order::End(last, turns)).ok();
        }
        let mut ended = self.workers.into_iter().map(|(_, thread)| thread).enumerate();
        ended.try_for_each(|(number, thread)| thread.join().unwrap_or(Err(ReplayError::WorkerEnded(number))))
    }
}
