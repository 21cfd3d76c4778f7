//! Why a store did not do what it was asked.

use std::path::PathBuf;
use std::sync::Arc;

/// A store's failure. It is cheap to clone: one failed commit answers every change that shared it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database refused: disk full, I/O error, damaged file.
    #[error("the store's database failed; check the disk it lies on")]
    Engine(#[source] Arc<rusqlite::Error>),
    /// The store's directory can't be used.
    #[error("the store's file {path} can't be used")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Another process has the store open.
    #[error("the store {path} is in use by another process; stop that one first")]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is another component's, or of another layout.
    #[error("{path} is the store of {found:?}, not of {expected:?}")]
    WrongIdentity {
        /// The store's file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A record can't be read: the file was changed by something else.
    #[error("the record {key:?} of {space} can't be read; restore the store from a backup")]
    Record {
        /// The record's space.
        space: &'static str,
        /// The record's key.
        key: String,
        /// What the decoder found.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The database is not whole.
    #[error("the database is damaged: {fault}")]
    Damaged {
        /// The first fault that was found.
        fault: Arc<str>,
    },
    /// A record is longer than those who are to read it take.
    #[error("the record {key:?} of {space} has {len} bytes, and {limit} is the limit; make it smaller")]
    TooLong {
        /// The record's space.
        space: &'static str,
        /// The record's key.
        key: String,
        /// Its length in bytes.
        len: usize,
        /// The longest there may be.
        limit: usize,
    },
    /// The store was closed, or the change failed in a way that is a defect.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Arc::new(error))
    }
}
