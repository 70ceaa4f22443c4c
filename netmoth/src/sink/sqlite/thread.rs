//! The thread that owns the connection for writing: rows are made and inserted here, while the writer goes on receiving records.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::BUSY;
use super::insert::Insert;
use crate::flow::FlowRecord;
use crate::sink::Row;
use crate::sink::store::RunIdentity;

/// One batch, which is one transaction.
pub(super) struct Job {
    pub(super) run: RunIdentity,
    /// Its number in the ledger.
    pub(super) ledger: i64,
    /// How many records `chunks` will bring; where they are fewer, nobody wants the batch any more.
    pub(super) records: usize,
    pub(super) chunks: mpsc::Receiver<Vec<FlowRecord>>,
    pub(super) reply: oneshot::Sender<Result<(), rusqlite::Error>>,
}

/// Opens the file, says through `ready` how that went, and writes one batch after the other until nobody can give one any more.
/// Emptied chunks go to `spare`.
pub(super) fn run(
    path: &Path,
    mut jobs: mpsc::Receiver<Job>,
    spare: &mpsc::UnboundedSender<Vec<FlowRecord>>,
    ready: oneshot::Sender<Result<(), rusqlite::Error>>,
) {
    let connection = match open(path) {
        Ok(connection) => connection,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let mut insert = match Insert::new(&connection) {
        Ok(insert) => insert,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    while let Some(mut job) = jobs.blocking_recv() {
        let result = transaction(&connection, &mut insert, &mut job, spare);
        // One who gave up waiting looks the batch up in the ledger.
        let _ = job.reply.send(result);
    }
}

/// The file is there, and in WAL mode.
fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    // An absolute path is never taken for a URI. The connection stays in this thread, so it needs no mutex.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Whatever ends this before the commit rolls back.
fn transaction(
    connection: &Connection,
    insert: &mut Insert<'_>,
    job: &mut Job,
    spare: &mpsc::UnboundedSender<Vec<FlowRecord>>,
) -> Result<(), rusqlite::Error> {
    let Job { run, .. } = job;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let entered = transaction.execute(
        "INSERT INTO batches (sensor, run, seq, records) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        params![run.sensor, run.run, job.ledger, i64::try_from(job.records).unwrap_or(i64::MAX)],
    )?;
    if entered == 0 {
        return Ok(());
    }
    let mut rows = 0;
    while let Some(mut chunk) = job.chunks.blocking_recv() {
        for record in &chunk {
            insert.row(&Row::new(&run.sensor, record, run.community_id_seed))?;
        }
        rows += chunk.len();
        chunk.clear();
        // At the end nobody takes it back.
        let _ = spare.send(chunk);
    }
    if rows != job.records || job.reply.is_closed() {
        return Ok(());
    }
    transaction.commit()
}
