//! Programs of others that are measured beside this one.

use std::path::PathBuf;

/// Where a program is installed; the system's own folders count though they stand on no path.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The number behind `words` in a text, thousands without separators: `Packets processed: 17`.
pub(crate) fn number_behind(text: &str, words: &str) -> Option<u64> {
    let rest = text.rsplit_once(words)?.1.trim_start_matches([':', ' ', '\t']);
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
