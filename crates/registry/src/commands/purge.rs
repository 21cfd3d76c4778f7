//! Purging: tombstones are told when waiting periods are over.
//!
//! A step looks at a bounded number of things in one transaction, and says whether more are due. It is the one
//! command that time gives, and not a caller: a Registry that is behind its own words, or does not know yet whether
//! it is, tells none; nor does one of which a region claims that it has said more than it knows. What was told is never taken back. A region that comes to the landscape later is told all
//! tombstones that there were before it: sealed copies of what is gone may lie on the mesh for as long as their maker
//! has not taken them back.

use openkcm_contracts::{KeyPath, TenantId, Timestamp};
use openkcm_orbital::words::{Standing, standing};
use openkcm_store::{Read, StoreError, Write};

use super::tell;
use crate::doubts;
use crate::rules::telling::{self, Told};
use crate::rules::{self, Landscape, Moment, purge};
use crate::store::purges::{self, Due};
use crate::store::{self, Purged, SYSTEMS};

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurgeStep {
    /// Nothing: the Registry is behind its own words, or does not know yet whether it is.
    Withheld,
    /// Tombstones were told.
    Done {
        /// The keys that they are of.
        told: Vec<KeyPath>,
        /// Whether more is due.
        more: bool,
    },
}

/// Tells the tombstones that are due by now, looking at no more than so many things.
///
/// # Errors
/// When the store fails.
pub fn purge_due(
    tx: &mut dyn Write,
    landscape: &Landscape,
    now: Timestamp,
    limit: usize,
) -> Result<PurgeStep, StoreError> {
    if standing(tx.as_read())? != Standing::Current {
        return Ok(PurgeStep::Withheld);
    }
    let mut step = Step { landscape, now, left: limit, told: Vec::new() };
    let mut more = step.tell_new_regions(tx)?;
    if !doubts::withholding(tx.as_read(), landscape, now)?.is_empty() {
        return Ok(PurgeStep::Done { told: step.told, more });
    }
    for (key, due) in purges::due(tx.as_read(), now, step.left)? {
        if step.left == 0 {
            break;
        }
        match due {
            Due::Key(path) => {
                step.left -= 1;
                step.purge(tx, &path)?;
                purges::looked_at(tx, &key)?;
            }
            Due::Tenant(tenant, after) => match step.purge_systems(tx, &tenant, after)? {
                None => purges::looked_at(tx, &key)?,
                Some(after) => purges::go_on_after(tx, &key, after)?,
            },
        }
    }
    more |= !purges::due(tx.as_read(), now, 1)?.is_empty();
    Ok(PurgeStep::Done { told: step.told, more })
}

/// Whether a step would find something to do.
///
/// # Errors
/// When the store can't be read.
pub fn is_due(view: &dyn Read, landscape: &Landscape, now: Timestamp) -> Result<bool, StoreError> {
    let is_due = !purges::due(view, now, 1)?.is_empty();
    if is_due && doubts::withholding(view, landscape, now)?.is_empty() {
        return Ok(true);
    }
    for region in &landscape.regions {
        if purges::told(view, region)? != Some(purges::Told::All) {
            return Ok(true);
        }
    }
    Ok(purges::told_regions(view)?.len() != landscape.regions.len())
}

struct Step<'a> {
    landscape: &'a Landscape,
    now: Timestamp,
    /// How many more things it may look at.
    left: usize,
    told: Vec<KeyPath>,
}

impl Step<'_> {
    /// Tells the tombstone of a key, if one is due.
    fn purge(&mut self, tx: &mut dyn Write, path: &KeyPath) -> Result<(), StoreError> {
        let place = store::place(tx.as_read(), path)?;
        let at = Moment { revision: store::last_revision(tx.as_read())?.next(), now: self.now };
        let Some(generation) = purge::due(&place, at) else { return Ok(()) };
        let purged = Purged { generation, revision: at.revision, at: self.now };
        store::set_last_revision(tx, at.revision)?;
        purges::set(tx, path, &purged)?;
        let told: Vec<Told> = telling::of_purge(&self.landscape.regions, path, generation);
        self.told.push(path.clone());
        tell(tx, told, at.revision, self.now)
    }

    /// Looks at systems of a tenant, those after a name. Says where to go on.
    fn purge_systems(
        &mut self,
        tx: &mut dyn Write,
        id: &TenantId,
        after: Option<String>,
    ) -> Result<Option<String>, StoreError> {
        let Some(tenant) = store::tenant(tx.as_read(), id)? else { return Ok(None) };
        if let rules::Standing::Ended(end) = rules::Standing::of_tenant(&tenant)
            && self.now >= end.purge_at
        {
            let revision = store::last_revision(tx.as_read())?;
            let begun = Purged { generation: tenant.generation, revision, at: self.now };
            purges::begin_tenant(tx, id, &begun)?;
        }
        let most = self.left;
        let systems = SYSTEMS.list(tx.as_read(), &format!("{id}/"), after.as_deref(), most)?;
        self.left -= systems.len().max(1).min(most);
        for (_, system) in &systems {
            self.purge(tx, &system.path())?;
        }
        Ok(if systems.len() < most { None } else { systems.into_iter().next_back().map(|(key, _)| key) })
    }

    /// Tells regions that are new of what was told before them. Says whether more is to be told.
    fn tell_new_regions(&mut self, tx: &mut dyn Write) -> Result<bool, StoreError> {
        for name in purges::told_regions(tx.as_read())? {
            if !self.landscape.regions.iter().any(|region| region.as_str() == name) {
                // Should it come back, it has missed what is told meanwhile.
                purges::forget_told(tx, &name)?;
            }
        }
        for region in &self.landscape.regions {
            let after = match purges::told(tx.as_read(), region)? {
                Some(purges::Told::All) => continue,
                Some(purges::Told::UpTo(name)) => Some(name),
                None => None,
            };
            let most = self.left;
            let earlier = purges::list(tx.as_read(), after.as_deref(), most)?;
            self.left -= earlier.len();
            for (name, purged) in &earlier {
                // Of a tenant it only says that its systems' were begun with.
                let Ok(path) = name.parse::<KeyPath>() else { continue };
                let told = telling::of_purge([region], &path, purged.generation);
                tell(tx, told, purged.revision, self.now)?;
            }
            match earlier.into_iter().next_back() {
                Some((last, _)) if self.left == 0 => {
                    purges::set_told(tx, region, &purges::Told::UpTo(last))?;
                    return Ok(true);
                }
                _ if self.left == 0 => return Ok(true),
                _ => purges::set_told(tx, region, &purges::Told::All)?,
            }
        }
        Ok(false)
    }
}
