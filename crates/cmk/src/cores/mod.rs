//! What Cores tell, and what the CMK Server answers: leases, questions, corrections.
//!
//! As all commands, each runs in its caller's transaction, with the time handed in; the service and the simulator
//! call the same. What always holds: a lease is decided on in the transaction that reads the pointers, so that an
//! Unlink is either committed before it, and then its tenant is not renewed, or after it, and then the lease's end
//! bounds it; and a CMK Server that is, or may be, behind what it has said leases nobody.
//!
//! Leases carry the revision of the authority's last change: a store that was put back can't say more than it knows.

mod look;
mod speakers;

use std::collections::{BTreeMap, BTreeSet};

use openkcm_component::drift::{self, Action, Found, Kind};
use openkcm_contracts::v1::{Kept, Listed, ManifestBody, SovereignLease, StateManifest, Unsettled};
use openkcm_contracts::{Audience, Event, RegionId, Revision, TenantId, Timestamp};
use openkcm_digests::{Buckets, bucket_of};
use openkcm_orbital::words::{self, Standing};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, StoreError, Write};

use crate::rules::lease::{self, Agreement, Differences};
use crate::rules::{self, Landscape};
use crate::store::{self, Core, Given, Heard, moves};
use look::{ask, heal, look};
use speakers::{Speaker, is_far_ahead, listen};

pub use speakers::forget;

/// The subject of drift records about the CMK Server itself.
const ITSELF: &str = "cmk";

/// How long ago a pointer has changed lately: the first of these within which not too many have.
const CHANGED_LATELY_MILLIS: [u64; 3] = [60_000, 10_000, 1_000];

/// How long ago a tenant has moved lately: the first of these within which not too many have. Down to what a word takes
/// when ten thousand of them are on their way, some hundred milliseconds.
const MOVED_LATELY_MILLIS: [u64; 6] = [moves::REMEMBERED_MILLIS, 10_000, 3_000, 1_000, 500, 250];

/// Most arrivals that a manifest is compared with: 2 µs each. What came after so many is looked into.
const MOST_ARRIVALS: usize = 100_000;

/// What a manifest led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answered {
    /// Whether a lease was given.
    pub leased: bool,
    /// Links that were told again or ended since a Core held them otherwise.
    pub corrected: usize,
}

/// Takes a manifest of a region's Core, and answers it. `nonce` is for a question, if one is to be asked.
///
/// # Errors
/// When the store fails.
pub fn hear(
    tx: &mut dyn Write,
    landscape: &Landscape,
    manifest: &StateManifest,
    nonce: &str,
    now: Timestamp,
) -> Result<Answered, StoreError> {
    let region = &manifest.region;
    if !landscape.regions.contains(region) {
        tracing::warn!(%region, "a Core of a region that is not in the landscape told a manifest; it is not leased");
        return Ok(Answered::default());
    }
    let mut core = store::core(tx.as_read(), region)?;
    match &manifest.body {
        ManifestBody::Digests { links, cmk, .. } => {
            if is_far_ahead(manifest, now) {
                return Ok(Answered::default());
            }
            let speaker = listen(&mut core, manifest, now);
            if speaker != Speaker::Latest {
                if let Speaker::Superseded { go_on_as: Some(incarnation) } = speaker {
                    offer(tx, landscape, manifest, incarnation, now)?;
                }
                store::save_core(tx, region, &core)?;
                return Ok(Answered::default());
            }
            core.heard = Some(Heard {
                incarnation: manifest.incarnation,
                sequence: manifest.sequence,
                nonce: manifest.nonce.clone(),
                at: now,
                applied: *cmk,
                lease_until: manifest.lease.as_ref().map(|lease| lease.until),
                links: links.clone(),
            });
            answer(tx, landscape, (region, &mut core), nonce, now)
        }
        ManifestBody::Listing { query, of: Kept::Links, listed } => {
            // What another start of the Core holds says nothing of the one that is leased.
            let is_of_latest =
                core.heard.as_ref().is_some_and(|heard| heard.incarnation == manifest.incarnation);
            if !is_of_latest || core.asked.as_ref().is_none_or(|asked| asked.nonce != *query) {
                return Ok(Answered::default());
            }
            let asked = core.asked.take().map(|asked| asked.nodes).unwrap_or_default();
            let listed: Vec<&Listed> = listed.iter().filter(|listed| asked.contains(&listed.node)).collect();
            look(tx, (region, &mut core), &listed, nonce, now)
        }
        ManifestBody::Listing { of: Kept::Definitions, .. } => Ok(Answered::default()),
    }
}

/// Answers the last manifests of all regions: once the CMK Server may speak.
///
/// # Errors
/// When the store fails.
pub fn answer_all(
    tx: &mut dyn Write,
    landscape: &Landscape,
    nonce: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    for region in &landscape.regions {
        let mut core = store::core(tx.as_read(), region)?;
        if core.heard.is_some() {
            answer(tx, landscape, (region, &mut core), nonce, now)?;
        }
    }
    Ok(())
}

/// Tells the start that a manifest is of under which number it may go on: a lease for that one, which answers a manifest
/// of another, and so renews nothing.
fn offer(
    tx: &mut dyn Write,
    landscape: &Landscape,
    manifest: &StateManifest,
    incarnation: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    if words::standing(tx.as_read())? != Standing::Current {
        return Ok(());
    }
    let region = &manifest.region;
    tracing::warn!(%region, from = manifest.incarnation, incarnation,
        "the Core is told to go on as a later start: the one that was heard of last is silent, or forgotten");
    let lease = Event::SovereignLease(SovereignLease {
        region: region.clone(),
        incarnation,
        nonce: manifest.nonce.clone(),
        ttl: landscape.leases.of(region),
        disputes: Vec::new(),
        unsettled: Vec::new(),
    });
    let last = store::revision(tx.as_read())?.unwrap_or(rules::BEFORE_THE_FIRST);
    outbox::put(tx, &Letter::new(&lease, Audience::Region(region.clone()), last, now))
}

/// Answers a Core's last manifest with a lease, and asks where it is not known what differs.
fn answer(
    tx: &mut dyn Write,
    landscape: &Landscape,
    (region, core): (&RegionId, &mut Core),
    nonce: &str,
    now: Timestamp,
) -> Result<Answered, StoreError> {
    let mut answered = Answered::default();
    if let Some(heard) = core.heard.clone()
        && words::standing(tx.as_read())? == Standing::Current
    {
        let last = store::revision(tx.as_read())?.unwrap_or(rules::BEFORE_THE_FIRST);
        core.claims = heard.applied.filter(|applied| *applied > last);
        if let Some(claims) = core.claims {
            tracing::error!(%region, %claims, %last,
                "a Core says that it has applied a later word than this CMK Server's last: either this store is \
                 behind, or that Core lies; it is not leased, and nothing is linked, until a start with \
                 --rebuild-from-mesh, or until the Core says otherwise");
            let (kind, action) = (Kind::StaleAuthority, Action::Alarm);
            let (ours, theirs) = (Some(last), Some(claims));
            let (region, subject, unit) = (region.clone(), ITSELF.to_owned(), String::new());
            drift::note(tx, Found { region, subject, unit, kind, action, ours, theirs }, now)?;
        } else if let Some(agreement) = agreement(tx.as_read(), (region, core), &heard, now)? {
            heal(tx, region, &agreement, now)?;
            lease(tx, landscape, (region, core), (&heard, &agreement), last, now)?;
            ask(tx, (region, core), &heard, &agreement, (nonce, last), now)?;
            answered.leased = true;
        }
    }
    store::save_core(tx, region, core)?;
    Ok(answered)
}

/// What a Core and the CMK Server agree on; none where the manifest can't be read.
fn agreement(
    view: &dyn Read,
    (region, core): (&RegionId, &mut Core),
    heard: &Heard,
    now: Timestamp,
) -> Result<Option<Agreement>, StoreError> {
    let told = match Buckets::from_text(&heard.links) {
        Ok(told) => told,
        Err(error) => {
            tracing::warn!(%region, %error, "a manifest was not taken");
            return Ok(None);
        }
    };
    let mut known = Differences::new();
    for (id, difference) in &core.differences {
        known.insert(id.clone(), (difference.theirs.clone(), expected(view, region, id)?));
    }
    let came = arrivals(view, region, now)?;
    let agreement = lease::compare(&told, &store::buckets(view, region)?, &known, &came);
    // Where nothing explains a bucket, those who were found to differ in it stay suspected until it is looked into.
    let differs = |id: &TenantId| known.get(id).is_some_and(|(theirs, ours)| theirs != ours);
    core.differences.retain(|id, _| {
        let is_open = agreement.unsettled.contains(&bucket_of(id.as_str()));
        agreement.disputed.contains(id) || (is_open && differs(id))
    });
    core.unsettled_since = match agreement.unsettled.is_empty() {
        true => None,
        false => core.unsettled_since.or(Some(now)),
    };
    Ok(Some(agreement))
}

/// The links that came to a region lately with their tenants, the last one first.
fn arrivals(
    view: &dyn Read,
    region: &RegionId,
    now: Timestamp,
) -> Result<Vec<(TenantId, String)>, StoreError> {
    let since = moves::before(now, moves::REMEMBERED_MILLIS);
    let moved = moves::since(view, region, since, MOST_ARRIVALS)?.into_iter().rev();
    Ok(moved.filter_map(|noted| Some((noted.tenant, noted.came?))).collect())
}

/// What is said of buckets that nothing explains.
fn unsettled(
    view: &dyn Read,
    (region, core): (&RegionId, &Core),
    unsettled: &BTreeSet<u8>,
    now: Timestamp,
) -> Result<Vec<Unsettled>, StoreError> {
    if unsettled.is_empty() {
        return Ok(Vec::new());
    }
    let suspects = suspects(view, (region, core), unsettled, now)?;
    Ok(lease::narrow(&store::buckets(view, region)?, unsettled, &suspects))
}

/// Who may make the difference in buckets that nothing explains: whose pointer has changed a moment ago, or who has come
/// to the region or left it, so that the word of it may be on its way, and who was found to differ when it was last looked
/// at.
fn suspects(
    view: &dyn Read,
    (region, core): (&RegionId, &Core),
    unsettled: &BTreeSet<u8>,
    now: Timestamp,
) -> Result<BTreeMap<TenantId, Option<String>>, StoreError> {
    let mut found: Vec<TenantId> = core.differences.keys().cloned().collect();
    // Where very many have changed, those that did last.
    for millis in CHANGED_LATELY_MILLIS {
        let since = Timestamp::from_millis(now.as_millis().saturating_sub(millis));
        let changed = store::changed_since(view, since, lease::MOST_SUSPECTS + 1)?;
        if changed.len() <= lease::MOST_SUSPECTS {
            found.extend(changed);
            break;
        }
    }
    for millis in MOVED_LATELY_MILLIS {
        let moved = moves::since(view, region, moves::before(now, millis), lease::MOST_SUSPECTS + 1)?;
        if moved.len() <= lease::MOST_SUSPECTS {
            found.extend(moved.into_iter().map(|noted| noted.tenant));
            break;
        }
    }
    found.retain(|id| unsettled.contains(&bucket_of(id.as_str())));
    found.into_iter().map(|id| expected(view, region, &id).map(|ours| (id, ours))).collect()
}

/// The digest of what a region is to hold of a tenant's link.
fn expected(view: &dyn Read, region: &RegionId, id: &TenantId) -> Result<Option<String>, StoreError> {
    if !has_region(view, region, id)? {
        return Ok(None);
    }
    Ok(store::pointer(view, id)?.map(|pointer| store::digest(&pointer)))
}

fn has_region(view: &dyn Read, region: &RegionId, id: &TenantId) -> Result<bool, StoreError> {
    Ok(store::tenant(view, id)?.is_some_and(|tenant| tenant.fact.regions.contains(region)))
}

fn lease(
    tx: &mut dyn Write,
    landscape: &Landscape,
    (region, core): (&RegionId, &mut Core),
    (heard, agreement): (&Heard, &Agreement),
    last: Revision,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut disputes = Vec::with_capacity(agreement.disputed.len());
    for id in &agreement.disputed {
        let pointer = store::pointer(tx.as_read(), id)?;
        let has_region = has_region(tx.as_read(), region, id)?;
        disputes.push(lease::dispute(id, pointer.as_ref(), has_region, last));
    }
    let unsettled = unsettled(tx.as_read(), (region, core), &agreement.unsettled, now)?;
    let ttl = landscape.leases.of(region);
    core.lease = Some(Given {
        incarnation: heard.incarnation,
        sequence: heard.sequence,
        at: now,
        ttl,
        disputes: disputes.len(),
        unsettled: agreement.unsettled.len(),
    });
    let lease = Event::SovereignLease(SovereignLease {
        region: region.clone(),
        incarnation: heard.incarnation,
        nonce: heard.nonce.clone(),
        ttl,
        disputes,
        unsettled,
    });
    outbox::put(tx, &Letter::new(&lease, Audience::Region(region.clone()), last, now))
}
