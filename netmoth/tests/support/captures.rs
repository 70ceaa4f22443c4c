//! Captures of other projects, which are not part of this repository: a folder `shared` beside it, or the one that
//! `NETMOTH_SHARED` names. Where there is none, the tests that want them say so and skip.

use std::path::{Path, PathBuf};

/// The folder with the captures, or None with a message.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("NETMOTH_SHARED").map_or(beside, PathBuf::from);
    if folder.join("captures").is_dir() && folder.join("conformance").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no captures in {} (NETMOTH_SHARED names another folder)", folder.display());
    None
}

/// Adds the capture files of a folder and of those in it.
pub(crate) fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "pcap" || e == "pcapng") {
            found.push(path);
        }
    }
}
