//! Capture files through the same engine as live frames, on the packets' own time.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::capture::file::{CaptureFile, FileError};
use crate::flow::{FlowConfig, FlowError, FlowRecord, RecordSink};
use crate::metrics::{WorkerCounters, WorkerTotals};
use crate::progress::Progress;
use crate::sink::{Row, RowPrinter, Writer};
use crate::time::ReplayClock;
use crate::worker::{Arrival, Engine, Outbox, WhenFull};

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
}

/// One capture, of one file or several in a row.
pub struct Replay<W: Write> {
    engine: Engine,
    counters: Arc<WorkerCounters>,
    clock: ReplayClock,
    out: Output<W>,
}

impl<W: Write> Replay<W> {
    /// A replay whose records go to `printer`, to `writer`, to both or nowhere.
    ///
    /// # Errors
    /// Where the flow table's memory can't be had.
    pub fn new(
        flow: &FlowConfig,
        sensor: String,
        community_id_seed: u16,
        printer: Option<RowPrinter<W>>,
        writer: Option<&Writer>,
    ) -> Result<Self, FlowError> {
        let counters = Arc::new(WorkerCounters::default());
        let outbox = writer.map(|writer| Outbox::new(writer.sender(0), Arc::clone(&counters), WhenFull::Wait));
        let engine = Engine::new(flow, Arc::clone(&counters))?;
        let out = Output { printer, outbox, sensor, community_id_seed, counters: Arc::clone(&counters), failed: None };
        Ok(Self { engine, counters, clock: ReplayClock::default(), out })
    }

    /// Reads one file to its end.
    ///
    /// # Errors
    /// A file that can't be read to its end (what came before counts), or an output that can't be written.
    pub fn file(&mut self, path: &Path) -> Result<(), ReplayError> {
        let mut file = CaptureFile::open(path)?;
        let Self { engine, clock, out, .. } = self;
        let mut progress = Progress::of("packets read");
        loop {
            let more = file.next_batch(|packets| {
                let arrivals = packets.iter().map(|packet| Arrival {
                    link: packet.link,
                    data: packet.data,
                    wire_len: packet.wire_len,
                    at: clock.at(packet.wall_ns),
                });
                engine.process(arrivals, out);
            });
            out.check()?;
            progress.batch(file.packets());
            if !more? {
                return Ok(());
            }
        }
    }

    /// Ends all connections, writes what is left, and gives the counts.
    ///
    /// # Errors
    /// An output that can't be written.
    pub fn finish(mut self) -> Result<WorkerTotals, ReplayError> {
        self.engine.finish(&mut self.out);
        self.out.finish()?;
        Ok(self.counters.snapshot())
    }
}

/// Where the records of a replay go.
struct Output<W: Write> {
    printer: Option<RowPrinter<W>>,
    outbox: Option<Outbox>,
    sensor: String,
    community_id_seed: u16,
    counters: Arc<WorkerCounters>,
    failed: Option<io::Error>,
}

impl<W: Write> RecordSink for Output<W> {
    fn emit(&mut self, record: FlowRecord) {
        if let Some(printer) = &mut self.printer
            && self.failed.is_none()
        {
            self.failed = printer.row(&Row::new(&self.sensor, &record, self.community_id_seed)).err();
        }
        match &mut self.outbox {
            Some(outbox) => outbox.emit(record),
            None => self.counters.emitted[record.end_reason as usize].add(1),
        }
    }
}

impl<W: Write> Output<W> {
    fn check(&mut self) -> Result<(), ReplayError> {
        match self.failed.take() {
            None => Ok(()),
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReplayError::Pipe),
            Some(error) => Err(ReplayError::Output(error)),
        }
    }

    fn finish(mut self) -> Result<(), ReplayError> {
        if let Some(outbox) = &mut self.outbox {
            outbox.flush();
        }
        self.check()?;
        if let Some(printer) = self.printer.take() {
            self.failed = printer.finish().err();
        }
        self.check()
    }
}
