//! The sums over what is held, as manifests tell them.
//!
//! One view for each kind: what is held of tenants that are known here and were not withdrawn. The keys and the
//! link of one that was withdrawn may lie here still, and its authorities no longer count them. What always
//! holds: the sums are committed with the records that they are over.

use openkcm_contracts::v1::{Kept, KeyDefine, L1Reference, LinkState, TenantDefine};
use openkcm_contracts::{Event, Revision, SystemPath, TenantState};
use openkcm_digests::{Buckets, Changes, Shelf, Sum};
use openkcm_store::{Read, StoreError, Write};

use super::{Held, TENANTS};

const DEFINED: Shelf = Shelf::new("definition_units", "definition_places", "definition_totals");
const LINKED: Shelf = Shelf::new("link_units", "link_places", "link_totals");

/// The spaces of the sums.
pub(super) const SPACES: [[openkcm_store::Space; 3]; 2] = [DEFINED.spaces(), LINKED.spaces()];

/// The one view.
const HELD: &str = "held";

/// What a transaction changes of the sums, until it ends.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    definitions: Changes,
    links: Changes,
}

impl Gathered {
    /// A tenant's word is about to be replaced.
    pub(super) fn tenant(
        &mut self,
        tx: &mut dyn Write,
        held: Option<&Held<TenantDefine>>,
        (revision, fact): (Revision, &TenantDefine),
    ) -> Result<(), StoreError> {
        let (counted, counts) = (held.is_some_and(|held| is_counted(&held.fact)), is_counted(fact));
        if counted != counts {
            // What was gathered before belongs to the standing before.
            std::mem::take(self).commit(tx)?;
            for shelf in [&DEFINED, &LINKED] {
                shelf.move_tenant(tx, fact.tenant.as_str(), HELD, counts)?;
            }
        }
        let before = held.map(|held| sum_of(&Event::TenantDefine(held.fact.clone()), held.revision));
        let after = sum_of(&Event::TenantDefine(fact.clone()), revision);
        self.definitions.replace(fact.tenant.as_str(), before, Some(after));
        Ok(())
    }

    /// A key's definition is replaced.
    pub(super) fn key(&mut self, held: Option<&Held<KeyDefine>>, (revision, fact): (Revision, &KeyDefine)) {
        let before = held.map(|held| sum_of(&Event::KeyDefine(held.fact.clone()), held.revision));
        let after = sum_of(&Event::KeyDefine(fact.clone()), revision);
        self.definitions.replace(&unit_of(fact), before, Some(after));
    }

    /// A tenant's link is replaced.
    pub(super) fn link(
        &mut self,
        held: Option<&Held<L1Reference>>,
        (revision, fact): (Revision, &L1Reference),
    ) {
        let before = held.map(|held| sum_of(&comparable(&held.fact), held.revision));
        self.links.replace(fact.tenant.as_str(), before, Some(sum_of(&comparable(fact), revision)));
    }

    /// Commits what was gathered.
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

fn shelf(of: Kept) -> &'static Shelf {
    match of {
        Kept::Definitions => &DEFINED,
        Kept::Links => &LINKED,
    }
}

fn views_of(store: &dyn Read, unit: &str) -> Result<Vec<String>, StoreError> {
    let tenant = TENANTS.get(store, unit.split('/').next().unwrap_or(unit))?;
    Ok(tenant.filter(|held| is_counted(&held.fact)).map(|_| HELD.to_owned()).into_iter().collect())
}

fn is_counted(fact: &TenantDefine) -> bool {
    fact.state != TenantState::Withdrawn
}

fn unit_of(fact: &KeyDefine) -> String {
    SystemPath { tenant: fact.tenant.clone(), system: fact.system.clone() }.to_string()
}

/// A link as all regions hear it: of one that has ended, only the tenant's present regions hear the roots.
fn comparable(fact: &L1Reference) -> Event {
    let mut fact = fact.clone();
    if fact.state == LinkState::Unlinked {
        fact.roots.clear();
    }
    Event::L1Reference(fact)
}

fn sum_of(event: &Event, revision: Revision) -> Sum {
    Sum::of(event.subject().as_str(), revision, &event.to_body())
}
