//! Copies of a store, taken while its component goes on, and what can be said of one before it is used.
//!
//! A copy is one consistent state, whole and compact: a transaction reads it, so no writer waits. It needs no lock of
//! the store's own. What was deleted before is not in it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use crate::layout::{BUSY_TIMEOUT, STATEMENT_CACHE};
use crate::view::View;
use crate::{Read, Space, StoreError};

/// A store's file that nothing changes: a copy, or one whose component is down or is left alone.
pub struct Copy {
    connection: Connection,
}

impl Copy {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// When it is not there, or is no database.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)? })
    }

    /// Whose store it is, such as `krypton/eu-1`.
    ///
    /// # Errors
    /// When it is no store.
    pub fn identity(&self) -> Result<String, StoreError> {
        Ok(self.connection.query_row("SELECT name FROM identity", [], |row| row.get(0))?)
    }

    /// Looks whether the database is whole: pages, indexes, constraints. Reads all of it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], with the first fault.
    pub fn check(&self) -> Result<(), StoreError> {
        let found: String = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Damaged { fault: found.into() }) }
    }

    /// Reads what is in it.
    ///
    /// # Errors
    /// What `query` fails with.
    pub fn read<T, E: From<StoreError>>(
        &self,
        query: impl FnOnce(&dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        query(&View::new(&self.connection))
    }
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copy").finish_non_exhaustive()
    }
}

/// How large a copy of a store becomes at the most, in bytes.
///
/// # Errors
/// When the store is not there, or can't be read.
pub fn size(path: &Path) -> Result<u64, StoreError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let bytes = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Copies a store, open or not, to a file that is not there yet, without what is in some spaces; synced to disk.
///
/// # Errors
/// When the store is not there or can't be read, or the file is there or can't be written: then a part of it may lie
/// there.
pub fn copy(path: &Path, to: &Path, without: &[Space]) -> Result<(), StoreError> {
    // The log of a store that is open is read by whoever may write.
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let target = to.to_str().ok_or_else(|| no_text(to))?;
    connection.execute("VACUUM INTO ?1", [target])?;
    drop(connection);
    let copied = open(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copied.execute_batch("PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;")?;
    for Space(name) in without {
        if copied.table_exists(None, *name)? {
            copied.execute(&format!("DELETE FROM {name}"), [])?;
        }
    }
    drop(copied);
    let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|source| StoreError::File { path: to.into(), source: Arc::new(source) })
}

fn open(path: &Path, mode: OpenFlags) -> Result<Connection, StoreError> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn no_text(path: &Path) -> StoreError {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is no Unicode text");
    StoreError::File { path: path.into(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OpenOptions, Store, Table};

    const KEPT: Table<u32> = Table::new("kept");
    const LEFT: Table<u32> = Table::new("left_out");

    async fn store(path: &Path) -> Store {
        let spaces = [KEPT.space(), LEFT.space()];
        let store =
            Store::open(&OpenOptions { path: path.into(), identity: "krypton/a".into(), spaces: &[&spaces] });
        let store = store.unwrap();
        let write = store.write(|tx| {
            LEFT.put(tx, "x", &7)?;
            (0..500).try_for_each(|number| KEPT.put(tx, &format!("{number:04}"), &number))
        });
        write.await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_copy_is_the_store_as_it_was_while_it_went_on_without_what_was_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (path, to) = (dir.path().join("krypton.db"), dir.path().join("copy.db"));
        let store = store(&path).await;
        assert!(size(&path).unwrap() > 0);
        copy(&path, &to, &[LEFT.space(), Space("no_such_space")]).unwrap();
        store.write(|tx| KEPT.put(tx, "0000", &999)).await.unwrap();
        let copied = Copy::open(&to).unwrap();
        assert_eq!(copied.identity().unwrap(), "krypton/a");
        copied.check().unwrap();
        let held = copied.read(|view| KEPT.list(view, "", None, usize::MAX)).unwrap();
        assert_eq!(held.len(), 500);
        assert_eq!(held[0].1, 0, "what was written later is not in it");
        assert_eq!(copied.read(|view| LEFT.get(view, "x")).unwrap(), None);
        assert!(copy(&path, &to, &[]).is_err(), "no copy is written over");
    }

    #[tokio::test]
    async fn what_is_damaged_or_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, to) = (dir.path().join("krypton.db"), dir.path().join("copy.db"));
        assert!(copy(&path, &to, &[]).is_err() && !path.exists(), "nothing is made where there is no store");
        drop(store(&path).await);
        copy(&path, &to, &[]).unwrap();
        let mut bytes = std::fs::read(&to).unwrap();
        let len = bytes.len();
        bytes[len - 4096..].fill(0xff);
        std::fs::write(&to, bytes).unwrap();
        assert!(Copy::open(&to).unwrap().check().is_err());
        std::fs::write(&to, "no database").unwrap();
        assert!(Copy::open(&to).and_then(|copy| copy.identity()).is_err());
    }
}
