//! A table of measurements, for a person or for a program.

mod format;
mod json;
mod table;

pub use format::{Format, UnknownArgument};

use std::io::{self, Write};

use super::{Host, Spread};

/// Measurements of one kind, with the host they were made on.
///
/// ```
/// use netmoth::bench::{Column, Format, Report, Spread};
///
/// let mut report = Report::new("cost of a packet", [Column::text("frames"), Column::number("cost", "ns/packet", 1)]);
/// report.row(["small".into(), Spread::of(&[210.0, 204.5, 207.0]).into()]);
/// report.print(Format::Table, &mut std::io::stdout())?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    title: String,
    host: Host,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

/// What stands in one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    name: String,
    unit: String,
    left: bool,
    decimals: usize,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, shown with the decimals of its column.
    Number(f64),
    /// Several rounds: the median, and in brackets the smallest and the largest.
    Spread(Spread),
    /// Nothing was measured.
    Missing,
}

impl Column {
    /// A column of words, to the left.
    pub fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), unit: String::new(), left: true, decimals: 0 }
    }

    /// A column of numbers, to the right. An empty unit is none.
    pub fn number(name: impl Into<String>, unit: impl Into<String>, decimals: usize) -> Self {
        Self { name: name.into(), unit: unit.into(), left: false, decimals }
    }
}

impl Report {
    /// A report about this host, without rows. The names of columns are the keys in JSON, so each may stand once.
    pub fn new(title: impl Into<String>, columns: impl IntoIterator<Item = Column>) -> Self {
        let columns: Vec<Column> = columns.into_iter().collect();
        let unique = |at: usize| columns[..at].iter().all(|other| other.name != columns[at].name);
        debug_assert!((0..columns.len()).all(unique), "two columns have one name");
        Self { title: title.into(), host: Host::here(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row, one cell for each column; cells that are not given are missing, those too many are not taken.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = cells.into_iter().collect();
        debug_assert!(row.len() <= self.columns.len(), "more cells than columns");
        row.resize(self.columns.len(), Cell::Missing);
        self.rows.push(row);
    }

    /// Adds a sentence below the table: how it was measured, what the figures mean.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Writes it: as an aligned table, or as one JSON object on one line.
    ///
    /// The JSON object is `{"title", "host": {…}, "units": {column: unit}, "rows": [{column: value}], "notes": […]}`.
    /// Numbers stand as numbers, several rounds as `{"median", "min", "max", "rounds"}`, what is missing as null.
    ///
    /// # Errors
    /// Where `out` can't be written.
    pub fn print(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Table => table::print(self, out),
            Format::Json => json::print(self, out),
        }
    }
}

impl From<Spread> for Cell {
    fn from(spread: Spread) -> Self {
        Self::Spread(spread)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn report() -> Report {
        let columns = [
            Column::text("case"),
            Column::number("flows", "", 0),
            Column::number("cost", "ns/packet", 1),
            Column::text("beside"),
        ];
        let mut report = Report::new("cost of a packet", columns);
        report.host = Host { cpu: "Some CPU".into(), cores: 2, kernel: "6.18.0".into(), optimised: true };
        let spread = Spread::of(&[1210.0, 204.55, 207.0]);
        report.row(["small".into(), 1_000_000.into(), spread.into(), "213 \"elsewhere\"".into()]);
        report.row(["large".into(), Cell::Missing, 12.0.into()]);
        report.note("One core.");
        report
    }

    fn printed(report: &Report, format: Format) -> String {
        let mut out = Vec::new();
        report.print(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_aligns_numbers_to_the_right_and_names_the_units() {
        let expected = "\
cost of a packet
on Some CPU, 2 cores, Linux 6.18.0

CASE       FLOWS       COST (ns/packet)  BESIDE
small  1,000,000  207.0 (204.6-1,210.0)  213 \"elsewhere\"
large          -                   12.0  -

One core.
";
        assert_eq!(printed(&report(), Format::Table), expected);
    }

    #[test]
    fn json_is_one_object_with_numbers_as_numbers() {
        let line = printed(&report(), Format::Json);
        assert_eq!(line.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["title"], "cost of a packet");
        assert_eq!((&read["host"]["cpu"], &read["host"]["cores"]), (&"Some CPU".into(), &2.into()));
        assert_eq!(read["units"]["cost"], "ns/packet");
        assert_eq!((&read["rows"][0]["flows"], &read["rows"][0]["cost"]["median"]), (&1_000_000.into(), &207.0.into()));
        assert_eq!((&read["rows"][0]["cost"]["min"], &read["rows"][0]["cost"]["rounds"]), (&204.55.into(), &3.into()));
        assert_eq!(read["rows"][0]["beside"], "213 \"elsewhere\"");
        assert_eq!((&read["rows"][1]["cost"], &read["rows"][1]["beside"]), (&12.0.into(), &serde_json::Value::Null));
        assert_eq!(read["notes"][0], "One core.");
    }

    #[test]
    fn keys_stand_in_the_order_of_the_columns() {
        let line = printed(&report(), Format::Json);
        let at = |key: &str| line.rfind(&format!("\"{key}\"")).unwrap();
        assert!(at("case") < at("flows") && at("flows") < at("cost") && at("cost") < at("beside"), "{line}");
    }

    #[test]
    fn what_is_no_number_is_missing() {
        let mut report = Report::new("nothing", [Column::number("cost", "ns", 1), Column::number("other", "ns", 1)]);
        report.row([f64::NAN.into(), Spread::of(&[]).into()]);
        let read: serde_json::Value = serde_json::from_str(&printed(&report, Format::Json)).unwrap();
        assert_eq!(
            (&read["rows"][0]["cost"], &read["rows"][0]["other"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        let table = printed(&report, Format::Table);
        assert_eq!(table.lines().last().unwrap().split_whitespace().collect::<Vec<_>>(), ["-", "-"]);
    }
}
