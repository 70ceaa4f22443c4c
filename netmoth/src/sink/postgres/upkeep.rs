//! What keeps the tables in shape: days that are too old go, closed days get their indexes, the ledger forgets.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::connect::connect;
use super::partitions::DayPartition;
use crate::sink::rfc3339::{day_of_ns, parse_rfc3339};
use crate::sink::{StoreError, Timestamp};

/// Whoever holds this advisory lock does the upkeep of the database; another one than that for making partitions, so that no
/// writer ever waits for an index.
const LOCK: i64 = 0x006e_6574_6d75_706b;
/// Days after which the ledger forgets a batch: longer than any batch waits for its database, so that none can be written again
/// after its entry is gone.
pub(in crate::sink) const LEDGER_DAYS: i32 = 90;
/// Entries of the ledger that one statement deletes.
const LEDGER_CHUNK: i64 = 5_000;
/// Rows of a day come until its connections' parts are reported, and a little later from a sensor that was cut off.
const CLOSED_AFTER_S: i64 = 3_600;
const DAY_S: i64 = 86_400;
/// After this long no further partition gets its indexes in this turn: days that are too old have to go, too.
const TURN: Duration = Duration::from_secs(300);
/// What a closed partition is searched by: the end of an index's name, and its columns.
const INDEXES: [(&str, &str); 3] =
    [("src_ip", "src_ip, start_time"), ("dst_ip", "dst_ip, start_time"), ("community_id", "community_id")];

/// A partition of `flows` that netmoth made: its name and its bounds are those of a day.
#[derive(Debug)]
struct Partition {
    name: String,
    /// The name as SQL wants it: quoted, and with its schema where that is not searched.
    table: String,
    day: i64,
    /// Names of its indexes that are complete.
    indexes: Vec<String>,
}

/// What retention did.
#[derive(Debug, Default)]
pub(in crate::sink) struct Dropped {
    pub(in crate::sink) partitions: Vec<String>,
    /// A query or command held on to `flows`, so that some stay until the next turn.
    pub(in crate::sink) busy: bool,
    /// Why one could not be dropped although nobody held it: the first of them, mostly a view that needs it.
    pub(in crate::sink) failed: Option<sqlx::Error>,
}

/// How many days there are, the oldest and the newest (as dates), and the size of the whole database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sink) struct Extent {
    pub(in crate::sink) partitions: usize,
    pub(in crate::sink) days: Option<(String, String)>,
    pub(in crate::sink) bytes: u64,
}

/// One turn of upkeep: a connection of its own that holds the advisory lock as long as it lives.
#[derive(Debug)]
pub(in crate::sink) struct Turn {
    connection: PgConnection,
}

impl Turn {
    /// `None` where another sensor is at it.
    pub(in crate::sink) async fn begin(
        options: &PgConnectOptions,
        at: &str,
        timeout: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let failed = |error: sqlx::Error| super::describe(&error, at, options.get_username());
        let mut connection = connect(options, at, timeout).await?;
        // A long transaction elsewhere makes CREATE INDEX CONCURRENTLY wait, and retention with it: not for ever.
        connection.execute("SET lock_timeout = '5min'").await.map_err(failed)?;
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
        let ours: bool = lock.fetch_one(&mut connection).await.map_err(failed)?;
        if ours {
            return Ok(Some(Self { connection }));
        }
        connection.close().await.map_err(failed)?;
        Ok(None)
    }

    /// Drops partitions all of whose rows are more than `days` days old by the server's clock, the oldest first.
    ///
    /// DROP needs `flows` for itself for a moment. DETACH CONCURRENTLY would not, but it waits for every transaction that has
    /// `flows` open, and where it is interrupted it leaves a partition that is neither in nor out. So: one short transaction for
    /// each partition, sent in one message so that no lock lasts a round trip; whoever has to queue behind it waits 200 ms for
    /// each lock at most, and if that is not enough, the next turn tries again.
    pub(in crate::sink) async fn retention(&mut self, days: u32) -> Result<Dropped, sqlx::Error> {
        let today = self.clock().await?.div_euclid(DAY_S);
        let mut old = partitions(&mut self.connection).await?;
        old.retain(|partition| partition.day < today - i64::from(days));
        let mut dropped = Dropped::default();
        for Partition { name, table, .. } in old {
            let sql = format!("BEGIN; SET LOCAL lock_timeout = '200ms'; DROP TABLE {table}; COMMIT");
            let Err(error) = self.connection.execute(AssertSqlSafe(sql)).await else {
                dropped.partitions.push(name);
                continue;
            };
            self.connection.execute("ROLLBACK").await?;
            if is_lock_timeout(&error) {
                // The next one would hold up the writers as long again, most likely for nothing.
                dropped.busy = true;
                break;
            }
            dropped.failed.get_or_insert(error);
        }
        Ok(dropped)
    }

    /// Gives the partitions of days that are over the indexes that would slow down writing, the newest first; returns their names.
    ///
    /// CONCURRENTLY, because rows may still come late: their writer does not wait. What was interrupted is begun anew. What only
    /// stays because `retention` could not drop it yet is left alone.
    pub(in crate::sink) async fn index_closed(&mut self, retention: u32) -> Result<Vec<String>, sqlx::Error> {
        let (begun, now) = (Instant::now(), self.clock().await?);
        let all = partitions(&mut self.connection).await?;
        let mut indexed = Vec::new();
        for partition in all.into_iter().rev() {
            let closed = (partition.day + 1) * DAY_S + CLOSED_AFTER_S <= now;
            let leaves = retention > 0 && partition.day < now.div_euclid(DAY_S) - i64::from(retention);
            let missing = partition.missing();
            if !closed || leaves || missing.is_empty() {
                continue;
            }
            if begun.elapsed() > TURN {
                break;
            }
            self.index(&partition, &missing).await?;
            indexed.push(partition.name);
        }
        Ok(indexed)
    }

    async fn index(&mut self, partition: &Partition, missing: &[(String, &str)]) -> Result<(), sqlx::Error> {
        let table = &partition.table;
        // For BRIN's last ranges, index-only scans and the planner, once: nobody else looks at a day that does not change.
        // Without truncation, which would lock the table.
        self.connection.execute(AssertSqlSafe(format!("VACUUM (ANALYZE, TRUNCATE false) {table}"))).await?;
        let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
        let broken: Vec<String> = sqlx::query_scalar(
            "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
             WHERE indrelid = $1::regclass AND NOT indisvalid AND relname = ANY($2)",
        )
        .bind(table)
        .bind(names)
        .fetch_all(&mut self.connection)
        .await?;
        for index in broken {
            self.connection.execute(AssertSqlSafe(format!("DROP INDEX CONCURRENTLY {index}"))).await?;
        }
        for (name, columns) in missing {
            let sql = format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} ({columns})");
            self.connection.execute(AssertSqlSafe(sql)).await?;
        }
        Ok(())
    }

    /// Deletes the ledger's entries of more than [`LEDGER_DAYS`] days, in small transactions; returns how many.
    pub(in crate::sink) async fn forget_batches(&mut self) -> Result<u64, sqlx::Error> {
        let mut forgotten = 0;
        loop {
            let deleted = sqlx::query(
                "DELETE FROM batches WHERE ctid = ANY(ARRAY(\
                 SELECT ctid FROM batches WHERE written_at < now() - make_interval(days => $1) LIMIT $2))",
            )
            .bind(LEDGER_DAYS)
            .bind(LEDGER_CHUNK)
            .execute(&mut self.connection)
            .await?
            .rows_affected();
            forgotten += deleted;
            if deleted < LEDGER_CHUNK as u64 {
                return Ok(forgotten);
            }
        }
    }

    /// Gives the lock back and closes the connection: the server would notice the latter a little later.
    pub(in crate::sink) async fn end(mut self) -> Result<(), sqlx::Error> {
        self.connection.execute("SELECT pg_advisory_unlock_all()").await?;
        self.connection.close().await
    }

    /// The server's clock: seconds since the Unix epoch.
    async fn clock(&mut self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT floor(extract(epoch FROM now()))::int8").fetch_one(&mut self.connection).await
    }
}

impl Partition {
    /// Name and columns of each index that it should have once it is closed, and has not.
    fn missing(&self) -> Vec<(String, &'static str)> {
        let all = INDEXES.iter().map(|(suffix, columns)| (format!("{}_{suffix}", self.name), *columns));
        all.filter(|(name, _)| !self.indexes.contains(name)).collect()
    }
}

/// The database's size and days.
pub(in crate::sink) async fn extent(connection: &mut PgConnection) -> Result<Extent, sqlx::Error> {
    let all = partitions(connection).await?;
    let date = |partition: &Partition| {
        let time = Timestamp::from_ns(partition.day.saturating_mul(DAY_S).saturating_mul(1_000_000_000));
        time.as_str()[..10].to_owned()
    };
    let bytes: i64 =
        sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut *connection).await?;
    Ok(Extent {
        partitions: all.len(),
        days: all.first().zip(all.last()).map(|(oldest, newest)| (date(oldest), date(newest))),
        bytes: u64::try_from(bytes).unwrap_or(0),
    })
}

/// The partitions that netmoth made, the oldest first. Others that somebody attached are none of its business.
async fn partitions(connection: &mut PgConnection) -> Result<Vec<Partition>, sqlx::Error> {
    // The bounds are compared as text.
    connection.execute("SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO'").await?;
    let rows: Vec<(String, String, String, Vec<String>)> = sqlx::query_as(
        "SELECT c.relname::text, c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid), \
         ARRAY(SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
               WHERE x.indrelid = c.oid AND x.indisvalid) \
         FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid \
         WHERE inhparent = to_regclass('flows') AND c.relpartbound IS NOT NULL",
    )
    .fetch_all(connection)
    .await?;
    let mut found: Vec<Partition> = rows
        .into_iter()
        .filter_map(|(name, table, bounds, indexes)| {
            let day = day_of(&name, &bounds)?;
            Some(Partition { name, table, day, indexes })
        })
        .collect();
    found.sort_by_key(|partition| partition.day);
    Ok(found)
}

/// The day of a partition that is named after it and holds it, no more and no less.
fn day_of(name: &str, bounds: &str) -> Option<i64> {
    let digits = name.strip_prefix("flows_").filter(|digits| digits.len() == 8 && digits.is_ascii())?;
    let day = day_of_ns(parse_rfc3339(&format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]))?);
    DayPartition::of(day).attach.ends_with(bounds).then_some(day)
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("55P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_counts_only_where_name_and_bounds_are_one_day() {
        let bounds = "FOR VALUES FROM ('2026-12-31 00:00:00+00') TO ('2027-01-01 00:00:00+00')";
        assert_eq!(day_of("flows_20261231", bounds), Some(day_of_ns(1_798_761_599_999_999_999)));
        let month = "FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')";
        for (name, bounds) in [
            ("flows_20261231", month),
            ("flows_20261230", bounds),
            ("flows_20261232", bounds),
            ("flows_2026123é", bounds),
            ("flows_rest", "DEFAULT"),
            ("archive_20261231", bounds),
        ] {
            assert_eq!(day_of(name, bounds), None, "{name} {bounds}");
        }
    }
}
