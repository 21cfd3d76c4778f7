//! The embedded store: SQLite, one writer with group commit, several readers.
//!
//! WAL with `synchronous=FULL`: a commit that was answered survives a power cut. One process at a
//! time: a lock file beside the database keeps a second one out.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot, watch};

use crate::layout::{self, Purpose, connect};
use crate::view::View;
use crate::writer::{Job, MAX_WAITING_JOBS, Writer};
use crate::{Read, Space, StoreError, Write};

/// Idle read connections that are kept; more are opened while more reads run at once.
const MAX_IDLE_READERS: usize = 4;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions<'a> {
    /// The database's file; its directory must exist.
    pub path: PathBuf,
    /// Whose store it is, such as `krypton/eu-1`: a store never opens as another's.
    pub identity: String,
    /// The spaces that the component uses.
    pub spaces: &'a [&'a [Space]],
}

/// A component's store. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    commits: watch::Receiver<u64>,
    readers: Arc<Readers>,
}

impl Store {
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// When the file can't be used, is another component's, or another process has it open.
    pub fn open(options: &OpenOptions<'_>) -> Result<Self, StoreError> {
        let lock = lock(&options.path)?;
        let connection = connect(&options.path, Purpose::Write)?;
        create_spaces(&connection, options.spaces)?;
        check_identity(&connection, options)?;
        let (jobs, queue) = mpsc::channel(MAX_WAITING_JOBS);
        let (committed, commits) = watch::channel(0);
        Writer { connection, queue, committed, lock }.spawn();
        let readers = Readers { path: options.path.clone(), idle: Mutex::new(Vec::new()) };
        Ok(Self { jobs, commits, readers: Arc::new(readers) })
    }

    /// Runs one transaction and waits until it is synced to disk. Changes that wait at the same time
    /// share one commit; one that fails leaves nothing behind and disturbs none of the others.
    ///
    /// # Errors
    /// What `change` fails with, or a [`StoreError`] when the commit fails: then nothing was changed.
    pub async fn write<T, E>(
        &self,
        change: impl FnOnce(&mut dyn Write) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let answer = change(tx);
            let keep = answer.is_ok();
            let reply = Box::new(move |commit: Result<(), StoreError>| {
                // A caller that went away no longer wants the answer; the change stands.
                let _ = sender.send(match (commit, answer) {
                    (Ok(()), answer) | (Err(_), answer @ Err(_)) => answer,
                    (Err(error), Ok(_)) => Err(error.into()),
                });
            });
            (keep, reply)
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads a consistent view on a thread where waiting for the disk is fine.
    ///
    /// # Errors
    /// What `query` fails with, or a [`StoreError`] when the store can't be read.
    pub async fn read<T, E>(
        &self,
        query: impl FnOnce(&dyn Read) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let readers = self.readers.clone();
        let task = tokio::task::spawn_blocking(move || readers.read(query));
        task.await.map_err(|_| StoreError::Closed)?
    }

    /// Counts commits: changes whenever something was written. For those who tell others of it.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.readers.path).finish_non_exhaustive()
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let path = path.with_extension("lock");
    let failed = |source: std::io::Error| StoreError::File { path: path.clone(), source: Arc::new(source) };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn create_spaces(connection: &Connection, spaces: &[&[Space]]) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL);",
    )?;
    for space in spaces.iter().copied().flatten() {
        connection.execute_batch(&layout::create(*space))?;
    }
    Ok(())
}

fn check_identity(connection: &Connection, options: &OpenOptions<'_>) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO identity VALUES (1, ?1) ON CONFLICT (one) DO NOTHING",
        params![options.identity],
    )?;
    let found: String = connection.query_row("SELECT name FROM identity", [], |row| row.get(0))?;
    if found == options.identity {
        return Ok(());
    }
    Err(StoreError::WrongIdentity { path: options.path.clone(), found, expected: options.identity.clone() })
}

/// Runs a statement that is used again and again.
pub(crate) fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn read<T, E: From<StoreError>>(&self, query: impl FnOnce(&dyn Read) -> Result<T, E>) -> Result<T, E> {
        let pooled = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = pooled.map_or_else(|| connect(&self.path, Purpose::Read), Ok)?;
        run(&connection, "BEGIN DEFERRED").map_err(StoreError::from)?;
        let answer = query(&View::new(&connection));
        run(&connection, "ROLLBACK").map_err(StoreError::from)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_READERS {
            idle.push(connection);
        }
        answer
    }
}
