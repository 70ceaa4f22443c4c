//! The store: there, and open to us. It is asked and not changed; tables are made by the first `netmoth run`.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Check, facts};
use crate::sink::{FlowQuery, StoreError, StoreUrl, UpkeepConfig, overview, query_flows};

pub(super) fn reachable(store: &StoreUrl, retention_days: u32) -> Check {
    if let Err(error) = UpkeepConfig::new(store.clone(), retention_days).check() {
        let (what, remedy) = facts::halves(&error.to_string());
        return Check::fail("store", what, remedy);
    }
    let newest = FlowQuery { since_ns: None, limit: 1 };
    // Altered tables have a sentence of their own, so they are looked at before a row is asked for.
    let held = overview(store).and_then(|held| query_flows(store, newest).map(|_| held));
    match (store, held) {
        (StoreUrl::Sqlite(path), Ok(_) | Err(StoreError::NoTables { .. })) if !may_write(path) => Check::fail(
            "store",
            format!("{store} can't be written to by this user"),
            "change its owner or mode, or name another file with store:",
        ),
        (_, Ok(held)) => Check::ok("store", format!("{store} answers: {held}; {}", kept(retention_days))),
        (_, Err(StoreError::NoTables { .. })) => {
            Check::ok("store", format!("{store} answers, its tables will be made; {}", kept(retention_days)))
        }
        (StoreUrl::Sqlite(path), Err(StoreError::NoSuchFile { .. })) => new_file(store, path),
        (_, Err(error)) => {
            let (what, remedy) = facts::halves(&error.to_string());
            Check::fail("store", what, remedy)
        }
    }
}

fn kept(days: u32) -> String {
    match days {
        0 => "all rows are kept (retention_days: 0)".to_owned(),
        1 => "rows are kept for a day".to_owned(),
        _ => format!("rows are kept for {days} days"),
    }
}

fn new_file(store: &StoreUrl, path: &Path) -> Check {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let user_may = folder.is_dir() && may_write(folder);
    if user_may {
        return Check::ok("store", format!("{store} will be made"));
    }
    let what = if folder.is_dir() { "must not be written to by this user" } else { "is not there" };
    Check::fail(
        "store",
        format!("{store} can't be made: the folder {} {what}", folder.display()),
        "make the folder and let this user write there, or name another file with store:",
    )
}

/// Whether this process may write to a file or make files in a folder, as the kernel sees it (access(2)).
#[expect(unsafe_code, reason = "access(2) has no safe interface in the standard library")]
pub(super) fn may_write(path: &Path) -> bool {
    let mode = if path.is_dir() { libc::W_OK | libc::X_OK } else { libc::W_OK };
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` is a string that ends in a zero byte and lives through the call, which reads it and nothing else.
    let result = unsafe { libc::access(path.as_ptr(), mode) };
    result == 0
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_file_that_can_be_made_is_fine_and_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.db");
        let check = reachable(&StoreUrl::Sqlite(path.clone()), 0);
        assert_eq!((check.status, path.exists()), (Status::Ok, false), "{check:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let check = reachable(&StoreUrl::Sqlite("/nonexistent/flows.db".into()), 0);
        assert_eq!(check.status, Status::Fail);
        assert!(check.found.contains("/nonexistent is not there"), "{check:?}");
    }

    #[test]
    fn a_file_that_is_no_database_is_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(
            &path,
            "Moths fly at night, and this is longer than the header of any database file. ".repeat(20),
        )
        .unwrap();
        let check = reachable(&StoreUrl::Sqlite(path), 0);
        assert_eq!(check.status, Status::Fail);
        assert!(check.found.contains("not an SQLite database") && check.remedy.is_some(), "{check:?}");
    }

    #[test]
    fn a_server_that_is_not_there_is_named_without_its_password() {
        let check = reachable(&"postgres://moth:secret-word@127.0.0.1:1/flows".parse().unwrap(), 0);
        assert_eq!(check.status, Status::Fail);
        assert!(check.found.contains("127.0.0.1:1") && !format!("{check:?}").contains("secret-word"), "{check:?}");
    }

    #[test]
    fn retention_is_refused_where_it_would_be_ignored() {
        let check = reachable(&StoreUrl::Sqlite("/nonexistent/flows.db".into()), 30);
        assert_eq!(check.status, Status::Fail);
        assert!(check.found.contains("retention_days"), "{check:?}");
        assert!(check.remedy.unwrap().contains("PostgreSQL"));
    }
}
