//! The inbox: how far a component has read, and what it could not read.
//!
//! A position is committed in the transaction of the effects that it stands for, so that after a
//! crash nothing is skipped, and what is read twice is dropped by its revision.

use openkcm_contracts::{Revision, Timestamp};
use openkcm_store::{Read, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::envelope::revision_header;
use crate::{Position, Reading, Stream};

/// How far each stream was read.
pub const POSITIONS: Table<Position> = Table::new("inbox");
/// Authentic events that could not be read or applied.
pub const QUARANTINE: Table<Quarantined> = Table::new("quarantine");

/// An event that could not be read or applied, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// When it was put here.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The tenant that it concerns, as far as its subject tells.
    pub tenant: Option<openkcm_contracts::TenantId>,
    /// Whether it would have taken away the right to serve.
    pub revokes: bool,
    /// Its headers, signature and all.
    pub headers: std::collections::BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

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

/// Keeps an event that could not be applied: for each author and thing the newest one.
///
/// Only what is signed names its place. By the CloudEvents id, which is not, whoever can replay an
/// event could fill the quarantine with copies of it, or put one in the place of another.
///
/// # Errors
/// When the store can't be written.
pub fn quarantine(tx: &mut dyn Write, stream: &Stream, poison: &Quarantined) -> Result<(), StoreError> {
    let [author, subject] =
        ["ce-kcmkeyid", "ce-subject"].map(|name| poison.headers.get(name).map_or("", String::as_str));
    let key = format!("{stream}/{author}/{subject}");
    match QUARANTINE.get(tx.as_read(), &key)? {
        Some(held) if revision(&held) > revision(poison) => Ok(()),
        _ => QUARANTINE.put(tx, &key, poison),
    }
}

fn revision(poison: &Quarantined) -> Option<Revision> {
    revision_header(&poison.headers)
}
