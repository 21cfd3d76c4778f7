//! Destroying: what a tombstone ends is removed, when its wait is over and the brake lets it.
//!
//! In steps of a bounded size, each a transaction: a system may have ten thousand services. A purge is weighed before
//! it begins, so that one that is too large begins only on an operator's word. What this Core made is superseded on
//! the mesh by a word without seals, in the same transaction; what a peer made is the peer's to supersede.

use std::collections::BTreeSet;
use std::time::Duration;

use openkcm_contracts::v1::{Audience, KeySealed, SealedBy};
use openkcm_contracts::{Event, KeyPath, RegionId, Revision, Timestamp, VersionId};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, StoreError, Table, Write};

use super::records::{DESTROYED, Ledger, Stage, TOMBSTONES, Tombstone, close, destroyed_key, open, put};
use super::tombstone;
use crate::rules::PurgePolicy;
use crate::store::{Changes, L2_VERSIONS, L3_VERSIONS, versions};

/// Records that one step looks at: some ten milliseconds, in which no other change is committed.
const AT_ONCE: usize = 256;

/// Versions up to which a purge is weighed before it begins; a larger one is weighed on its way.
const WEIGHED: usize = 10_000;

/// The parts of a window by which is remembered when something was destroyed.
const PARTS: u64 = 24;

/// What a step did.
#[derive(Debug, Default)]
pub struct Advanced {
    /// What is to be settled.
    pub changes: Changes,
    /// Keys that the brake holds since now.
    pub held: Vec<KeyPath>,
    /// Keys of which nothing is left.
    pub done: Vec<KeyPath>,
    /// Whether more is to be done now.
    pub more: bool,
}

/// An operator's word on a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// What is held may be destroyed, when its minimum wait is over.
    Confirm,
    /// What waits is held until it is confirmed.
    Hold,
}

/// Whether a step would find something to do; or the purge clock runs, which is told apart.
///
/// # Errors
/// When the store can't be read.
pub fn has_work(view: &dyn Read, policy: &PurgePolicy) -> Result<(bool, bool), StoreError> {
    let ledger = Ledger::read(view)?;
    Ok((next(view, &ledger, policy)?.is_some(), ledger.runs))
}

/// Lets the purge clock run on, and destroys what is due, as far as one step goes.
///
/// # Errors
/// When the store fails.
pub fn advance(
    tx: &mut dyn Write,
    region: &RegionId,
    policy: &PurgePolicy,
    ran: Duration,
    now: Timestamp,
) -> Result<Advanced, StoreError> {
    let mut ledger = Ledger::read(tx.as_read())?;
    if ledger.runs {
        ledger.clock = ledger.clock.saturating_add(millis(ran));
    }
    let mut step = Step { region, policy, now, ledger, left: AT_ONCE, advanced: Advanced::default() };
    while step.left > 0
        && let Some(next) = next(tx.as_read(), &step.ledger, policy)?
    {
        step.purge(tx, next)?;
    }
    step.advanced.more = next(tx.as_read(), &step.ledger, policy)?.is_some();
    step.ledger.write(tx)?;
    Ok(step.advanced)
}

/// An operator's word on some purges, or on all that it concerns, a bounded number at once. Gives those that it
/// concerned.
///
/// # Errors
/// When the store fails.
pub fn decide(
    tx: &mut dyn Write,
    decision: Decision,
    keys: Option<&[KeyPath]>,
    limit: usize,
) -> Result<Vec<KeyPath>, StoreError> {
    let (from, to) = match decision {
        Decision::Confirm => (Stage::Held, Stage::Confirmed),
        Decision::Hold => (Stage::Waiting, Stage::Held),
    };
    let mut ledger = Ledger::read(tx.as_read())?;
    let concerned = match keys {
        Some(keys) => with_all_below(tx.as_read(), keys, limit)?,
        None => open(tx.as_read(), from, limit)?.into_iter().map(|(_, path)| path).collect(),
    };
    let mut decided = Vec::new();
    for path in concerned {
        let Some(held) = tombstone(tx.as_read(), &path)?.filter(|held| held.stage == from) else { continue };
        let after = Tombstone { stage: to, ..held.clone() };
        put(tx, &mut ledger, &path, (Some(&held), &after))?;
        decided.push(path);
    }
    ledger.write(tx)?;
    Ok(decided)
}

/// Keys, and of a system the services that have tombstones of their own: a word on it concerns them too.
fn with_all_below(view: &dyn Read, keys: &[KeyPath], limit: usize) -> Result<Vec<KeyPath>, StoreError> {
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        all.push(key.clone());
        if let KeyPath::System(system) = key {
            let below = TOMBSTONES.list(view, &format!("{system}/"), None, limit)?;
            all.extend(below.into_iter().filter_map(|(name, _)| name.parse().ok()));
        }
    }
    Ok(all)
}

/// A purge, as the index has it: its key, how far it has come, and since when it waits.
type Next = (KeyPath, (Stage, u64));

/// The purge that is to be gone on with now.
fn next(view: &dyn Read, ledger: &Ledger, policy: &PurgePolicy) -> Result<Option<Next>, StoreError> {
    let wait = millis(policy.minimum_wait);
    let is_over = |since: u64| wait == 0 || since.saturating_add(wait) <= ledger.clock;
    // An operator's yes opens the brake; the minimum wait is nobody's to shorten.
    for stage in [Stage::Confirmed, Stage::Waiting] {
        let first = open(view, stage, 1)?.pop();
        if let Some((since, path)) = first.filter(|(since, _)| is_over(*since)) {
            return Ok(Some((path, (stage, since))));
        }
    }
    Ok(None)
}

struct Step<'a> {
    region: &'a RegionId,
    policy: &'a PurgePolicy,
    now: Timestamp,
    ledger: Ledger,
    left: usize,
    advanced: Advanced,
}

impl Step<'_> {
    /// Goes on with a purge until it is done, held, or the step is at its end.
    fn purge(&mut self, tx: &mut dyn Write, (path, place): Next) -> Result<(), StoreError> {
        let path = &path;
        let held = tombstone(tx.as_read(), path)?;
        let Some(before) = held.filter(|held| (held.stage, held.since) == place) else {
            // Its record is gone or another one, which only a store that was edited has: a wait that nobody knows of
            // any more lets nothing be destroyed, and keeps nothing else waiting.
            self.left -= 1;
            return close(tx, &mut self.ledger, path, place);
        };
        let mut after = before.clone();
        let is_free = before.stage == Stage::Confirmed;
        let mut is_held =
            !is_free && before.after.is_none() && self.is_too_much(tx.as_read(), path, &before)?;
        let (mut layer, mut from) = match after.after.take() {
            Some((layer, name)) => (layer, Some(name)),
            None => (first_layer(path), None),
        };
        while !is_held && layer <= 3 && self.left > 0 {
            let records =
                records_of(layer).list(tx.as_read(), &format!("{path}/"), from.as_deref(), self.left)?;
            let is_last = records.len() < self.left;
            for (name, sealed) in records {
                if sealed.generation <= after.generation {
                    is_held = !is_free && self.allowance() == 0;
                    if is_held {
                        break;
                    }
                    self.destroy(tx, layer, &name, &sealed, is_free)?;
                    after.destroyed += 1;
                }
                self.left -= 1;
                from = Some(name);
            }
            if is_last && !is_held {
                (layer, from) = (layer + 1, None);
                // Each purge costs something, also one that finds nothing.
                self.left = self.left.saturating_sub(1);
            }
        }
        if from.is_some() || layer > first_layer(path) {
            after.after = Some((layer, from.unwrap_or_default()));
        }
        if is_held {
            after.stage = Stage::Held;
            self.advanced.held.push(path.clone());
        } else if layer > 3 {
            (after.stage, after.after) = (Stage::Done, None);
            self.advanced.done.push(path.clone());
        }
        put(tx, &mut self.ledger, path, (Some(&before), &after))
    }

    /// Whether a purge is more than the brake lets through.
    fn is_too_much(
        &mut self,
        view: &dyn Read,
        path: &KeyPath,
        tombstone: &Tombstone,
    ) -> Result<bool, StoreError> {
        let allowance = self.allowance();
        if self.holds_back(view, path)? {
            return Ok(true);
        }
        let (mut weight, mut looked) = (0, 0);
        let mut ended_l2 = BTreeSet::new();
        for layer in first_layer(path)..=3 {
            let limit = WEIGHED.saturating_sub(looked);
            let records = records_of(layer).list(view, &format!("{path}/"), None, limit)?;
            looked += records.len();
            if records.len() == limit && !ended_l2.is_empty() {
                // An L2 under which lies more than can be weighed.
                return Ok(true);
            }
            for (_, sealed) in &records {
                let is_ended = sealed.generation <= tombstone.generation;
                if is_ended && layer == 2 {
                    ended_l2.insert(sealed.version);
                }
                // An L3 that stands, and could never be opened again without the L2 that goes.
                if !is_ended && layer == 3 && is_sealed_by_none_but(sealed, &ended_l2) {
                    return Ok(true);
                }
                weight += u64::from(is_ended);
            }
        }
        Ok(weight > allowance)
    }

    /// Whether an operator holds something that lies under a system.
    fn holds_back(&self, view: &dyn Read, path: &KeyPath) -> Result<bool, StoreError> {
        let KeyPath::System(path) = path else { return Ok(false) };
        let below = TOMBSTONES.list(view, &format!("{path}/"), None, WEIGHED)?;
        Ok(below.iter().any(|(_, below)| below.stage == Stage::Held))
    }

    /// How many more versions may be destroyed without an operator's word.
    fn allowance(&mut self) -> u64 {
        let window = millis(self.policy.brake.window);
        let Ledger { recent, clock, versions, .. } = &mut self.ledger;
        recent.retain(|(at, _)| at.saturating_add(window) > *clock);
        let destroyed = recent.iter().map(|(_, count)| count).sum();
        self.policy.brake.allows(*versions, destroyed)
    }

    fn destroy(
        &mut self,
        tx: &mut dyn Write,
        layer: u8,
        name: &str,
        sealed: &KeySealed,
        is_free: bool,
    ) -> Result<(), StoreError> {
        let path = sealed.path();
        records_of(layer).delete(tx, name)?;
        DESTROYED.put(tx, &destroyed_key(&path, sealed.version), &sealed.generation)?;
        versions::forget_reseals(tx, sealed)?;
        if sealed.teller() == self.region {
            let word = Event::KeySealed(KeySealed { seals: Vec::new(), ..sealed.clone() });
            // Above the revision of the word that told of it, which is of term 1.
            let revision = Revision::new(2, sealed.counter);
            // After every version that is on this disk alone: nothing is lost by its coming late.
            outbox::put_last(tx, &Letter::new(&word, Audience::Cores, revision, self.now))?;
        }
        let ledger = &mut self.ledger;
        ledger.versions = ledger.versions.saturating_sub(1);
        ledger.counts.destroyed += 1;
        if !is_free {
            let part = (millis(self.policy.brake.window) / PARTS).max(1);
            let at = ledger.clock / part * part;
            match ledger.recent.last_mut() {
                Some((last, count)) if *last == at => *count += 1,
                _ => ledger.recent.push((at, 1)),
            }
        }
        self.advanced.changes.dropped.insert(sealed.version);
        self.advanced.changes.versions_of(path);
        Ok(())
    }
}

/// Whether an L3 is sealed under these L2 versions, and under no other.
fn is_sealed_by_none_but(sealed: &KeySealed, ended: &BTreeSet<VersionId>) -> bool {
    !sealed.seals.is_empty()
        && sealed.seals.iter().all(|seal| matches!(&seal.by, SealedBy::L2(l2) if ended.contains(l2)))
}

/// The layers that a purge goes through are this one and all after it.
fn first_layer(path: &KeyPath) -> u8 {
    match path {
        KeyPath::System(_) => 2,
        KeyPath::Service(_) => 3,
    }
}

fn records_of(layer: u8) -> &'static Table<KeySealed> {
    if layer == 2 { &L2_VERSIONS } else { &L3_VERSIONS }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
