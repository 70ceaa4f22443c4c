//! Capture files through the same engine as live frames, on the packets' own time.
//!
//! One worker reads, parses and tracks in place. Several are threads that read and parse the stretches of the file for one another
//! (`crew`), and share the packets (`deal` says whose each is) as the XDP program deals frames to the sockets of a queue. `output` is
//! where the records of each go.

mod crew;
mod deal;
mod output;

use std::io::{self, Write};
use std::path::Path;

use crate::capture::file::{CaptureFile, FileError};
use crate::flow::{FlowConfig, FlowError};
use crate::metrics::WorkerTotals;
use crate::progress::Progress;
use crate::sink::{RowPrinter, Writer};
use crate::time::ReplayClock;
use crate::worker::{Arrival, Engine};

use crew::Crew;
use output::{Output, Outputs};

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The table's memory.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// Whoever read our output has closed it: no failure of ours.
    #[error("standard output was closed")]
    Pipe,
    /// The output can't be written.
    #[error("records can't be written to standard output: {0}; is the disk full?")]
    Output(io::Error),
    /// A thread could not be started.
    #[error("the system gave no thread for a worker: {0}; ask for fewer --workers, or raise the limit on processes")]
    Thread(io::Error),
    /// A worker ended by itself.
    #[error("worker {0} ended before it was told to; this is a defect, please report the lines above")]
    WorkerEnded(usize),
}

impl From<io::Error> for ReplayError {
    /// Of the output: files have errors of their own.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Pipe } else { Self::Output(error) }
    }
}

/// What a replay is told.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// One worker's flow table; `worker` is filled in for each.
    pub flow: FlowConfig,
    /// How many workers share the packets, 1 at least.
    pub workers: u8,
    /// The sensor's name.
    pub sensor: String,
    /// Seed of the Community ID.
    pub community_id_seed: u16,
    /// Which packets are tracked, in tcpdump's language; all where empty.
    pub filter: String,
}

/// What a replay has come to.
#[derive(Clone, Copy, Debug)]
pub struct ReplayTotals {
    /// The workers, summed.
    pub workers: WorkerTotals,
    /// Packets of the files.
    pub read: u64,
    /// Of these, those that the filter does not ask for.
    pub not_matched: u64,
}

/// One capture, of one file or several in a row.
pub struct Replay<W: Write> {
    outputs: Outputs<W>,
    way: Way<W>,
    filter: String,
    read: u64,
    not_matched: u64,
}

/// Who does the work.
enum Way<W: Write> {
    /// The thread that reads.
    Here(Box<Engine>, ReplayClock, Output<W>),
    /// Threads of their own.
    Crew(Crew),
}

impl<W: Write + Send + 'static> Replay<W> {
    /// A replay whose records go to `printer`, to `writer`, to both or nowhere.
    ///
    /// # Errors
    /// Where memory for the flow tables, or threads for several workers, can't be had.
    pub fn new(
        config: ReplayConfig,
        printer: Option<RowPrinter<W>>,
        writer: Option<&Writer>,
    ) -> Result<Self, ReplayError> {
        let mut outputs = Outputs::new(&config, printer);
        let way = if config.workers <= 1 {
            let (output, counters) = outputs.add(writer);
            Way::Here(Box::new(Engine::new(&config.flow, counters)?), ReplayClock::default(), output)
        } else {
            Way::Crew(Crew::start(&config, &mut outputs, writer)?)
        };
        Ok(Self { outputs, way, filter: config.filter, read: 0, not_matched: 0 })
    }

    /// Reads one file to its end.
    ///
    /// # Errors
    /// A file that can't be read to its end (what came before counts), or an output that can't be written.
    pub fn file(&mut self, path: &Path) -> Result<(), ReplayError> {
        let mut file = CaptureFile::open(path)?;
        file.choose(&self.filter);
        let (file, ended) = match &mut self.way {
            Way::Here(engine, clock, output) => {
                let mut progress = Progress::of("packets read");
                let ended = loop {
                    match one_batch(&mut file, engine, clock, output)? {
                        Ok(true) => progress.batch(file.packets()),
                        Ok(false) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                (file, ended)
            }
            Way::Crew(crew) => crew.file(file)?,
        };
        self.read += file.packets();
        self.not_matched += file.not_matched();
        Ok(ended?)
    }

    /// Ends all connections, writes what is left, and gives the counts, summed over the workers.
    ///
    /// # Errors
    /// An output that can't be written.
    pub fn finish(self) -> Result<ReplayTotals, ReplayError> {
        match self.way {
            Way::Here(mut engine, _, mut output) => {
                engine.finish(&mut output);
                output.finish()?;
            }
            Way::Crew(crew) => crew.finish()?,
        }
        let Self { outputs, read, not_matched, .. } = self;
        Ok(ReplayTotals { workers: outputs.finish()?, read, not_matched })
    }
}

/// Takes the next packets of a file through the engine. The inner result is the file's, the outer one the output's: it comes
/// first, as the packets before a file's damage do.
fn one_batch<W: Write>(
    file: &mut CaptureFile,
    engine: &mut Engine,
    clock: &mut ReplayClock,
    output: &mut Output<W>,
) -> Result<Result<bool, FileError>, ReplayError> {
    let more = file.next_batch(|packets| {
        let arrivals = packets.iter().map(|packet| Arrival {
            link: packet.link,
            data: packet.data,
            wire_len: packet.wire_len,
            at: clock.at(packet.wall_ns),
        });
        engine.process(arrivals, output);
    });
    output.check()?;
    Ok(more)
}
