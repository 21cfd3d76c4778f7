//! Purges: what the Registry wants destroyed, as this Core heard it, and what became of it.
//!
//! A tombstone takes effect when it is committed: from then on its generations are refused, whatever brings ciphertext
//! of them back. What is sealed stays until the wait is over, and what comes late is sealed away with it. Nothing here
//! takes a tombstone back.

mod destroy;
mod records;

pub use destroy::{Advanced, Decision, advance, decide, has_work};
pub use records::{Counts, Stage, Tombstone};
pub(super) use records::{Ledger, SPACES, TOMBSTONES};

use std::time::Duration;

use openkcm_contracts::v1::{Audience, KeyDefine, KeyPurge, KeySealed, PurgeReport};
use openkcm_contracts::{
    DefinitionState, Event, EventType, Generation, KeyPath, Lane, RegionId, Revision, ServicePath,
    SystemPath, Timestamp, VersionId,
};
use openkcm_orbital::outbox;
use openkcm_store::{Read, StoreError, Write};

use self::records::{DESTROYED, ENDINGS, Ending, destroyed_key};
use super::digests::Gathered;
use super::{Changes, Held, digests};
use crate::rules::{LONGEST_TICK, before, is_purged};

/// Hears a tombstone. Says whether it is news.
pub(super) fn hear(
    tx: &mut dyn Write,
    (revision, fact): (Revision, &KeyPurge),
    audience: &Audience,
    now: Timestamp,
    (changes, sums): (&mut Changes, &mut Gathered),
) -> Result<bool, StoreError> {
    let path = fact.path();
    let held = tombstone(tx.as_read(), &path)?;
    if held.as_ref().is_some_and(|held| held.generation >= fact.generation) {
        return Ok(false);
    }
    let mut ledger = Ledger::read(tx.as_read())?;
    let ending = ENDINGS.get(tx.as_read(), &path.to_string())?;
    // What was observed to end before covers the tombstone, or nothing is known of it but by the tombstone.
    let observed = ending.filter(|ending| ending.up_to >= fact.generation).map(|ending| ending.since);
    let after = Tombstone {
        generation: fact.generation,
        revision,
        heard_at: now,
        since: observed.unwrap_or_else(|| stamp(&mut ledger)),
        // What an operator holds is held until an operator says otherwise.
        stage: match held.as_ref().map(|held| held.stage) {
            Some(Stage::Held) => Stage::Held,
            _ => Stage::Waiting,
        },
        after: None,
        destroyed: held.as_ref().map_or(0, |held| held.destroyed),
    };
    ledger.runs = true;
    sums.tombstone(held.as_ref().map(|held| held.generation), fact);
    records::put(tx, &mut ledger, &path, (held.as_ref(), &after))?;
    ledger.write(tx)?;
    if let Audience::Region(region) = audience {
        changes.dropped.extend(drop_letters(tx, region, &path, fact.generation)?);
    }
    tracing::info!(%path, generation = %fact.generation, "its tombstone is heard: it is refused from now on");
    changes.definition_of(path);
    Ok(true)
}

/// A moment on the purge clock that is not before now.
fn stamp(ledger: &mut Ledger) -> u64 {
    ledger.runs = true;
    ledger.clock + u64::try_from(LONGEST_TICK.as_millis()).unwrap_or(u64::MAX)
}

/// A moment on the purge clock that is not before now, for what else is waited for by it; it runs from now on.
pub(super) fn clock(tx: &mut dyn Write) -> Result<u64, StoreError> {
    let mut ledger = Ledger::read(tx.as_read())?;
    let now = stamp(&mut ledger);
    ledger.write(tx)?;
    Ok(now)
}

/// Notes what a definition that takes the place of another has ended, or that it has not ended after all.
pub(super) fn observe(
    tx: &mut dyn Write,
    replaced: Option<&Held<KeyDefine>>,
    (revision, fact): (Revision, &KeyDefine),
) -> Result<(), StoreError> {
    let is_deleted = |fact: &KeyDefine| matches!(fact.state, DefinitionState::Deleted { .. });
    let name = fact.path().to_string();
    let up_to = match replaced {
        // Nothing is made under what is deleted, so all that there was lies before that word.
        _ if is_deleted(fact) => Generation(revision),
        Some(held) if held.fact.generation < fact.generation => before(fact.generation),
        Some(held) if is_deleted(&held.fact) => return ENDINGS.delete(tx, &name),
        Some(_) => return stands_again(tx, &name, fact.generation),
        None => return Ok(()),
    };
    let mut ledger = Ledger::read(tx.as_read())?;
    let since = stamp(&mut ledger);
    ledger.write(tx)?;
    ENDINGS.put(tx, &name, &Ending { up_to, since })
}

/// A generation stands that was taken for ended: its end, when it comes, counts from then.
fn stands_again(tx: &mut dyn Write, name: &str, generation: Generation) -> Result<(), StoreError> {
    match ENDINGS.get(tx.as_read(), name)? {
        Some(ending) if ending.up_to >= generation => ENDINGS.delete(tx, name),
        _ => Ok(()),
    }
}

/// Letters that tell of versions which a tombstone ends are not sent any more. Gives the versions.
fn drop_letters(
    tx: &mut dyn Write,
    region: &RegionId,
    path: &KeyPath,
    generation: Generation,
) -> Result<Vec<VersionId>, StoreError> {
    let of = path.to_string().replace('/', ".");
    let mut dropped = Vec::new();
    for kind in ["sealed-l2", "sealed-l3"] {
        let subjects = format!("{kind}.{region}.{of}.");
        for waiting in outbox::waiting_about(tx.as_read(), Lane::Sealed, &Audience::Cores, &subjects)? {
            let event = Event::from_body(EventType::KeySealed, waiting.letter.body.as_bytes());
            if let Ok(Event::KeySealed(sealed)) = event
                && sealed.generation <= generation
                && !sealed.seals.is_empty()
            {
                dropped.push(sealed.version);
                outbox::forget(tx, Lane::Sealed, &[waiting])?;
            }
        }
    }
    Ok(dropped)
}

/// Whether a version may be taken in: not when its maker has destroyed it, nor where what ends it is under way or
/// done. While a tombstone only waits, what comes late is sealed away with the rest.
pub(super) fn takes(view: &dyn Read, sealed: &KeySealed) -> Result<bool, StoreError> {
    if sealed.seals.is_empty() {
        return Ok(false);
    }
    let path = sealed.path();
    if DESTROYED.get(view, &destroyed_key(&path, sealed.version))?.is_some() {
        return Ok(false);
    }
    let ends = |tombstone: &Tombstone| {
        let is_begun = tombstone.stage == Stage::Done || tombstone.after.is_some();
        is_begun && tombstone.generation >= sealed.generation
    };
    let above = match &path {
        KeyPath::System(_) => None,
        KeyPath::Service(path) => tombstone(view, &KeyPath::System(path.system_path()))?,
    };
    Ok(!(above.as_ref().is_some_and(ends) || tombstone(view, &path)?.as_ref().is_some_and(ends)))
}

/// Whether a tombstone ends a version, which this Core was about to keep.
pub(super) fn ends(view: &dyn Read, sealed: &KeySealed) -> Result<bool, StoreError> {
    let up_to = match sealed.path() {
        KeyPath::System(path) => purged_system(view, &path)?,
        KeyPath::Service(path) => purged(view, &path)?,
    };
    Ok(is_purged(up_to, sealed.generation))
}

/// The tombstone of a key.
///
/// # Errors
/// When the store can't be read.
pub fn tombstone(view: &dyn Read, path: &KeyPath) -> Result<Option<Tombstone>, StoreError> {
    TOMBSTONES.get(view, &path.to_string())
}

/// What the tombstones of a system and of its services say.
pub(super) fn of_system(view: &dyn Read, tenant: &str, system: &str) -> Result<Vec<KeyPurge>, StoreError> {
    let name = format!("{tenant}/{system}");
    let mut found: Vec<_> =
        TOMBSTONES.get(view, &name)?.map(|held| (name.clone(), held)).into_iter().collect();
    found.extend(TOMBSTONES.list(view, &format!("{name}/"), None, usize::MAX)?);
    Ok(found.into_iter().filter_map(|(name, held)| said(&name, held.generation)).collect())
}

/// What a tombstone says; nothing where its name is none.
pub(super) fn said(name: &str, generation: Generation) -> Option<KeyPurge> {
    let path: KeyPath = name.parse().ok()?;
    let (tenant, system, service) = (path.tenant().clone(), path.system().clone(), path.service().cloned());
    Some(KeyPurge { tenant, system, service, generation })
}

/// How far this Core has come with what it is to destroy.
pub(super) fn report(view: &dyn Read) -> Result<PurgeReport, StoreError> {
    let Counts { waiting, held, .. } = counts(view)?;
    Ok(PurgeReport {
        digest: digests::tombstones(view)?,
        waiting,
        held,
        first_open: records::first_open(view)?,
    })
}

/// Tombstones after a name, in the order of names.
///
/// # Errors
/// When the store can't be read.
pub fn tombstones(
    view: &dyn Read,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Tombstone)>, StoreError> {
    TOMBSTONES.list(view, "", after, limit)
}

/// The last generation of a system that its tombstone ends.
///
/// # Errors
/// When the store can't be read.
pub fn purged_system(view: &dyn Read, path: &SystemPath) -> Result<Option<Generation>, StoreError> {
    Ok(TOMBSTONES.get(view, &path.to_string())?.map(|tombstone| tombstone.generation))
}

/// The last generation of a service that a tombstone ends: its own, or its system's.
///
/// # Errors
/// When the store can't be read.
pub fn purged(view: &dyn Read, path: &ServicePath) -> Result<Option<Generation>, StoreError> {
    let own = TOMBSTONES.get(view, &path.to_string())?.map(|tombstone| tombstone.generation);
    Ok(own.max(purged_system(view, &path.system_path())?))
}

/// The versions of a service that were destroyed here.
///
/// # Errors
/// When the store can't be read.
pub fn destroyed(view: &dyn Read, path: &ServicePath) -> Result<Vec<VersionId>, StoreError> {
    let prefix = format!("{path}/");
    let found = DESTROYED.list(view, &prefix, None, usize::MAX)?.into_iter();
    Ok(found.filter_map(|(key, _)| key.strip_prefix(&prefix)?.parse().ok()).collect())
}

/// How many purges there are, and what they have destroyed.
///
/// # Errors
/// When the store can't be read.
pub fn counts(view: &dyn Read) -> Result<Counts, StoreError> {
    Ok(Ledger::read(view)?.counts)
}

/// How long a purge waits still on the purge clock, of a minimum wait that begins where the clock may be a tick ahead.
///
/// # Errors
/// When the store can't be read.
pub fn waits(view: &dyn Read, tombstone: &Tombstone, minimum: Duration) -> Result<Duration, StoreError> {
    if minimum.is_zero() {
        return Ok(Duration::ZERO);
    }
    let over = Duration::from_millis(tombstone.since).saturating_add(minimum);
    Ok(over.saturating_sub(Duration::from_millis(Ledger::read(view)?.clock)))
}
