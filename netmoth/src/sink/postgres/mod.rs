//! PostgreSQL: binary COPY into day partitions that exist before the rows need them.

mod connect;
mod encode;
mod partitions;
mod schema;
mod upkeep;

pub(super) use connect::{connect, describe, run_migrations};
pub(super) use schema::verify;
pub(super) use upkeep::{Turn, extent};

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

use self::partitions::Partitions;
use super::store::{RunIdentity, Unit, WriteError};
use super::{COLUMNS, Row, StoreError};
use crate::flow::FlowRecord;

/// Bytes of rows in one message: large enough that its overhead vanishes, small enough to stay in the cache.
const CHUNK: usize = 128 << 10;

/// A connected, migrated database.
pub(super) struct PostgresStore {
    /// Closed and dropped, never used again, after any error: only a fresh connection has a known state.
    connection: PgConnection,
    at: String,
    user: String,
    partitions: Partitions,
    copy: String,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresStore({})", self.at)
    }
}

impl PostgresStore {
    pub(super) async fn open(options: &PgConnectOptions, at: String, timeout: Duration) -> Result<Self, StoreError> {
        let mut connection = connect(options, &at, timeout).await?;
        connect::migrate(&mut connection, options, &at).await?;
        let mut partitions = Partitions::default();
        let user = options.get_username().to_owned();
        verify(&mut connection, &at, &user).await?;
        partitions.ahead(&mut connection).await.map_err(|error| describe(&error, &at, &user))?;
        let copy = format!("COPY flows ({}) FROM STDIN WITH (FORMAT binary)", COLUMNS.join(", "));
        Ok(Self { connection, at, user, partitions, copy, buffer: Vec::with_capacity(2 * CHUNK) })
    }

    pub(super) async fn write(&mut self, unit: &Unit) -> Result<(), WriteError> {
        match self.transaction(unit).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let rejected = is_rejection(&error);
                let described = describe(&error, &self.at, &self.user);
                Err(if rejected { WriteError::Rejected(described) } else { WriteError::Retry(described) })
            }
        }
    }

    async fn transaction(&mut self, unit: &Unit) -> Result<(), sqlx::Error> {
        let Unit { run, records, .. } = unit;
        self.partitions.ahead(&mut self.connection).await?;
        self.partitions.for_records(&mut self.connection, records).await?;
        self.connection.execute("BEGIN").await?;
        // Where an earlier connection of ours still commits this batch, the key makes this wait for its end.
        let entered = sqlx::query(
            "INSERT INTO batches (sensor, run, seq, records) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&run.sensor)
        .bind(run.run)
        .bind(unit.ledger())
        .bind(i32::try_from(records.len()).unwrap_or(i32::MAX))
        .execute(&mut self.connection)
        .await?;
        if entered.rows_affected() == 0 {
            self.connection.execute("ROLLBACK").await?;
            return Ok(());
        }
        self.copy(run, records).await?;
        self.connection.execute("COMMIT").await?;
        Ok(())
    }

    async fn copy(&mut self, run: &RunIdentity, records: &[FlowRecord]) -> Result<(), sqlx::Error> {
        let mut copy = self.connection.copy_in_raw(&self.copy).await?;
        self.buffer.clear();
        encode::header(&mut self.buffer);
        for record in records {
            encode::row(&mut self.buffer, &Row::new(&run.sensor, record, run.community_id_seed));
            if self.buffer.len() >= CHUNK {
                copy.send(self.buffer.as_slice()).await?;
                self.buffer.clear();
            }
        }
        encode::trailer(&mut self.buffer);
        copy.send(self.buffer.as_slice()).await?;
        let rows = copy.finish().await?;
        if rows != records.len() as u64 {
            return Err(sqlx::Error::Protocol(format!("COPY took {rows} rows of {}", records.len())));
        }
        Ok(())
    }

    pub(super) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            log::debug!("closing the connection to {}: {error}", self.at);
        }
    }
}

/// True where the server judged the data itself (SQLSTATE classes 22 and 23), so that sending it again changes nothing. A row
/// without a partition is not that, though its code (23514) is in the class and only the missing constraint's name tells:
/// somebody dropped the partition, and the next connection makes it again.
fn is_rejection(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let Some(code) = error.code() else { return false };
    code.starts_with("22") || (code.starts_with("23") && (code != "23514" || error.constraint().is_some()))
}
