//! Day partitions of `flows`, made before rows need them.

use std::collections::HashSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use crate::flow::FlowRecord;
use crate::sink::rfc3339::{civil_from_days, day_of_ns};
use crate::time::Instant;

/// Days after today whose partitions exist.
const DAYS_AHEAD: i64 = 3;
/// The advisory lock under which sensors that share a database make partitions, one after the other.
const LOCK: i64 = 0x006e_6574_6d6f_7468;

/// The days whose partitions are known to exist, counted from the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    known: HashSet<i64>,
    today: Option<i64>,
}

impl Partitions {
    /// Makes today's partition and those of the next days, once a day.
    pub(super) async fn ahead(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let today = day_of_ns(Instant::now().wall_ns);
        if self.today != Some(today) {
            self.make(connection, (today..=today + DAYS_AHEAD).collect()).await?;
            self.today = Some(today);
        }
        Ok(())
    }

    /// Makes the partitions that these records need: old captures have days of their own.
    pub(super) async fn for_records(
        &mut self,
        connection: &mut PgConnection,
        records: &[FlowRecord],
    ) -> Result<(), sqlx::Error> {
        let mut days: Vec<i64> = Vec::new();
        for day in records.iter().map(|record| day_of_ns(record.start_ns)) {
            if days.last() != Some(&day) && !self.known.contains(&day) {
                days.push(day);
            }
        }
        self.make(connection, days).await
    }

    async fn make(&mut self, connection: &mut PgConnection, mut days: Vec<i64>) -> Result<(), sqlx::Error> {
        days.sort_unstable();
        days.dedup();
        days.retain(|day| !self.known.contains(day));
        if days.is_empty() {
            return Ok(());
        }
        for day in days {
            let partition = DayPartition::of(day);
            if !is_attached(connection, &partition.name).await? {
                connection.execute("BEGIN").await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
                connection.execute(AssertSqlSafe(partition.create)).await?;
                // Another sensor may have been faster.
                if !is_attached(connection, &partition.name).await? {
                    connection.execute(AssertSqlSafe(partition.attach)).await?;
                }
                connection.execute("COMMIT").await?;
            }
            self.known.insert(day);
        }
        Ok(())
    }
}

/// A table of that name that somebody detached does not count: rows that come late for it would fail again and again.
async fn is_attached(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    let sql =
        "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = to_regclass('flows'))";
    sqlx::query_scalar(sql).bind(name).fetch_one(connection).await
}

/// The name of a day's partition and the statements that make it; all are made of numbers alone.
///
/// Made as a table and then attached: CREATE TABLE … PARTITION OF needs `flows` for itself alone, so it would wait for whoever reads for
/// long (a backup), and all other sensors would wait behind it. ATTACH goes along with readers and writers.
pub(super) struct DayPartition {
    pub(super) name: String,
    create: String,
    /// Ends with the bounds, as the server prints them in UTC.
    pub(super) attach: String,
}

impl DayPartition {
    pub(super) fn of(day: i64) -> Self {
        let date = |day| {
            let (year, month, date) = civil_from_days(day);
            format!("{year:04}-{month:02}-{date:02}")
        };
        let (from, to) = (date(day), date(day + 1));
        let name = format!("flows_{}", from.replace('-', ""));
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {name} \
             (LIKE flows INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE)"
        );
        let attach = format!(
            "ALTER TABLE flows ATTACH PARTITION {name} FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')"
        );
        Self { name, create, attach }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_after_its_day_and_ends_with_it() {
        let partition = DayPartition::of(day_of_ns(1_798_761_599_999_999_999));
        assert_eq!(partition.name, "flows_20261231");
        let attach = partition.attach;
        assert!(attach.ends_with("FROM ('2026-12-31 00:00:00+00') TO ('2027-01-01 00:00:00+00')"), "{attach}");
    }
}
