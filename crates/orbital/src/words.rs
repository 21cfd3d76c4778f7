//! Own last words: whether an authority's store is as new as what the authority has said.
//!
//! A store that was put back from an older copy does not know it. It would give new changes revisions that
//! the mesh has other words under, and link anew what was unlinked. So an authority reads its own words back
//! at each start, before it says anything ([`Words`](crate::Words)), and here they are compared with its
//! *base*: the last revision of the time before the start. Whatever has a later one was said by a part of its
//! life that the store has lost, for of the changes since then nothing was sent: the authority is stale. It is
//! so too when a word is newer than what the store holds of its thing, or another under the same revision; that
//! finds what came to the mesh late.
//!
//! The base is written before the first request is taken, and stays until a comparison has ended: a restart
//! in between must not take changes that nobody has compared for common ones. A verdict raises the term of
//! the authority's revisions above all that was found, so that its later words win over the lost ones.
//!
//! Not here: what a verdict, or what is found for a rebuild ([`found`]), does to pointers or definitions. That
//! is each authority's own. Why all this: `docs/adr/0013-last-words-first.md`.

pub mod found;

use std::time::Duration;

use openkcm_contracts::{Event, Revision, Timestamp};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use self::found::Lost;
use crate::outbox::Waiting;
use crate::{Intake, Published};

const OWN: Table<Own> = Table::new("own_words");

/// The one record.
const THE: &str = "own";

/// The spaces of an authority's words.
pub(crate) const SPACES: [Space; 3] = [OWN.space(), found::NEWEST.space(), found::HEARD.space()];

/// What an authority knows of its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Own {
    /// The last revision that store and mesh are known to have in common.
    base: Revision,
    /// Since when words are compared; none when all were.
    comparing_since: Option<Timestamp>,
    /// What is known of a lost part.
    stale: Option<Stale>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stale {
    since: Timestamp,
    /// The last revision that store and lost part have in common.
    base: Revision,
    /// The newest word that was found and is not in the store; none when only its existence is known.
    newest: Option<Revision>,
    /// Revisions after this one were given in the knowledge of being stale.
    from: Revision,
    rebuild: Option<Rebuild>,
    /// Whether words of a later revision than the base were found that nobody signed who is trusted now.
    #[serde(default)]
    unbelieved: bool,
}

/// How far a rebuild has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuild {
    /// Own words that were read back.
    pub words: u64,
    /// Things that the mesh knew newer than the store, and that were taken from it.
    pub taken: u64,
    /// Changes of the store that nobody was told of, and that gave way to the mesh's word.
    pub dropped: u64,
    /// Letters that were written since the mesh lacked them.
    pub told: u64,
    /// When this was last shown in the log.
    shown_at: Option<Timestamp>,
}

/// The time between two lines of the log about a rebuild.
const SHOW_EVERY: Duration = Duration::from_secs(10);

/// Whether an authority's store is known to be as new as its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is; also when nobody has asked, as in a store without a courier.
    Current,
    /// Words are still being compared; up to the base the store may be behind.
    Comparing {
        /// The last revision of the time before the start.
        base: Revision,
    },
    /// It is not.
    Stale {
        /// The last revision that store and lost part have in common.
        base: Revision,
        /// Revisions after this one were given in the knowledge of being stale.
        from: Revision,
    },
}

impl Standing {
    /// Changes up to this revision may have been overtaken by words that the store does not know of.
    pub fn doubt(self) -> Option<Revision> {
        match self {
            Self::Current => None,
            Self::Comparing { base } => Some(base),
            Self::Stale { from, .. } => Some(from),
        }
    }

    /// Whether the store is behind.
    pub fn is_stale(self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// What store and lost part have in common; none where nothing is known to be lost.
    pub fn lost(self) -> Option<Lost> {
        match self {
            Self::Stale { base, from } => Some(Lost { base, from }),
            Self::Current | Self::Comparing { .. } => None,
        }
    }

    /// Its name in the status: `current`, `comparing`, `stale`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Comparing { .. } => "comparing",
            Self::Stale { .. } => "stale",
        }
    }
}

/// What an authority can say of its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Whether the store is as new as they are.
    pub standing: Standing,
    /// Since when it is not, or not known to be.
    pub since: Option<Timestamp>,
    /// The newest word that is not in the store.
    pub newest: Option<Revision>,
    /// The last revision that is known to be common; none when all are.
    pub base: Option<Revision>,
    /// How far a rebuild has come, while there is one.
    pub rebuild: Option<Rebuild>,
}

/// How an authority knows its own words.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Which of several copies of one word tells most; nothing of what is no fact about a thing.
    pub rank: fn(&Event) -> Option<u8>,
    /// Whether the store holds this fact of this revision, or a newer one about its thing.
    pub knows: fn(&dyn Read, &Event, Revision) -> Result<bool, StoreError>,
}

impl Facts {
    /// The newest of these words that the store does not know.
    fn newest_unknown(
        self,
        view: &dyn Read,
        words: &Intake,
        base: Revision,
    ) -> Result<Option<Revision>, StoreError> {
        let unreadable = words.poison.iter().filter_map(|poison| poison.revision());
        let mut newest = unreadable.filter(|revision| *revision > base).max();
        for word in &words.events {
            let is_known = match (self.rank)(&word.event) {
                _ if word.revision > base => false,
                Some(_) => (self.knows)(view, &word.event, word.revision)?,
                None => true,
            };
            newest = newest.max(Some(word.revision).filter(|_| !is_known));
        }
        Ok(newest)
    }
}

/// Begins a start: whatever is newer on the mesh than `last` was said by a part that this store has lost.
/// To be committed before any request is taken.
///
/// # Errors
/// When the store can't be read or written.
pub fn begin(tx: &mut dyn Write, last: Revision, now: Timestamp) -> Result<(), StoreError> {
    let mut own = own(tx.as_read())?.unwrap_or(Own { base: last, comparing_since: None, stale: None });
    if own.comparing_since.is_none() {
        (own.base, own.comparing_since) = (last, Some(now));
    }
    if let Some(stale) = &mut own.stale {
        stale.rebuild = None;
    }
    OWN.put(tx, THE, &own)
}

/// Begins a start that rebuilds the store from the mesh: it counts as behind until all is read. Says what the
/// authority's last revision is from now on, if that changes. To be committed as [`begin`].
///
/// # Errors
/// When the store can't be read or written.
pub fn begin_rebuild(
    tx: &mut dyn Write,
    last: Revision,
    now: Timestamp,
) -> Result<Option<Revision>, StoreError> {
    found::forget_all(tx)?;
    begin(tx, last, now)?;
    change(tx, |own| {
        let raised = own.fall(None, last, now);
        if let Some(stale) = &mut own.stale {
            // All is read again: what can't be believed will show.
            (stale.rebuild, stale.unbelieved) = (Some(Rebuild::default()), false);
        }
        raised
    })
}

/// Compares own words with the store, gathers them for a rebuild if there is one, and records how far was
/// read. Says what the authority's last revision is from now on, if that changes.
///
/// # Errors
/// When the store can't be read or written.
pub fn compare(
    tx: &mut dyn Write,
    words: &Intake,
    facts: Facts,
    last: Revision,
    now: Timestamp,
) -> Result<Option<Revision>, StoreError> {
    let unknown = match own(tx.as_read())? {
        Some(own) => facts.newest_unknown(tx.as_read(), words, own.base)?,
        None => None,
    };
    let mut raised = match unknown {
        Some(newest) => change(tx, |own| own.fall(Some(newest), last, now))?,
        None => None,
    };
    if let Some(claimed) = words.unbelieved {
        let found = change(tx, |own| own.doubt(claimed, last, now))?;
        raised = raised.max(found);
    }
    if rebuilding(tx.as_read())? {
        found::gather(tx, words, facts.rank)?;
        note(tx, |rebuild| rebuild.words += words.events.len() as u64)?;
        show_progress(tx, now)?;
    }
    words.record(tx)?;
    Ok(raised)
}

/// Learns that the mesh held newer words than some of these letters: a store that has lost nothing never says
/// an older word after a newer one. What a stale authority still has to say from before is no news. Says
/// whether there was any, and what the authority's last revision is from then on.
///
/// # Errors
/// When the store can't be read or written.
pub fn superseded(
    tx: &mut dyn Write,
    letters: &[Waiting],
    published: &[Published],
    last: Revision,
    now: Timestamp,
) -> Result<Option<Revision>, StoreError> {
    let known_from = match standing(tx.as_read())? {
        Standing::Stale { from, .. } => from,
        _ => Revision::ZERO,
    };
    let outcomes = letters.iter().zip(published);
    let mut lost = outcomes.filter(|(_, outcome)| **outcome == Published::Superseded);
    if !lost.any(|(waiting, _)| waiting.letter.revision > known_from) {
        return Ok(None);
    }
    change(tx, |own| own.raise(last, last, now))
}

/// All words were compared. From now on the authority may say what its standing lets it say.
///
/// # Errors
/// When the store can't be read or written.
pub fn compared(tx: &mut dyn Write) -> Result<(), StoreError> {
    change(tx, |own| own.comparing_since = None)
}

/// All that was found is in the store, and told where it was missing: the authority goes on from `last`. It stays
/// stale where words were found that it could not believe.
///
/// # Errors
/// When the store can't be read or written.
pub fn rebuilt(tx: &mut dyn Write, last: Revision) -> Result<(), StoreError> {
    let stale = own(tx.as_read())?.and_then(|own| own.stale).filter(|stale| stale.unbelieved);
    if stale.is_some() {
        tracing::error!(
            "not all could be rebuilt: the mesh holds later words of this authority, signed with a key that is not \
             trusted any more; put that public key back into the trust bundle, and start with --rebuild-from-mesh \
             once more"
        );
    }
    let stale = stale.map(|stale| Stale { rebuild: None, ..stale });
    OWN.put(tx, THE, &Own { base: last, comparing_since: None, stale })
}

/// Whether the store is known to be as new as the words.
///
/// # Errors
/// When the store can't be read.
pub fn standing(view: &dyn Read) -> Result<Standing, StoreError> {
    Ok(own(view)?.map_or(Standing::Current, |own| own.standing()))
}

/// Whether the store is being rebuilt.
///
/// # Errors
/// When the store can't be read.
pub fn rebuilding(view: &dyn Read) -> Result<bool, StoreError> {
    Ok(own(view)?.and_then(|own| own.stale).is_some_and(|stale| stale.rebuild.is_some()))
}

/// Notes how far a rebuild has come.
///
/// # Errors
/// When the store can't be read or written.
pub fn note(tx: &mut dyn Write, change_counts: impl FnOnce(&mut Rebuild)) -> Result<(), StoreError> {
    change(tx, |own| {
        if let Some(rebuild) = own.stale.as_mut().and_then(|stale| stale.rebuild.as_mut()) {
            change_counts(rebuild);
        }
    })
}

/// Says in the log how far a rebuild has come, not more often than every ten seconds.
///
/// # Errors
/// When the store can't be read or written.
pub fn show_progress(tx: &mut dyn Write, now: Timestamp) -> Result<(), StoreError> {
    note(tx, |rebuild| {
        if rebuild.shown_at.is_some_and(|shown_at| now.since(shown_at) < SHOW_EVERY) {
            return;
        }
        rebuild.shown_at = Some(now);
        let Rebuild { words, taken, dropped, told, .. } = rebuild;
        tracing::info!(words, taken, dropped, told, "the store is being rebuilt from the mesh");
    })
}

/// What an authority can say of its words.
///
/// # Errors
/// When the store can't be read.
pub fn report(view: &dyn Read) -> Result<Report, StoreError> {
    let own = own(view)?;
    let standing = own.as_ref().map_or(Standing::Current, Own::standing);
    let comparing = own.as_ref().and_then(|own| Some((own.comparing_since?, own.base)));
    let stale = own.and_then(|own| own.stale);
    Ok(Report {
        standing,
        since: stale.as_ref().map(|stale| stale.since).or(comparing.map(|(since, _)| since)),
        newest: stale.as_ref().and_then(|stale| stale.newest),
        base: stale.as_ref().map(|stale| stale.base).or(comparing.map(|(_, base)| base)),
        rebuild: stale.and_then(|stale| stale.rebuild),
    })
}

impl Own {
    fn standing(&self) -> Standing {
        match (&self.stale, self.comparing_since) {
            (Some(Stale { base, from, .. }), _) => Standing::Stale { base: *base, from: *from },
            (None, Some(_)) => Standing::Comparing { base: self.base },
            (None, None) => Standing::Current,
        }
    }

    /// The store is behind; `newest` is a word that it does not know. The term is raised above it, where it is
    /// not yet: nothing was said since the base, so that a word of the present term is no own one.
    fn fall(&mut self, newest: Option<Revision>, last: Revision, now: Timestamp) -> Option<Revision> {
        let above = newest.map_or(last, |newest| newest.max(last));
        let raised = match (&self.stale, newest) {
            (Some(_), newest) if newest.is_none_or(|newest| newest.term < last.term) => None,
            _ => self.raise(above, last, now),
        };
        if let Some(stale) = &mut self.stale {
            stale.base = stale.base.min(self.base);
            stale.newest = stale.newest.max(newest);
        }
        raised
    }

    /// A word claims a revision, and nobody signed it who is trusted now. Up to the base that is a word from before
    /// its key was retired; beyond, the store may have lost it. What nobody vouches for raises no term.
    fn doubt(&mut self, claimed: Revision, last: Revision, now: Timestamp) -> Option<Revision> {
        if claimed <= self.base {
            return None;
        }
        let raised = self.fall(None, last, now);
        if let Some(stale) = &mut self.stale {
            stale.unbelieved = true;
        }
        raised
    }

    /// Raises the term above a revision, and counts as stale from there on.
    fn raise(&mut self, above: Revision, last: Revision, now: Timestamp) -> Option<Revision> {
        let from = Revision::new(above.term.max(last.term).saturating_add(1), 0);
        let base = self.base;
        let stale = self.stale.get_or_insert(Stale {
            since: now,
            base,
            newest: None,
            from,
            rebuild: None,
            unbelieved: false,
        });
        stale.from = from;
        Some(from)
    }
}

fn own(view: &dyn Read) -> Result<Option<Own>, StoreError> {
    OWN.get(view, THE)
}

fn change<T: Default>(tx: &mut dyn Write, change: impl FnOnce(&mut Own) -> T) -> Result<T, StoreError> {
    let Some(held) = own(tx.as_read())? else { return Ok(T::default()) };
    let mut changed = held.clone();
    let answer = change(&mut changed);
    if changed != held {
        OWN.put(tx, THE, &changed)?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
