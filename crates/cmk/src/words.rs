//! The CMK Server and its own last words: a start, what is read back, what follows from it.
//!
//! As all commands, each runs in its caller's transaction, with the time handed in; the service and the
//! simulator call the same. A verdict is [`openkcm_orbital::words`]'s; what it does is said here. What always
//! holds: a CMK Server that is behind links nothing and tells of no link, and an Unlink that somebody asked it
//! for wins over whatever it has forgotten, since it is told once more under a later term. A rebuild takes the
//! pointers from the mesh, and tells what the mesh lacks.

use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{Audience, Event, EventType, Lane, RegionId, Revision, TenantId, Timestamp};
use openkcm_orbital::outbox::{self, Waiting};
use openkcm_orbital::words::found::{self, Lost};
use openkcm_orbital::words::{self, Facts, Standing};
use openkcm_orbital::{Intake, Letter, Published};
use openkcm_store::{Read, StoreError, Write};

use crate::commands::{Records, carry_out};
use crate::rules::rebuild::{self, HeardOf, Said};
use crate::rules::{self, Landscape};
use crate::store::{self, Pointer, UnlinkReason};

/// Pointers that one step of a rebuild looks at: some ten milliseconds, in which no other change is committed.
const AT_ONCE: usize = 500;

/// What the subjects of facts and of revokes begin with.
const LINKS: &str = "l1.";
const REVOKES: &str = "revoke.";

const FACTS: Facts = Facts { rank: rebuild::rank, knows };

/// What is to be done next when all words were read. The first is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Step {
    /// To draw the conclusion of the comparison; a rebuild begins with it.
    #[default]
    Conclude,
    /// To take what the mesh knows newer, after this thing.
    Take(Option<String>),
    /// To tell what the mesh lacks, after this tenant.
    Tell(Option<String>),
    /// To forget what was found.
    Forget,
    /// To tell regions of links whose tenants came to them while no link could be told.
    CatchUp,
}

/// Begins a start, which rebuilds the store from the mesh if that is asked for. To be committed before any
/// request is taken.
///
/// # Errors
/// When the store fails.
pub fn begin(tx: &mut dyn Write, rebuild: bool, now: Timestamp) -> Result<(), StoreError> {
    let last = last_revision(tx.as_read())?;
    if !rebuild {
        return words::begin(tx, last, now);
    }
    store::forget_claims(tx, |_| true)?;
    let raised = words::begin_rebuild(tx, last, now)?;
    go_on_from(tx, raised)
}

/// Compares own words with the store, and records how far was read.
///
/// # Errors
/// When the store fails.
pub fn compare(tx: &mut dyn Write, own: &Intake, now: Timestamp) -> Result<(), StoreError> {
    let last = last_revision(tx.as_read())?;
    let raised = words::compare(tx, own, FACTS, last, now)?;
    go_on_from(tx, raised)
}

/// Learns what became of letters. One that gave way to a newer word shows that the store is behind.
///
/// # Errors
/// When the store fails.
pub fn told(
    tx: &mut dyn Write,
    landscape: &Landscape,
    letters: &[Waiting],
    published: &[Published],
    now: Timestamp,
) -> Result<(), StoreError> {
    let last = last_revision(tx.as_read())?;
    let raised = words::superseded(tx, letters, published, last, now)?;
    if raised.is_none() {
        return Ok(());
    }
    go_on_from(tx, raised)?;
    match words::standing(tx.as_read())?.lost() {
        Some(lost) => take_back(tx, landscape, lost, now),
        None => Ok(()),
    }
}

/// All words were read: does the next of what follows, and says what comes after it; nothing when the CMK
/// Server may speak. Each step is a transaction of its own.
///
/// # Errors
/// When the store fails.
pub fn conclude(
    tx: &mut dyn Write,
    landscape: &Landscape,
    step: Step,
    now: Timestamp,
) -> Result<Option<Step>, StoreError> {
    let standing = words::standing(tx.as_read())?;
    match (step, standing.lost()) {
        (Step::Take(after), Some(lost)) => take(tx, after, lost, now).map(Some),
        (Step::Tell(after), Some(lost)) => tell(tx, landscape, after, lost, now).map(Some),
        (Step::Forget, Some(_)) if found::forget_some(tx)? => Ok(Some(Step::Forget)),
        (Step::Forget, Some(_)) => finish(tx).map(Some),
        (Step::CatchUp, None) => catch_up(tx, landscape, now),
        _ => draw_conclusion(tx, landscape, standing, now),
    }
}

fn draw_conclusion(
    tx: &mut dyn Write,
    landscape: &Landscape,
    standing: Standing,
    now: Timestamp,
) -> Result<Option<Step>, StoreError> {
    if let Some(lost) = standing.lost() {
        take_back(tx, landscape, lost, now)?;
    }
    if words::rebuilding(tx.as_read())? {
        return Ok(Some(Step::Take(None)));
    }
    words::compared(tx)?;
    // What an earlier start did not come to is told now.
    Ok(standing.lost().is_none().then_some(Step::CatchUp))
}

/// Whether the store holds this word of this revision, or a newer one about its pointer.
fn knows(view: &dyn Read, event: &Event, revision: Revision) -> Result<bool, StoreError> {
    let tenant = match event {
        Event::L1Reference(fact) => &fact.tenant,
        Event::L1Revoke(fact) => &fact.tenant,
        _ => return Ok(true),
    };
    Ok(store::pointer(view, tenant)?.is_some_and(|held| rebuild::knows(&held, event, revision)))
}

fn last_revision(view: &dyn Read) -> Result<Revision, StoreError> {
    Ok(store::revision(view)?.unwrap_or(rules::BEFORE_THE_FIRST))
}

/// The authority goes on from a revision whose term was raised.
fn go_on_from(tx: &mut dyn Write, raised: Option<Revision>) -> Result<(), StoreError> {
    let Some(revision) = raised else { return Ok(()) };
    tracing::error!(%revision,
        "the store is, or may be, behind the CMK Server's own words on the mesh; it links nothing, and unlinks \
         under a new term until a start with --rebuild-from-mesh has brought it up");
    store::set_revision(tx, revision)
}

/// Takes back what a store that is behind must not say: every link. What was unlinked since the two lives of
/// the store parted is ended again, under a term that wins over what the other one said; also what was linked
/// again since, for that link is not told.
fn take_back(
    tx: &mut dyn Write,
    landscape: &Landscape,
    lost: Lost,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut count = 0;
    for lane in Lane::ALL {
        let mut waiting = outbox::waiting(tx.as_read(), lane, usize::MAX)?;
        waiting.retain(|waiting| !is_revocation(&waiting.letter));
        outbox::forget(tx, lane, &waiting)?;
        count += waiting.len();
    }
    if count > 0 {
        tracing::warn!(count, "letters were taken back; a rebuild tells again what the mesh lacks");
    }
    end_again(tx, landscape, lost, now)
}

fn end_again(
    tx: &mut dyn Write,
    landscape: &Landscape,
    lost: Lost,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let pointers = store::pointers(tx.as_read(), after.as_deref(), AT_ONCE)?;
        after = pointers.last().map(|pointer| pointer.tenant.to_string());
        let ends_here = pointers.len() < AT_ONCE;
        for pointer in pointers {
            if pointer.last_unlink.is_some_and(|unlink| lost.covers(unlink)) {
                let records = Records::load(tx.as_read(), &pointer.tenant)?;
                let reason = pointer.unlinked.map_or(UnlinkReason::Requested, |ended| ended.reason);
                carry_out(tx, rules::end(&records.held(landscape), &pointer, reason, now))?;
            }
        }
        if ends_here {
            return Ok(());
        }
    }
}

/// Whether a letter takes away the right to serve.
fn is_revocation(letter: &Letter) -> bool {
    let kind = EventType::from_wire_name(&letter.kind);
    match kind.and_then(|kind| Event::from_body(kind, letter.body.as_bytes()).ok()) {
        Some(Event::L1Revoke(_)) => true,
        Some(Event::L1Reference(fact)) => fact.state == LinkState::Unlinked,
        _ => false,
    }
}

fn tenant_of(subject: &str) -> Option<TenantId> {
    let name = subject.strip_prefix(LINKS).or_else(|| subject.strip_prefix(REVOKES))?;
    TenantId::new(name).ok()
}

/// Takes what the mesh knows newer than the store.
fn take(tx: &mut dyn Write, after: Option<String>, lost: Lost, now: Timestamp) -> Result<Step, StoreError> {
    let things = found::list(tx.as_read(), "", after.as_deref(), AT_ONCE)?;
    let last = things.last().map(|(subject, _)| subject.clone());
    let ends_here = things.len() < AT_ONCE;
    for tenant in things.iter().filter_map(|(subject, _)| tenant_of(subject)) {
        // Looked at twice, where there are a fact and a revoke: the second look finds nothing newer.
        take_one(tx, &tenant, lost, now)?;
    }
    words::show_progress(tx, now)?;
    Ok(if ends_here { Step::Tell(None) } else { Step::Take(last) })
}

fn take_one(tx: &mut dyn Write, tenant: &TenantId, lost: Lost, now: Timestamp) -> Result<(), StoreError> {
    let (held, said) = (store::pointer(tx.as_read(), tenant)?, said(tx.as_read(), tenant)?);
    let Some(taken) = rebuild::take(tenant, held.as_ref(), &said, lost, now) else { return Ok(()) };
    if taken.dropped {
        tracing::warn!(%tenant, "a link that nobody was told of gave way to the mesh's word");
    }
    words::note(tx, |rebuild| {
        rebuild.taken += 1;
        rebuild.dropped += u64::from(taken.dropped);
    })?;
    store::save_pointer(tx, &taken.pointer)
}

/// The newest words about a tenant's pointer that the mesh has.
fn said(view: &dyn Read, tenant: &TenantId) -> Result<Said, StoreError> {
    let newest = |kind: &str| found::newest(view, &format!("{kind}{tenant}"));
    let mut said = Said::default();
    for found in [newest(LINKS)?, newest(REVOKES)?].into_iter().flatten() {
        match found.event() {
            Some(Event::L1Reference(fact)) => said.reference = Some((found.revision, fact)),
            Some(Event::L1Revoke(fact)) => said.revoke = Some((found.revision, fact)),
            _ => {
                tracing::warn!(%tenant, "a word on the mesh is none that this version can take back; left out")
            }
        }
    }
    Ok(said)
}

/// Tells what the mesh lacks of some pointers.
fn tell(
    tx: &mut dyn Write,
    landscape: &Landscape,
    after: Option<String>,
    lost: Lost,
    now: Timestamp,
) -> Result<Step, StoreError> {
    let pointers = store::pointers(tx.as_read(), after.as_deref(), AT_ONCE)?;
    let last = pointers.last().map(|pointer| pointer.tenant.to_string());
    let ends_here = pointers.len() < AT_ONCE;
    for pointer in pointers {
        tell_one(tx, landscape, &pointer, lost, now)?;
    }
    words::show_progress(tx, now)?;
    Ok(if ends_here { Step::Forget } else { Step::Tell(last) })
}

fn tell_one(
    tx: &mut dyn Write,
    landscape: &Landscape,
    pointer: &Pointer,
    lost: Lost,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (said, heard) = (said(tx.as_read(), &pointer.tenant)?, heard(tx.as_read(), &pointer.tenant)?);
    let records = Records::load(tx.as_read(), &pointer.tenant)?;
    let decision = rebuild::settle(&records.held(landscape), pointer, (&said, &heard), lost, now);
    let told = decision.letters.len() as u64;
    carry_out(tx, decision)?;
    words::note(tx, |rebuild| rebuild.told += told)
}

/// What the regions have heard of a tenant's pointer.
fn heard(view: &dyn Read, tenant: &TenantId) -> Result<HeardOf, StoreError> {
    let of = |kind: &str| -> Result<_, StoreError> {
        let heard = found::heard(view, &format!("{kind}{tenant}"))?.into_iter();
        Ok(heard.filter_map(|(audience, heard)| Some((region(audience)?, heard))).collect())
    };
    Ok(HeardOf { fact: of(LINKS)?, revoke: of(REVOKES)? })
}

fn region(audience: Audience) -> Option<RegionId> {
    match audience {
        Audience::Region(region) => Some(region),
        _ => None,
    }
}

/// The rebuild is done. Tenants that were heard of while it went on may have come to regions that were not
/// told then.
fn finish(tx: &mut dyn Write) -> Result<Step, StoreError> {
    let (report, last) = (words::report(tx.as_read())?, last_revision(tx.as_read())?);
    let words::Rebuild { words, taken, dropped, told, .. } = report.rebuild.unwrap_or_default();
    tracing::info!(words, taken, dropped, told, revision = %last, "the store was rebuilt from the mesh");
    words::rebuilt(tx, last)?;
    Ok(Step::CatchUp)
}

/// Tells of links whose tenants came to regions while none could be told: of some of them at once.
fn catch_up(tx: &mut dyn Write, landscape: &Landscape, now: Timestamp) -> Result<Option<Step>, StoreError> {
    let untold = store::take_untold(tx, AT_ONCE)?;
    for tenant in &untold {
        let records = Records::load(tx.as_read(), tenant)?;
        if let Some(decision) = rules::catch_up(&records.held(landscape), now) {
            carry_out(tx, decision)?;
        }
    }
    Ok((untold.len() == AT_ONCE).then_some(Step::CatchUp))
}
