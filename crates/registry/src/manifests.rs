//! What the regions say they hold, held against what they are to hold.
//!
//! What is done about a difference is the [`reconciliation`](crate::reconcile)'s. A region that is behind differs until
//! it has caught up.

use openkcm_component::drift;
use openkcm_contracts::v1::{ManifestBody, StateManifest, is_far_ahead};
use openkcm_contracts::{RegionId, Revision, Timestamp};
use openkcm_digests::Buckets;
use openkcm_host::Entropy;
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::{reconcile, store};

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
    let ManifestBody::Digests { definitions, registry, .. } = &manifest.body else { return Ok(()) };
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
    if heard.is_some_and(|heard| (heard.incarnation, heard.sequence) >= order) {
        return Ok(());
    }
    if let Err(error) = Buckets::from_text(definitions) {
        tracing::warn!(region = key, %error, "a manifest was not taken");
        return Ok(());
    }
    let heard = Heard {
        incarnation: manifest.incarnation,
        sequence: manifest.sequence,
        at: now,
        applied: *registry,
        definitions: definitions.clone(),
    };
    HEARD.put(tx, key, &heard)?;
    reconcile::heard(tx, &manifest.region, &heard, (now, entropy))
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
pub fn region(view: &dyn Read, region: &RegionId) -> Result<Region, StoreError> {
    let heard = HEARD.get(view, region.as_str())?;
    let told = heard.as_ref().and_then(|heard| Buckets::from_text(&heard.definitions).ok());
    let differing = match told {
        Some(told) => told.differing(&store::buckets(view, region)?).len(),
        None => 0,
    };
    Ok(Region { region: region.clone(), heard, differing, drift: drift::counts(view, region)? })
}
