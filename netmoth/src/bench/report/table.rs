//! The table for a person: every column as wide as its widest cell.

use std::io::{self, Write};

use super::{Cell, Column, Report};
use crate::sensor::grouped;

/// Between two columns.
const GAP: &str = "  ";

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let columns = &report.columns;
    let rows: Vec<Vec<String>> = report
        .rows
        .iter()
        .map(|row| row.iter().zip(columns).map(|(cell, column)| text(cell, column)).collect())
        .collect();
    let headings: Vec<String> = columns.iter().map(heading).collect();
    let wide = |text: &String| text.chars().count();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| rows.iter().map(|row| wide(&row[at])).chain([wide(&headings[at])]).max().unwrap_or(0))
        .collect();
    writeln!(out, "{}\non {}\n", report.title, report.host)?;
    for row in [&headings].into_iter().chain(&rows) {
        writeln!(out, "{}", line(row, columns, &widths))?;
    }
    if !report.notes.is_empty() {
        writeln!(out)?;
    }
    report.notes.iter().try_for_each(|note| writeln!(out, "{note}"))
}

fn line(row: &[String], columns: &[Column], widths: &[usize]) -> String {
    let cells =
        row.iter().zip(columns).zip(widths).map(|((cell, column), width)| {
            if column.left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

fn heading(column: &Column) -> String {
    let name = column.name.to_uppercase();
    if column.unit.is_empty() { name } else { format!("{name} ({})", column.unit) }
}

fn text(cell: &Cell, column: &Column) -> String {
    let shown = |number| number_text(number, column.decimals);
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Count(count) => grouped(*count),
        Cell::Number(number) if number.is_finite() => shown(*number),
        Cell::Spread(spread) if spread.median.is_finite() && spread.rounds == 1 => shown(spread.median),
        Cell::Spread(spread) if spread.median.is_finite() => {
            format!("{} ({}-{})", shown(spread.median), shown(spread.min), shown(spread.max))
        }
        Cell::Number(_) | Cell::Spread(_) | Cell::Missing => "-".into(),
    }
}

/// A number with commas between thousands and that many decimals.
fn number_text(number: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", number.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    format!("{}{whole}{rest}", if number < 0.0 && !zero { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::number_text;

    #[test]
    fn numbers_are_grouped_and_rounded() {
        for (number, decimals, expected) in [
            (1_234_567.891, 2, "1,234,567.89"),
            (999.96, 1, "1,000.0"),
            (-1_234.5, 0, "-1,234"),
            (-0.001, 1, "0.0"),
            (1e30, 0, "1000000000000000019884624838656"),
        ] {
            assert_eq!(number_text(number, decimals), expected);
        }
    }
}
