//! Who speaks for a region: which start of its Core, and whether there are two.

use std::time::Duration;

use openkcm_contracts::Timestamp;
use openkcm_contracts::v1::StateManifest;

use crate::store::{Core, Incarnation};

/// How far beyond this clock a Core's start may lie, which its own clock dates.
const INCARNATION_AHEAD: Duration = Duration::from_secs(86_400);

/// Incarnations of a Core that are remembered.
const MOST_INCARNATIONS: usize = 8;

/// Whether a manifest is a later one of the latest incarnation; notes who spoke.
pub(super) fn is_next(core: &mut Core, manifest: &StateManifest, now: Timestamp) -> bool {
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
pub(super) fn is_far_ahead(manifest: &StateManifest, now: Timestamp) -> bool {
    let most = now.after(INCARNATION_AHEAD).as_millis() / 1_000;
    if manifest.incarnation > most {
        tracing::error!(region = %manifest.region, incarnation = manifest.incarnation,
            "a manifest claims a start of its Core that is far in the future; it is not taken: the Core's clock was \
             wrong when it started, or it lies");
    }
    manifest.incarnation > most
}
