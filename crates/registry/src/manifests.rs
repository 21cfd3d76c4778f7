//! What the regions say they hold, held against what they are to hold.
//!
//! What is done about a difference is the [`reconciliation`](crate::reconcile)'s. A region that is behind differs until
//! it has caught up.

use openkcm_component::drift;
use openkcm_contracts::v1::{ManifestBody, PurgeReport, StateManifest, is_far_ahead};
use openkcm_contracts::{Generation, RegionId, Revision, Timestamp};
use openkcm_digests::Buckets;
use openkcm_host::Entropy;
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::rules::doubt::Doubt;
use crate::rules::purge::before;
use crate::store::Failover;
use crate::{doubts, reconcile, store};

const HEARD: Table<Heard> = Table::new("manifests");

/// The space of what was heard.
pub(crate) const SPACE: Space = HEARD.space();

/// A region's last manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Which start of the Core told it.
    pub incarnation: u64,
    /// Its number among that start's.
    pub sequence: u64,
    /// When it was heard.
    pub at: Timestamp,
    /// The last revision of the Registry that the Core had applied.
    pub applied: Option<Revision>,
    /// How far the Core has come with what it is to destroy.
    #[serde(default)]
    pub purges: PurgeReport,
    /// The last revision up to which it has destroyed all that it was told to destroy; none before it said so since it
    /// started.
    #[serde(default)]
    pub purged: Option<Revision>,
    /// What it says of the definitions that it holds.
    pub(crate) definitions: String,
}

/// How a region stands to what it is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub region: RegionId,
    /// Its last manifest; none when none was heard.
    pub heard: Option<Heard>,
    /// How many of the 256 buckets of its definitions were not as they are to be now.
    pub differing: usize,
    /// Its drift records.
    pub drift: drift::Counts,
    /// Whether it keeps tombstones from being told.
    pub doubt: Doubt,
    /// Whether it holds each tombstone that there is now, by its last manifest.
    pub holds_tombstones: bool,
    /// Its last failover; none when it never was failed over.
    pub failover: Option<Failover>,
}

/// Takes a manifest, unless a later one was heard, and does what follows from it.
///
/// # Errors
/// When the store fails.
pub fn hear(
    tx: &mut dyn Write,
    manifest: &StateManifest,
    (now, entropy): (Timestamp, &dyn Entropy),
) -> Result<(), StoreError> {
    let ManifestBody::Digests { definitions, registry, purges, .. } = &manifest.body else {
        return Ok(());
    };
    let key = manifest.region.as_str();
    let order = (manifest.incarnation, manifest.sequence);
    if manifest.is_far_ahead(now) {
        tracing::error!(
            region = key,
            incarnation = manifest.incarnation,
            "a manifest claims a start of its Core that is far in the future; it is not taken: the Core's clock was \
             wrong when it started, or it lies"
        );
        return Ok(());
    }
    let heard = last(tx.as_read(), &manifest.region)?.filter(|heard| !is_far_ahead(heard.incarnation, now));
    if heard.as_ref().is_some_and(|heard| (heard.incarnation, heard.sequence) >= order) {
        return Ok(());
    }
    let told = match Buckets::from_text(definitions) {
        Ok(told) => told,
        Err(error) => {
            tracing::warn!(region = key, %error, "a manifest was not taken");
            return Ok(());
        }
    };
    let earlier = heard.filter(|heard| heard.incarnation == manifest.incarnation);
    let purged = purged_up_to(tx.as_read(), purges)?.or(earlier.and_then(|earlier| earlier.purged));
    let heard = Heard {
        purges: purges.clone(),
        purged,
        incarnation: manifest.incarnation,
        sequence: manifest.sequence,
        at: now,
        applied: *registry,
        definitions: definitions.clone(),
    };
    HEARD.put(tx, key, &heard)?;
    let differing = told.differing(&store::buckets(tx.as_read(), &manifest.region)?);
    reconcile::heard(tx, &manifest.region, (&heard, &differing), (now, entropy))?;
    doubts::heard(tx, &manifest.region, heard.applied, &differing)
}

/// Up to which revision a region has destroyed all; nothing where it does not hold the tombstones that there are, and
/// so can't be asked.
fn purged_up_to(view: &dyn Read, purges: &PurgeReport) -> Result<Option<Revision>, StoreError> {
    if purges.digest != store::tombstones(view)? {
        return Ok(None);
    }
    Ok(Some(match purges.first_open {
        Some(first) => before(Generation(first)).0,
        None => store::last_revision(view)?,
    }))
}

/// Up to which revision each region has destroyed all that it was told to destroy, as far as it has said.
///
/// # Errors
/// When the store can't be read.
pub fn purged(view: &dyn Read) -> Result<Vec<(RegionId, Revision)>, StoreError> {
    let heard = HEARD.list(view, "", None, usize::MAX)?.into_iter();
    Ok(heard.filter_map(|(region, heard)| Some((RegionId::new(&region).ok()?, heard.purged?))).collect())
}

/// A region's last manifest.
///
/// # Errors
/// When the store can't be read.
pub(crate) fn last(view: &dyn Read, region: &RegionId) -> Result<Option<Heard>, StoreError> {
    HEARD.get(view, region.as_str())
}

/// How a region stands, by its last manifest.
///
/// # Errors
/// When the store can't be read.
pub fn region(view: &dyn Read, region: &RegionId, now: Timestamp) -> Result<Region, StoreError> {
    let heard = HEARD.get(view, region.as_str())?;
    let told = heard.as_ref().and_then(|heard| Buckets::from_text(&heard.definitions).ok());
    let differing = match told {
        Some(told) => told.differing(&store::buckets(view, region)?).len(),
        None => 0,
    };
    let all = store::tombstones(view)?;
    let holds_tombstones = heard.as_ref().is_some_and(|heard| heard.purges.digest == all);
    let drift = drift::counts(view, region)?;
    let doubt = doubts::of(view, region, now)?;
    let failover = store::failovers::of(view, region)?;
    Ok(Region { region: region.clone(), heard, differing, drift, doubt, holds_tombstones, failover })
}
