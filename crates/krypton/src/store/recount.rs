//! Sums held against the records that they are over, at a start: a store that was edited while its Core was down
//! is found out by what its manifest says then.
//!
//! A page looks at some tenants in one view of the store, and notes by how much the sum of each of their units is
//! wrong. Whatever is changed meanwhile changes records and sums alike, so that the difference, which is added in a
//! transaction of its own, is right whenever that is. No transaction is long, and nothing waits for any.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::{Event, TenantId};
use openkcm_digests::{Changes, Sum, Unit};
use openkcm_store::{Read, StoreError, Write};

use super::digests::{DEFINED, LINKED, comparable, views_of};
use super::purge::{self, TOMBSTONES};
use super::{DEFINITIONS, LINKS, PAGE, TENANTS};

/// Records after which a page takes no further tenant.
const RECORDS: usize = 16 * 1024;

/// Where a recount of the definitions goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recount {
    of: Pass,
    after: Option<String>,
}

/// Tenants are found by their own records first, then by others' that are left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pass {
    #[default]
    Tenants,
    Definitions,
    Tombstones,
    Units,
}

/// By how much sums are wrong.
#[derive(Debug, Default)]
pub struct Wrong(Changes);

impl Wrong {
    /// Whether all are right.
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the sums right.
    ///
    /// # Errors
    /// When the store fails.
    pub fn mend(self, tx: &mut dyn Write) -> Result<(), StoreError> {
        DEFINED.apply(tx, self.0, views_of)
    }
}

/// Recounts the definitions of some tenants. Says what is wrong, and where to go on, if anywhere.
///
/// # Errors
/// When the store can't be read.
pub fn recount(view: &dyn Read, from: &Recount) -> Result<(Wrong, Option<Recount>), StoreError> {
    let mut wrong = Changes::default();
    let (mut after, mut records) = (from.after.clone(), 0);
    while records < RECORDS {
        let Some((place, tenant)) = next(view, from.of, after.as_deref())? else {
            let of = match from.of {
                Pass::Tenants => Pass::Definitions,
                Pass::Definitions => Pass::Tombstones,
                Pass::Tombstones => Pass::Units,
                Pass::Units => return Ok((Wrong(wrong), None)),
            };
            return Ok((Wrong(wrong), Some(Recount { of, after: None })));
        };
        records += 1;
        if is_first_seen(view, from.of, &tenant)? {
            records += recount_tenant(view, &tenant, &mut wrong)?;
        }
        after = Some(place);
    }
    Ok((Wrong(wrong), Some(Recount { of: from.of, after })))
}

/// The next tenant of a pass, and the place after all that it has there.
fn next(view: &dyn Read, of: Pass, after: Option<&str>) -> Result<Option<(String, String)>, StoreError> {
    Ok(match of {
        Pass::Tenants => {
            let found = TENANTS.list(view, "", after, 1)?.pop();
            found.map(|(name, _)| (name.clone(), name))
        }
        Pass::Definitions => DEFINITIONS.list(view, "", after, 1)?.pop().map(|(name, _)| past_tenant(&name)),
        Pass::Tombstones => TOMBSTONES.list(view, "", after, 1)?.pop().map(|(name, _)| past_tenant(&name)),
        Pass::Units => {
            let found = DEFINED.kept_units(view, "", after, 1)?.pop();
            found.map(|name| {
                let tenant = Unit::named(&name).tenant().to_owned();
                (name, tenant)
            })
        }
    })
}

/// The place after all records of a key's tenant, and the tenant.
fn past_tenant(name: &str) -> (String, String) {
    let tenant = name.split('/').next().unwrap_or_default().to_owned();
    (format!("{tenant}/~"), tenant)
}

/// Whether no earlier pass has met a tenant.
fn is_first_seen(view: &dyn Read, of: Pass, tenant: &str) -> Result<bool, StoreError> {
    let prefix = format!("{tenant}/");
    let has_none = || TENANTS.get(view, tenant).map(|held| held.is_none());
    let defines_none = || DEFINITIONS.list(view, &prefix, None, 1).map(|held| held.is_empty());
    let destroys_none = || TOMBSTONES.list(view, &prefix, None, 1).map(|held| held.is_empty());
    Ok(match of {
        Pass::Tenants => true,
        Pass::Definitions => has_none()?,
        Pass::Tombstones => has_none()? && defines_none()?,
        Pass::Units => has_none()? && defines_none()? && destroys_none()?,
    })
}

/// Says how many records were looked at.
fn recount_tenant(view: &dyn Read, tenant: &str, wrong: &mut Changes) -> Result<usize, StoreError> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    if let Some(held) = TENANTS.get(view, tenant)? {
        sums.insert(tenant.to_owned(), Sum::of_event(&Event::TenantDefine(held.fact), held.revision));
    }
    let mut records = add_tombstones(view, tenant, &mut sums)?;
    let mut after = None;
    loop {
        let page = DEFINITIONS.list(view, &format!("{tenant}/"), after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        records += page.len();
        for (_, held) in page {
            let sum = sums.entry(Unit::name_of(&held.fact)).or_default();
            *sum = sum.plus(Sum::of_event(&Event::KeyDefine(held.fact), held.revision));
        }
    }
    let mut units: BTreeSet<String> = sums.keys().cloned().collect();
    units.insert(tenant.to_owned());
    for prefix in [format!("{tenant}@"), format!("{tenant}/")] {
        units.extend(DEFINED.kept_units(view, &prefix, None, usize::MAX)?);
    }
    for unit in units {
        let right = sums.get(&unit).copied().unwrap_or_default();
        let (kept, views) = DEFINED.kept(view, &unit)?;
        if kept != right || (!right.is_nothing() && views != views_of(view, &unit)?) {
            wrong.replace(&unit, Some(kept), Some(right));
        }
    }
    Ok(records)
}

/// Adds the tombstones of a tenant's keys to their units' sums. Says how many records were looked at.
fn add_tombstones(
    view: &dyn Read,
    tenant: &str,
    sums: &mut BTreeMap<String, Sum>,
) -> Result<usize, StoreError> {
    let (mut records, mut after) = (0, None);
    loop {
        let page = TOMBSTONES.list(view, &format!("{tenant}/"), after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(records) };
        after = Some(last.clone());
        records += page.len();
        for fact in page.iter().filter_map(|(name, held)| purge::said(name, held.generation)) {
            let sum = sums.entry(Unit::of_tombstone(&fact.path())).or_default();
            *sum = sum.plus(Sum::of_tombstone(&fact));
        }
    }
}

/// Recounts all links, and puts their sums right. Says whose was wrong.
///
/// # Errors
/// When the store fails.
pub fn recount_links(tx: &mut dyn Write) -> Result<Vec<TenantId>, StoreError> {
    let (mut wrong, mut tenants) = (Changes::default(), BTreeSet::new());
    let mut after: Option<String> = None;
    loop {
        let page = LINKS.list(tx.as_read(), "", after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (tenant, link) in page {
            let right = link.reference.map(|held| Sum::of_event(&comparable(&held.fact), held.revision));
            note_link(tx.as_read(), &tenant, right.unwrap_or_default(), (&mut wrong, &mut tenants))?;
        }
    }
    let mut after: Option<String> = None;
    loop {
        let page = LINKED.kept_units(tx.as_read(), "", after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        for tenant in page {
            if LINKS.get(tx.as_read(), &tenant)?.is_none() {
                note_link(tx.as_read(), &tenant, Sum::default(), (&mut wrong, &mut tenants))?;
            }
        }
    }
    LINKED.apply(tx, wrong, views_of)?;
    Ok(tenants.into_iter().collect())
}

fn note_link(
    view: &dyn Read,
    tenant: &str,
    right: Sum,
    (wrong, tenants): (&mut Changes, &mut BTreeSet<TenantId>),
) -> Result<(), StoreError> {
    let (kept, views) = LINKED.kept(view, tenant)?;
    if kept != right || (!right.is_nothing() && views != views_of(view, tenant)?) {
        wrong.replace(tenant, Some(kept), Some(right));
        tenants.extend(TenantId::new(tenant).ok());
    }
    Ok(())
}
