//! Tenants that have come to a region, or left it, a moment ago: the word of it may be on its way, so that the region
//! holds another link, or none, for good reason.
//!
//! What always holds: the note is committed with the tenant's new regions.

use openkcm_contracts::{RegionId, Revision, TenantId, Timestamp};
use openkcm_store::{Read, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use super::moment_key;

/// By region, the time, the Registry's revision of the move and the name: in the order in which they are told.
pub(super) const MOVES: Table<Move> = Table::new("moves");

/// A tenant that has come to a region, or left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    /// Which.
    pub(crate) tenant: TenantId,
    /// The digest of the link that the region is told of, where it came.
    pub(crate) came: Option<String>,
}

/// How long a move is remembered: after it, what differs is no longer taken for a word on its way.
pub(crate) const REMEMBERED_MILLIS: u64 = 60_000;

/// Notes of earlier moves that are forgotten with each new one: more than are made, so that they stay few.
const FORGOTTEN_AT_ONCE: usize = 4;

/// Notes a move, by the Registry's word of this revision.
pub(crate) fn note(
    tx: &mut dyn Write,
    region: &RegionId,
    noted: &Move,
    (revision, now): (Revision, Timestamp),
) -> Result<(), StoreError> {
    let prefix = format!("{region}/");
    let kept_from = from(region, before(now, REMEMBERED_MILLIS));
    for (old, _) in MOVES.list(tx.as_read(), &prefix, None, FORGOTTEN_AT_ONCE)? {
        if old < kept_from {
            MOVES.delete(tx, &old)?;
        }
    }
    let Revision { term, counter } = revision;
    MOVES.put(tx, &format!("{}{term:08x}.{counter:016x}/{}", from(region, now), noted.tenant), noted)
}

/// The moves of a region since a time: at most so many, the earliest first.
///
/// # Errors
/// When the store can't be read.
pub(crate) fn since(
    store: &dyn Read,
    region: &RegionId,
    since: Timestamp,
    limit: usize,
) -> Result<Vec<Move>, StoreError> {
    let after = from(region, since);
    let found = MOVES.list(store, &format!("{region}/"), Some(&after), limit)?;
    Ok(found.into_iter().map(|(_, noted)| noted).collect())
}

/// A moment that lies so far back.
pub(crate) fn before(now: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(millis))
}

fn from(region: &RegionId, at: Timestamp) -> String {
    format!("{region}/{}/", moment_key(at))
}
