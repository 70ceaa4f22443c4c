//! Records that the store refuses, set aside with its reason: one JSON object a line.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::sink::store::Unit;
use crate::sink::{Row, RowPrinter};

/// The file in the spool's folder.
const NAME: &str = "rejected.jsonl";

/// Appends the records of `unit` to the file in `folder`. Returns the file's name.
pub(super) fn set_aside(folder: &Path, unit: &Unit, reason: &str) -> io::Result<PathBuf> {
    let path = folder.join(NAME);
    let mut lines = Vec::new();
    for record in &unit.records {
        let row = Row::new(&unit.run.sensor, record, unit.run.community_id_seed);
        let mut line = Vec::new();
        let mut printer = RowPrinter::new(&mut line, crate::sink::Format::Json, false);
        printer.row(&row)?;
        printer.finish()?;
        let mut object: serde_json::Value = serde_json::from_slice(&line)?;
        object["rejected"] = reason.into();
        lines.extend(serde_json::to_vec(&object)?);
        lines.push(b'\n');
    }
    let mut file = File::options().create(true).append(true).open(&path)?;
    file.write_all(&lines)?;
    file.sync_data()?;
    Ok(path)
}
