//! What Cores tell, and what the CMK Server answers: leases, questions, corrections.
//!
//! As all commands, each runs in its caller's transaction, with the time handed in; the service and the simulator
//! call the same. What always holds: a lease is decided on in the transaction that reads the pointers, so that an
//! Unlink is either committed before it, and then its tenant is not renewed, or after it, and then the lease's end
//! bounds it; and a CMK Server that is, or may be, behind what it has said leases nobody.
//!
//! Leases carry the revision of the authority's last change: a store that was put back can't say more than it knows.

use openkcm_contracts::v1::Contents;
use std::collections::BTreeSet;

use openkcm_component::drift::{self, Action, Found, Kind};
use openkcm_contracts::v1::{
    Kept, Listed, ManifestBody, ManifestQuery, Node, NodeDigest, SovereignLease, StateManifest,
};
use openkcm_contracts::{Audience, Event, RegionId, Revision, TenantId, Timestamp};
use openkcm_digests::{Buckets, bucket_of};
use openkcm_orbital::words::{self, Standing};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, StoreError, Write};

use crate::rules::lease::{self, Agreement, Differences};
use crate::rules::{self, Landscape, letters};
use crate::store::{self, Asked, Core, Difference, Given, Heard, Incarnation, Pointer};

/// The subject of drift records about the CMK Server itself.
const ITSELF: &str = "cmk";

/// Nodes that are asked for at once.
const MOST_NODES: usize = 64;

/// Incarnations of a Core that are remembered.
const MOST_INCARNATIONS: usize = 8;

/// How long what differs is taken for a word that is on its way.
const ON_ITS_WAY: std::time::Duration = std::time::Duration::from_secs(2);

/// How long a question is waited for before it is asked again.
const ANSWER_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Most differences of one region that are remembered.
const MOST_DIFFERENCES: usize = 10_000;

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
            if !is_next(&mut core, manifest, now) {
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
            if core.asked.as_ref().is_none_or(|asked| asked.nonce != *query) {
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

/// Whether a manifest is a later one of the latest incarnation; notes who spoke.
fn is_next(core: &mut Core, manifest: &StateManifest, now: Timestamp) -> bool {
    let (region, number) = (&manifest.region, manifest.incarnation);
    let latest = core.incarnations.keys().next_back().copied();
    let known = core.incarnations.get(&number).copied();
    if let Some(known) = known.filter(|known| known.sequence >= manifest.sequence) {
        note_twin(core, (manifest, known), now);
        return false;
    }
    let superseded = latest.is_some_and(|latest| latest > number);
    let spoke_again = match superseded {
        // One that was never heard of before may have been on its way when the later one started.
        true => known.map(|_| now),
        false => None,
    };
    let heard = Incarnation { sequence: manifest.sequence, spoke_at: now, spoke_again };
    core.incarnations.insert(number, heard);
    while core.incarnations.len() > MOST_INCARNATIONS {
        core.incarnations.pop_first();
    }
    if superseded {
        tracing::error!(%region, incarnation = number, latest,
            "two Cores speak for one region: an earlier start has told a manifest after a later one; the later one \
             is leased, and the operator has to stop one of them");
    }
    !superseded
}

/// Two processes that were copied while they ran have one incarnation: they give one number to two manifests.
fn note_twin(core: &mut Core, (manifest, known): (&StateManifest, Incarnation), now: Timestamp) {
    let is_twin = core.heard.as_ref().is_some_and(|heard| {
        (heard.incarnation, heard.sequence) == (manifest.incarnation, manifest.sequence)
            && heard.nonce != manifest.nonce
    });
    if is_twin {
        tracing::error!(region = %manifest.region, incarnation = manifest.incarnation,
            "two Cores speak for one region under one start of it: the operator has to stop one of them");
        core.incarnations.insert(manifest.incarnation, Incarnation { spoke_again: Some(now), ..known });
    }
}

/// Whether a manifest claims a start of its Core that lies in the future: no honest Core would ever be heard after it.
fn is_far_ahead(manifest: &StateManifest, now: Timestamp) -> bool {
    let is_far_ahead = manifest.is_far_ahead(now);
    if is_far_ahead {
        tracing::error!(region = %manifest.region, incarnation = manifest.incarnation,
            "a manifest claims a start of its Core that is far in the future; it is not taken: the Core's clock was \
             wrong when it started, or it lies");
    }
    is_far_ahead
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
    let agreement = lease::compare(&told, &store::buckets(view, region)?, &known);
    core.differences.retain(|id, _| agreement.disputed.contains(id));
    core.unsettled_since = match agreement.unsettled.is_empty() {
        true => None,
        false => core.unsettled_since.or(Some(now)),
    };
    Ok(Some(agreement))
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
    let ttl = landscape.leases.of(region);
    core.lease = Some(Given {
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
        unsettled: agreement.unsettled.iter().copied().collect(),
    });
    outbox::put(tx, &Letter::new(&lease, Audience::Region(region.clone()), last, now))
}

/// Asks for the buckets that nothing explains, unless what differs is on its way, or was asked for.
fn ask(
    tx: &mut dyn Write,
    (region, core): (&RegionId, &mut Core),
    heard: &Heard,
    agreement: &Agreement,
    (nonce, last): (&str, Revision),
    now: Timestamp,
) -> Result<(), StoreError> {
    let has_heard_all = heard.applied >= store::told(tx.as_read(), region)?;
    let waited = core.unsettled_since.is_some_and(|since| now.since(since) >= ON_ITS_WAY);
    let is_asked = core.asked.as_ref().is_some_and(|asked| now.since(asked.at) < ANSWER_PATIENCE);
    if agreement.unsettled.is_empty() || is_asked || !(has_heard_all || waited) {
        return Ok(());
    }
    let nodes = agreement.unsettled.iter().take(MOST_NODES).map(|bucket| Node::Bucket(*bucket));
    query(tx, (region, core), nodes.collect(), (nonce, last), now)
}

fn query(
    tx: &mut dyn Write,
    (region, core): (&RegionId, &mut Core),
    nodes: Vec<Node>,
    (nonce, last): (&str, Revision),
    now: Timestamp,
) -> Result<(), StoreError> {
    let nonce = nonce.to_owned();
    core.asked = Some(Asked { nonce: nonce.clone(), at: now, nodes: nodes.clone() });
    let query = Event::ManifestQuery(ManifestQuery { region: region.clone(), nonce, of: Kept::Links, nodes });
    outbox::put(tx, &Letter::new(&query, Audience::Region(region.clone()), last, now))
}

/// Looks at what a Core has listed: what is narrowed down to tenants is corrected, the rest is asked for.
fn look(
    tx: &mut dyn Write,
    (region, core): (&RegionId, &mut Core),
    listed: &[&Listed],
    nonce: &str,
    now: Timestamp,
) -> Result<Answered, StoreError> {
    let last = store::revision(tx.as_read())?.unwrap_or(rules::BEFORE_THE_FIRST);
    let mut further = Vec::new();
    let mut corrected = 0;
    for theirs in listed {
        for node in store::narrow(tx.as_read(), region, theirs)?.nodes {
            let Node::Unit(name) = &node else {
                further.push(node);
                continue;
            };
            let Ok(id) = TenantId::new(name) else { continue };
            if core.differences.len() >= MOST_DIFFERENCES {
                continue;
            }
            let theirs = digest_in(&theirs.contents, &node);
            let lacks = theirs.is_none();
            let since = core.differences.get(&id).map_or(now, |known| known.since);
            core.differences.insert(id.clone(), Difference { theirs, since });
            corrected += usize::from(correct(tx, (region, &id), lacks, now)?);
        }
    }
    further.truncate(MOST_NODES);
    if !further.is_empty() {
        query(tx, (region, core), further, (nonce, last), now)?;
    }
    store::save_core(tx, region, core)?;
    Ok(Answered { leased: false, corrected })
}

fn digest_in(contents: &Contents, wanted: &Node) -> Option<String> {
    let Contents::Nodes(nodes) = contents else { return None };
    let found = nodes.iter().find(|NodeDigest { node, .. }| node == wanted);
    found.map(|node| node.digest.clone())
}

/// Tells a region again what holds of a tenant's link: a link again as it is; of one that is dead, that it is. Says
/// whether there was anything to tell. `lacks`: the region holds nothing.
fn correct(
    tx: &mut dyn Write,
    (region, id): (&RegionId, &TenantId),
    lacks: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if words::standing(tx.as_read())? != Standing::Current {
        return Ok(false);
    }
    let has_region = has_region(tx.as_read(), region, id)?;
    let pointer: Option<Pointer> = store::pointer(tx.as_read(), id)?;
    let pointed = pointer.as_ref();
    let letters =
        pointed.map(|pointer| letters::again(pointer, (region, has_region), now)).unwrap_or_default();
    for letter in &letters {
        outbox::put(tx, letter)?;
    }
    // A link that was never made is dead by the lease, which names it: no word is made for each name that is told.
    let is_unknown = pointer.is_none() && !lacks;
    if !letters.is_empty() || is_unknown {
        let action = match pointer.as_ref().is_some_and(Pointer::is_linked) {
            true => Action::ToldAgain,
            false => Action::Revoked,
        };
        let kind = match (&pointer, lacks) {
            (_, true) => Kind::Missing,
            (None, false) => Kind::Unknown,
            (Some(_), false) => Kind::Differs,
        };
        let ours = pointer.map(|pointer| pointer.revision);
        let (region, subject, unit) = (region.clone(), subject_of(id), id.to_string());
        drift::note(tx, Found { region, subject, unit, kind, action, ours, theirs: None }, now)?;
    }
    Ok(!letters.is_empty() || is_unknown)
}

/// Notes what is healed: what the region and the CMK Server agree on again.
fn heal(
    tx: &mut dyn Write,
    region: &RegionId,
    agreement: &Agreement,
    now: Timestamp,
) -> Result<(), StoreError> {
    let disputed: BTreeSet<String> = agreement.disputed.iter().map(subject_of).collect();
    let is_agreed = |found: &Found| {
        !disputed.contains(&found.subject) && !agreement.unsettled.contains(&bucket_of(&found.unit))
    };
    drift::heal(tx, region, now, |found| found.subject == ITSELF || is_agreed(found))?;
    Ok(())
}

fn subject_of(id: &TenantId) -> String {
    format!("l1.{id}")
}
