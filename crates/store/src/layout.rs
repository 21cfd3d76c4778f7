//! How a store lies on disk: its tables, and how SQLite is set up for them.
//!
//! A space is a table in the order of arrival with an index over its keys. What arrives in no order of names, as
//! a backlog of facts does, is then written one row behind the other, and only the index, of some forty bytes a
//! row, is changed all over. Measured, and what was weighed against it: `docs/adr/0014-rows-in-order-of-arrival.md`.

use std::path::Path;

use rusqlite::Connection;

use crate::{Space, StoreError};

/// Prepared statements that a connection keeps: seven for each space of the largest component, and some.
pub(crate) const STATEMENT_CACHE: usize = 256;

/// How long a connection waits for another one's lock. The writer is alone; only a checkpoint that empties the
/// log keeps readers waiting, for some milliseconds.
pub(crate) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Pages of 4 KiB that the log takes before it is moved into the database: 16 MiB. SQLite's own 1,000 has a bulk
/// load stop four times as often to move pages, most of which change again soon.
const CHECKPOINT_PAGES: u32 = 4_000;

/// The log's file is cut to this when it was emptied, in bytes: a reader that took long lets it grow.
const LOG_LIMIT: u32 = 64 * 1024 * 1024;

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// The one that writes: keeps what it changes at hand.
    Write,
    /// One of several that read; what they miss is in the operating system's memory.
    Read,
}

impl Purpose {
    /// Its cache, in KiB.
    fn cache(self) -> u32 {
        match self {
            Self::Write => 16 * 1024,
            Self::Read => 4 * 1024,
        }
    }
}

/// Opens a connection.
///
/// `synchronous=FULL` with a log: a commit that was answered survives a power cut. `secure_delete`: what was
/// deleted is overwritten; measured, it costs nothing when rows are added.
pub(crate) fn connect(path: &Path, purpose: Purpose) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON;
         PRAGMA cache_size=-{}; PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES};
         PRAGMA journal_size_limit={LOG_LIMIT};",
        purpose.cache()
    ))?;
    Ok(connection)
}

/// What makes a space, where there is none yet. One that an earlier version laid out in the order of keys is
/// used as it is.
pub(crate) fn create(Space(name): Space) -> String {
    format!("CREATE TABLE IF NOT EXISTS {name} (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);")
}
