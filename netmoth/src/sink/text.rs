//! Rows as text: JSON (one object a line), CSV with a header, or a table for the terminal.

mod csv;
mod json;
mod table;

use std::io::{self, Write};

use super::Row;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a person.
    Table,
    /// One JSON object a line.
    Json,
    /// RFC 4180 with a header line.
    Csv,
}

/// Writes rows to any `Write`, buffered by whole lines in one reused buffer.
#[derive(Debug)]
pub struct RowPrinter<W: Write> {
    out: W,
    format: Format,
    colour: bool,
    line: Vec<u8>,
    started: bool,
}

impl<W: Write> RowPrinter<W> {
    /// A printer; `colour` marks states in the table and has no effect on the other formats. Give it
    /// [`colour_wanted`](Self::colour_wanted), or false.
    pub fn new(out: W, format: Format, colour: bool) -> Self {
        Self { out, format, colour, line: Vec::with_capacity(1 << 10), started: false }
    }

    /// True where `is_terminal` and the environment does not ask for text without colour (<https://no-color.org>).
    pub fn colour_wanted(is_terminal: bool) -> bool {
        is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// Writes one row, and before the first one the header where the format has one.
    ///
    /// # Errors
    /// What the underlying `Write` says; a closed pipe is `BrokenPipe`, which is no failure of ours.
    pub fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.line.clear();
        self.header();
        match self.format {
            Format::Table => table::row(&mut self.line, row, self.colour),
            Format::Json => json::row(&mut self.line, row),
            Format::Csv => csv::row(&mut self.line, row),
        }
        self.out.write_all(&self.line)
    }

    /// A printer of the same rows into memory, whose text [`RowPrinter::lines`] takes.
    pub fn in_memory(&self) -> RowPrinter<Vec<u8>> {
        RowPrinter { out: Vec::new(), format: self.format, colour: self.colour, line: Vec::new(), started: true }
    }

    /// Writes rows that are text already, and before the first ones the header where the format has one.
    ///
    /// # Errors
    /// As [`RowPrinter::row`].
    pub fn lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.started {
            self.line.clear();
            self.header();
            self.out.write_all(&self.line)?;
        }
        self.out.write_all(lines)
    }

    /// What it has written to.
    pub fn written(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes the header if there was no row, and flushes.
    ///
    /// # Errors
    /// What the underlying `Write` says.
    pub fn finish(mut self) -> io::Result<W> {
        self.line.clear();
        self.header();
        self.out.write_all(&self.line)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            match self.format {
                Format::Table => table::header(&mut self.line),
                Format::Csv => csv::header(&mut self.line),
                Format::Json => {}
            }
        }
    }
}

/// Appends formatted text; writing to memory does not fail.
fn append(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a Vec takes every byte");
}
