//! Rows back out of a store, for `netmoth flows`.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ColumnIndex, Connection, Decode, Type};

use super::row::{conn_state, end_reason, history, tunnel};
use super::{COLUMNS, CommunityId, StoreError, StoreUrl, StoredRow, Timestamp, parse_rfc3339, postgres, sqlite};
use crate::flow::FlowRecord;

/// How long a question may wait for its connection.
const CONNECT: Duration = Duration::from_secs(10);

/// What is asked for: the newest `limit` parts that started at or after `since_ns`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowQuery {
    /// Nanoseconds since the Unix epoch.
    pub since_ns: Option<i64>,
    /// Rows at most.
    pub limit: u32,
}

/// `--since`: a span back from now (`90s`, `15m`, `1h`, `7d`) or a time (RFC 3339, or a date).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(i64);

impl Since {
    /// Understands `text`; `now_ns` is the wall clock. `None` where it is neither a span nor a time.
    pub fn parse(text: &str, now_ns: i64) -> Option<Self> {
        if let Some(ns) = parse_rfc3339(text) {
            return Some(Self(ns));
        }
        let unit = text.chars().last()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
        let back = i64::from(count).checked_mul(seconds * 1_000_000_000)?;
        now_ns.checked_sub(back).map(Self)
    }

    /// Nanoseconds since the Unix epoch.
    pub fn ns(self) -> i64 {
        self.0
    }
}

/// The newest rows that match, oldest of them first: as with `journalctl -n`, the latest stands just above the prompt.
///
/// # Errors
/// Why the store can't be read, with the remedy; a row that netmoth did not write names its column.
pub fn query_flows(url: &StoreUrl, query: FlowQuery) -> Result<Vec<StoredRow>, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StoreError::Start { cause: error.to_string() })?;
    let mut rows = runtime.block_on(async {
        match url {
            StoreUrl::Postgres(options) => from_postgres(options, &url.to_string(), query).await,
            StoreUrl::Sqlite(path) => from_sqlite(path, query).await,
        }
    })?;
    rows.reverse();
    Ok(rows)
}

async fn from_postgres(
    options: &sqlx::postgres::PgConnectOptions,
    at: &str,
    query: FlowQuery,
) -> Result<Vec<StoredRow>, StoreError> {
    let mut connection = postgres::connect(options, at, CONNECT).await?;
    let columns = COLUMNS.iter().map(|column| match *column {
        "start_time" | "end_time" => format!("(extract(epoch FROM {column}) * 1000000)::int8 AS {column}"),
        "src_ip" | "dst_ip" => format!("host({column}) AS {column}"),
        "sensor" | "tunnel" | "conn_state" | "history" | "community_id" | "end_reason" => (*column).to_owned(),
        _ => format!("{column}::int8 AS {column}"),
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    // A bound that always holds, so that there is one statement; partitions before it are not read.
    let since_us =
        query.since_ns.map_or(-9_000_000_000_000_000, |ns| ns.div_euclid(1_000) + i64::from(ns.rem_euclid(1_000) > 0));
    let sql = format!(
        "SELECT {columns} FROM flows WHERE start_time >= 'epoch'::timestamptz + $1 * interval '1 microsecond' \
         ORDER BY flows.start_time DESC, flow_id DESC, part DESC LIMIT $2"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(since_us)
        .bind(i64::from(query.limit))
        .fetch_all(&mut connection)
        .await
        .map_err(|error| postgres::describe(&error, at, options.get_username()))?;
    let microseconds = |row: &PgRow, column| {
        integer(row, column, at)?.checked_mul(1_000).ok_or_else(|| wrong(at, column, "out of range"))
    };
    rows.iter().map(|row| decode(row, at, |column| microseconds(row, column))).collect()
}

async fn from_sqlite(path: &std::path::Path, query: FlowQuery) -> Result<Vec<StoredRow>, StoreError> {
    let name = path.display().to_string();
    let at = format!("sqlite:{name}");
    if !path.exists() {
        return Err(StoreError::NoSuchFile { path: name });
    }
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5));
    let failed = |error: sqlx::Error| sqlite::describe(&error, &name);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let sql = format!(
        "SELECT {} FROM flows WHERE start_time >= ? ORDER BY start_time DESC, flow_id DESC, part DESC LIMIT ?",
        COLUMNS.join(", ")
    );
    let since = query.since_ns.map_or(String::new(), |ns| Timestamp::from_ns(ns).as_str().to_owned());
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(since)
        .bind(i64::from(query.limit))
        .fetch_all(&mut connection)
        .await
        .map_err(failed)?;
    let time = |row: &SqliteRow, column| {
        let value: String = text(row, column, &at)?;
        parse_rfc3339(&value).ok_or_else(|| wrong(&at, column, &value))
    };
    rows.iter().map(|row| decode(row, &at, |column| time(row, column))).collect()
}

fn wrong(at: &str, column: &'static str, value: &str) -> StoreError {
    StoreError::Row { at: at.to_owned(), column, value: value.to_owned() }
}

fn value<'r, R, T>(row: &'r R, column: &'static str, at: &str) -> Result<T, StoreError>
where
    R: sqlx::Row,
    &'static str: ColumnIndex<R>,
    T: Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get(column).map_err(|error| wrong(at, column, &error.to_string()))
}

fn text<'r, R>(row: &'r R, column: &'static str, at: &str) -> Result<String, StoreError>
where
    R: sqlx::Row,
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    value(row, column, at)
}

fn integer<'r, R>(row: &'r R, column: &'static str, at: &str) -> Result<i64, StoreError>
where
    R: sqlx::Row,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    value(row, column, at)
}

/// One row of either store; `time` reads a column of times, which the stores keep differently.
fn decode<'r, R>(
    row: &'r R,
    at: &str,
    time: impl Fn(&'static str) -> Result<i64, StoreError>,
) -> Result<StoredRow, StoreError>
where
    R: sqlx::Row,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn fit<T: TryFrom<i64>>(number: i64, at: &str, column: &'static str) -> Result<T, StoreError> {
        T::try_from(number).map_err(|_| wrong(at, column, &number.to_string()))
    }
    fn word<T>(word: &str, meaning: Option<T>, at: &str, column: &'static str) -> Result<T, StoreError> {
        meaning.ok_or_else(|| wrong(at, column, word))
    }
    macro_rules! number {
        ($column:literal) => {
            fit(integer(row, $column, at)?, at, $column)?
        };
    }
    macro_rules! optional {
        ($column:literal) => {
            value::<_, Option<i64>>(row, $column, at)?.map(|number| fit(number, at, $column)).transpose()?
        };
    }
    macro_rules! word {
        ($column:literal, $parse:expr) => {{
            let letters = text(row, $column, at)?;
            word(&letters, $parse(&letters), at, $column)?
        }};
    }
    let tunnel_word: Option<String> = value(row, "tunnel", at)?;
    let tunnel = match tunnel_word {
        Some(name) => Some(word(&name, tunnel(&name), at, "tunnel")?),
        None => None,
    };
    let address = |text: &str| text.parse().ok();
    let record = FlowRecord {
        flow_id: integer(row, "flow_id", at)?,
        part: number!("part"),
        start_ns: time("start_time")?,
        end_ns: time("end_time")?,
        src_ip: word!("src_ip", address),
        dst_ip: word!("dst_ip", address),
        src_port: number!("src_port"),
        dst_port: number!("dst_port"),
        proto: number!("proto"),
        vlan_id: optional!("vlan_id"),
        inner_vlan_id: optional!("inner_vlan_id"),
        tunnel,
        tunnel_id: optional!("tunnel_id"),
        src_packets: number!("src_packets"),
        dst_packets: number!("dst_packets"),
        src_bytes: number!("src_bytes"),
        dst_bytes: number!("dst_bytes"),
        src_payload_bytes: number!("src_payload_bytes"),
        dst_payload_bytes: number!("dst_payload_bytes"),
        src_tcp_flags: number!("src_tcp_flags"),
        dst_tcp_flags: number!("dst_tcp_flags"),
        conn_state: word!("conn_state", conn_state),
        history: word!("history", history),
        tcp_rtt_us: optional!("tcp_rtt_us"),
        src_retransmits: number!("src_retransmits"),
        dst_retransmits: number!("dst_retransmits"),
        end_reason: word!("end_reason", end_reason),
    };
    let community_id = word!("community_id", CommunityId::from_text);
    Ok(StoredRow { sensor: text(row, "sensor", at)?, record, community_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_time() {
        let now = 1_795_794_573_000_000_000;
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(Since::parse(text, now).map(Since::ns), Some(now - seconds * 1_000_000_000));
        }
        assert_eq!(Since::parse("1970-01-02", now).map(Since::ns), Some(86_400_000_000_000));
        for text in ["", "h", "-1h", "1", "1y", "soon", "99999999999w", "1ä"] {
            assert_eq!(Since::parse(text, now), None, "{text}");
        }
    }
}
