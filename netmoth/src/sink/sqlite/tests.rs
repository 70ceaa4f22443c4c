use std::time::Duration;

use super::*;
use crate::sink::row::tests::record;
use crate::sink::store::RunIdentity;

fn unit(seq: i64, records: usize) -> Unit {
    let run = RunIdentity { sensor: "edge".into(), run: 7, community_id_seed: 0 };
    Unit { run, seq, node: 1, records: (0..records).map(|part| FlowRecord { part: part as u32, ..record() }).collect() }
}

/// Rows and batches of a file.
fn stored(path: &Path) -> (i64, i64) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let count =
        |table: &str| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    (count("flows"), count("batches"))
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

#[test]
fn a_batch_is_stored_once_however_often_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("netmoth.db");
    block_on(async {
        for _ in 0..2 {
            let mut store = SqliteStore::open(&path).await.unwrap();
            for _ in 0..2 {
                // More chunks than may wait, the last one in part.
                store.write(&unit(0, CHUNK * (CHUNKS + 3) + 1)).await.unwrap();
                store.write(&unit(1, 1)).await.unwrap();
            }
            store.close().await;
        }
    });
    assert_eq!(stored(&path), ((CHUNK * (CHUNKS + 3) + 2) as i64, 2));
}

#[test]
fn a_write_that_is_given_up_leaves_nothing_and_the_file_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("netmoth.db");
    let big = unit(0, CHUNK * (CHUNKS + 60));
    block_on(async {
        let mut store = SqliteStore::open(&path).await.unwrap();
        // It has handed over what may wait, and the thread is at work.
        assert!(tokio::time::timeout(Duration::ZERO, store.write(&big)).await.is_err());
        drop(store);
        let mut store = SqliteStore::open(&path).await.unwrap();
        store.write(&unit(1, 5)).await.unwrap();
        store.close().await;
    });
    assert_eq!(stored(&path), (5, 1));
}

#[test]
fn what_sqlite_says_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("netmoth.db");
    block_on(async {
        let mut store = SqliteStore::open(&path).await.unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        other
            .execute_batch(
                "CREATE TRIGGER refuse BEFORE INSERT ON flows WHEN new.part = 3 BEGIN SELECT RAISE(ABORT, 'no'); END",
            )
            .unwrap();
        let error = store.write(&unit(0, 5)).await.unwrap_err();
        assert!(matches!(&error, WriteError::Rejected(StoreError::Failed { cause, .. }) if cause == "no"), "{error:?}");
        store.write(&unit(1, 3)).await.unwrap();
        other.execute_batch("DROP TABLE flows").unwrap();
        let error = store.write(&unit(2, 1)).await.unwrap_err();
        assert!(matches!(error, WriteError::Retry(StoreError::NoTables { .. })), "{error:?}");
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = store.write(&unit(3, 1)).await.unwrap_err();
        assert!(matches!(error, WriteError::Retry(StoreError::Locked { .. })), "{error:?}");
    });
}
