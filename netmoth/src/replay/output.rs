//! Where the records of a replay go: rows into the one printer, records to the store, or both.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::{ReplayConfig, ReplayError};
use crate::flow::{FlowRecord, RecordSink};
use crate::metrics::{WorkerCounters, WorkerTotals};
use crate::sink::{Row, RowPrinter, Writer};
use crate::worker::{Outbox, WhenFull};

/// Bytes of text that a worker gathers before it takes the printer: rows are made beside each other, and written one worker
/// after the other.
const GATHERED: usize = 16 << 10;

/// The printer that all share; None where nothing is printed.
type Shared<W> = Option<Arc<Mutex<RowPrinter<W>>>>;

/// The outputs of all workers.
pub(super) struct Outputs<W: Write> {
    printer: Shared<W>,
    sensor: Arc<str>,
    community_id_seed: u16,
    counters: Vec<Arc<WorkerCounters>>,
}

impl<W: Write> Outputs<W> {
    pub(super) fn new(config: &ReplayConfig, printer: Option<RowPrinter<W>>) -> Self {
        Self {
            printer: printer.map(|printer| Arc::new(Mutex::new(printer))),
            sensor: config.sensor.as_str().into(),
            community_id_seed: config.community_id_seed,
            counters: Vec::new(),
        }
    }

    /// The output of one more worker, and its counters.
    pub(super) fn add(&mut self, writer: Option<&Writer>) -> (Output<W>, Arc<WorkerCounters>) {
        let counters = Arc::new(WorkerCounters::default());
        let worker = self.counters.len() as u16;
        let outbox = writer.map(|writer| Outbox::new(writer.sender(worker), Arc::clone(&counters), WhenFull::Wait));
        let printer = self.printer.as_ref().map(|shared| Rows {
            text: shared.lock().unwrap_or_else(PoisonError::into_inner).in_memory(),
            shared: Arc::clone(shared),
        });
        self.counters.push(Arc::clone(&counters));
        let output = Output {
            rows: printer,
            outbox,
            sensor: Arc::clone(&self.sensor),
            community_id_seed: self.community_id_seed,
            counters: Arc::clone(&counters),
            failed: None,
        };
        (output, counters)
    }

    /// Writes what the printer still holds, once all workers are done, and gives the sums of their counts.
    pub(super) fn finish(self) -> Result<WorkerTotals, ReplayError> {
        if let Some(printer) = self.printer.and_then(Arc::into_inner) {
            printer.into_inner().unwrap_or_else(PoisonError::into_inner).finish()?;
        }
        Ok(self.counters.iter().map(|counters| counters.snapshot()).sum())
    }
}

/// Where the records of one worker go.
pub(super) struct Output<W: Write> {
    rows: Option<Rows<W>>,
    outbox: Option<Outbox>,
    sensor: Arc<str>,
    community_id_seed: u16,
    counters: Arc<WorkerCounters>,
    failed: Option<io::Error>,
}

/// Rows as text, and the printer that takes it.
struct Rows<W: Write> {
    text: RowPrinter<Vec<u8>>,
    shared: Arc<Mutex<RowPrinter<W>>>,
}

impl<W: Write> Rows<W> {
    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.text.row(row)?;
        if self.text.written().len() >= GATHERED { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let text = self.text.written();
        if text.is_empty() {
            return Ok(());
        }
        let done = self.shared.lock().unwrap_or_else(PoisonError::into_inner).lines(text);
        text.clear();
        done
    }
}

impl<W: Write> RecordSink for Output<W> {
    fn emit(&mut self, record: FlowRecord) {
        if let Some(rows) = &mut self.rows
            && self.failed.is_none()
        {
            self.failed = rows.row(&Row::new(&self.sensor, &record, self.community_id_seed)).err();
        }
        match &mut self.outbox {
            Some(outbox) => outbox.emit(record),
            None => self.counters.emitted[record.end_reason as usize].add(1),
        }
    }
}

impl<W: Write> Output<W> {
    /// An error where something could not be written since the last call.
    pub(super) fn check(&mut self) -> Result<(), ReplayError> {
        self.failed.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Hands on what has gathered.
    pub(super) fn finish(mut self) -> Result<(), ReplayError> {
        if let Some(outbox) = &mut self.outbox {
            outbox.flush();
        }
        self.check()?;
        self.rows.as_mut().map_or(Ok(()), Rows::hand_over).map_err(ReplayError::from)
    }
}
