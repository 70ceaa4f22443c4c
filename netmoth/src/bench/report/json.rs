//! One JSON object; keys stand in the order of the columns.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Cell, Column, Host, Report};

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    host: &'a Host,
    units: Units<'a>,
    rows: Vec<Row<'a>>,
    notes: &'a [String],
}

struct Units<'a>(&'a [Column]);

struct Row<'a>(&'a [Column], &'a [Cell]);

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Report { title, host, columns, rows, notes } = report;
    let rows = rows.iter().map(|cells| Row(columns, cells)).collect();
    let document = Document { title, host, units: Units(columns), rows, notes };
    serde_json::to_writer(&mut *out, &document)?;
    out.write_all(b"\n")
}

impl Serialize for Units<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(
            self.0.iter().filter(|column| !column.unit.is_empty()).map(|column| (&column.name, &column.unit)),
        )
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.1.len()))?;
        for (column, cell) in self.0.iter().zip(self.1) {
            map.serialize_entry(&column.name, cell)?;
        }
        map.end()
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => to.serialize_str(text),
            Self::Count(count) => to.serialize_u64(*count),
            Self::Number(number) if number.is_finite() => to.serialize_f64(*number),
            Self::Spread(spread) if spread.median.is_finite() => spread.serialize(to),
            Self::Number(_) | Self::Spread(_) | Self::Missing => to.serialize_none(),
        }
    }
}
