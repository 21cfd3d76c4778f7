//! The Registry and its own last words: a start, what is read back, what follows from it.
//!
//! As all commands, each runs in its caller's transaction, with the time handed in; the service and the
//! simulator call the same. A verdict is [`openkcm_orbital::words`]'s; what it does is said here: a stale
//! Registry tells nothing, not even what waits since before its start, and changes nothing. A rebuild takes
//! the records from the mesh, and tells what the mesh lacks.

mod purges;

use std::collections::BTreeMap;

use openkcm_contracts::{Audience, Event, Generation, Lane, RegionId, Revision, Timestamp};
use openkcm_orbital::outbox::{self, Waiting};
use openkcm_orbital::words::found::{self, Found, Heard, Lost};
use openkcm_orbital::words::{self, Facts, Standing};
use openkcm_orbital::{Intake, Letter, Published};
use openkcm_store::{Read, StoreError, Table, Write};

use crate::rules::rebuild::{self, Rebuilding, Taken, is_orphan};
use crate::rules::telling::{self, Told};
use crate::store::{self, KeyRecord, SERVICES, SYSTEMS, TENANTS, TenantRecord};
use crate::{doubts, reconcile};

/// Things that one step of a rebuild looks at: some ten milliseconds, in which no other change is committed.
const AT_ONCE: usize = 500;

const FACTS: Facts = Facts { rank: rebuild::rank, knows };

/// What is to be done next when all words were read. The first is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Step {
    /// To draw the conclusion of the comparison; a rebuild begins with it.
    #[default]
    Conclude,
    /// To take what the mesh knows newer, after this thing.
    Take(Option<String>),
    /// To tell what the mesh lacks, after this record.
    Tell(Kind, Option<String>),
    /// To forget what was found.
    Forget,
}

/// Records of one kind; parents come before what belongs to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tenants.
    Tenants,
    /// Systems.
    Systems,
    /// Services.
    Services,
}

/// Begins a start, which rebuilds the store from the mesh if that is asked for. To be committed before any
/// request is taken.
///
/// # Errors
/// When the store fails.
pub fn begin(tx: &mut dyn Write, rebuild: bool, now: Timestamp) -> Result<(), StoreError> {
    doubts::begin(tx, now)?;
    reconcile::begin(tx)?;
    let last = store::last_revision(tx.as_read())?;
    if !rebuild {
        return words::begin(tx, last, now);
    }
    let raised = words::begin_rebuild(tx, last, now)?;
    go_on_from(tx, raised)
}

/// Compares own words with the store, and records how far was read.
///
/// # Errors
/// When the store fails.
pub fn compare(tx: &mut dyn Write, own: &Intake, now: Timestamp) -> Result<(), StoreError> {
    let last = store::last_revision(tx.as_read())?;
    let raised = words::compare(tx, own, FACTS, last, now)?;
    go_on_from(tx, raised)
}

/// Learns what became of letters. One that gave way to a newer word shows that the store is behind.
///
/// # Errors
/// When the store fails.
pub fn told(
    tx: &mut dyn Write,
    letters: &[Waiting],
    published: &[Published],
    now: Timestamp,
) -> Result<(), StoreError> {
    let last = store::last_revision(tx.as_read())?;
    let raised = words::superseded(tx, letters, published, last, now)?;
    if raised.is_some() {
        go_on_from(tx, raised)?;
        fall_silent(tx)?;
    }
    Ok(())
}

/// All words were read: does the next of what follows, and says what comes after it; nothing when the
/// Registry may speak. Each step is a transaction of its own.
///
/// # Errors
/// When the store fails.
pub fn conclude(tx: &mut dyn Write, step: Step, now: Timestamp) -> Result<Option<Step>, StoreError> {
    let standing = words::standing(tx.as_read())?;
    let lost = standing.lost().filter(|_| step != Step::Conclude);
    let next = match (step, lost) {
        (Step::Take(after), Some(lost)) => take(tx, after, Rebuilding { lost, now }).map(Some),
        (Step::Tell(kind, after), Some(lost)) => tell_missing(tx, kind, after, lost, now).map(Some),
        (Step::Forget, Some(_)) if found::forget_some(tx)? => Ok(Some(Step::Forget)),
        (Step::Forget, Some(_)) => finish(tx).map(|()| None),
        _ => draw_conclusion(tx, standing),
    }?;
    if next.is_none() {
        doubts::wait(tx, now)?;
    }
    Ok(next)
}

fn draw_conclusion(tx: &mut dyn Write, standing: Standing) -> Result<Option<Step>, StoreError> {
    if words::rebuilding(tx.as_read())? {
        fall_silent(tx)?;
        return Ok(Some(Step::Take(None)));
    }
    if standing.is_stale() {
        fall_silent(tx)?;
    }
    words::compared(tx)?;
    Ok(None)
}

/// Whether the store holds this fact of this revision, or a newer one about its thing.
fn knows(view: &dyn Read, event: &Event, revision: Revision) -> Result<bool, StoreError> {
    let (held, same) = match event {
        Event::TenantDefine(fact) => {
            let held = store::tenant(view, &fact.tenant)?;
            let same = held.as_ref().is_some_and(|held| rebuild::is_word_of_tenant(held, fact));
            (held.map(|held| held.revision), same)
        }
        Event::KeyDefine(fact) => {
            let held = store::key(view, &fact.path())?;
            let same = held.as_ref().is_some_and(|held| telling::key_word(held) == *fact);
            (held.map(|held| held.revision), same)
        }
        Event::KeyPurge(fact) => {
            let held = store::purges::of(view, &fact.path())?;
            let same = held.as_ref().is_some_and(|held| held.generation == fact.generation);
            (held.map(|held| held.revision), same)
        }
        _ => return Ok(true),
    };
    Ok(held > Some(revision) || (held == Some(revision) && same))
}

/// The authority goes on from a revision whose term was raised.
fn go_on_from(tx: &mut dyn Write, raised: Option<Revision>) -> Result<(), StoreError> {
    let Some(revision) = raised else { return Ok(()) };
    tracing::error!(%revision,
        "the store is, or may be, behind the Registry's own words on the mesh; it changes nothing \
         until a start with --rebuild-from-mesh has brought it up");
    store::set_last_revision(tx, revision)
}

/// Takes all letters back: nothing is defined, nothing withdrawn, by a store that is behind.
fn fall_silent(tx: &mut dyn Write) -> Result<(), StoreError> {
    let mut count = 0;
    for lane in Lane::ALL {
        loop {
            let waiting = outbox::waiting(tx.as_read(), lane, AT_ONCE)?;
            outbox::forget(tx, lane, &waiting)?;
            count += waiting.len();
            if waiting.len() < AT_ONCE {
                break;
            }
        }
    }
    if count > 0 {
        tracing::warn!(count, "letters were taken back; a rebuild tells again what the mesh lacks");
    }
    Ok(())
}

/// Takes what the mesh knows newer than the store.
fn take(tx: &mut dyn Write, after: Option<String>, rebuilding: Rebuilding) -> Result<Step, StoreError> {
    let things = found::list(tx.as_read(), "", after.as_deref(), AT_ONCE)?;
    let last = things.last().map(|(subject, _)| subject.clone());
    let ends_here = things.len() < AT_ONCE;
    for (subject, found) in things {
        take_one(tx, &subject, &found, &rebuilding)?;
    }
    words::show_progress(tx, rebuilding.now)?;
    Ok(if ends_here { Step::Tell(Kind::Tenants, None) } else { Step::Take(last) })
}

fn take_one(
    tx: &mut dyn Write,
    subject: &str,
    found: &Found,
    rebuilding: &Rebuilding,
) -> Result<(), StoreError> {
    match found.event() {
        Some(Event::TenantDefine(said)) => {
            let held = store::tenant(tx.as_read(), &said.tenant)?;
            let Some(taken) = rebuilding.tenant(held.as_ref(), &said, found.revision) else { return Ok(()) };
            note_taken(tx, subject, &taken)?;
            store::take_tenant(tx, &taken.record)
        }
        Some(Event::KeyDefine(said)) => {
            let held = store::key(tx.as_read(), &said.path())?;
            let Some(mut taken) = rebuilding.key(held.as_ref(), &said, found.revision) else { return Ok(()) };
            note_taken(tx, subject, &taken)?;
            if taken.more {
                taken.record.revision = store::last_revision(tx.as_read())?.next();
                return store::save_key(tx, &taken.record);
            }
            store::take_key(tx, &taken.record)
        }
        Some(Event::KeyPurge(said)) => match purges::take(tx, &said, found.revision, rebuilding.now)? {
            Some(taken) => note_taken(tx, subject, &taken),
            None => Ok(()),
        },
        _ => {
            tracing::warn!(subject, "a word on the mesh is none that this version can take back; left out");
            Ok(())
        }
    }
}

fn note_taken<R>(tx: &mut dyn Write, subject: &str, taken: &Taken<R>) -> Result<(), StoreError> {
    if taken.dropped {
        note_dropped(subject);
    }
    words::note(tx, |rebuild| {
        rebuild.taken += 1;
        rebuild.dropped += u64::from(taken.dropped);
    })
}

fn note_dropped(subject: &str) {
    tracing::warn!(subject, "a change that nobody was told of gave way to the mesh's word");
}

/// Tells what the mesh lacks of some records of a kind. A change that only the store has is a change of now.
fn tell_missing(
    tx: &mut dyn Write,
    kind: Kind,
    after: Option<String>,
    lost: Lost,
    now: Timestamp,
) -> Result<Step, StoreError> {
    let (count, last) = match kind {
        Kind::Tenants => tell_tenants(tx, after.as_deref(), lost, now)?,
        Kind::Systems => tell_keys(tx, &SYSTEMS, after.as_deref(), lost, now)?,
        Kind::Services => tell_keys(tx, &SERVICES, after.as_deref(), lost, now)?,
    };
    words::show_progress(tx, now)?;
    Ok(match kind {
        _ if count == AT_ONCE => Step::Tell(kind, last),
        Kind::Tenants => Step::Tell(Kind::Systems, None),
        Kind::Systems => Step::Tell(Kind::Services, None),
        Kind::Services => Step::Forget,
    })
}

fn tell_tenants(
    tx: &mut dyn Write,
    after: Option<&str>,
    lost: Lost,
    now: Timestamp,
) -> Result<(usize, Option<String>), StoreError> {
    let records = TENANTS.list(tx.as_read(), "", after, AT_ONCE)?;
    let (count, last) = (records.len(), records.last().map(|(key, _)| key.clone()));
    for (_, mut record) in records {
        let subject = format!("tenant.{}", record.tenant);
        let heard = found::heard(tx.as_read(), &subject)?;
        let mut told = telling::of_tenant(None, &record);
        told.extend(telling::of_tenant_left(&left(&heard, &record), &record));
        let is_new = is_new(tx, &subject, record.revision, lost)?;
        if is_new || is_contradicted(&told, &heard, record.revision) {
            record.revision = store::last_revision(tx.as_read())?.next();
            store::save_tenant(tx, &record)?;
        }
        tell_who_lacks_it(tx, told, &heard, record.revision, now)?;
    }
    Ok((count, last))
}

/// Regions that have a word about a tenant, and are none of its regions.
fn left(heard: &BTreeMap<Audience, Heard>, record: &TenantRecord) -> Vec<RegionId> {
    let regions = heard.keys().filter_map(|audience| match audience {
        Audience::Region(region) => Some(region),
        _ => None,
    });
    regions.filter(|region| !record.regions.contains(region)).cloned().collect()
}

fn tell_keys(
    tx: &mut dyn Write,
    table: &Table<KeyRecord>,
    after: Option<&str>,
    lost: Lost,
    now: Timestamp,
) -> Result<(usize, Option<String>), StoreError> {
    let records = table.list(tx.as_read(), "", after, AT_ONCE)?;
    let (count, last) = (records.len(), records.last().map(|(key, _)| key.clone()));
    for (_, mut record) in records {
        let subject = Event::KeyDefine(telling::key_word(&record)).subject().to_string();
        let tenant = store::tenant(tx.as_read(), &record.tenant)?;
        let mut is_new = is_new(tx, &subject, record.revision, lost)?;
        if is_new && is_orphan(&record, parent(tx, tenant.as_ref(), &record)?, lost) {
            note_dropped(&subject);
            words::note(tx, |rebuild| rebuild.dropped += 1)?;
            store::drop_key(tx, &record.path())?;
            // What others know under the name goes on in its place.
            let Some(known) = known_to_others(tx, &subject, Rebuilding { lost, now })? else { continue };
            (record, is_new) = (known, false);
        }
        let heard = found::heard(tx.as_read(), &subject)?;
        let ended = purges::end(tx, &mut record, now)?;
        let told = tenant.map(|tenant| telling::of_key(&tenant, &record)).unwrap_or_default();
        if is_new || ended || is_contradicted(&told, &heard, record.revision) {
            record.revision = store::last_revision(tx.as_read())?.next();
            store::save_key(tx, &record)?;
        }
        tell_who_lacks_it(tx, told, &heard, record.revision, now)?;
    }
    Ok((count, last))
}

/// The record of a key that the mesh has a word of, which the store has from now on.
fn known_to_others(
    tx: &mut dyn Write,
    subject: &str,
    rebuilding: Rebuilding,
) -> Result<Option<KeyRecord>, StoreError> {
    let Some(found) = found::newest(tx.as_read(), subject)? else { return Ok(None) };
    let Some(Event::KeyDefine(said)) = found.event() else { return Ok(None) };
    let Some(taken) = rebuilding.key(None, &said, found.revision) else { return Ok(None) };
    store::take_key(tx, &taken.record)?;
    Ok(Some(taken.record))
}

/// Whether a change is one that the mesh has no word of: nobody knew of another life of the store then.
fn is_new(tx: &dyn Write, subject: &str, revision: Revision, lost: Lost) -> Result<bool, StoreError> {
    let newest = found::newest(tx.as_read(), subject)?.map(|found| found.revision);
    Ok(lost.covers(revision) && newest < Some(revision))
}

/// Whether anyone has another word under this revision: then it needs one of its own.
fn is_contradicted(told: &[Told], heard: &BTreeMap<Audience, Heard>, revision: Revision) -> bool {
    told.iter().any(|(audience, event)| {
        heard.get(audience).is_some_and(|heard| heard.contradicts(&Heard::new(event, revision)))
    })
}

/// The present generation of what a key belongs to.
fn parent(
    tx: &dyn Write,
    tenant: Option<&TenantRecord>,
    record: &KeyRecord,
) -> Result<Option<Generation>, StoreError> {
    Ok(match record.service {
        None => tenant.map(|tenant| tenant.generation),
        Some(_) => {
            let system = store::system(tx.as_read(), &record.tenant, &record.system)?;
            system.map(|system| system.generation)
        }
    })
}

fn tell_who_lacks_it(
    tx: &mut dyn Write,
    told: Vec<Told>,
    heard: &BTreeMap<Audience, Heard>,
    revision: Revision,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut count = 0;
    for (audience, event) in told {
        if heard.get(&audience).is_none_or(|heard| heard.revision < revision) {
            outbox::put(tx, &Letter::new(&event, audience, revision, now))?;
            count += 1;
        }
    }
    if count > 0 {
        words::note(tx, |rebuild| rebuild.told += count)?;
    }
    Ok(())
}

fn finish(tx: &mut dyn Write) -> Result<(), StoreError> {
    purges::tell_all_again(tx)?;
    let (report, last) = (words::report(tx.as_read())?, store::last_revision(tx.as_read())?);
    let words::Rebuild { words, taken, dropped, told, .. } = report.rebuild.unwrap_or_default();
    tracing::info!(words, taken, dropped, told, revision = %last, "the store was rebuilt from the mesh");
    words::rebuilt(tx, last)
}
