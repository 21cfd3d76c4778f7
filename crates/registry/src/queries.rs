//! What the Registry can be asked: one thing with its standing, or a part of a collection.
//!
//! Nothing is changed here. A collection is read in the order of its names, a bounded part at a time:
//! no answer and no question reads all of it.

use openkcm_contracts::{KeyPath, RegionId, Revision, SystemPath, TenantId, Timestamp};
use openkcm_store::{Read, StoreError, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::commands::Failure;
use crate::manifests;
use crate::rules::{Refusal, Standing};
use crate::store::{self, KeyRecord, Purged, SERVICES, SYSTEMS, TENANTS, TenantRecord, purges};

/// Records that one question looks at, at most: 0.2 s of reading (measured, debug build). A filter that
/// lets hardly anything through answers with a short page and the place to go on from.
pub const MAX_LOOKED_AT: usize = 20_000;

/// Records that are read at once.
const BATCH: usize = 500;

/// A record, and whether it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<R> {
    /// The record.
    pub record: R,
    /// Its standing, with its parents taken into account.
    pub standing: Standing,
    /// When the destruction of its material was told; a tenant has none of its own.
    pub purged_at: Option<Timestamp>,
    /// The regions that have said since that nothing of it is left there.
    pub purged_in: Vec<RegionId>,
}

/// Which records are wanted, by their standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// Those that stand.
    #[default]
    Live,
    /// Those that have ended.
    Ended,
    /// All.
    All,
}

impl Filter {
    fn lets_through(self, standing: Standing) -> bool {
        match self {
            Self::Live => standing.is_live(),
            Self::Ended => !standing.is_live(),
            Self::All => true,
        }
    }
}

/// Which part of a collection is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Only names that begin so.
    pub prefix: String,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Only those of this standing.
    pub filter: Filter,
}

/// A part of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<R> {
    /// The records, in the order of their names.
    pub items: Vec<Shown<R>>,
    /// The name to go on after, if there may be more.
    pub more_after: Option<String>,
}

/// A tenant.
///
/// # Errors
/// When it is not known, or the store fails.
pub fn tenant(view: &dyn Read, id: &TenantId) -> Result<Shown<TenantRecord>, Failure> {
    let record = store::tenant(view, id)?.ok_or_else(|| Refusal::UnknownTenant(id.clone()))?;
    Ok(Shown { standing: Standing::of_tenant(&record), record, purged_at: None, purged_in: Vec::new() })
}

/// A system or a service.
///
/// # Errors
/// When it or what it belongs to is not known, or the store fails.
pub fn key(view: &dyn Read, path: &KeyPath) -> Result<Shown<KeyRecord>, Failure> {
    let place = store::place(view, path)?;
    let (record, standing) = place.held()?;
    Ok(shown(record.clone(), standing, key_purged(view, record)?, &manifests::purged(view)?))
}

/// Tenants.
///
/// # Errors
/// When the store fails.
pub fn tenants(view: &dyn Read, part: &Part) -> Result<Listing<TenantRecord>, Failure> {
    Ok(list(view, &TENANTS, "", part, Standing::of_tenant, |_, _| Ok(None))?)
}

/// Systems of a tenant.
///
/// # Errors
/// When the tenant is not known, or the store fails.
pub fn systems(view: &dyn Read, id: &TenantId, part: &Part) -> Result<Listing<KeyRecord>, Failure> {
    let parent = tenant(view, id)?.record;
    let standing = |record: &KeyRecord| Standing::of_system(&parent, record);
    Ok(list(view, &SYSTEMS, &format!("{id}/"), part, standing, key_purged)?)
}

/// Services of a system.
///
/// # Errors
/// When the tenant or the system is not known, or the store fails.
pub fn services(view: &dyn Read, path: &SystemPath, part: &Part) -> Result<Listing<KeyRecord>, Failure> {
    let tenant = tenant(view, &path.tenant)?.record;
    let system = key(view, &KeyPath::System(path.clone()))?.record;
    let standing = |record: &KeyRecord| Standing::of_service(&tenant, &system, record);
    Ok(list(view, &SERVICES, &format!("{path}/"), part, standing, key_purged)?)
}

fn key_purged(view: &dyn Read, record: &KeyRecord) -> Result<Option<Purged>, StoreError> {
    purges::ending(view, &record.path(), record.generation)
}

/// A record with its tombstone, and the regions that are done with all up to a revision.
fn shown<R>(
    record: R,
    standing: Standing,
    purged: Option<Purged>,
    done: &[(RegionId, Revision)],
) -> Shown<R> {
    let is_done = |purged: Purged| {
        let regions = done.iter().filter(move |(_, up_to)| purged.revision <= *up_to);
        regions.map(|(region, _)| region.clone())
    };
    let purged_in = purged.into_iter().flat_map(is_done).collect();
    Shown { record, standing, purged_at: purged.map(|purged| purged.at), purged_in }
}

/// Reads a collection, whose keys are names after a common `base`.
fn list<R: Serialize + DeserializeOwned>(
    view: &dyn Read,
    table: &Table<R>,
    base: &str,
    part: &Part,
    standing_of: impl Fn(&R) -> Standing,
    purged: impl Fn(&dyn Read, &R) -> Result<Option<Purged>, StoreError>,
) -> Result<Listing<R>, StoreError> {
    let prefix = format!("{base}{}", part.prefix);
    let mut after = part.after.as_ref().map(|name| format!("{base}{name}"));
    let name_of = |key: &str| key.strip_prefix(base).unwrap_or(key).to_owned();
    let mut listing = Listing { items: Vec::new(), more_after: None };
    let (mut last_shown, done) = (None, manifests::purged(view)?);
    for _ in 0..MAX_LOOKED_AT / BATCH {
        let batch = table.list(view, &prefix, after.as_deref(), BATCH)?;
        let ends_here = batch.len() < BATCH;
        for (key, record) in batch {
            let standing = standing_of(&record);
            if part.filter.lets_through(standing) {
                if listing.items.len() == part.limit {
                    listing.more_after = last_shown;
                    return Ok(listing);
                }
                // What stands has no tombstone.
                let purged = if standing.is_live() { None } else { purged(view, &record)? };
                listing.items.push(shown(record, standing, purged, &done));
                last_shown = Some(name_of(&key));
            }
            after = Some(key);
        }
        if ends_here {
            return Ok(listing);
        }
    }
    listing.more_after = after.as_deref().map(name_of);
    Ok(listing)
}
