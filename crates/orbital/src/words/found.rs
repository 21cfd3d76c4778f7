//! What a rebuild finds: of each thing the newest word, and who was told of it.
//!
//! Kept beside the authority's own records until all streams are read: only then is it known which word is
//! the newest, and a crash in between leaves the records as they were. What always holds: an older word never
//! takes the place of a newer one, in whatever order the streams are read.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use openkcm_contracts::{Audience, Event, EventType, Revision};
use openkcm_store::{Read, Scan, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::Intake;

/// The newest word about each thing, by its subject.
pub(super) const NEWEST: Table<Found> = Table::new("words_newest");
/// The last word about each thing, by subject and audience.
pub(super) const HEARD: Table<Heard> = Table::new("words_heard");

/// Records that are forgotten at once.
const FORGET_AT_ONCE: usize = 1_000;

/// The newest word about a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its revision.
    pub revision: Revision,
    /// Which of several copies of this revision it is: the one that tells most.
    rank: u8,
    kind: String,
    body: String,
}

/// The last word that an audience has about a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Its revision.
    pub revision: Revision,
    /// The digest of its body, in hexadecimal.
    digest: String,
}

impl Heard {
    /// A word as its audience has it.
    pub fn new(event: &Event, revision: Revision) -> Self {
        let hash = digest::digest(&digest::SHA256, &event.to_body());
        Self { revision, digest: hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// Whether another word is heard under the revision of this one. Two lives of a store gave it then, and one
    /// of the words came to the mesh when the other life had compared already.
    pub fn contradicts(&self, word: &Self) -> bool {
        self.revision == word.revision && self.digest != word.digest
    }
}

impl Found {
    fn new(event: &Event, revision: Revision, rank: u8) -> Self {
        let body = String::from_utf8(event.to_body()).expect("JSON is UTF-8");
        Self { revision, rank, kind: event.kind().wire_name().into(), body }
    }

    /// The word. None when a version of this program wrote it that knew more types.
    pub fn event(&self) -> Option<Event> {
        Event::from_body(EventType::from_wire_name(&self.kind)?, self.body.as_bytes()).ok()
    }
}

/// What a stale store and the lost part have in common, and since when the store knew that it is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The last revision that they have in common.
    pub base: Revision,
    /// Revisions after this one were given in the knowledge of being stale.
    pub from: Revision,
}

/// Whose word about a thing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prevails {
    /// The store's.
    Store,
    /// The mesh's.
    Mesh,
}

impl Lost {
    /// Whether a change was made by the store's own life alone, without knowing that there had been another.
    pub fn covers(self, revision: Revision) -> bool {
        revision > self.base && revision <= self.from
    }

    /// Whether the store's word about a thing goes on, or the mesh's. Where both lives changed the thing, the
    /// mesh's does: others act by it already, and nobody was told of the store's.
    pub fn prevails(self, store: Revision, mesh: Revision, same_content: bool) -> Prevails {
        let Self { base, from } = self;
        let decided_since = store > from;
        let same = store == mesh && (same_content || store <= base);
        let mesh_is_older = store > mesh && (store <= base || mesh <= base);
        if decided_since || same || mesh_is_older { Prevails::Store } else { Prevails::Mesh }
    }
}

/// Keeps what was read, as far as it is newer than what was found before.
pub(super) fn gather(
    tx: &mut dyn Write,
    words: &Intake,
    rank: impl Fn(&Event) -> Option<u8>,
) -> Result<(), StoreError> {
    for word in &words.events {
        let Some(rank) = rank(&word.event) else { continue };
        let subject = word.event.subject();
        let newest = NEWEST.get(tx.as_read(), subject.as_str())?;
        if newest.is_none_or(|newest| (newest.revision, newest.rank) < (word.revision, rank)) {
            NEWEST.put(tx, subject.as_str(), &Found::new(&word.event, word.revision, rank))?;
        }
        let key = format!("{subject} {}", word.audience);
        let heard = HEARD.get(tx.as_read(), &key)?;
        if heard.is_none_or(|heard| heard.revision <= word.revision) {
            HEARD.put(tx, &key, &Heard::new(&word.event, word.revision))?;
        }
    }
    Ok(())
}

/// The newest word about a thing.
///
/// # Errors
/// When the store can't be read.
pub fn newest(view: &dyn Read, subject: &str) -> Result<Option<Found>, StoreError> {
    NEWEST.get(view, subject)
}

/// The newest words about the things whose subjects begin so, after one of them, in the order of subjects.
///
/// # Errors
/// When the store can't be read.
pub fn list(
    view: &dyn Read,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Found)>, StoreError> {
    NEWEST.list(view, prefix, after, limit)
}

/// Who was told of a thing, and what last.
///
/// # Errors
/// When the store can't be read.
pub fn heard(view: &dyn Read, subject: &str) -> Result<BTreeMap<Audience, Heard>, StoreError> {
    let prefix = format!("{subject} ");
    let heard = HEARD.list(view, &prefix, None, usize::MAX)?.into_iter();
    let audience = |key: String| key.strip_prefix(&prefix)?.parse().ok();
    Ok(heard.filter_map(|(key, heard)| Some((audience(key)?, heard))).collect())
}

/// Forgets some of what was found. Says whether there is more.
///
/// # Errors
/// When the store can't be read or written.
pub fn forget_some(tx: &mut dyn Write) -> Result<bool, StoreError> {
    for space in [NEWEST.space(), HEARD.space()] {
        if forget_in(tx, space, FORGET_AT_ONCE)? == FORGET_AT_ONCE {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Forgets what an earlier rebuild found that did not come to its end.
pub(super) fn forget_all(tx: &mut dyn Write) -> Result<(), StoreError> {
    for space in [NEWEST.space(), HEARD.space()] {
        forget_in(tx, space, usize::MAX)?;
    }
    Ok(())
}

fn forget_in(tx: &mut dyn Write, space: Space, limit: usize) -> Result<usize, StoreError> {
    let items = tx.scan(space, Scan { prefix: b"", after: None, limit })?;
    items.iter().try_for_each(|(key, _)| tx.delete(space, key))?;
    Ok(items.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_word_prevails_and_where_both_lives_changed_a_thing_the_meshs_does() {
        let r = |counter| Revision::new(1, counter);
        let lost = Lost { base: r(5), from: Revision::new(2, 0) };
        for (store, mesh, same, expected) in [
            (r(4), r(4), true, Prevails::Store),
            (r(5), r(3), false, Prevails::Store),
            (r(4), r(9), false, Prevails::Mesh),
            (r(7), r(9), false, Prevails::Mesh),
            (r(9), r(7), false, Prevails::Mesh),
            (r(7), r(7), false, Prevails::Mesh),
            (r(7), r(7), true, Prevails::Store),
            (r(7), r(5), false, Prevails::Store),
            (Revision::new(2, 1), r(9), false, Prevails::Store),
        ] {
            assert_eq!(
                lost.prevails(store, mesh, same),
                expected,
                "{store} in the store, {mesh} on the mesh"
            );
        }
    }
}
