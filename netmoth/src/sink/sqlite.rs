//! SQLite: one file, no server, one transaction per batch.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Arguments, AssertSqlSafe, Connection, Executor};

use super::postgres::run_migrations;
use super::schema::{BATCHES, Expected, FLOWS, Found, differences};
use super::store::{Unit, WriteError};
use super::{COLUMNS, Row, StoreError, Timestamp};
use crate::wire::Tunnel;

const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "flows and batches", include_str!("../../migrations/sqlite/0001_flows.sql"))];

/// Rows of one INSERT: enough that a statement's own cost vanishes, and far below SQLite's limit of 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 64;
/// How long another program may hold the file before it counts as locked.
const BUSY: Duration = Duration::from_secs(5);

/// An open, migrated file.
#[derive(Debug)]
pub(super) struct SqliteStore {
    connection: SqliteConnection,
    path: String,
    /// The statement for a full group of rows.
    full: String,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        // FULL is what makes a committed batch survive a power cut in WAL mode; at one commit a second it costs nothing.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(|error| describe(&error, &name))?;
        let at = format!("sqlite:{name}");
        run_migrations(&mut connection, MIGRATIONS, &at).await.map_err(|error| match error {
            Ok(error) => describe(&error, &name),
            Err(error) => error,
        })?;
        verify(&mut connection, &name).await?;
        Ok(Self { connection, path: name, full: insert(ROWS_PER_STATEMENT) })
    }

    pub(super) async fn write(&mut self, unit: &Unit) -> Result<(), WriteError> {
        self.transaction(unit).await.map_err(|error| {
            let code = error.as_database_error().and_then(|error| error.code());
            let described = describe(&error, &self.path);
            // 19 is SQLITE_CONSTRAINT, 20 SQLITE_MISMATCH, 18 SQLITE_TOOBIG, in the low byte of the extended code.
            match code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
                Some(18..=20) => WriteError::Rejected(described),
                _ => WriteError::Retry(described),
            }
        })
    }

    async fn transaction(&mut self, unit: &Unit) -> Result<(), sqlx::Error> {
        let Unit { run, records, .. } = unit;
        self.connection.execute("BEGIN IMMEDIATE").await?;
        let entered =
            sqlx::query("INSERT INTO batches (sensor, run, seq, records) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(&run.sensor)
                .bind(run.run)
                .bind(unit.ledger())
                .bind(i64::try_from(records.len()).unwrap_or(i64::MAX))
                .execute(&mut self.connection)
                .await?;
        if entered.rows_affected() == 0 {
            self.connection.execute("ROLLBACK").await?;
            return Ok(());
        }
        for group in records.chunks(ROWS_PER_STATEMENT) {
            let mut arguments = SqliteArguments::default();
            arguments.reserve(group.len() * COLUMNS.len(), 0);
            for record in group {
                let row = Row::new(&run.sensor, record, run.community_id_seed);
                bind(&mut arguments, &row).map_err(sqlx::Error::Encode)?;
            }
            let sql = if group.len() == ROWS_PER_STATEMENT { self.full.clone() } else { insert(group.len()) };
            // Only the full statement comes again, so only that one is worth a place in the cache.
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(group.len() == ROWS_PER_STATEMENT);
            query.execute(&mut self.connection).await?;
        }
        self.connection.execute("COMMIT").await?;
        Ok(())
    }

    pub(super) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            log::debug!("closing {}: {error}", self.path);
        }
    }
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

/// An INSERT of `rows` rows, made of the names of columns and question marks alone.
fn insert(rows: usize) -> String {
    let marks = vec!["?"; COLUMNS.len()].join(",");
    format!("INSERT INTO flows ({}) VALUES {}", COLUMNS.join(","), vec![format!("({marks})"); rows].join(","))
}

/// Adds one row in the order of [`COLUMNS`]. A counter above `i64::MAX` is stored as that.
fn bind(to: &mut SqliteArguments, row: &Row<'_>) -> Result<(), sqlx::error::BoxDynError> {
    let r = &row.record;
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    to.add(row.sensor)?;
    to.add(r.flow_id)?;
    to.add(i64::from(r.part))?;
    to.add(Timestamp::from_ns(r.start_ns).as_str())?;
    to.add(Timestamp::from_ns(r.end_ns).as_str())?;
    to.add(r.src_ip.to_string())?;
    to.add(i64::from(r.src_port))?;
    to.add(r.dst_ip.to_string())?;
    to.add(i64::from(r.dst_port))?;
    to.add(i64::from(r.proto))?;
    to.add(r.vlan_id.map(i64::from))?;
    to.add(r.inner_vlan_id.map(i64::from))?;
    to.add(r.tunnel.map(Tunnel::as_str))?;
    to.add(r.tunnel_id.map(i64::from))?;
    for value in [r.src_packets, r.dst_packets, r.src_bytes, r.dst_bytes, r.src_payload_bytes, r.dst_payload_bytes] {
        to.add(count(value))?;
    }
    to.add(i64::from(r.src_tcp_flags))?;
    to.add(i64::from(r.dst_tcp_flags))?;
    to.add(r.conn_state.as_str())?;
    to.add(r.history.as_str())?;
    to.add(r.tcp_rtt_us.map(i64::from))?;
    to.add(i64::from(r.src_retransmits))?;
    to.add(i64::from(r.dst_retransmits))?;
    to.add(row.community_id.as_str())?;
    to.add(r.end_reason.as_str())
}

/// The sentence for what SQLite said (<https://www.sqlite.org/rescode.html>).
pub(super) fn describe(error: &sqlx::Error, path: &str) -> StoreError {
    let path = path.to_owned();
    let Some(database) = error.as_database_error() else {
        return StoreError::Failed { at: format!("sqlite:{path}"), cause: error.to_string() };
    };
    let cause = database.message().to_owned();
    let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
    match code & 0xff {
        5 | 6 => StoreError::Locked { path },
        8 => StoreError::ReadOnly { path },
        14 => StoreError::CannotOpen { path, cause },
        26 => StoreError::NotADatabase { path },
        1 if cause.starts_with("no such table") => StoreError::NoTables { at: format!("sqlite:{path}") },
        _ => StoreError::Failed { at: format!("sqlite:{path}"), cause },
    }
}
