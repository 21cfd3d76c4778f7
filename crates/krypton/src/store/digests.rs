//! The sums over what is held, as manifests tell them.
//!
//! One view for each kind: what is held of tenants that are known here and were not withdrawn, and of what they
//! have now; and all tombstones, whoever they are of. What ended for good with its parent may lie here or not,
//! depending on when the region came to the tenant; its authority counts it no more either. What always holds: the
//! sums are committed with the records that they are over.

use std::collections::BTreeSet;

use openkcm_contracts::v1::{Kept, KeyDefine, KeyPurge, L1Reference, LinkState, TenantDefine};
use openkcm_contracts::{Event, Generation, Revision, TenantId, TenantState};
use openkcm_digests::{Buckets, Changes, EVERY_VIEW, Shelf, Sum, Unit};
use openkcm_store::{Read, Space, StoreError, Write};

use super::{DEFINITIONS, Held, LINKS, TENANTS};

pub(super) const DEFINED: Shelf = Shelf::new("definition_units", "definition_places", "definition_totals");
pub(super) const LINKED: Shelf = Shelf::new("link_units", "link_places", "link_totals");

/// The spaces of the sums.
pub(super) const SPACES: [[Space; 3]; 2] = [DEFINED.spaces(), LINKED.spaces()];

/// The one view.
pub(super) const HELD: &str = "held";

/// What a transaction changes of the sums.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    definitions: Changes,
    links: Changes,
}

impl Gathered {
    /// A tenant's word is replaced by what an event tells. Says whether something else of it is counted from now on.
    pub(super) fn tenant(
        &mut self,
        held: Option<&Held<TenantDefine>>,
        (revision, fact): (Revision, &TenantDefine),
        event: &Event,
    ) -> bool {
        let name = fact.tenant.as_str();
        let before = held.map(|held| Sum::of_event(&Event::TenantDefine(held.fact.clone()), held.revision));
        let after = Sum::of_event(event, revision);
        self.definitions.replace(name, before, Some(after));
        let decides = |fact: &TenantDefine| (fact.generation, fact.state == TenantState::Withdrawn);
        let is_another = held.is_none_or(|held| decides(&held.fact) != decides(fact));
        if is_another {
            self.definitions.moved(&format!("{name}@"));
            self.definitions.moved(&format!("{name}/"));
            self.links.replace(name, None, None);
        }
        is_another
    }

    /// A key's definition is replaced by what an event tells.
    pub(super) fn key(
        &mut self,
        held: Option<&Held<KeyDefine>>,
        (revision, fact): (Revision, &KeyDefine),
        event: &Event,
    ) {
        if let Some(held) = held {
            let before = Sum::of_event(&Event::KeyDefine(held.fact.clone()), held.revision);
            self.definitions.replace(&Unit::name_of(&held.fact), Some(before), None);
        }
        let after = Sum::of_event(event, revision);
        self.definitions.replace(&Unit::name_of(fact), None, Some(after));
        let decides = |fact: &KeyDefine| (fact.generation, fact.parent);
        if fact.service.is_none() && held.is_none_or(|held| decides(&held.fact) != decides(fact)) {
            self.definitions.moved(&format!("{}/{}@", fact.tenant, fact.system));
        }
    }

    /// A tombstone is heard, in the place of one that ended less.
    pub(super) fn tombstone(&mut self, held: Option<Generation>, fact: &KeyPurge) {
        let sum = |generation| Sum::of_tombstone(&KeyPurge { generation, ..fact.clone() });
        self.definitions.replace(
            &Unit::of_tombstone(&fact.path()),
            held.map(sum),
            Some(sum(fact.generation)),
        );
    }

    /// A tenant's link is replaced.
    pub(super) fn link(
        &mut self,
        held: Option<&Held<L1Reference>>,
        (revision, fact): (Revision, &L1Reference),
    ) {
        let before = held.map(|held| Sum::of_event(&comparable(&held.fact), held.revision));
        self.links.replace(fact.tenant.as_str(), before, Some(Sum::of_event(&comparable(fact), revision)));
    }

    /// Writes what was gathered, once the records are written.
    pub(super) fn commit(self, tx: &mut dyn Write) -> Result<(), StoreError> {
        for (shelf, changes) in [(&DEFINED, self.definitions), (&LINKED, self.links)] {
            if !changes.is_empty() {
                shelf.apply(tx, changes, views_of)?;
            }
        }
        Ok(())
    }
}

/// The digests of all buckets of a kind of things.
///
/// # Errors
/// When the store can't be read.
pub fn buckets(store: &dyn Read, of: Kept) -> Result<Buckets, StoreError> {
    shelf(of).buckets(store, HELD)
}

/// The digest over all tombstones.
pub(super) fn tombstones(store: &dyn Read) -> Result<String, StoreError> {
    Ok(DEFINED.sum_of_every_view(store)?.digest())
}

/// The sums of a kind of things.
pub(super) fn shelf(of: Kept) -> &'static Shelf {
    match of {
        Kept::Definitions => &DEFINED,
        Kept::Links => &LINKED,
    }
}

/// The tenants whose links lie in a bucket, by name.
///
/// # Errors
/// When the store can't be read.
pub(super) fn links_in(store: &dyn Read, bucket: u8) -> Result<Vec<String>, StoreError> {
    LINKED.units_in(store, HELD, bucket)
}

/// The digest of a tenant's link; none where there is none that counts.
///
/// # Errors
/// When the store can't be read.
pub(super) fn link(store: &dyn Read, tenant: &TenantId) -> Result<Option<String>, StoreError> {
    if !is_counted(store, Unit::named(tenant.as_str()))? {
        return Ok(None);
    }
    let held = LINKS.get(store, tenant.as_str())?.and_then(|link| link.reference);
    Ok(held.map(|held| Sum::of_event(&comparable(&held.fact), held.revision).digest()))
}

/// The views that a unit is in.
pub(super) fn views_of(store: &dyn Read, unit: &str) -> Result<BTreeSet<String>, StoreError> {
    let view = match Unit::named(unit) {
        // They are told to all regions, and stay whatever becomes of their tenants.
        Unit::Purges { .. } => EVERY_VIEW,
        unit if is_counted(store, unit)? => HELD,
        _ => return Ok(BTreeSet::new()),
    };
    Ok([view.to_owned()].into())
}

fn is_counted(store: &dyn Read, unit: Unit<'_>) -> Result<bool, StoreError> {
    let tenant = TENANTS.get(store, unit.tenant())?;
    let Some(tenant) = tenant.filter(|held| held.fact.state != TenantState::Withdrawn) else {
        return Ok(false);
    };
    let present = tenant.fact.generation;
    Ok(match unit {
        Unit::Tenant(_) | Unit::Purges { .. } => true,
        Unit::Systems { generation, .. } => present.to_string() == generation,
        Unit::Services { tenant, system, generation } => {
            let system = DEFINITIONS.get(store, &format!("{tenant}/{system}"))?;
            system.is_some_and(|system| {
                system.fact.parent == present && system.fact.generation.to_string() == generation
            })
        }
    })
}

/// A link as all regions hear it: of one that has ended, only the tenant's present regions hear the roots.
pub(super) fn comparable(fact: &L1Reference) -> Event {
    let mut fact = fact.clone();
    if fact.state == LinkState::Unlinked {
        fact.roots.clear();
    }
    Event::L1Reference(fact)
}
