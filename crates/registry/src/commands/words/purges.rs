//! Tombstones in a rebuild: none that was found is undone, and what one ends does not stand.

use openkcm_contracts::v1::KeyPurge;
use openkcm_contracts::{DefinitionState, Revision, Timestamp};
use openkcm_store::{StoreError, Write};

use crate::rules::rebuild::{self, Taken};
use crate::store::{self, KeyRecord, Purged};

/// Takes a tombstone that was found; nothing when the store's own goes on.
pub(super) fn take(
    tx: &mut dyn Write,
    said: &KeyPurge,
    revision: Revision,
    now: Timestamp,
) -> Result<Option<Taken<Purged>>, StoreError> {
    let path = said.path();
    let held = store::purges::of(tx.as_read(), &path)?;
    let Some(mut taken) = rebuild::tombstone(held, said.generation, revision, now) else { return Ok(None) };
    if taken.more {
        taken.record.revision = store::last_revision(tx.as_read())?.next();
        store::set_last_revision(tx, taken.record.revision)?;
    }
    store::purges::set(tx, &path, &taken.record)?;
    Ok(Some(taken))
}

/// What a tombstone ends does not stand, whatever became of the word that had ended it before: the Registry never
/// says that it does. Says whether that is a change.
pub(super) fn end(tx: &dyn Write, record: &mut KeyRecord, now: Timestamp) -> Result<bool, StoreError> {
    let is_deleted = matches!(record.state, DefinitionState::Deleted { .. });
    // Of a system's services nothing needs to be said: they end with it.
    let purged = store::purges::of(tx.as_read(), &record.path())?;
    if is_deleted || purged.is_none_or(|purged| purged.generation < record.generation) {
        return Ok(false);
    }
    record.state = DefinitionState::Deleted { purge_at: now };
    Ok(true)
}

/// All regions are told all tombstones again: nobody knows who was.
pub(super) fn tell_all_again(tx: &mut dyn Write) -> Result<(), StoreError> {
    for region in store::purges::told_regions(tx.as_read())? {
        store::purges::forget_told(tx, &region)?;
    }
    Ok(())
}
