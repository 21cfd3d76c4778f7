//! Where a region and the CMK Server differ: what is asked for, looked at, told again, and noted.

use std::collections::BTreeSet;
use std::time::Duration;

use openkcm_component::drift::{self, Action, Found, Kind};
use openkcm_contracts::v1::{Contents, Kept, Listed, ManifestQuery, Node, NodeDigest};
use openkcm_contracts::{Audience, Event, RegionId, Revision, TenantId, Timestamp};
use openkcm_digests::{bucket_of, lies_in};
use openkcm_orbital::words::{self, Standing};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{StoreError, Write};

use super::{Answered, ITSELF, has_region};
use crate::rules::lease::Agreement;
use crate::rules::{self, letters};
use crate::store::{self, Asked, Core, Difference, Heard, Pointer, moves};

/// Nodes that are asked for at once.
const MOST_NODES: usize = 64;

/// How long what differs is taken for a word that is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// How long a region in which tenants move is not asked what differs, for as long as they do: what is found there would
/// be words on their way, and told twice.
const MOVES_FOR: Duration = Duration::from_secs(60);

/// How long a question is waited for before it is asked again.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Most differences of one region that are remembered.
const MOST_DIFFERENCES: usize = 10_000;

/// Asks for the buckets that nothing explains, unless what differs is on its way, or was asked for.
pub(super) fn ask(
    tx: &mut dyn Write,
    (region, core): (&RegionId, &mut Core),
    heard: &Heard,
    agreement: &Agreement,
    (nonce, last): (&str, Revision),
    now: Timestamp,
) -> Result<(), StoreError> {
    let has_heard_all = heard.applied >= store::told(tx.as_read(), region)?;
    let unsettled_for = core.unsettled_since.map_or(Duration::ZERO, |since| now.since(since));
    let moves_since = moves::before(now, u64::try_from(ON_ITS_WAY.as_millis()).unwrap_or(u64::MAX));
    let moves = !moves::since(tx.as_read(), region, moves_since, 1)?.is_empty();
    if moves && unsettled_for < MOVES_FOR {
        return Ok(());
    }
    let waited = unsettled_for >= ON_ITS_WAY;
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
pub(super) fn look(
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
        let narrowed = store::narrow(tx.as_read(), region, theirs)?.nodes;
        // What is listed tells of all that lies there: who is not found to differ any more is not suspected either.
        core.differences.retain(|id, _| {
            let lies = |node: &Node| lies_in(node, id.as_str(), id.as_str());
            !lies(&theirs.node) || narrowed.iter().any(lies)
        });
        for node in narrowed {
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
pub(super) fn heal(
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
