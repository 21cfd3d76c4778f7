//! What regions claim beyond what the Registry knows, and what an operator says of that.
//!
//! As all commands, each runs in its caller's transaction, with the time handed in. What follows is the
//! [rules'](crate::rules::doubt).

use std::collections::BTreeSet;

use openkcm_component::drift;
use openkcm_contracts::{RegionId, Revision, Timestamp};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::commands::Failure;
use crate::rules::doubt::{self, Doubt, Known};
use crate::rules::{Landscape, Refusal};
use crate::store;

/// By region.
const DOUBTS: Table<Kept> = Table::new("doubts");
/// Since when regions are waited for: the present start, or when it had compared its words and so had the mesh.
const BEGAN: Table<Timestamp> = Table::new("began");

/// The one record of [`BEGAN`].
const START: &str = "start";

/// The spaces of what regions claim.
pub(crate) const SPACES: [Space; 2] = [DOUBTS.space(), BEGAN.space()];

/// What is kept of a region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    claims: Option<Revision>,
    /// The buckets that differed in the first manifest of this start, and were not looked into since; none before it.
    /// What differs may be a later word than the Registry's, so that the region is heard when nothing is left of them.
    #[serde(default)]
    unseen: Option<BTreeSet<u8>>,
    overruled: bool,
}

impl Kept {
    fn is_heard(&self) -> bool {
        self.unseen.as_ref().is_some_and(BTreeSet::is_empty)
    }
}

/// A start begins: no region was heard in it, and what an operator overruled before may have been said of another store.
///
/// # Errors
/// When the store fails.
pub(crate) fn begin(tx: &mut dyn Write, now: Timestamp) -> Result<(), StoreError> {
    for (region, kept) in DOUBTS.list(tx.as_read(), "", None, usize::MAX)? {
        DOUBTS.put(tx, &region, &Kept { unseen: None, overruled: false, ..kept })?;
    }
    wait(tx, now)
}

/// What it has said is compared, so there is a mesh: from now on regions can be heard, and are waited for.
///
/// # Errors
/// When the store fails.
pub(crate) fn wait(tx: &mut dyn Write, now: Timestamp) -> Result<(), StoreError> {
    BEGAN.put(tx, START, &now)
}

/// A region has said up to which revision it has applied what the Registry says, and which buckets of what it holds
/// differ.
///
/// # Errors
/// When the store fails.
pub(crate) fn heard(
    tx: &mut dyn Write,
    region: &RegionId,
    applied: Option<Revision>,
    differing: &[u8],
) -> Result<(), StoreError> {
    let before = kept(tx.as_read(), region)?;
    let claims = doubt::claims(before.claims, applied, store::last_revision(tx.as_read())?);
    let is_in_doubt = claims.is_some() || drift::counts(tx.as_read(), region)?.stale > 0;
    let mut unseen = before.unseen.clone().unwrap_or_else(|| differing.iter().copied().collect());
    unseen.retain(|bucket| differing.contains(bucket));
    // An operator's word holds for what it was said of: what is claimed after that ended needs another.
    let overruled = before.overruled && (is_in_doubt || !unseen.is_empty());
    let after = Kept { claims, unseen: Some(unseen), overruled };
    if after == before { Ok(()) } else { DOUBTS.put(tx, region.as_str(), &after) }
}

/// Whether a region was heard since the start, and what it held otherwise was looked into.
///
/// # Errors
/// When the store can't be read.
pub(crate) fn is_heard(view: &dyn Read, region: &RegionId) -> Result<bool, StoreError> {
    Ok(kept(view, region)?.is_heard())
}

/// These buckets were looked into, down to each thing that differs: of what is a later word there is a record now.
///
/// # Errors
/// When the store fails.
pub(crate) fn looked_into(
    tx: &mut dyn Write,
    region: &RegionId,
    buckets: &BTreeSet<u8>,
) -> Result<(), StoreError> {
    let mut kept = kept(tx.as_read(), region)?;
    let Some(unseen) = &mut kept.unseen else { return Ok(()) };
    let before = unseen.len();
    unseen.retain(|bucket| !buckets.contains(bucket));
    if unseen.len() == before { Ok(()) } else { DOUBTS.put(tx, region.as_str(), &kept) }
}

/// An operator says that what a region claims, or may claim, is to stop nothing. Where nothing waits for it, that changes
/// nothing.
///
/// # Errors
/// When the landscape has no such region, or the store fails.
pub fn overrule(
    tx: &mut dyn Write,
    landscape: &Landscape,
    region: &RegionId,
    now: Timestamp,
) -> Result<(), Failure> {
    if !landscape.regions.contains(region) {
        return Err(Refusal::UnknownRegion(region.clone()).into());
    }
    let kept = kept(tx.as_read(), region)?;
    let speaks = kept.unseen.is_some();
    let doubt = of(tx.as_read(), region, now)?;
    // One that says nothing is waited for no longer than a moment, and what it will say is not known.
    if doubt == Doubt::Open || (doubt == Doubt::Unheard && speaks) {
        tracing::warn!(%region, claims = ?kept.claims.map(|revision| revision.to_string()),
            "an operator has overruled what a region claims: it keeps no tombstone from being told any more");
        DOUBTS.put(tx, region.as_str(), &Kept { overruled: true, ..kept })?;
    }
    Ok(())
}

/// What follows from what is known of a region.
///
/// # Errors
/// When the store can't be read.
pub fn of(view: &dyn Read, region: &RegionId, now: Timestamp) -> Result<Doubt, StoreError> {
    let kept = kept(view, region)?;
    let things = drift::counts(view, region)?.stale;
    // Without a start nobody waits for any region, as in a store without a courier.
    let running_for = BEGAN.get(view, START)?.map_or(doubt::PATIENCE, |began| now.since(began));
    let known = Known {
        claims: kept.claims,
        things,
        speaks: kept.unseen.is_some(),
        heard: kept.is_heard(),
        overruled: kept.overruled,
    };
    Ok(doubt::of(known, store::last_revision(view)?, running_for))
}

/// The regions for which no tombstone is told now, and why.
///
/// # Errors
/// When the store can't be read.
pub fn withholding(
    view: &dyn Read,
    landscape: &Landscape,
    now: Timestamp,
) -> Result<Vec<(RegionId, Doubt)>, StoreError> {
    let mut found = Vec::new();
    for region in &landscape.regions {
        let doubt = of(view, region, now)?;
        if doubt.withholds() {
            found.push((region.clone(), doubt));
        }
    }
    Ok(found)
}

fn kept(view: &dyn Read, region: &RegionId) -> Result<Kept, StoreError> {
    Ok(DOUBTS.get(view, region.as_str())?.unwrap_or_default())
}
