//! The statement that inserts rows: prepared once, bound and run for each row, without allocation of ours.

use std::fmt::Write;
use std::net::IpAddr;

use rusqlite::types::{Null, ToSql};
use rusqlite::{Connection, Error, Statement};

use crate::sink::{COLUMNS, Row, Timestamp};
use crate::wire::Tunnel;

/// The prepared statement, for one row.
pub(super) struct Insert<'a> {
    statement: Statement<'a>,
    /// An address as text.
    text: String,
}

impl<'a> Insert<'a> {
    pub(super) fn new(connection: &'a Connection) -> Result<Self, Error> {
        let marks = vec!["?"; COLUMNS.len()].join(",");
        let statement = connection.prepare(&format!("INSERT INTO flows ({}) VALUES ({marks})", COLUMNS.join(",")))?;
        Ok(Self { statement, text: String::with_capacity(64) })
    }

    /// Inserts one row. A counter above `i64::MAX` is stored as that.
    pub(super) fn row(&mut self, row: &Row<'_>) -> Result<(), Error> {
        let r = &row.record;
        let text = &mut self.text;
        let mut to = Binder { statement: &mut self.statement, column: 0 };
        to.bind(row.sensor)?;
        to.bind(r.flow_id)?;
        to.bind(r.part)?;
        to.bind(Timestamp::from_ns(r.start_ns).as_str())?;
        to.bind(Timestamp::from_ns(r.end_ns).as_str())?;
        to.bind(address(text, r.src_ip))?;
        to.bind(r.src_port)?;
        to.bind(address(text, r.dst_ip))?;
        to.bind(r.dst_port)?;
        to.bind(r.proto)?;
        to.optional(r.vlan_id)?;
        to.optional(r.inner_vlan_id)?;
        to.optional(r.tunnel.map(Tunnel::as_str))?;
        to.optional(r.tunnel_id)?;
        for value in [r.src_packets, r.dst_packets, r.src_bytes, r.dst_bytes, r.src_payload_bytes, r.dst_payload_bytes]
        {
            to.bind(i64::try_from(value).unwrap_or(i64::MAX))?;
        }
        to.bind(r.src_tcp_flags)?;
        to.bind(r.dst_tcp_flags)?;
        to.bind(r.conn_state.as_str())?;
        to.bind(r.history.as_str())?;
        to.optional(r.tcp_rtt_us)?;
        to.bind(r.src_retransmits)?;
        to.bind(r.dst_retransmits)?;
        to.bind(row.community_id.as_str())?;
        to.bind(r.end_reason.as_str())?;
        self.statement.raw_execute().map(drop)
    }
}

/// Binds one column after the other, in the order of [`COLUMNS`].
struct Binder<'s, 'a> {
    statement: &'s mut Statement<'a>,
    column: usize,
}

impl Binder<'_, '_> {
    fn bind(&mut self, value: impl ToSql) -> Result<(), Error> {
        self.column += 1;
        self.statement.raw_bind_parameter(self.column, value)
    }

    /// NULL where there is none: what an earlier row bound stays otherwise.
    fn optional(&mut self, value: Option<impl ToSql>) -> Result<(), Error> {
        match value {
            Some(value) => self.bind(value),
            None => self.bind(Null),
        }
    }
}

/// The address as text, in `text`.
fn address(text: &mut String, address: IpAddr) -> &str {
    text.clear();
    // Writing to a String does not fail.
    let _ = write!(text, "{address}");
    text
}
