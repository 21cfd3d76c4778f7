//! What is kept of purges: tombstones, endings that were observed, the purge clock and the counts.

use openkcm_contracts::{Generation, KeyPath, Revision, Timestamp, VersionId};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

/// Tombstones, by the key's name. For ever.
pub(super) const TOMBSTONES: Table<Tombstone> = Table::new("tombstones");
/// Tombstones that are not done with, by [`Stage`], the time since when they wait, and name.
pub(super) const OPEN: Table<()> = Table::new("tombstones_open");
/// What this Core has observed to have ended, by the key's name.
pub(super) const ENDINGS: Table<Ending> = Table::new("endings");
/// The generation of each version that was destroyed here, by the key's name and the version.
pub(super) const DESTROYED: Table<Generation> = Table::new("destroyed");
/// The one record of clock and counts.
const LEDGER: Table<Ledger> = Table::new("purge_ledger");

const THE: &str = "ledger";

pub(in crate::store) const SPACES: [Space; 5] =
    [TOMBSTONES.space(), OPEN.space(), ENDINGS.space(), DESTROYED.space(), LEDGER.space()];

/// A tombstone, and how far this Core has come with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The last generation that is refused and destroyed; of a system, with its services.
    pub generation: Generation,
    /// The Registry's revision.
    pub revision: Revision,
    /// When it was heard.
    pub heard_at: Timestamp,
    /// Since when it is waited, on the purge clock, in milliseconds.
    pub since: u64,
    /// How far it has come.
    pub stage: Stage,
    /// The record up to which destruction came: its layer's number and its name.
    pub(super) after: Option<(u8, String)>,
    /// How many versions were destroyed by it.
    pub destroyed: u64,
}

/// How far a purge has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// An operator has said yes to it: it is destroyed now.
    Confirmed,
    /// It waits for an operator's word.
    Held,
    /// It waits for its time, or is being destroyed.
    Waiting,
    /// Nothing of it is held any more.
    Done,
}

/// What ended, and since when this Core knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    /// All up to this generation.
    pub(super) up_to: Generation,
    /// On the purge clock, in milliseconds.
    pub(super) since: u64,
}

/// The purge clock and the counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Ledger {
    /// Milliseconds.
    pub(super) clock: u64,
    /// Sealed versions that are held.
    pub(in crate::store) versions: u64,
    /// How many were destroyed without an operator's word, by the part of the window on the purge clock.
    pub(super) recent: Vec<(u64, u64)>,
    /// Whether any ending or tombstone was ever noted: the clock stands before that.
    pub(super) runs: bool,
    pub(super) counts: Counts,
}

/// How many purges there are, and what they have destroyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Purges that wait for their time, or are under way.
    pub waiting: u64,
    /// Purges that wait for an operator's word.
    pub held: u64,
    /// Versions that were destroyed since this store was made.
    pub destroyed: u64,
}

impl Ledger {
    pub(in crate::store) fn read(view: &dyn Read) -> Result<Self, StoreError> {
        Ok(LEDGER.get(view, THE)?.unwrap_or_default())
    }

    pub(in crate::store) fn write(&self, tx: &mut dyn Write) -> Result<(), StoreError> {
        LEDGER.put(tx, THE, self)
    }

    /// Where a tombstone stands in the counts.
    pub(super) fn count_of(&mut self, stage: Stage) -> Option<&mut u64> {
        match stage {
            Stage::Waiting | Stage::Confirmed => Some(&mut self.counts.waiting),
            Stage::Held => Some(&mut self.counts.held),
            Stage::Done => None,
        }
    }
}

/// Puts a tombstone in the place of an earlier one, with its place in the index and in the counts.
pub(super) fn put(
    tx: &mut dyn Write,
    ledger: &mut Ledger,
    path: &KeyPath,
    (before, after): (Option<&Tombstone>, &Tombstone),
) -> Result<(), StoreError> {
    if let Some(before) = before {
        OPEN.delete(tx, &open_key(before, path))?;
        if let Some(count) = ledger.count_of(before.stage) {
            *count = count.saturating_sub(1);
        }
    }
    if let Some(count) = ledger.count_of(after.stage) {
        *count += 1;
        OPEN.put(tx, &open_key(after, path), &())?;
    }
    TOMBSTONES.put(tx, &path.to_string(), after)
}

fn open_key(tombstone: &Tombstone, path: &KeyPath) -> String {
    format!("{}{:016x}/{path}", stage_prefix(tombstone.stage), tombstone.since)
}

fn stage_prefix(stage: Stage) -> &'static str {
    match stage {
        Stage::Confirmed => "confirmed/",
        Stage::Held => "held/",
        Stage::Waiting => "waiting/",
        Stage::Done => "done/",
    }
}

/// Keys of a stage, those that wait longest first, and since when each does.
pub(super) fn open(view: &dyn Read, stage: Stage, limit: usize) -> Result<Vec<(u64, KeyPath)>, StoreError> {
    let prefix = stage_prefix(stage);
    let keys = OPEN.list(view, prefix, None, limit)?.into_iter();
    let read = |key: &str| {
        let (since, name) = key.strip_prefix(prefix)?.split_once('/')?;
        Some((u64::from_str_radix(since, 16).ok()?, name.parse().ok()?))
    };
    Ok(keys.filter_map(|(key, ())| read(&key)).collect())
}

pub(super) fn destroyed_key(path: &KeyPath, version: VersionId) -> String {
    format!("{path}/{version}")
}
