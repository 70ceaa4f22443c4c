//! A folder for what a sensor writes: its configuration, its store, its spool.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bench::BenchError;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// Removed with all that is in it when dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// An empty one among the system's temporary files, for nobody else to look into.
    ///
    /// # Errors
    /// Where it can't be made.
    pub(super) fn new() -> Result<Self, BenchError> {
        let place = std::env::temp_dir();
        loop {
            let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
            let path = place.join(format!("netmoth-bench-{}-{number}", std::process::id()));
            // Not one that is there: somebody else may have made it.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => {
                    return Err(BenchError::Folder { place: place.display().to_string(), cause: cause.into() });
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies among temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let (folder, other) = (Folder::new().unwrap(), Folder::new().unwrap());
        let path = folder.path().to_owned();
        assert_ne!(path, other.path());
        fs::create_dir(path.join("spool")).unwrap();
        fs::write(path.join("spool/one"), "1").unwrap();
        drop(folder);
        assert!(!path.exists() && other.path().is_dir());
    }
}
