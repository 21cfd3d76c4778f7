//! What is kept of purges: tombstones, endings that were observed, the purge clock and the counts.

use openkcm_contracts::{Generation, KeyPath, Revision, Timestamp, VersionId};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

/// Tombstones, by the key's name. For ever.
pub(in crate::store) const TOMBSTONES: Table<Tombstone> = Table::new("tombstones");
/// Tombstones that are not done with, by [`Stage`], the time since when they wait, and name.
pub(super) const OPEN: Table<()> = Table::new("tombstones_open");
/// The same, by the Registry's revision and name.
const OPEN_BY_REVISION: Table<()> = Table::new("tombstones_by_revision");
/// What this Core has observed to have ended, by the key's name.
pub(super) const ENDINGS: Table<Ending> = Table::new("endings");
/// The generation of each version that was destroyed here, by the key's name and the version.
pub(super) const DESTROYED: Table<Generation> = Table::new("destroyed");
/// The one record of clock and counts.
const LEDGER: Table<Ledger> = Table::new("purge_ledger");

const THE: &str = "ledger";

pub(in crate::store) const SPACES: [Space; 6] = [
    TOMBSTONES.space(),
    OPEN.space(),
    OPEN_BY_REVISION.space(),
    ENDINGS.space(),
    DESTROYED.space(),
    LEDGER.space(),
];

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
    /// An operator has said yes to it: it is destroyed as soon as its minimum wait is over.
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

    /// The purge clock, in milliseconds.
    pub(in crate::store) fn now(&self) -> u64 {
        self.clock
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
        close(tx, ledger, path, (before.stage, before.since))?;
        OPEN_BY_REVISION.delete(tx, &revision_key(before.revision, path))?;
    }
    let key = open_key(after.stage, after.since, path);
    // One that is there already is of a record that was lost: it is counted.
    let is_counted = OPEN.get(tx.as_read(), &key)?.is_some();
    if let Some(count) = ledger.count_of(after.stage) {
        *count += u64::from(!is_counted);
        OPEN.put(tx, &key, &())?;
        OPEN_BY_REVISION.put(tx, &revision_key(after.revision, path), &())?;
    }
    TOMBSTONES.put(tx, &path.to_string(), after)
}

/// Takes a place out of the index, and out of the counts.
pub(super) fn close(
    tx: &mut dyn Write,
    ledger: &mut Ledger,
    path: &KeyPath,
    (stage, since): (Stage, u64),
) -> Result<(), StoreError> {
    let key = open_key(stage, since, path);
    if let Some(count) = ledger.count_of(stage)
        && OPEN.get(tx.as_read(), &key)?.is_some()
    {
        *count = count.saturating_sub(1);
    }
    OPEN.delete(tx, &key)
}

/// The first revision of the tombstones that are not done with.
pub(super) fn first_open(view: &dyn Read) -> Result<Option<Revision>, StoreError> {
    let first = OPEN_BY_REVISION.list(view, "", None, 1)?.pop();
    Ok(first.and_then(|(key, ())| {
        let (term, counter) = key.split_once('/')?.0.split_once('.')?;
        Some(Revision::new(u32::from_str_radix(term, 16).ok()?, u64::from_str_radix(counter, 16).ok()?))
    }))
}

fn revision_key(revision: Revision, path: &KeyPath) -> String {
    format!("{:08x}.{:016x}/{path}", revision.term, revision.counter)
}

fn open_key(stage: Stage, since: u64, path: &KeyPath) -> String {
    format!("{}{since:016x}/{path}", stage_prefix(stage))
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
