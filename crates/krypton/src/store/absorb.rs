//! Absorbing: how what arrives from the mesh becomes what is held, in any order of arrival.
//!
//! Runs inside the transaction that also commits how far the mesh was read. It only merges; what
//! follows from the new state is settled afterwards, from what was committed.

use std::collections::BTreeSet;

use openkcm_contracts::v1::{KeySealed, L1Reference, L1Revoke, LinkState};
use openkcm_contracts::{
    Event, KeyPath, LinkEpoch, Meeting, Revision, ServicePath, SystemPath, TenantId, Timestamp, VersionId,
    meet,
};
use openkcm_orbital::inbox::Quarantined;
use openkcm_orbital::{Intake, Verified};
use openkcm_store::{StoreError, Table, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::digests::Gathered;
use super::lease::Taken;
use super::slices::Slice;
use super::versions::Received;
use super::{
    APPLIED, Applied, DEFINITIONS, Held, LAST, LINKS, TENANTS, definition_key, lease, manifest, owners,
    purge, versions,
};

/// The highest counter that is believed of a peer: far beyond any honest rotation, and far below
/// where counting on would overflow. This Core counts no further either, since its peers would not
/// take what it made.
pub const MAX_COUNTER: u64 = 1 << 48;

/// What changed, and has to be settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tenants whose fact or link changed.
    pub tenants: BTreeSet<TenantId>,
    /// Systems whose definition changed: it concerns their services too.
    pub systems: BTreeSet<SystemPath>,
    /// Systems of whose L2 a version came, was kept, or is known to be on the mesh.
    pub l2s: BTreeSet<SystemPath>,
    /// Services whose definition or versions changed.
    pub services: BTreeSet<ServicePath>,
    /// Whether there is another lease.
    pub leased: bool,
    /// Versions that are destroyed, or that nobody will be told of: none of them is at risk any more.
    pub dropped: BTreeSet<VersionId>,
    /// How many sealed versions of peers are new here.
    pub received: u64,
    /// How many events changed nothing: they were held already, or something newer was.
    pub replayed: u64,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        let Self { tenants, systems, l2s, services, dropped, leased, received: _, replayed: _ } = self;
        let settled = tenants.is_empty() && systems.is_empty() && l2s.is_empty() && services.is_empty();
        settled && dropped.is_empty() && !leased
    }

    /// Notes a change of a key's definition.
    pub fn definition_of(&mut self, path: KeyPath) {
        match path {
            KeyPath::System(path) => self.systems.insert(path),
            KeyPath::Service(path) => self.services.insert(path),
        };
    }

    /// Notes that a tenant's fact or link changed, if it did; says whether.
    fn tenant(&mut self, changed: bool, id: &TenantId) -> bool {
        if changed {
            self.tenants.insert(id.clone());
        }
        changed
    }

    /// Notes a change of the versions of a key.
    pub fn versions_of(&mut self, path: KeyPath) {
        match path {
            KeyPath::System(path) => self.l2s.insert(path),
            KeyPath::Service(path) => self.services.insert(path),
        };
    }
}

/// Merges an intake into the store, and records how far the mesh was read.
///
/// # Errors
/// When the store can't be read or written.
pub fn absorb(tx: &mut dyn Write, intake: &Intake, now: Timestamp) -> Result<Changes, StoreError> {
    Applied::by(&intake.events).keep(tx)?;
    merge_all(tx, intake, now)
}

/// Merges a part of an intake into the store; the last one also records how far the mesh was read.
///
/// # Errors
/// When the store can't be read or written.
pub fn absorb_slice(tx: &mut dyn Write, slice: &Slice, now: Timestamp) -> Result<Changes, StoreError> {
    if let Some(applied) = slice.applied {
        applied.keep(tx)?;
    }
    merge_all(tx, &slice.intake, now)
}

fn merge_all(tx: &mut dyn Write, intake: &Intake, now: Timestamp) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut sums = Gathered::default();
    for verified in &intake.events {
        if !merge_one(tx, intake, verified, now, (&mut changes, &mut sums))? {
            changes.replayed += 1;
        }
    }
    sums.commit(tx)?;
    versions::count(tx, changes.received)?;
    for poison in intake.poison.iter().filter(|poison| poison.revokes) {
        // A revoke that can't be read fails closed: its tenant stays refused until a newer link.
        if let Some(tenant) = &poison.tenant {
            revoke_unread(tx, tenant, poison)?;
            changes.tenants.insert(tenant.clone());
        }
    }
    intake.record(tx)?;
    Ok(changes)
}

/// Merges one event. Says whether it changed anything, or could have: what is not acted on is no replay.
fn merge_one(
    tx: &mut dyn Write,
    intake: &Intake,
    verified: &Verified,
    now: Timestamp,
    (changes, sums): (&mut Changes, &mut Gathered),
) -> Result<bool, StoreError> {
    let revision = verified.revision;
    match &verified.event {
        Event::TenantDefine(fact) => {
            let key = fact.tenant.as_str();
            let Some(before) = replaced(tx, &TENANTS, key, revision, fact)? else { return Ok(false) };
            if sums.tenant(before.as_ref(), (revision, fact), &verified.event) {
                // Its link counts from now on, or no more: no manifest has told of it as it is now.
                lease::told_anew(tx, &fact.tenant)?;
            }
            TENANTS.put(tx, key, &Held { revision, fact: fact.clone() })?;
            owners::hear(tx, &fact.tenant)?;
            Ok(changes.tenant(true, &fact.tenant))
        }
        Event::KeyDefine(fact) => {
            let key = definition_key(fact);
            let Some(before) = replaced(tx, &DEFINITIONS, &key, revision, fact)? else { return Ok(false) };
            sums.key(before.as_ref(), (revision, fact), &verified.event);
            DEFINITIONS.put(tx, &key, &Held { revision, fact: fact.clone() })?;
            purge::observe(tx, before.as_ref(), (revision, fact))?;
            changes.definition_of(fact.path());
            Ok(true)
        }
        Event::L1Reference(fact) => Ok(changes.tenant(refer(tx, revision, fact, sums)?, &fact.tenant)),
        Event::L1Revoke(fact) => Ok(changes.tenant(revoke(tx, fact)?, &fact.tenant)),
        Event::KeySealed(fact) if fact.counter > MAX_COUNTER || fact.seals.len() > KeySealed::MAX_SEALS => {
            tracing::warn!(path = %fact.path(), teller = %fact.teller(), version = %fact.version,
                "a peer's version was not taken: no honest Core counts so far, or seals so often");
            Ok(true)
        }
        // What is ended is not acted on; that its maker has destroyed a version destroys it nowhere else.
        Event::KeySealed(fact) if !purge::takes(tx.as_read(), fact)? => Ok(true),
        Event::KeyPurge(fact) => {
            purge::hear(tx, (revision, fact), &intake.stream.audience, now, (changes, sums))
        }
        Event::KeySealed(fact) => {
            let received = versions::receive(tx, fact)?;
            changes.received += u64::from(received == Received::Version);
            if received != Received::Nothing {
                changes.versions_of(fact.path());
            }
            Ok(received != Received::Nothing)
        }
        Event::SovereignLease(fact) => {
            let taken = lease::take(tx, fact)?;
            let is_news = taken != Taken::Nothing;
            if let Taken::Lease(tenants) = taken {
                changes.tenants.extend(tenants);
                changes.leased = true;
            }
            Ok(is_news)
        }
        // Was answered before it came here, if at all (`service/answers`).
        Event::ManifestQuery(_) => Ok(true),
        // Nothing else is told to a Core.
        other => {
            tracing::debug!(subject = %other.subject(), stream = %intake.stream, at = %now, "not acted on");
            Ok(true)
        }
    }
}

/// What a fact replaces, which may be nothing; none if it is to change nothing.
fn replaced<F: PartialEq + Serialize + DeserializeOwned>(
    tx: &dyn Write,
    table: &Table<Held<F>>,
    key: &str,
    revision: Revision,
    fact: &F,
) -> Result<Option<Option<Held<F>>>, StoreError> {
    let held = table.get(tx.as_read(), key)?;
    let meeting = meet(held.as_ref().map(|held| (held.revision, &held.fact)), (revision, fact));
    if meeting == Meeting::Differs {
        tracing::warn!(key, %revision, "what is held differed from its authority's word, which replaces it");
    }
    Ok(meeting.replaces().then_some(held))
}

fn refer(
    tx: &mut dyn Write,
    revision: Revision,
    fact: &L1Reference,
    sums: &mut Gathered,
) -> Result<bool, StoreError> {
    let mut link = LINKS.get(tx.as_read(), fact.tenant.as_str())?.unwrap_or_default();
    let held = link.reference.as_ref().map(|held| (held.revision, &held.fact));
    if !meet(held, (revision, fact)).replaces() {
        return Ok(false);
    }
    owners::hear_once(tx, &fact.tenant)?;
    if fact.state == LinkState::Unlinked {
        // What its gate was told at once is also what a restart finds: this epoch is over.
        link.revoked = link.revoked.max(Some(fact.epoch));
    }
    let goes_on = link.reference.as_ref().is_some_and(|held| is_same_link(&held.fact, fact));
    if !goes_on {
        link.since = manifest::tells_of_link(tx)?;
    }
    sums.link(link.reference.as_ref(), (revision, fact));
    link.reference = Some(Held { revision, fact: fact.clone() });
    LINKS.put(tx, fact.tenant.as_str(), &link)?;
    owners::hear(tx, &fact.tenant)?;
    Ok(true)
}

/// Whether a word speaks of a link that stood already, so that what was agreed on it stands too.
fn is_same_link(held: &L1Reference, fact: &L1Reference) -> bool {
    let link = |fact: &L1Reference| (fact.epoch, fact.generation, fact.state, fact.roots.clone());
    link(held) == link(fact)
}

fn revoke(tx: &mut dyn Write, fact: &L1Revoke) -> Result<bool, StoreError> {
    let mut link = LINKS.get(tx.as_read(), fact.tenant.as_str())?.unwrap_or_default();
    if link.revoked >= Some(fact.epoch) {
        return Ok(false);
    }
    link.revoked = Some(fact.epoch);
    LINKS.put(tx, fact.tenant.as_str(), &link)?;
    owners::hear(tx, &fact.tenant)?;
    Ok(true)
}

fn revoke_unread(tx: &mut dyn Write, tenant: &TenantId, poison: &Quarantined) -> Result<(), StoreError> {
    let mut link = LINKS.get(tx.as_read(), tenant.as_str())?.unwrap_or_default();
    link.revoked = link.revoked.max(Some(ends_at_latest(poison)));
    LINKS.put(tx, tenant.as_str(), &link)
}

/// The last epoch that a revoke, which can't be read, could have meant: that link was made before the
/// revoke was said, and its envelope, which is authentic, tells its revision.
pub fn ends_at_latest(poison: &Quarantined) -> LinkEpoch {
    let said_at = poison.headers.get("ce-kcmrevision").and_then(|text| text.parse().ok());
    // Without a revision no envelope is authentic; were there one all the same, it ends every link.
    LinkEpoch(said_at.unwrap_or(Revision::new(u32::MAX, u64::MAX)))
}

impl Applied {
    /// How far the authorities' words are applied with these events.
    pub(super) fn by(events: &[Verified]) -> Self {
        let mut applied = Self::default();
        for Verified { event, revision, .. } in events {
            let last = match event {
                Event::TenantDefine(_) | Event::KeyDefine(_) => &mut applied.registry,
                Event::L1Reference(_) | Event::L1Revoke(_) => &mut applied.cmk,
                _ => continue,
            };
            *last = (*last).max(Some(*revision));
        }
        applied
    }

    /// Commits it, where it is more than what is held.
    fn keep(self, tx: &mut dyn Write) -> Result<(), StoreError> {
        let held = APPLIED.get(tx.as_read(), LAST)?.unwrap_or_default();
        let applied = Self { registry: held.registry.max(self.registry), cmk: held.cmk.max(self.cmk) };
        if applied == held { Ok(()) } else { APPLIED.put(tx, LAST, &applied) }
    }
}
