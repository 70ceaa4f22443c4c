//! Whether the tables are still those that the migrations made.

use sqlx::postgres::PgConnection;

use super::connect::describe;
use crate::sink::StoreError;
use crate::sink::schema::{BATCHES, Expected, FLOWS, Found, WRITTEN_AT, differences};

/// What the writer relies on beyond columns, as PostgreSQL prints it: partitions by day, and a key that finds a batch again.
const PARTITIONED_BY: &str = "RANGE (start_time)";
const LEDGER_KEY: &str = "PRIMARY KEY (sensor, run, seq)";

/// Refuses tables that somebody altered, with all that differs: better at the start than at the first row.
pub(in crate::sink) async fn verify(connection: &mut PgConnection, at: &str, user: &str) -> Result<(), StoreError> {
    let found = altered(connection).await.map_err(|error| describe(&error, at, user))?;
    if found.is_empty() {
        return Ok(());
    }
    Err(StoreError::Altered { at: at.to_owned(), differences: found.join(", ") })
}

async fn altered(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let kind = |column: &Expected| column.postgres;
    let flows = columns(connection, "flows").await?;
    let mut found = differences("flows", FLOWS, &flows, kind);
    let ledger: Vec<Expected> = BATCHES.iter().copied().chain([WRITTEN_AT]).collect();
    let batches = columns(connection, "batches").await?;
    found.extend(differences("batches", &ledger, &batches, kind));
    // The only one that the writer leaves to the server.
    if batches.iter().any(|column| column.name == WRITTEN_AT.name && !column.has_default) {
        found.push(format!("batches.{} has no default any more", WRITTEN_AT.name));
    }
    if !flows.is_empty() {
        let by: Option<String> =
            sqlx::query_scalar("SELECT pg_get_partkeydef(to_regclass('flows'))").fetch_one(&mut *connection).await?;
        match by.as_deref() {
            Some(PARTITIONED_BY) => {}
            Some(other) => found.push(format!("flows is partitioned by {other} instead of {PARTITIONED_BY}")),
            None => found.push(format!("flows is not partitioned by {PARTITIONED_BY}")),
        }
    }
    if !batches.is_empty() {
        let key: Option<String> = sqlx::query_scalar(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass('batches') AND contype = 'p'",
        )
        .fetch_optional(&mut *connection)
        .await?;
        if key.as_deref() != Some(LEDGER_KEY) {
            found.push(format!("batches has no {LEDGER_KEY}"));
        }
    }
    Ok(found)
}

async fn columns(connection: &mut PgConnection, table: &str) -> Result<Vec<Found>, sqlx::Error> {
    let rows: Vec<(String, String, bool, bool)> = sqlx::query_as(
        "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, \
         atthasdef OR attidentity <> '' OR attgenerated <> '' \
         FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    let found = |(name, kind, not_null, has_default)| Found { name, kind, not_null, has_default };
    Ok(rows.into_iter().map(found).collect())
}
