//! What the migrations make, and in what a store's tables differ from that.
//!
//! Rows are written by the names of columns, so their order is free, and so are columns of the user's own that need no value.

/// A column as the migrations make it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) name: &'static str,
    /// As PostgreSQL's `format_type` writes it.
    pub(super) postgres: &'static str,
    /// As SQLite's `table_info` gives it back.
    pub(super) sqlite: &'static str,
    pub(super) not_null: bool,
}

/// A column as it is in the store.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) not_null: bool,
    /// The store fills it in by itself.
    pub(super) has_default: bool,
}

const fn text(name: &'static str) -> Expected {
    Expected { name, postgres: "text", sqlite: "TEXT", not_null: true }
}

const fn time(name: &'static str) -> Expected {
    Expected { name, postgres: "timestamp with time zone", sqlite: "TEXT", not_null: true }
}

const fn address(name: &'static str) -> Expected {
    Expected { name, postgres: "inet", sqlite: "TEXT", not_null: true }
}

const fn int8(name: &'static str) -> Expected {
    Expected { name, postgres: "bigint", sqlite: "INTEGER", not_null: true }
}

const fn int4(name: &'static str) -> Expected {
    Expected { name, postgres: "integer", sqlite: "INTEGER", not_null: true }
}

const fn int2(name: &'static str) -> Expected {
    Expected { name, postgres: "smallint", sqlite: "INTEGER", not_null: true }
}

const fn nullable(column: Expected) -> Expected {
    Expected { not_null: false, ..column }
}

/// The table `flows`.
pub(super) const FLOWS: &[Expected] = &[
    text("sensor"),
    int8("flow_id"),
    int4("part"),
    time("start_time"),
    time("end_time"),
    address("src_ip"),
    int4("src_port"),
    address("dst_ip"),
    int4("dst_port"),
    int2("proto"),
    nullable(int2("vlan_id")),
    nullable(int2("inner_vlan_id")),
    nullable(text("tunnel")),
    nullable(int8("tunnel_id")),
    int8("src_packets"),
    int8("dst_packets"),
    int8("src_bytes"),
    int8("dst_bytes"),
    int8("src_payload_bytes"),
    int8("dst_payload_bytes"),
    int2("src_tcp_flags"),
    int2("dst_tcp_flags"),
    text("conn_state"),
    text("history"),
    nullable(int4("tcp_rtt_us")),
    int4("src_retransmits"),
    int4("dst_retransmits"),
    text("community_id"),
    text("end_reason"),
];

/// The table `batches`, as far as both stores have it. PostgreSQL's `written_at` fills itself in; upkeep reads it.
pub(super) const BATCHES: &[Expected] = &[text("sensor"), int8("run"), int8("seq"), int4("records")];

/// PostgreSQL's column besides [`BATCHES`].
pub(super) const WRITTEN_AT: Expected = time("written_at");

/// Each difference in a few words; none where the table serves. `kind` is the type that a column has in this store.
pub(super) fn differences(
    table: &str,
    expected: &[Expected],
    found: &[Found],
    kind: impl Fn(&Expected) -> &'static str,
) -> Vec<String> {
    if found.is_empty() {
        return vec![format!("the table {table} is missing")];
    }
    let mut differences = Vec::new();
    for column in expected {
        let (name, kind) = (column.name, kind(column));
        let Some(found) = found.iter().find(|found| found.name == name) else {
            differences.push(format!("{table} has no column {name}"));
            continue;
        };
        if !found.kind.eq_ignore_ascii_case(kind) {
            differences.push(format!("{table}.{name} is of type {} instead of {kind}", found.kind));
        }
        match (column.not_null, found.not_null) {
            (true, false) => differences.push(format!("{table}.{name} is not NOT NULL any more")),
            (false, true) => differences.push(format!("{table}.{name} has become NOT NULL")),
            _ => {}
        }
    }
    let known = |found: &&Found| expected.iter().any(|column| column.name == found.name);
    for found in found.iter().filter(|found| !known(found) && found.not_null && !found.has_default) {
        differences.push(format!("{table} has a column {} that is NOT NULL without a default", found.name));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::COLUMNS;

    #[test]
    fn the_columns_are_those_that_are_written() {
        assert_eq!(FLOWS.iter().map(|column| column.name).collect::<Vec<_>>(), COLUMNS);
    }

    fn found(name: &str, kind: &str, not_null: bool, has_default: bool) -> Found {
        Found { name: name.to_owned(), kind: kind.to_owned(), not_null, has_default }
    }

    #[test]
    fn columns_that_need_no_value_may_be_added_and_the_order_is_free() {
        let expected = [int4("a"), nullable(text("b"))];
        let mut there = vec![
            found("note", "text", false, false),
            found("b", "text", false, false),
            found("id", "bigint", true, true),
            found("a", "integer", true, false),
        ];
        assert_eq!(differences("t", &expected, &there, |column| column.postgres), [""; 0]);
        there[0].not_null = true;
        let told = differences("t", &expected, &there, |column| column.postgres);
        assert_eq!(told, ["t has a column note that is NOT NULL without a default"]);
    }

    #[test]
    fn every_difference_is_told() {
        let expected = [int4("a"), nullable(text("b")), int8("c")];
        let there = [found("a", "smallint", false, false), found("b", "text", true, true)];
        let told = differences("t", &expected, &there, |column| column.postgres);
        let all = [
            "t.a is of type smallint instead of integer",
            "t.a is not NOT NULL any more",
            "t.b has become NOT NULL",
            "t has no column c",
        ];
        assert_eq!(told, all);
        assert_eq!(differences("t", &expected, &[], |column| column.postgres), ["the table t is missing"]);
    }
}
