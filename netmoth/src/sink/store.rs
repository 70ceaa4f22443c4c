//! What the writer asks of a store, whichever it is.

use std::time::Duration;

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{StoreError, StoreUrl};
use crate::flow::FlowRecord;

/// What is the same for all batches of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunIdentity {
    pub(super) sensor: String,
    /// Tells this run's batches from those of earlier runs of the same sensor.
    pub(super) run: i64,
    pub(super) community_id_seed: u16,
}

/// What one transaction stores, and the name under which the ledger knows it: always the same, whoever writes it when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) run: RunIdentity,
    /// 0, 1, 2, … within the run.
    pub(super) seq: i64,
    /// Which part of the batch: 1 is the whole, 2 and 3 its halves, 4 to 7 their halves, and so on.
    pub(super) node: u32,
    pub(super) records: Vec<FlowRecord>,
}

/// Bits of [`Unit::node`] in the ledger's number.
const NODE_BITS: u32 = 20;

/// Records of a batch at most: down to single ones, its parts have numbers below 2^20.
pub(super) const MAX_BATCH: usize = 1 << (NODE_BITS - 2);

impl Unit {
    /// Its number in the ledger: a whole batch has its sequence, a part a negative number.
    pub(super) fn ledger(&self) -> i64 {
        if self.node == 1 { self.seq } else { -(self.seq << NODE_BITS | i64::from(self.node)) }
    }

    /// Both halves, always the same ones. `None` for a single record.
    pub(super) fn halves(mut self) -> Option<[Self; 2]> {
        if self.records.len() < 2 {
            return None;
        }
        let second = self.records.split_off(self.records.len().div_ceil(2));
        let (run, seq, node) = (self.run.clone(), self.seq, self.node * 2);
        Some([Self { node, ..self }, Self { run, seq, node: node + 1, records: second }])
    }
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
    /// How many batches it can take at once, each over a connection of its own: SQLite has one writer by nature. For PostgreSQL, one
    /// copies while the other commits.
    pub(super) fn lanes(url: &StoreUrl) -> usize {
        match url {
            StoreUrl::Postgres(_) => 2,
            StoreUrl::Sqlite(_) => 1,
        }
    }

    /// Connects and brings the tables up to date.
    pub(super) async fn open(url: &StoreUrl, timeout: Duration) -> Result<Self, StoreError> {
        Ok(match url {
            StoreUrl::Postgres(options) => {
                Self::Postgres(Box::new(PostgresStore::open(options, url.to_string(), timeout).await?))
            }
            StoreUrl::Sqlite(path) => Self::Sqlite(Box::new(SqliteStore::open(path).await?)),
        })
    }

    /// Writes all records and the ledger's entry for them in one transaction. What the ledger already holds is not written
    /// again: that is success, too.
    pub(super) async fn write(&mut self, unit: &Unit) -> Result<(), WriteError> {
        match self {
            Self::Postgres(store) => store.write(unit).await,
            Self::Sqlite(store) => store.write(unit).await,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;

    #[test]
    fn parts_of_batches_have_numbers_of_their_own_and_always_the_same_records() {
        let run = RunIdentity { sensor: "edge".into(), run: 7, community_id_seed: 0 };
        let records: Vec<FlowRecord> = (0..5).map(|part| FlowRecord { part, ..record() }).collect();
        let (mut numbers, mut singles) = (Vec::new(), Vec::new());
        for seq in 0..3 {
            let mut parts = vec![Unit { run: run.clone(), seq, node: 1, records: records.clone() }];
            while let Some(part) = parts.pop() {
                numbers.push(part.ledger());
                match part.clone().halves() {
                    Some(halves) => parts.extend(halves),
                    None => singles.push(part.records[0].part),
                }
            }
        }
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
        assert_eq!(singles.len(), 15, "{singles:?}");
    }

    #[test]
    fn the_largest_batch_has_numbers_for_all_of_its_parts() {
        let deepest = 2 * MAX_BATCH.next_power_of_two() as i64 - 1;
        assert!(deepest < 1 << NODE_BITS);
    }
}
