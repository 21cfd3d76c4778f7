//! What every store must do, run over each of them; and what only the durable one can.

use openkcm_store::{Memory, OpenOptions, Scan, Space, Store, StoreError, Table, Write};

const FRUIT: Space = Space("fruit");
const RECORDS: Table<Vec<u32>> = Table::new("records");

fn open(directory: &std::path::Path) -> Result<Store, StoreError> {
    Store::open(&OpenOptions {
        path: directory.join("test.db"),
        identity: "test".into(),
        spaces: &[&[FRUIT, RECORDS.space()]],
    })
}

/// The suite: runs within one transaction of the store under test.
fn a_store_keeps_its_promises(tx: &mut dyn Write) -> Result<(), StoreError> {
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        tx.put(FRUIT, key.as_bytes(), key.as_bytes())?;
    }
    tx.put(FRUIT, b"a/2", b"changed")?;
    tx.delete(FRUIT, b"a/3")?;
    tx.delete(FRUIT, b"never there")?;
    assert_eq!(tx.get(FRUIT, b"a/2")?.as_deref(), Some(&b"changed"[..]));
    assert_eq!(tx.get(FRUIT, b"a/3")?, None);
    let keys = |scan| -> Result<Vec<String>, StoreError> {
        Ok(tx.scan(FRUIT, scan)?.into_iter().map(|(k, _)| String::from_utf8(k).expect("utf-8")).collect())
    };
    assert_eq!(keys(Scan::prefix(b""))?, ["a/1", "a/2", "b/1"]);
    assert_eq!(keys(Scan::prefix(b"a/"))?, ["a/1", "a/2"]);
    assert_eq!(keys(Scan { prefix: b"a/", after: Some(b"a/1"), limit: 9 })?, ["a/2"]);
    assert_eq!(keys(Scan { prefix: b"a/", after: Some(b"b/9"), limit: 9 })?, [""; 0]);
    assert_eq!(keys(Scan { prefix: b"", after: None, limit: 2 })?, ["a/1", "a/2"]);
    assert_eq!(tx.last(FRUIT, b"a/")?.map(|(k, _)| k), Some(b"a/2".to_vec()));
    assert_eq!(tx.last(FRUIT, b"c/")?, None);
    RECORDS.put(tx, "x", &vec![1, 2])?;
    assert_eq!(RECORDS.get(tx.as_read(), "x")?, Some(vec![1, 2]));
    Ok(())
}

#[test]
fn the_store_in_memory_keeps_its_promises() {
    Memory::default().write(a_store_keeps_its_promises).expect("suite");
}

#[tokio::test]
async fn the_embedded_store_keeps_its_promises() {
    let directory = tempfile::tempdir().expect("directory");
    open(directory.path()).expect("open").write(a_store_keeps_its_promises).await.expect("suite");
}

#[test]
fn a_failed_transaction_leaves_nothing_in_memory() {
    let mut memory = Memory::default();
    let before = memory.clone();
    let failed: Result<(), StoreError> = memory.write(|tx| {
        tx.put(FRUIT, b"k", b"v")?;
        Err(StoreError::Closed)
    });
    assert!(failed.is_err());
    assert_eq!(memory, before);
}

#[tokio::test]
async fn of_changes_that_share_a_commit_only_the_failed_one_is_undone() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(directory.path()).expect("open");
    let changes = (0..200u32).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write(move |tx| {
                    tx.put(FRUIT, &i.to_be_bytes(), b"v")?;
                    if i % 3 == 0 { Err(StoreError::Closed) } else { Ok(()) }
                })
                .await
        })
    });
    let mut kept = 0;
    for (i, change) in changes.collect::<Vec<_>>().into_iter().enumerate() {
        let outcome = change.await.expect("task");
        assert_eq!(outcome.is_ok(), i % 3 != 0);
        kept += usize::from(outcome.is_ok());
    }
    let held = store.read(|view| view.scan(FRUIT, Scan::prefix(b""))).await.expect("read");
    assert_eq!(held.len(), kept);
}

#[tokio::test]
async fn a_change_that_panics_takes_only_itself_back_and_the_writer_goes_on() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(directory.path()).expect("open");
    let panicked: Result<(), StoreError> = store
        .write(|tx| {
            tx.put(FRUIT, b"bad", b"v")?;
            panic!("a defect in a rule")
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Closed)));
    store.write(|tx| tx.put(FRUIT, b"good", b"v")).await.expect("the writer lives");
    assert_eq!(store.read(|view| view.get(FRUIT, b"bad")).await.expect("read"), None);
}

#[tokio::test]
async fn what_was_answered_is_there_when_the_store_opens_again() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(directory.path()).expect("open");
    store.write(|tx| tx.put(FRUIT, b"k", b"v")).await.expect("write");
    assert!(matches!(open(directory.path()), Err(StoreError::InUse { .. })), "one process at a time");
    let mut closed = store.commits();
    drop(store);
    while closed.changed().await.is_ok() {}
    let store = loop {
        // The writer gives its lock back on its own thread, moments after the last handle went.
        match open(directory.path()) {
            Err(StoreError::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.expect("open"),
        }
    };
    assert_eq!(store.read(|view| view.get(FRUIT, b"k")).await.expect("read"), Some(b"v".to_vec()));
}

#[tokio::test]
async fn a_store_never_opens_as_another_components() {
    let directory = tempfile::tempdir().expect("directory");
    drop(open(directory.path()).expect("open"));
    let options =
        OpenOptions { path: directory.path().join("test.db"), identity: "other".into(), spaces: &[] };
    let refused = loop {
        match Store::open(&options) {
            Err(StoreError::InUse { .. }) => tokio::task::yield_now().await,
            outcome => break outcome.expect_err("another's store"),
        }
    };
    assert!(matches!(refused, StoreError::WrongIdentity { .. }));
}

#[tokio::test]
async fn a_store_that_was_laid_out_in_the_order_of_keys_is_used_as_it_is() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("test.db");
    let earlier = rusqlite::Connection::open(&file).expect("a file");
    earlier
        .execute_batch(
            "CREATE TABLE fruit (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
             INSERT INTO fruit VALUES (CAST('z' AS BLOB), CAST('kept' AS BLOB));",
        )
        .expect("the layout of an earlier version");
    drop(earlier);
    let store = open(directory.path()).expect("open");
    let held = store.read(|view| view.get(FRUIT, b"z")).await.expect("read");
    assert_eq!(held.as_deref(), Some(&b"kept"[..]));
    store.write(|tx| tx.delete(FRUIT, b"z")).await.expect("delete");
    store.write(a_store_keeps_its_promises).await.expect("suite");
}

#[tokio::test]
async fn what_arrives_in_any_order_is_read_in_the_order_of_keys() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(directory.path()).expect("open");
    for number in [5u8, 1, 9, 3, 7, 1, 5] {
        store.write(move |tx| tx.put(FRUIT, &[b'k', number], &[number])).await.expect("write");
    }
    store.write(|tx| tx.delete(FRUIT, &[b'k', 7])).await.expect("delete");
    let held = store.read(|view| view.scan(FRUIT, Scan::prefix(b"k"))).await.expect("read");
    assert_eq!(held.into_iter().map(|(_, value)| value[0]).collect::<Vec<_>>(), [1, 3, 5, 9]);
    let last = store.read(|view| view.last(FRUIT, b"k")).await.expect("read");
    assert_eq!(last.map(|(_, value)| value), Some(vec![9]));
}

#[tokio::test]
async fn a_change_that_fails_alone_leaves_nothing_and_the_next_one_stands() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(directory.path()).expect("open");
    let failed: Result<(), StoreError> = store
        .write(|tx| {
            tx.put(FRUIT, b"bad", b"v")?;
            Err(StoreError::Closed)
        })
        .await;
    assert!(failed.is_err());
    store.write(|tx| tx.put(FRUIT, b"good", b"v")).await.expect("write");
    let held = store.read(|view| view.scan(FRUIT, Scan::prefix(b""))).await.expect("read");
    assert_eq!(held, [(b"good".to_vec(), b"v".to_vec())]);
}

#[tokio::test]
async fn a_damaged_record_is_named() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(directory.path()).expect("open");
    store.write(|tx| tx.put(RECORDS.space(), b"x", b"{")).await.expect("write");
    let error = store.read(|view| RECORDS.get(view, "x")).await.expect_err("damaged");
    assert!(error.to_string().contains("\"x\" of records"), "{error}");
}
