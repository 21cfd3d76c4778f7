//! Who speaks for a region: which start of its Core is leased, whether there are two, and who goes on as a later one.
//!
//! The latest start alone is leased. A start whose number is not the highest, though it began last (its clock was
//! behind, and its store was lost or put back), would wait for a restart: it is given a number after all others, once
//! the later one has been silent for long. What always holds: nobody is given one who had spoken before the later one
//! did. So of two that run, each time the other is away, neither takes over again and again: both are shown, and an
//! operator decides.

use std::collections::BTreeMap;
use std::time::Duration;

use openkcm_contracts::v1::{self, StateManifest};
use openkcm_contracts::{RegionId, Timestamp};
use openkcm_store::{StoreError, Write};

use crate::store::{self, Core, Incarnation, Offer};

/// Incarnations of a Core that are remembered.
const MOST_INCARNATIONS: usize = 8;

/// How long the latest start must not have spoken before an earlier one takes its place: a Core that runs tells a
/// manifest each minute.
const SILENT_FOR: Duration = Duration::from_secs(300);

/// How long a number that was offered is waited for before another one is: less than a Core waits that asks again.
const OFFER_PATIENCE: Duration = Duration::from_secs(2);

/// Whose word a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The latest start's: it is answered.
    Latest,
    /// One that has said this already, or something later.
    Heard,
    /// A start's after which a later one has spoken, or that was forgotten. It is not leased.
    Superseded {
        /// The number that it may go on as.
        go_on_as: Option<u64>,
    },
}

/// Says whose word a manifest is, and notes who spoke.
pub(super) fn listen(core: &mut Core, manifest: &StateManifest, now: Timestamp) -> Speaker {
    let number = manifest.incarnation;
    let latest = core.incarnations.last_key_value().map(|(latest, one)| (*latest, *one));
    let known = core.incarnations.get(&number).copied();
    if let Some(known) = known.filter(|known| known.sequence >= manifest.sequence) {
        note_twin(core, (manifest, known), now);
        return Speaker::Heard;
    }
    if latest.is_none() && core.forgotten >= Some(number) {
        return Speaker::Superseded { go_on_as: offer(core, now) };
    }
    let later = latest.filter(|(latest, _)| *latest > number);
    // One that was never heard of before may have been on its way when the later one started; and one that alone has
    // spoken since is no sign of two.
    let speaks_between = known.is_some() && core.spoke_last != Some(number);
    let seen_again = known.and_then(|known| known.spoke_again);
    let spoke_again = match later {
        Some(_) => (speaks_between || seen_again.is_some()).then_some(now),
        // That it was copied while it ran is not forgotten with its next word.
        None => seen_again,
    };
    core.spoke_last = Some(number);
    core.incarnations.insert(number, Incarnation { sequence: manifest.sequence, spoke_at: now, spoke_again });
    forget_the_longest_silent(core, number);
    let Some((latest, one)) = later else { return Speaker::Latest };
    if spoke_again.is_some() {
        tracing::error!(region = %manifest.region, incarnation = number, latest,
            "two Cores speak for one region: an earlier start has told a manifest after a later one; the later one \
             is leased, and the operator has to stop one of them");
        return Speaker::Superseded { go_on_as: None };
    }
    let is_silent = now.since(one.spoke_at) >= SILENT_FOR;
    tracing::warn!(region = %manifest.region, incarnation = number, latest, is_silent,
        "a Core whose start is dated before a later one has told a manifest; it is not leased until the later one \
         has been silent for five minutes, or is forgotten (openkcm cores forget)");
    Speaker::Superseded { go_on_as: if is_silent { offer(core, now) } else { None } }
}

/// Has forgotten which starts of a region's Core were heard of. None of them is leased any more: the first Core that
/// speaks is told to go on as a later one, which the Registry too takes for the latest; another one that runs is then
/// shown as superseded. What was leased before goes on to its end. Gives what is known afterwards.
///
/// # Errors
/// When the store fails.
pub fn forget(tx: &mut dyn Write, region: &RegionId) -> Result<Core, StoreError> {
    let before = store::core(tx.as_read(), region)?;
    let heard = before.heard.as_ref().map(|heard| heard.incarnation);
    let latest = before.incarnations.keys().next_back().copied();
    let forgotten = heard.max(latest).max(before.forgotten).max(before.offer.map(|offer| offer.incarnation));
    let core = Core {
        forgotten,
        incarnations: BTreeMap::new(),
        heard: None,
        lease: None,
        spoke_last: None,
        offer: None,
        asked: None,
        unsettled_since: None,
        // Who goes on as a later one says again what it has applied.
        claims: None,
        ..before
    };
    store::save_core(tx, region, &core)?;
    tracing::warn!(%region, ?forgotten, "an operator had the starts of the region's Core forgotten");
    Ok(core)
}

/// A number after all that were heard of, forgotten or offered: nobody else is offered the same.
fn offer(core: &mut Core, now: Timestamp) -> Option<u64> {
    if core.offer.is_some_and(|last| last.at <= now && now.since(last.at) < OFFER_PATIENCE) {
        return None;
    }
    let latest = core.incarnations.keys().next_back().copied();
    let offered = core.offer.map(|last| last.incarnation);
    let incarnation = latest.max(core.forgotten).max(offered)?.saturating_add(1);
    if v1::is_far_ahead(incarnation, now) {
        return None;
    }
    core.offer = Some(Offer { incarnation, at: now });
    Some(incarnation)
}

/// Only some starts are remembered: those that spoke lately. One that goes on speaking is never forgotten for its low
/// number, or nobody would see that there are two.
fn forget_the_longest_silent(core: &mut Core, speaks: u64) {
    while core.incarnations.len() > MOST_INCARNATIONS {
        let latest = core.incarnations.keys().next_back().copied();
        let others =
            core.incarnations.iter().filter(|(number, _)| **number != speaks && Some(**number) != latest);
        let Some(number) = others.min_by_key(|(_, one)| one.spoke_at).map(|(number, _)| *number) else {
            return;
        };
        core.incarnations.remove(&number);
    }
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
    let is_ahead = manifest.is_far_ahead(now);
    if is_ahead {
        tracing::error!(region = %manifest.region, incarnation = manifest.incarnation,
            "a manifest claims a start of its Core that is far in the future; it is not taken: the Core's clock was \
             wrong when it started, or it lies");
    }
    is_ahead
}
