//! Connecting, migrating, and turning what the server says into sentences.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, SqlSafeStr};

use crate::sink::StoreError;

const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "flows and batches", include_str!("../../../migrations/postgres/0001_flows.sql"))];

/// A connection, or within `timeout` the reason why there is none.
pub(in crate::sink) async fn connect(
    options: &PgConnectOptions,
    at: &str,
    timeout: Duration,
) -> Result<PgConnection, StoreError> {
    let options = options.clone().application_name("netmoth");
    match tokio::time::timeout(timeout, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(describe_connect(&error, &options, at)),
        Err(_) => Err(StoreError::TimedOut { at: at.to_owned(), seconds: timeout.as_secs() }),
    }
}

/// Brings the tables up to date, under sqlx's advisory lock.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    at: &str,
) -> Result<(), StoreError> {
    run_migrations(connection, MIGRATIONS, at).await.map_err(|error| match error {
        Ok(error) => describe(&error, at, options.get_username()),
        Err(error) => error,
    })
}

/// Runs embedded migrations; the error is the database's own, or one of ours.
pub(in crate::sink) async fn run_migrations<C: sqlx::migrate::Migrate>(
    connection: &mut C,
    files: &'static [(i64, &'static str, &'static str)],
    at: &str,
) -> Result<(), Result<sqlx::Error, StoreError>> {
    let known = files.last().map_or(0, |(version, ..)| *version);
    let migrations = files.iter().map(|(version, description, sql)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let at = at.to_owned();
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => Err(StoreError::Newer { at, found, known }),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Ok(error),
        other => Err(StoreError::Failed { at, cause: format!("its schema does not fit: {other}") }),
    })
}

fn describe_connect(error: &sqlx::Error, options: &PgConnectOptions, at: &str) -> StoreError {
    let (at, user) = (at.to_owned(), options.get_username().to_owned());
    match error {
        sqlx::Error::Tls(cause) => StoreError::Tls { at, cause: cause.to_string() },
        sqlx::Error::Database(cause) if cause.code().as_deref() == Some("3D000") => {
            StoreError::NoDatabase { at, database: options.get_database().unwrap_or(&user).to_owned(), user }
        }
        other => describe(other, &at, &user),
    }
}

/// The sentence for what the server or the connection said.
pub(in crate::sink) fn describe(error: &sqlx::Error, at: &str, user: &str) -> StoreError {
    let (at, user) = (at.to_owned(), user.to_owned());
    match error {
        sqlx::Error::Io(cause) => StoreError::Unreachable { at, cause: cause.to_string() },
        sqlx::Error::Database(database) => {
            let cause = database.message().to_owned();
            match database.code().as_deref() {
                Some("28P01") => StoreError::Password { at, user },
                Some("28000") if cause.contains("no encryption") || cause.contains("SSL off") => {
                    StoreError::TlsRequired { at }
                }
                Some("28000") => StoreError::NotAllowed { at, user, cause },
                Some("53300") => StoreError::NoConnectionLeft { at, user, cause },
                Some("42501") => StoreError::Privilege { at, user, cause },
                Some("42P01") => StoreError::NoTables { at },
                _ => StoreError::Failed { at, cause },
            }
        }
        other => StoreError::Failed { at, cause: other.to_string() },
    }
}
