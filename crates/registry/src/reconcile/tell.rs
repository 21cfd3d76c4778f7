//! What the Registry knows of a thing that differs, and its word, told again.

use openkcm_contracts::{Event, KeyPath, RegionId, TenantId, Timestamp};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, StoreError, Write};

use crate::rules::drift::Ours;
use crate::rules::telling::{self, Told};
use crate::store::{self, KeyRecord, TenantRecord};

/// What a subject names.
enum Thing {
    Tenant(TenantId),
    Key(KeyPath),
    Purge(KeyPath),
}

impl Thing {
    /// The thing of a subject, `tenant.acme`, `key.acme.hr.payroll` or `purge.acme.hr.payroll`, if it is one.
    fn named(subject: &str) -> Option<Self> {
        let (kind, name) = subject.split_once('.')?;
        match kind {
            "tenant" => TenantId::new(name).ok().map(Self::Tenant),
            "key" => name.replace('.', "/").parse().ok().map(Self::Key),
            "purge" => name.replace('.', "/").parse().ok().map(Self::Purge),
            _ => None,
        }
    }
}

/// What the Registry holds of a thing, of whatever generation, and wherever it is told; nothing if it never knew it.
pub(super) fn known(view: &dyn Read, subject: &str) -> Result<Option<Ours>, StoreError> {
    let of_tenant = |tenant: &TenantRecord| Ours {
        revision: tenant.revision,
        told_from: tenant.revision,
        told_at: tenant.changed_at,
    };
    Ok(match Thing::named(subject) {
        Some(Thing::Tenant(tenant)) => store::tenant(view, &tenant)?.as_ref().map(of_tenant),
        Some(Thing::Key(path)) => {
            let tenant = store::tenant(view, path.tenant())?;
            let (Some(tenant), Some(key)) = (tenant, store::key(view, &path)?) else { return Ok(None) };
            let KeyRecord { revision, changed_at, .. } = key;
            let parent = of_tenant(&tenant);
            let told_from = revision.max(parent.told_from);
            Some(Ours { revision, told_from, told_at: changed_at.max(parent.told_at) })
        }
        // What it ends stands for its revision, in which two sides may differ that hold the same.
        Some(Thing::Purge(path)) => store::purges::of(view, &path)?.map(|purged| Ours {
            revision: purged.generation.0,
            told_from: purged.generation.0,
            told_at: purged.at,
        }),
        None => None,
    })
}

/// Tells a region the word about a thing again, at the revision that it has. Where the region is not to hold it
/// (`expected` is not so), it is behind on what the thing belongs to: that is told again too.
pub(super) fn again(
    tx: &mut dyn Write,
    region: &RegionId,
    subject: &str,
    expected: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(thing) = Thing::named(subject) else { return Ok(()) };
    let tenant = match &thing {
        Thing::Purge(path) => return put_tombstone(tx, region, path, now),
        Thing::Tenant(tenant) => tenant,
        Thing::Key(path) => path.tenant(),
    };
    let Some(tenant) = store::tenant(tx.as_read(), tenant)? else { return Ok(()) };
    let regions = [region.clone()];
    if !tenant.regions.contains(region) {
        return put(tx, telling::of_tenant_left(&regions, &tenant), tenant.revision, now);
    }
    let Thing::Key(path) = &thing else { return put_tenant(tx, region, &tenant, now) };
    if !expected {
        put_tenant(tx, region, &tenant, now)?;
        if path.service().is_some()
            && let Some(system) = store::system(tx.as_read(), path.tenant(), path.system())?
        {
            put(tx, telling::of_key_to(&regions, &system), system.revision, now)?;
        }
    }
    let Some(key) = store::key(tx.as_read(), path)? else { return Ok(()) };
    put(tx, telling::of_key_to(&regions, &key), key.revision, now)
}

fn put_tombstone(
    tx: &mut dyn Write,
    region: &RegionId,
    path: &KeyPath,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(purged) = store::purges::of(tx.as_read(), path)? else { return Ok(()) };
    put(tx, telling::of_purge([region], path, purged.generation), purged.revision, now)
}

fn put_tenant(
    tx: &mut dyn Write,
    region: &RegionId,
    tenant: &TenantRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    let word = Event::TenantDefine(telling::tenant_word(tenant));
    put(tx, vec![(openkcm_contracts::Audience::Region(region.clone()), word)], tenant.revision, now)
}

fn put(
    tx: &mut dyn Write,
    told: Vec<Told>,
    revision: openkcm_contracts::Revision,
    now: Timestamp,
) -> Result<(), StoreError> {
    for (audience, event) in told {
        outbox::put(tx, &Letter::new(&event, audience, revision, now))?;
    }
    Ok(())
}
