//! What the writer asks of a store, whichever it is.

use std::time::Duration;

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{StoreError, StoreUrl};
use crate::flow::FlowRecord;

/// What is the same for all batches of one run.
#[derive(Clone, Debug)]
pub(super) struct RunIdentity {
    pub(super) sensor: String,
    /// Tells this run's batches from those of earlier runs of the same sensor.
    pub(super) run: i64,
    pub(super) community_id_seed: u16,
}

/// How a write ended that did not succeed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The connection is gone or unsure: connect again, then write the same batch with the same number again.
    Retry(StoreError),
    /// The store is there and will not take this batch.
    Rejected(StoreError),
}

/// A connected store.
#[derive(Debug)]
pub(super) enum Store {
    Postgres(Box<PostgresStore>),
    Sqlite(Box<SqliteStore>),
}

impl Store {
    /// Connects and brings the tables up to date.
    pub(super) async fn open(url: &StoreUrl, run: &RunIdentity, timeout: Duration) -> Result<Self, StoreError> {
        Ok(match url {
            StoreUrl::Postgres(options) => {
                Self::Postgres(Box::new(PostgresStore::open(options, url.to_string(), run.clone(), timeout).await?))
            }
            StoreUrl::Sqlite(path) => Self::Sqlite(Box::new(SqliteStore::open(path, run.clone()).await?)),
        })
    }

    /// Writes all records and the entry `seq` of the ledger in one transaction. A batch that the ledger already holds is
    /// not written again: that is success, too.
    pub(super) async fn write(&mut self, seq: i64, records: &[FlowRecord]) -> Result<(), WriteError> {
        match self {
            Self::Postgres(store) => store.write(seq, records).await,
            Self::Sqlite(store) => store.write(seq, records).await,
        }
    }

    /// Says goodbye, so that the server does not log a lost connection.
    pub(super) async fn close(self) {
        match self {
            Self::Postgres(store) => store.close().await,
            Self::Sqlite(store) => store.close().await,
        }
    }
}
