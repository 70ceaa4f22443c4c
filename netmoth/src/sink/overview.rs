//! How much a store holds, for `netmoth check`: asked, and nothing changed.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor, Row};

use super::{StoreError, StoreUrl, postgres, sqlite};

/// How long a question may wait for its connection, or for the file.
const CONNECT: Duration = Duration::from_secs(10);

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOverview {
    /// Size of the database, or of the file.
    pub bytes: u64,
    /// The server's version; `None` for SQLite.
    pub version: Option<String>,
    /// How many days PostgreSQL has partitions for; `None` for SQLite.
    pub partitions: Option<usize>,
    /// The oldest and the newest of these days.
    pub days: Option<(String, String)>,
}

impl fmt::Display for StoreOverview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = size(self.bytes);
        if let Some(version) = &self.version {
            write!(f, "PostgreSQL {version}, ")?;
        }
        match (self.partitions, &self.days) {
            (Some(count), Some((oldest, newest))) => {
                let partitions = if count == 1 { "partition" } else { "partitions" };
                write!(f, "{count} {partitions} of a day ({oldest} to {newest}), the database has {size}")
            }
            (Some(_), None) => write!(f, "no partitions yet, the database has {size}"),
            (None, _) => write!(f, "the file has {size}"),
        }
    }
}

/// Looks at a store whose tables are as netmoth made them.
///
/// # Errors
/// Why the store can't be used, with the remedy: unreachable, without tables, or with altered ones.
pub fn overview(url: &StoreUrl) -> Result<StoreOverview, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StoreError::Start { cause: error.to_string() })?;
    runtime.block_on(async {
        match url {
            StoreUrl::Postgres(options) => of_postgres(options, &url.to_string()).await,
            StoreUrl::Sqlite(path) => of_sqlite(path).await,
        }
    })
}

async fn of_postgres(options: &PgConnectOptions, at: &str) -> Result<StoreOverview, StoreError> {
    let user = options.get_username();
    let failed = |error: sqlx::Error| postgres::describe(&error, at, user);
    let mut connection = postgres::connect(options, at, CONNECT).await?;
    let made = connection.fetch_one("SELECT to_regclass('flows') IS NOT NULL").await.map_err(failed)?;
    if !made.get::<bool, _>(0) {
        return Err(StoreError::NoTables { at: at.to_owned() });
    }
    postgres::verify(&mut connection, at, user).await?;
    let extent = postgres::extent(&mut connection).await.map_err(failed)?;
    let version = connection.fetch_one("SHOW server_version").await.map_err(failed)?.get::<String, _>(0);
    // Distributions put their own package's version behind it.
    let version = version.split(' ').next().map(str::to_owned);
    Ok(StoreOverview { bytes: extent.bytes, version, partitions: Some(extent.partitions), days: extent.days })
}

async fn of_sqlite(path: &Path) -> Result<StoreOverview, StoreError> {
    let name = path.display().to_string();
    if !path.exists() {
        return Err(StoreError::NoSuchFile { path: name });
    }
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(CONNECT);
    let failed = |error: sqlx::Error| sqlite::describe(&error, &name);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let made = "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = 'flows'";
    let made = connection.fetch_one(made).await.map_err(failed)?;
    if !made.get::<bool, _>(0) {
        return Err(StoreError::NoTables { at: format!("sqlite:{name}") });
    }
    sqlite::verify(&mut connection, &name).await?;
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    Ok(StoreOverview { bytes, version: None, partitions: None, days: None })
}

/// A size as people say it, in powers of ten.
fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1e3;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1e3;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", units[unit]) } else { format!("{value:.0} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let sizes = [(0, "0.0 kB"), (41_000, "41 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (9_950_000, "10 MB")];
        for (bytes, words) in sizes.into_iter().chain([(1_234_567_890, "1.2 GB"), (5_000_000_000_000_000, "5000 TB")]) {
            assert_eq!(size(bytes), words);
        }
    }

    #[test]
    fn an_overview_is_half_a_sentence() {
        let days = Some(("2026-11-27".to_owned(), "2026-12-01".to_owned()));
        let overview = StoreOverview { bytes: 8_100_000, version: Some("15.13".into()), partitions: Some(5), days };
        let words = "PostgreSQL 15.13, 5 partitions of a day (2026-11-27 to 2026-12-01), the database has 8.1 MB";
        assert_eq!(overview.to_string(), words);
        assert_eq!(
            StoreOverview { version: None, partitions: None, days: None, ..overview }.to_string(),
            "the file has 8.1 MB"
        );
    }
}
