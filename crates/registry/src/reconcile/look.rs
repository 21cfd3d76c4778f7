//! From a listing to what differs, and to what follows from that.

use std::collections::BTreeSet;
use std::time::Duration;

use openkcm_component::drift::{self, Action, Found, Kind};
use openkcm_contracts::v1::{Kept, ListedThing, Node, StateManifest};
use openkcm_contracts::v1::{Listed, ManifestBody};
use openkcm_contracts::{RegionId, Revision, Timestamp};
use openkcm_digests::{Difference, bucket_of, bucket_of_node, lies_in};
use openkcm_host::Entropy;
use openkcm_orbital::words::{Standing, standing};
use openkcm_store::{Read, StoreError, Write};

use super::{AGAIN_AFTER, Look, MOST_WAITING, is_silent, load, save, tell};
use crate::rules::drift::{Judgement, Reading, judge, judge_tombstone};
use crate::{doubts, manifests, store};

/// The longest subject that is looked at: what is longer is none.
const MAX_SUBJECT_LEN: usize = 256;

/// What a listing shows, compared with what the region is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowing {
    region: RegionId,
    nonce: String,
    seen: Vec<Seen>,
}

/// A node that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    node: Node,
    /// Nodes in it that differ.
    nodes: BTreeSet<Node>,
    /// Things in it that differ.
    things: Vec<Difference>,
}

impl Seen {
    /// Whether it differs in this, or may.
    fn has(&self, found: &Found) -> bool {
        self.nodes.iter().any(|node| lies_in(node, &found.unit, &found.subject))
            || self.things.iter().any(|thing| thing.subject == found.subject)
    }
}

/// Compares a listing with what the region is to hold; nothing for what was not asked. Reads alone, since it may
/// read much.
///
/// # Errors
/// When the store can't be read.
pub fn narrow(view: &dyn Read, manifest: &StateManifest) -> Result<Option<Narrowing>, StoreError> {
    let ManifestBody::Listing { query: nonce, of: Kept::Definitions, listed } = &manifest.body else {
        return Ok(None);
    };
    let region = &manifest.region;
    let Some(query) = load(view, region)?.query.filter(|query| query.nonce == *nonce) else {
        return Ok(None);
    };
    let mut seen = Vec::new();
    for theirs in listed.iter().filter(|theirs| query.nodes.contains(&theirs.node)) {
        seen.push(narrow_one(view, region, theirs)?);
    }
    Ok(Some(Narrowing { region: region.clone(), nonce: nonce.clone(), seen }))
}

fn narrow_one(view: &dyn Read, region: &RegionId, theirs: &Listed) -> Result<Seen, StoreError> {
    let narrowed = store::narrow(view, region, theirs)?;
    Ok(Seen { node: theirs.node.clone(), nodes: narrowed.nodes, things: narrowed.things })
}

/// Does what follows from a listing: tells words again, raises alarms, heals what is as it is to be, and asks on.
///
/// # Errors
/// When the store fails.
pub fn take(
    tx: &mut dyn Write,
    narrowing: Narrowing,
    (now, entropy): (Timestamp, &dyn Entropy),
) -> Result<(), StoreError> {
    let Narrowing { region, nonce, seen } = narrowing;
    let before = load(tx.as_read(), &region)?;
    let mut look = before.clone();
    let Some(query) = look.query.take().filter(|query| query.nonce == nonce) else { return Ok(()) };
    if standing(tx.as_read())? != Standing::Current {
        look.waiting.clear();
        return save(tx, &region, &before, &look);
    }
    let order = manifests::last(tx.as_read(), &region)?.map(|heard| (heard.incarnation, heard.sequence));
    let unseen = query.nodes.into_iter().filter(|node| !seen.iter().any(|seen| seen.node == *node));
    // An answer to nothing can't be had: it is not asked for again until a later look.
    look.waiting.extend(unseen.filter(|_| !seen.is_empty()));
    // Once for all that was listed: there may be thousands of records.
    drift::heal(tx, &region, now, |found| {
        let is_in = |node: &Node| lies_in(node, &found.unit, &found.subject);
        let mut holding = seen.iter().filter(|seen| is_in(&seen.node)).peekable();
        holding.peek().is_some() && holding.all(|seen| !seen.has(found))
    })?;
    let mut listed = BTreeSet::new();
    for Seen { node, nodes, things } in seen {
        listed.insert(bucket_of_node(&node));
        for thing in things {
            match act(tx, &region, &look, (&node, thing), now)? {
                Acted::ToldAgain(bucket) => {
                    look.told.insert(bucket);
                    look.corrected = order;
                }
                Acted::Changed(bucket) => _ = look.incomplete.insert(bucket),
                Acted::Otherwise => {}
            }
        }
        look.waiting.extend(nodes);
    }
    look.leave_what_is_too_much();
    look.ask(tx, &region, (now, entropy))?;
    let asked: BTreeSet<u8> = look.asked().map(bucket_of_node).collect();
    listed.retain(|bucket| !asked.contains(bucket) && !look.incomplete.contains(bucket));
    doubts::looked_into(tx, &region, &listed)?;
    if look.query.is_none() && !doubts::is_heard(tx.as_read(), &region)? && is_silent(tx.as_read(), &region)?
    {
        // Purges wait for it, and the next manifest may be a minute away.
        look.begin(true, now);
        look.ask(tx, &region, (now, entropy))?;
    }
    save(tx, &region, &before, &look)
}

impl Look {
    /// What is asked for, or will be.
    fn asked(&self) -> impl Iterator<Item = &Node> {
        self.query.iter().flat_map(|query| &query.nodes).chain(&self.waiting)
    }

    /// Leaves whole buckets for a later look, where more waits than is kept.
    fn leave_what_is_too_much(&mut self) {
        while self.waiting.len() > MOST_WAITING
            && let Some(last) = self.waiting.last()
        {
            let bucket = bucket_of_node(last);
            self.waiting.retain(|node| bucket_of_node(node) != bucket);
            self.incomplete.insert(bucket);
        }
    }
}

/// What became of a thing that differs.
enum Acted {
    /// Its word was told again; the bucket that it lies in.
    ToldAgain(u8),
    /// It has changed since it was compared, so that nothing is known of it; the bucket that it lies in.
    Changed(u8),
    /// It waits, or is an alarm, or was told again a moment ago.
    Otherwise,
}

/// Acts on a thing that differs.
fn act(
    tx: &mut dyn Write,
    region: &RegionId,
    look: &Look,
    (node, thing): (&Node, Difference),
    now: Timestamp,
) -> Result<Acted, StoreError> {
    let (Node::Unit(unit) | Node::Part { unit, .. }) = node else { return Ok(Acted::Otherwise) };
    let Difference { subject, theirs, ours } = thing;
    if subject.len() > MAX_SUBJECT_LEN {
        return Ok(Acted::Otherwise);
    }
    let known = tell::known(tx.as_read(), &subject)?;
    let listed = ours.map(|ours: ListedThing| ours.revision);
    if listed.is_some() && listed != known.map(|known| known.revision) {
        return Ok(Acted::Changed(bucket_of(unit)));
    }
    let held = theirs.map(|theirs| theirs.revision);
    let judgement = if subject.starts_with("purge.") {
        let since = look.differing.get(&bucket_of(unit));
        judge_tombstone(known, held, since.map_or(Duration::ZERO, |since| now.since(*since)), now)
    } else {
        judge(known, held, reading(tx.as_read(), region, look)?, now)
    };
    let (kind, action) = match judgement {
        Judgement::Wait => return Ok(Acted::Otherwise),
        Judgement::Act(kind, action) => (kind, action),
    };
    let tells = matches!(action, Action::ToldAgain | Action::Purge);
    if tells {
        let before = drift::open(tx.as_read(), region, &subject)?;
        if before
            .is_some_and(|record| record.found.action == action && now.since(record.acted_at) < AGAIN_AFTER)
        {
            return Ok(Acted::Otherwise);
        }
        tell::again(tx, region, &subject, listed.is_some(), now)?;
    }
    let ours = known.map(|known| known.revision);
    let found =
        Found { region: region.clone(), subject, unit: unit.clone(), kind, action, ours, theirs: held };
    if drift::note(tx, found.clone(), now)? && !tells {
        alarm(&found);
    }
    Ok(if tells { Acted::ToldAgain(bucket_of(unit)) } else { Acted::Otherwise })
}

fn reading(view: &dyn Read, region: &RegionId, look: &Look) -> Result<Reading, StoreError> {
    let heard = manifests::last(view, region)?;
    let applied: Option<Revision> = heard.as_ref().and_then(|heard| heard.applied);
    let unchanged_for = match (heard, look.applied) {
        (Some(heard), Some((_, since))) => heard.at.since(since),
        _ => Duration::ZERO,
    };
    Ok(Reading { applied, unchanged_for })
}

fn alarm(found: &Found) {
    let Found { region, subject, theirs, .. } = found;
    let revision = theirs.map(|revision| revision.to_string());
    match found.kind {
        Kind::Unknown => tracing::error!(%region, subject, revision,
            "a region holds what the Registry never knew; nothing is destroyed, an operator decides"),
        _ => tracing::error!(%region, subject, revision,
            "a region holds a later word than the Registry; it is not corrected"),
    }
}
