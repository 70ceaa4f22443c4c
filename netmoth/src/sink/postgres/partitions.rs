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
        // Each day on its own: the parent is locked for as short as can be, while another sensor may be writing.
        for day in days {
            let (name, sql) = statement(day);
            let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(&name)
                .fetch_one(&mut *connection)
                .await?;
            if !exists {
                connection.execute("BEGIN").await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
                connection.execute(AssertSqlSafe(sql)).await?;
                connection.execute("COMMIT").await?;
            }
            self.known.insert(day);
        }
        Ok(())
    }
}

/// The name of a day's partition and the statement that makes it; both are made of numbers alone.
pub(super) fn statement(day: i64) -> (String, String) {
    let ((year, month, date), (next_year, next_month, next_date)) = (civil_from_days(day), civil_from_days(day + 1));
    let name = format!("flows_{year:04}{month:02}{date:02}");
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF flows FOR VALUES \
         FROM ('{year:04}-{month:02}-{date:02} 00:00:00+00') TO ('{next_year:04}-{next_month:02}-{next_date:02} 00:00:00+00')"
    );
    (name, sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_after_its_day_and_ends_with_it() {
        let (name, sql) = statement(day_of_ns(1_798_761_599_999_999_999));
        assert_eq!(name, "flows_20261231");
        assert!(sql.ends_with("FROM ('2026-12-31 00:00:00+00') TO ('2027-01-01 00:00:00+00')"), "{sql}");
    }
}
