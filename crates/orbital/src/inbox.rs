//! The inbox: how far a component has read, and what it could not read.
//!
//! A position is committed in the transaction of the effects that it stands for, so that after a
//! crash nothing is skipped, and what is read twice is dropped by its revision.

pub mod quarantine;

use openkcm_store::{Read, StoreError, Table, Write};

pub use quarantine::{QUARANTINE, Quarantined, quarantine};

use crate::{Position, Reading};

/// How far each stream was read.
pub const POSITIONS: Table<Position> = Table::new("inbox");

/// How far a stream was read.
///
/// # Errors
/// When the store can't be read.
pub fn position(store: &dyn Read, reading: &Reading) -> Result<Option<Position>, StoreError> {
    POSITIONS.get(store, &reading.to_string())
}

/// Commits that a stream was read up to here.
///
/// # Errors
/// When the store can't be written.
pub fn advance(tx: &mut dyn Write, reading: &Reading, position: &Position) -> Result<(), StoreError> {
    POSITIONS.put(tx, &reading.to_string(), position)
}
