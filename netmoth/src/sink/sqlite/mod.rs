//! SQLite: one file, no server, one transaction per batch.
//!
//! The tables are made, checked and read through sqlx. Rows go in through a connection of its own (`thread`), with one
//! prepared statement (`insert`).

mod insert;
#[cfg(test)]
mod tests;
mod thread;

use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot};

use self::thread::Job;
use super::StoreError;
use super::postgres::run_migrations;
use super::schema::{BATCHES, Expected, FLOWS, Found, differences};
use super::store::{Unit, WriteError};
use crate::flow::FlowRecord;

const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "flows and batches", include_str!("../../../migrations/sqlite/0001_flows.sql"))];

/// How long another program may hold the file before it counts as locked.
const BUSY: Duration = Duration::from_secs(5);
/// Records that are handed to the thread at once.
const CHUNK: usize = 1_024;
/// Chunks that wait for the thread: it never has to wait for the next one, and little is copied that nobody wants any more.
const CHUNKS: usize = 4;

/// An open, migrated file.
#[derive(Debug)]
pub(super) struct SqliteStore {
    jobs: mpsc::Sender<Job>,
    /// Buffers that the thread is done with.
    spare: mpsc::UnboundedReceiver<Vec<FlowRecord>>,
    /// Tells when the thread has closed the file.
    closed: oneshot::Receiver<()>,
    path: String,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        prepare(path, &name).await?;
        let (jobs, received) = mpsc::channel(1);
        let (used, spare) = mpsc::unbounded_channel();
        let (ready, opened) = oneshot::channel();
        let (done, closed) = oneshot::channel();
        let file = path.to_owned();
        std::thread::Builder::new()
            .name("netmoth-sqlite".to_owned())
            .spawn(move || {
                thread::run(&file, received, &used, ready);
                // Nobody may wait for it any more.
                let _ = done.send(());
            })
            .map_err(|error| StoreError::Start { cause: error.to_string() })?;
        match opened.await {
            Ok(Ok(())) => Ok(Self { jobs, spare, closed, path: name }),
            Ok(Err(error)) => Err(explain(&error, &name).1),
            Err(_) => Err(StoreError::Start { cause: "the thread for SQLite ended".to_owned() }),
        }
    }

    /// Hands all records to the thread and waits for its answer. Dropped before, this leaves a transaction that is rolled back,
    /// unless its COMMIT was under way.
    pub(super) async fn write(&mut self, unit: &Unit) -> Result<(), WriteError> {
        let gone = || WriteError::Retry(StoreError::Start { cause: "the thread for SQLite ended".to_owned() });
        let (chunks, received) = mpsc::channel(CHUNKS);
        let (reply, answer) = oneshot::channel();
        let job =
            Job { run: unit.run.clone(), ledger: unit.ledger(), records: unit.records.len(), chunks: received, reply };
        self.jobs.send(job).await.map_err(|_| gone())?;
        for group in unit.records.chunks(CHUNK) {
            let mut chunk = self.spare.try_recv().unwrap_or_default();
            chunk.extend_from_slice(group);
            // It takes no more where it failed, or has the batch already.
            if chunks.send(chunk).await.is_err() {
                break;
            }
        }
        drop(chunks);
        let Err(error) = answer.await.map_err(|_| gone())? else { return Ok(()) };
        Err(match explain(&error, &self.path) {
            // 19 is SQLITE_CONSTRAINT, 20 SQLITE_MISMATCH, 18 SQLITE_TOOBIG.
            (18..=20, described) => WriteError::Rejected(described),
            (_, described) => WriteError::Retry(described),
        })
    }

    /// Waits until the file is closed.
    pub(super) async fn close(self) {
        drop(self.jobs);
        if self.closed.await.is_err() {
            log::debug!("closing {}: its thread ended", self.path);
        }
    }
}

/// Makes the file where there is none, brings its tables up to date and checks them.
async fn prepare(path: &Path, name: &str) -> Result<(), StoreError> {
    // FULL is what makes a committed batch survive a power cut in WAL mode; at one commit a second it costs nothing.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(|error| describe(&error, name))?;
    let at = format!("sqlite:{name}");
    run_migrations(&mut connection, MIGRATIONS, &at).await.map_err(|error| match error {
        Ok(error) => describe(&error, name),
        Err(error) => error,
    })?;
    verify(&mut connection, name).await?;
    connection.close().await.map_err(|error| describe(&error, name))
}

/// Refuses tables that somebody altered, with all that differs.
pub(super) async fn verify(connection: &mut SqliteConnection, path: &str) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| describe(&error, path);
    let kind = |column: &Expected| column.sqlite;
    let (flows, _) = columns(connection, "flows").await.map_err(failed)?;
    let (batches, key) = columns(connection, "batches").await.map_err(failed)?;
    let mut found = differences("flows", FLOWS, &flows, kind);
    found.extend(differences("batches", BATCHES, &batches, kind));
    if !batches.is_empty() && key != ["sensor", "run", "seq"] {
        found.push("batches has no PRIMARY KEY (sensor, run, seq)".to_owned());
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(StoreError::Altered { at: format!("sqlite:{path}"), differences: found.join(", ") })
}

/// A table's columns, and those of its primary key in the key's order.
async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<(Vec<Found>, Vec<String>), sqlx::Error> {
    let rows: Vec<(String, String, bool, bool, i64)> = sqlx::query_as(
        "SELECT name, type, \"notnull\" <> 0, dflt_value IS NOT NULL, pk FROM pragma_table_info(?) ORDER BY pk",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    let key = rows.iter().filter(|row| row.4 > 0).map(|row| row.0.clone()).collect();
    let found = |(name, kind, not_null, has_default, _)| Found { name, kind, not_null, has_default };
    Ok((rows.into_iter().map(found).collect(), key))
}

/// The sentence for what SQLite said to sqlx.
pub(super) fn describe(error: &sqlx::Error, path: &str) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return StoreError::Failed { at: format!("sqlite:{path}"), cause: error.to_string() };
    };
    let code = database.code().and_then(|code| code.parse().ok()).unwrap_or(0);
    sentence(code, database.message(), path)
}

/// The primary result code of what SQLite said to rusqlite (0 where it said nothing), and the sentence for it.
fn explain(error: &rusqlite::Error, path: &str) -> (i32, StoreError) {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    let cause = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    (code & 0xff, sentence(code, &cause, path))
}

/// The sentence for an (extended) result code (<https://www.sqlite.org/rescode.html>).
fn sentence(code: i32, cause: &str, path: &str) -> StoreError {
    let (path, cause) = (path.to_owned(), cause.to_owned());
    match code & 0xff {
        5 | 6 => StoreError::Locked { path },
        8 => StoreError::ReadOnly { path },
        14 => StoreError::CannotOpen { path, cause },
        26 => StoreError::NotADatabase { path },
        1 if cause.starts_with("no such table") => StoreError::NoTables { at: format!("sqlite:{path}") },
        _ => StoreError::Failed { at: format!("sqlite:{path}"), cause },
    }
}
