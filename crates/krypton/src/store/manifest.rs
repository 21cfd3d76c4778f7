//! Manifests: what this Core tells its authorities of what it holds.
//!
//! What always holds: sequences of an incarnation only rise, incarnations of a store too, and each start is one of its
//! own, so that an authority can put manifests in order and tell two processes with one identity apart. A start whose
//! clock is behind, on a new store, may be an earlier one than its authority knows: that one tells it to go on as a
//! later one.

use openkcm_contracts::v1::{
    Audience, Kept, LeaseReport, Listed, ManifestBody, ManifestQuery, PurgeReport, StateManifest,
};
use openkcm_contracts::{Event, RegionId, Revision, Timestamp};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use super::{applied, buckets, lease, purge};
use crate::rules::{LeasePolicy, Moment};

pub(super) const TOLD: Table<Told> = Table::new("manifest");
/// The manifest that is to tell of a link that has changed.
pub(super) const AWAITED: Table<Revision> = Table::new("manifest_awaited");

/// The one record.
const LAST: &str = "last";

/// What was told last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    incarnation: u32,
    sequence: u64,
    /// The number of the last one that told of digests: listings have numbers among them.
    #[serde(default)]
    of_digests: u64,
    /// What that said; none by this incarnation.
    said: Option<Digests>,
}

/// What a manifest says of what is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Digests {
    definitions: String,
    links: String,
    registry: Option<Revision>,
    cmk: Option<Revision>,
    #[serde(default)]
    purges: PurgeReport,
}

/// Begins an incarnation: later than all before, also than those of a store that was lost, as long as the clock
/// goes forward.
///
/// # Errors
/// When the store fails.
pub fn begin(tx: &mut dyn Write, policy: &LeasePolicy, now: &Moment) -> Result<(), StoreError> {
    let before = TOLD.get(tx.as_read(), LAST)?.map_or(0, |told| told.incarnation);
    lease::begin(tx, before > 0, policy, now)?;
    let by_clock = u32::try_from(now.wall.as_millis() / 1_000).unwrap_or(u32::MAX);
    let incarnation = by_clock.max(before.saturating_add(1));
    TOLD.put(tx, LAST, &Told { incarnation, sequence: 0, of_digests: 0, said: None })
}

/// Goes on as a later incarnation: of manifests before none is answered any more, and the next one is told soon. Leases
/// go on to their ends. Says whether it is a later one.
pub(super) fn go_on_as(tx: &mut dyn Write, incarnation: u64) -> Result<bool, StoreError> {
    let before = self::incarnation(tx.as_read())?;
    let Some(incarnation) = u32::try_from(incarnation).ok().filter(|later| *later > before) else {
        return Ok(false);
    };
    lease::forget_sent(tx)?;
    TOLD.put(tx, LAST, &Told { incarnation, sequence: 0, of_digests: 0, said: None })?;
    Ok(true)
}

/// The present incarnation.
pub(super) fn incarnation(store: &dyn Read) -> Result<u32, StoreError> {
    Ok(TOLD.get(store, LAST)?.unwrap_or_default().incarnation)
}

/// The manifest that is told next.
pub(super) fn next(store: &dyn Read) -> Result<Revision, StoreError> {
    let told = TOLD.get(store, LAST)?.unwrap_or_default();
    Ok(Revision::new(told.incarnation, told.sequence + 1))
}

/// A link is another one from now on: gives the first manifest that tells of it, which is told soon, also where it sums
/// up to the same as the last one did.
pub(super) fn tells_of_link(tx: &mut dyn Write) -> Result<Revision, StoreError> {
    let next = next(tx.as_read())?;
    AWAITED.put(tx, LAST, &next)?;
    Ok(next)
}

/// What a manifest would say that the last one did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Nothing,
    /// Other definitions, or that more words were applied.
    Definitions,
    /// Other links, which are served only when a lease has agreed on them.
    Links,
}

/// What a manifest would say that the last one did not.
///
/// # Errors
/// When the store can't be read.
pub fn news(store: &dyn Read) -> Result<News, StoreError> {
    let (told, held) = (TOLD.get(store, LAST)?.unwrap_or_default(), digests(store)?);
    let last = Revision::new(told.incarnation, told.of_digests);
    let is_awaited = AWAITED.get(store, LAST)?.is_some_and(|awaited| awaited > last);
    Ok(match told.said {
        _ if is_awaited => News::Links,
        Some(said) if said == held => News::Nothing,
        Some(said) if said.links == held.links => News::Definitions,
        _ => News::Links,
    })
}

/// Tells what is held now, and until when the present lease holds.
///
/// # Errors
/// When the store fails.
pub fn tell(
    tx: &mut dyn Write,
    region: &RegionId,
    nonce: String,
    until: Option<Timestamp>,
    now: &Moment,
) -> Result<(), StoreError> {
    let told = TOLD.get(tx.as_read(), LAST)?.unwrap_or_default();
    let said = digests(tx.as_read())?;
    let sequence = told.sequence + 1;
    let told = Told { sequence, of_digests: sequence, said: Some(said.clone()), ..told };
    TOLD.put(tx, LAST, &told)?;
    let Digests { definitions, links, registry, cmk, purges } = said;
    let manifest = StateManifest {
        region: region.clone(),
        incarnation: u64::from(told.incarnation),
        sequence: told.sequence,
        nonce,
        lease: until.map(|until| LeaseReport { until }),
        body: ManifestBody::Digests { definitions, links, registry, cmk, purges },
    };
    let revision = Revision::new(told.incarnation, told.sequence);
    lease::sent(tx, revision, &manifest.nonce, now)?;
    outbox::put(tx, &Letter::new(&Event::StateManifest(manifest), Audience::Authorities, revision, now.wall))
}

/// Answers a query with what was found. An answer to the same authority that still waits gives way: whoever asks
/// asks one thing at a time. It does not expire: its nonce says what it answers, whatever the clocks show.
///
/// # Errors
/// When the store fails.
pub fn answer(
    tx: &mut dyn Write,
    query: &ManifestQuery,
    listed: Vec<Listed>,
    nonce: String,
    now: Timestamp,
) -> Result<(), StoreError> {
    let told = TOLD.get(tx.as_read(), LAST)?.unwrap_or_default();
    let told = Told { sequence: told.sequence + 1, ..told };
    TOLD.put(tx, LAST, &told)?;
    let manifest = StateManifest {
        region: query.region.clone(),
        incarnation: u64::from(told.incarnation),
        sequence: told.sequence,
        nonce,
        lease: None,
        body: ManifestBody::Listing { query: query.nonce.clone(), of: query.of, listed },
    };
    let revision = Revision::new(told.incarnation, told.sequence);
    outbox::put(tx, &Letter::new(&Event::StateManifest(manifest), Audience::Authorities, revision, now))
}

fn digests(store: &dyn Read) -> Result<Digests, StoreError> {
    let applied = applied(store)?;
    Ok(Digests {
        definitions: buckets(store, Kept::Definitions)?.to_text(),
        links: buckets(store, Kept::Links)?.to_text(),
        registry: applied.registry,
        cmk: applied.cmk,
        purges: purge::report(store)?,
    })
}
