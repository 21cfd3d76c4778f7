//! The quarantine: authentic events that could not be read or applied, kept for an operator.
//!
//! For each author and thing the newest one is kept. What one author's key can fill is bounded: beyond the
//! bound its oldest entry goes, one that revokes last of all. What a revoke that can't be read has done to
//! its tenant is in the component's own facts, and stays when its entry goes.

use aws_lc_rs::digest;
use openkcm_contracts::{Revision, TenantId, Timestamp};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::Stream;
use crate::envelope::revision_header;

/// Authentic events that could not be read or applied, by stream, author and subject.
pub const QUARANTINE: Table<Quarantined> = Table::new("quarantine");
/// Where the entry of an id lies.
const IDS: Table<String> = Table::new("quarantine_ids");
/// The entries of an author by what they would do, and age: those that may go first come first.
const AGES: Table<u64> = Table::new("quarantine_ages");
/// How much each author fills.
const TALLIES: Table<Tally> = Table::new("quarantine_tallies");

/// The spaces of the quarantine.
pub(crate) const SPACES: [Space; 4] = [QUARANTINE.space(), IDS.space(), AGES.space(), TALLIES.space()];

/// Entries of one author: more than an operator can look at, and every tenant of a large landscape once.
pub const MAX_ENTRIES: u64 = 10_000;

/// Bytes of one author's entries. A Core's key that was stolen fills this much of another's disk.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A longer subject is named by its hash: the key of an entry is a page's cursor, and no subject of ours is.
const MAX_SUBJECT_LEN: usize = 512;

/// Entries that are read at once: each may be half a megabyte.
const CHUNK: usize = 16;

/// Entries that one question looks at. A filter that lets hardly anything through answers with a short page
/// and the place to go on from.
pub const MAX_LOOKED_AT: usize = 2_048;

/// An event that could not be read or applied, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// When it was put here.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The tenant that it concerns, as far as its subject tells.
    pub tenant: Option<TenantId>,
    /// Whether it would have taken away the right to serve.
    pub revokes: bool,
    /// Its headers, signature and all.
    pub headers: std::collections::BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

impl Quarantined {
    /// Its author's revision, as its envelope tells.
    pub fn revision(&self) -> Option<Revision> {
        revision_header(&self.headers)
    }

    /// A header of it; empty when it has none of that name.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The id of the key that signed it.
    pub fn key_id(&self) -> &str {
        self.header("ce-kcmkeyid")
    }

    /// The thing that it is about.
    pub fn subject(&self) -> &str {
        self.header("ce-subject")
    }

    fn bytes(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        (headers + self.body.len() + self.reason.len()) as u64
    }
}

/// An entry of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id: 32 hexadecimal digits, the same as long as it is about the same thing by the same author.
    pub id: String,
    /// The stream that it came on.
    pub stream: Stream,
    /// The event.
    pub event: Quarantined,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only those of this stream.
    pub stream: Option<Stream>,
    /// Only those about this tenant.
    pub tenant: Option<TenantId>,
    /// Only those after the one at this place.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// What one author fills.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    entries: u64,
    bytes: u64,
    /// How many entries had to go for others.
    pushed_out: u64,
}

/// How much is kept, of all authors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Entries.
    pub entries: u64,
    /// How many entries had to go for others, ever.
    pub pushed_out: u64,
}

/// Keeps an event that could not be applied: for each author and thing the newest one.
///
/// Only what is signed names its place. By the CloudEvents id, which is not, whoever can replay an
/// event could fill the quarantine with copies of it, or put one in the place of another.
///
/// # Errors
/// When the store can't be written.
pub fn quarantine(tx: &mut dyn Write, stream: &Stream, poison: &Quarantined) -> Result<(), StoreError> {
    let key = key_of(stream, poison);
    let mut tally = TALLIES.get(tx.as_read(), poison.key_id())?.unwrap_or_default();
    if let Some(held) = QUARANTINE.get(tx.as_read(), &key)? {
        if held.revision() > poison.revision() {
            return Ok(());
        }
        take_out(tx, &key, &held, &mut tally)?;
    }
    let id = id_of(&key);
    QUARANTINE.put(tx, &key, poison)?;
    IDS.put(tx, &id, &key)?;
    AGES.put(tx, &age_key(poison, &id), &poison.bytes())?;
    tally.entries += 1;
    tally.bytes += poison.bytes();
    while tally.entries > MAX_ENTRIES || tally.bytes > MAX_BYTES {
        let Some((age, _)) = AGES.list(tx.as_read(), &author_prefix(poison), None, 1)?.pop() else { break };
        let first = age.rsplit('/').next().and_then(|id| IDS.get(tx.as_read(), id).transpose());
        let Some(first) = first.transpose()? else { break };
        let Some(held) = QUARANTINE.get(tx.as_read(), &first)? else { break };
        tracing::warn!(
            author = held.key_id(),
            subject = held.subject(),
            "the quarantine is full; its oldest entry goes"
        );
        take_out(tx, &first, &held, &mut tally)?;
        tally.pushed_out += 1;
    }
    TALLIES.put(tx, poison.key_id(), &tally)
}

/// Takes an entry out, if it is there and still the same. Says whether it was.
///
/// # Errors
/// When the store can't be written.
pub fn release(tx: &mut dyn Write, entry: &Entry) -> Result<bool, StoreError> {
    let key = key_of(&entry.stream, &entry.event);
    if QUARANTINE.get(tx.as_read(), &key)?.as_ref() != Some(&entry.event) {
        return Ok(false);
    }
    let mut tally = TALLIES.get(tx.as_read(), entry.event.key_id())?.unwrap_or_default();
    take_out(tx, &key, &entry.event, &mut tally)?;
    TALLIES.put(tx, entry.event.key_id(), &tally)?;
    Ok(true)
}

/// The entry of an id.
///
/// # Errors
/// When the store can't be read.
pub fn find(view: &dyn Read, id: &str) -> Result<Option<Entry>, StoreError> {
    let Some(key) = IDS.get(view, id)? else { return Ok(None) };
    let Some(event) = QUARANTINE.get(view, &key)? else { return Ok(None) };
    Ok(stream_of(&key).map(|stream| Entry { id: id.to_owned(), stream, event }))
}

/// Entries in the order of stream, author and subject, each as `show` makes it; and the place to go on
/// after, if there may be more. At most [`MAX_LOOKED_AT`] are looked at.
///
/// # Errors
/// When the store can't be read.
pub fn list<T>(
    view: &dyn Read,
    wanted: &Wanted,
    show: impl Fn(Entry) -> T,
) -> Result<(Vec<T>, Option<String>), StoreError> {
    let prefix = wanted.stream.as_ref().map_or_else(String::new, |stream| format!("{stream}/"));
    let mut after = wanted.after.clone();
    let mut shown = Vec::new();
    for _ in 0..MAX_LOOKED_AT / CHUNK {
        let chunk = QUARANTINE.list(view, &prefix, after.as_deref(), CHUNK)?;
        let ends_here = chunk.len() < CHUNK;
        for (key, event) in chunk {
            let Some(stream) = stream_of(&key) else { continue };
            if wanted.tenant.is_none() || event.tenant == wanted.tenant {
                if shown.len() == wanted.limit {
                    return Ok((shown, after));
                }
                shown.push(show(Entry { id: id_of(&key), stream, event }));
            }
            after = Some(key);
        }
        if ends_here {
            return Ok((shown, None));
        }
    }
    Ok((shown, after))
}

/// How much is kept.
///
/// # Errors
/// When the store can't be read.
pub fn kept(view: &dyn Read) -> Result<Kept, StoreError> {
    // One for each key that ever signed something unreadable: few.
    let tallies = TALLIES.list(view, "", None, usize::MAX)?;
    Ok(tallies.into_iter().fold(Kept::default(), |kept, (_, tally)| Kept {
        entries: kept.entries + tally.entries,
        pushed_out: kept.pushed_out + tally.pushed_out,
    }))
}

fn take_out(tx: &mut dyn Write, key: &str, held: &Quarantined, tally: &mut Tally) -> Result<(), StoreError> {
    let id = id_of(key);
    QUARANTINE.delete(tx, key)?;
    IDS.delete(tx, &id)?;
    AGES.delete(tx, &age_key(held, &id))?;
    tally.entries = tally.entries.saturating_sub(1);
    tally.bytes = tally.bytes.saturating_sub(held.bytes());
    Ok(())
}

fn key_of(stream: &Stream, poison: &Quarantined) -> String {
    let (author, subject) = (poison.key_id(), poison.subject());
    if subject.len() > MAX_SUBJECT_LEN {
        return format!("{stream}/{author}/{}", id_of(subject));
    }
    format!("{stream}/{author}/{subject}")
}

/// The first half of the SHA-256: whoever could find two entries of one id would need 2⁶⁴ signed events.
fn id_of(key: &str) -> String {
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn author_prefix(poison: &Quarantined) -> String {
    format!("{}/", poison.key_id())
}

fn age_key(poison: &Quarantined, id: &str) -> String {
    let goes = if poison.revokes { "last" } else { "first" };
    format!("{}{goes}/{:016x}/{id}", author_prefix(poison), poison.at.as_millis())
}

fn stream_of(key: &str) -> Option<Stream> {
    key.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
