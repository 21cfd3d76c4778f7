//! Reconciliation: where a region's manifest differs from what the region is to hold, the Registry finds out what
//! differs by queries, and tells its word again.
//!
//! A manifest that differs opens a *look* into the buckets that do (`heard`); each listing is compared
//! ([`narrow`]), and what follows is committed ([`take`]): more questions, words told again, alarms. All are commands
//! within their caller's transaction, as those of [`commands`](crate::commands): time and chance are handed in.
//!
//! What always holds: of each region one question waits for an answer at a time. Nothing is asked while words for
//! the region wait in the outbox, nor by a manifest that is older than the last correction. A bucket is not looked
//! into again before the region had time to say what became of it. A Registry that is behind its own words, or may
//! be, corrects nothing.

mod look;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openkcm_component::drift::{self, Action, Found, Kind};
use openkcm_contracts::v1::{Audience, Kept, ManifestQuery, Node, is_far_ahead};
use openkcm_contracts::{Event, Lane, RegionId, Revision, Timestamp};
use openkcm_digests::lies_in;
use openkcm_host::{Entropy, random_hex};
use openkcm_orbital::words::{Standing, standing};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

pub use look::{Narrowing, narrow, take};

use crate::manifests::Heard;
use crate::{doubts, store};

/// Nodes that one query asks for: the answer to them fits into a message, as a rule.
const MOST_ASKED: usize = 64;

/// Nodes that may wait to be asked for; what is beyond is found by a later look.
const MOST_WAITING: usize = 4_096;

/// How long a bucket must have differed before it is looked into where its region has not read all.
const SETTLES_IN: Duration = Duration::from_secs(2);

/// How long an answer is waited for: after it, the next manifest has its question asked anew.
const ANSWERED_IN: Duration = Duration::from_secs(15);

/// How long a bucket in which nothing was told again is left alone after a look into it; and a thing that was told
/// again, so that the region has time to apply it.
const AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Of what no thing is the subject: the Registry as a whole.
const ITSELF: &str = "registry";

const LOOKS: Table<Look> = Table::new("reconciling");

/// The space of what is being looked into.
pub(crate) const SPACE: Space = LOOKS.space();

/// What the Registry is doing about a region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Look {
    /// The question that waits for an answer.
    query: Option<Query>,
    /// What is asked for afterwards.
    waiting: BTreeSet<Node>,
    /// Since when buckets differ.
    differing: BTreeMap<u8, Timestamp>,
    /// When buckets were looked into last, of those that still differ.
    looked: BTreeMap<u8, Timestamp>,
    /// Buckets in which something was told again since they were looked into last: what the region made of it is to be
    /// seen soon.
    told: BTreeSet<u8>,
    /// Buckets of which something was not looked at since they were begun: too much differs, or it has changed meanwhile.
    #[serde(default)]
    incomplete: BTreeSet<u8>,
    /// The last manifest that was heard when something was told again last.
    corrected: Option<(u64, u64)>,
    /// What the region had applied, and since when it says so.
    applied: Option<(Option<Revision>, Timestamp)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Query {
    nonce: String,
    at: Timestamp,
    nodes: BTreeSet<Node>,
}

/// A start begins: what was asked before it, maybe by a store that is put back since, is asked anew.
///
/// # Errors
/// When the store fails.
pub(crate) fn begin(tx: &mut dyn Write) -> Result<(), StoreError> {
    for (region, look) in LOOKS.list(tx.as_read(), "", None, usize::MAX)? {
        let fresh = Look { corrected: look.corrected, ..Look::default() };
        LOOKS.put(tx, &region, &fresh)?;
    }
    Ok(())
}

/// A manifest was heard, and is the region's last one. `differing` are the buckets that it holds otherwise than it is to.
///
/// # Errors
/// When the store fails.
pub(crate) fn heard(
    tx: &mut dyn Write,
    region: &RegionId,
    (heard, differing): (&Heard, &[u8]),
    (now, entropy): (Timestamp, &dyn Entropy),
) -> Result<(), StoreError> {
    if standing(tx.as_read())? != Standing::Current {
        return Ok(());
    }
    let before = load(tx.as_read(), region)?;
    let mut look = before.clone();
    if look.applied.is_none_or(|(applied, _)| applied != heard.applied) {
        look.applied = Some((heard.applied, now));
    }
    look.note_differing(differing, now);
    if is_newer_than_registry(tx, region, heard, now)? {
        (look.query, look.waiting) = (None, BTreeSet::new());
        return save(tx, region, &before, &look);
    }
    drift::heal(tx, region, now, |found| {
        found.subject != ITSELF
            && !differing.iter().any(|bucket| lies_in(&Node::Bucket(*bucket), &found.unit, ""))
    })?;
    let silent = is_silent(tx.as_read(), region)?;
    let order = (heard.incarnation, heard.sequence);
    let corrected = look.corrected.filter(|(incarnation, _)| !is_far_ahead(*incarnation, now));
    if silent && corrected.is_none_or(|corrected| order > corrected) && !look.is_waiting(now) {
        let has_read_all = heard.applied >= Some(store::last_revision(tx.as_read())?);
        // Purges wait for the first look after a start, so that one waits for nothing.
        let at_once = has_read_all || !doubts::is_heard(tx.as_read(), region)?;
        look.begin(at_once, now);
        look.ask(tx, region, (now, entropy))?;
    }
    save(tx, region, &before, &look)
}

/// Whether no words for a region wait.
fn is_silent(view: &dyn Read, region: &RegionId) -> Result<bool, StoreError> {
    if store::failovers::is_untold(view, region)? {
        return Ok(false);
    }
    let waits =
        |lane| outbox::waiting_for(view, lane, &audience(region), 1).map(|letters| !letters.is_empty());
    Ok(!waits(Lane::Facts)? && !waits(Lane::Urgent)?)
}

/// Whether a region says that it has applied a later word of the Registry than there is. Then the Registry may have
/// lost some: that is an alarm, and nothing is corrected there. It is no more than a claim; the words themselves,
/// which the Registry reads back at each start, decide whether it is stale.
fn is_newer_than_registry(
    tx: &mut dyn Write,
    region: &RegionId,
    heard: &Heard,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let last = store::last_revision(tx.as_read())?;
    if heard.applied <= Some(last) {
        drift::heal(tx, region, now, |found| found.subject == ITSELF)?;
        return Ok(false);
    }
    let found = Found {
        region: region.clone(),
        subject: ITSELF.into(),
        unit: String::new(),
        kind: Kind::StaleAuthority,
        action: Action::Alarm,
        ours: Some(last),
        theirs: heard.applied,
    };
    if drift::note(tx, found, now)? {
        tracing::error!(%region, %last, applied = ?heard.applied.map(|revision| revision.to_string()),
            "a region has applied a later word of the Registry than its store knows: either the store was put back \
             from an older copy, or the region's Core is not to be trusted; nothing more is told to be destroyed; start \
             the Registry again, which compares its store with its own words, or overrule the region");
    }
    Ok(true)
}

impl Look {
    fn note_differing(&mut self, differing: &[u8], now: Timestamp) {
        let differs = |bucket: &u8| differing.contains(bucket);
        self.differing.retain(|bucket, _| differs(bucket));
        self.looked.retain(|bucket, _| differs(bucket));
        self.told.retain(differs);
        self.incomplete.retain(differs);
        for bucket in differing {
            self.differing.entry(*bucket).or_insert(now);
        }
    }

    fn is_waiting(&self, now: Timestamp) -> bool {
        self.query.as_ref().is_some_and(|query| now.since(query.at) < ANSWERED_IN)
    }

    /// Begins with the buckets that differ for good, as far as can be told, or with all of them. First those that were
    /// not looked into for longest: however many differ, each has its turn. One that had too much in it is alone in its
    /// next.
    fn begin(&mut self, at_once: bool, now: Timestamp) {
        (self.query, self.waiting) = (None, BTreeSet::new());
        let rests = |bucket: &u8| {
            !self.told.contains(bucket)
                && self.looked.get(bucket).is_some_and(|at| now.since(*at) < AGAIN_AFTER)
        };
        let settled = self.differing.iter().filter(|(_, since)| at_once || now.since(**since) >= SETTLES_IN);
        let due = settled.filter(|(bucket, _)| !rests(bucket));
        let mut due: Vec<(Option<Timestamp>, Timestamp, u8)> =
            due.map(|(bucket, since)| (self.looked.get(bucket).copied(), *since, *bucket)).collect();
        due.sort_unstable();
        let is_alone = due.first().is_some_and(|(_, _, bucket)| self.incomplete.contains(bucket));
        for (_, _, bucket) in due.into_iter().take(if is_alone { 1 } else { MOST_ASKED }) {
            self.looked.insert(bucket, now);
            self.told.remove(&bucket);
            self.incomplete.remove(&bucket);
            self.waiting.insert(Node::Bucket(bucket));
        }
    }

    /// Asks for the nodes that wait, as many as one query has.
    fn ask(
        &mut self,
        tx: &mut dyn Write,
        region: &RegionId,
        (now, entropy): (Timestamp, &dyn Entropy),
    ) -> Result<(), StoreError> {
        self.query = None;
        let nodes: BTreeSet<Node> = self.waiting.iter().take(MOST_ASKED).cloned().collect();
        if nodes.is_empty() {
            return Ok(());
        }
        self.waiting.retain(|node| !nodes.contains(node));
        let nonce = random_hex::<16>(entropy);
        let asked = ManifestQuery {
            region: region.clone(),
            nonce: nonce.clone(),
            of: Kept::Definitions,
            nodes: nodes.iter().cloned().collect(),
        };
        self.query = Some(Query { nonce, at: now, nodes });
        let revision = store::last_revision(tx.as_read())?;
        // Does not expire, so that a Core with a wrong clock is asked too. One that comes late costs an answer which
        // nobody waits for.
        outbox::put(tx, &Letter::new(&Event::ManifestQuery(asked), audience(region), revision, now))
    }
}

fn audience(region: &RegionId) -> Audience {
    Audience::Region(region.clone())
}

fn load(view: &dyn Read, region: &RegionId) -> Result<Look, StoreError> {
    Ok(LOOKS.get(view, region.as_str())?.unwrap_or_default())
}

fn save(tx: &mut dyn Write, region: &RegionId, before: &Look, after: &Look) -> Result<(), StoreError> {
    if before == after { Ok(()) } else { LOOKS.put(tx, region.as_str(), after) }
}
