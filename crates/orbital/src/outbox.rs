//! The outbox: what a component has yet to tell, in its own store.
//!
//! A change and the letter that tells of it are committed in one transaction. Only the latest letter
//! for each audience and subject waits; a letter is forgotten when the mesh holds it durably, never
//! before, and only if it is still the same letter. Letters lie by lane and audience, so that one
//! audience whose stream takes nothing holds up no other.

use openkcm_contracts::{Audience, Lane};
use openkcm_store::{Read, StoreError, Table, Write};

use crate::{Letter, MAX_BODY_LEN};

/// The letters that wait, by lane and audience, in the order in which they are told.
pub const LETTERS: Table<Letter> = Table::new("outbox");
/// For each lane, audience and subject the number of the letter that waits; and the next number.
pub const LATEST: Table<u64> = Table::new("outbox_latest");

/// A letter that waits, with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number: never used twice.
    pub number: u64,
    /// The letter.
    pub letter: Letter,
}

/// How much waits on a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// How many letters, counted up to [`COUNT_LIMIT`].
    pub letters: usize,
    /// When the oldest of them was written, in milliseconds since the Unix epoch.
    pub oldest_millis: Option<u64>,
}

/// Letters are counted up to here; more are shown as this many.
pub const COUNT_LIMIT: usize = 100_000;

/// Not a lane's prefix, so never a letter's key.
const NEXT: &str = "next";

/// What the numbers of letters begin at that let all others of their lane and audience go first.
const LAST: u64 = 1 << 63;

/// Puts a letter into the outbox, in the place of an earlier one about the same thing.
///
/// # Errors
/// When the store can't be written, or the letter is longer than any receiver reads: what could
/// never be told must not be committed.
pub fn put(tx: &mut dyn Write, letter: &Letter) -> Result<(), StoreError> {
    put_from(tx, letter, 0)
}

/// As [`put`], and it is told after all those that were put so, however late: what can wait, and may be a great many.
///
/// # Errors
/// As there.
pub fn put_last(tx: &mut dyn Write, letter: &Letter) -> Result<(), StoreError> {
    put_from(tx, letter, LAST)
}

fn put_from(tx: &mut dyn Write, letter: &Letter, first: u64) -> Result<(), StoreError> {
    if letter.body.len() > MAX_BODY_LEN {
        return Err(StoreError::TooLong {
            space: LETTERS.space().0,
            key: letter.subject.clone(),
            len: letter.body.len(),
            limit: MAX_BODY_LEN,
        });
    }
    let lane = letter.lane();
    let latest = latest_key(lane, &letter.audience, &letter.subject);
    if let Some(superseded) = LATEST.get(tx.as_read(), &latest)? {
        LETTERS.delete(tx, &letter_key(lane, &letter.audience, superseded))?;
    }
    // Numbers are never reused: a publisher that comes back to forget an older letter must not take
    // a newer one with it.
    let number = LATEST.get(tx.as_read(), NEXT)?.unwrap_or(1);
    LATEST.put(tx, NEXT, &(number + 1))?;
    let number = first | number;
    LATEST.put(tx, &latest, &number)?;
    LETTERS.put(tx, &letter_key(lane, &letter.audience, number), letter)
}

/// The letters of a lane that wait, by audience, in the order in which they are told: the oldest first.
///
/// # Errors
/// When the store can't be read.
pub fn waiting(store: &dyn Read, lane: Lane, limit: usize) -> Result<Vec<Waiting>, StoreError> {
    list(store, &lane_prefix(lane), limit)
}

/// The letters of a lane that wait for one audience, the oldest first.
///
/// # Errors
/// When the store can't be read.
pub fn waiting_for(
    store: &dyn Read,
    lane: Lane,
    audience: &Audience,
    limit: usize,
) -> Result<Vec<Waiting>, StoreError> {
    list(store, &audience_prefix(lane, audience), limit)
}

/// The letters of a lane that wait for one audience and are about things whose subjects begin so.
///
/// # Errors
/// When the store can't be read.
pub fn waiting_about(
    store: &dyn Read,
    lane: Lane,
    audience: &Audience,
    subjects: &str,
) -> Result<Vec<Waiting>, StoreError> {
    let latest = LATEST.list(store, &latest_key(lane, audience, subjects), None, usize::MAX)?;
    let mut waiting = Vec::with_capacity(latest.len());
    for (_, number) in latest {
        if let Some(letter) = LETTERS.get(store, &letter_key(lane, audience, number))? {
            waiting.push(Waiting { number, letter });
        }
    }
    Ok(waiting)
}

/// The audiences that letters of a lane wait for.
///
/// # Errors
/// When the store can't be read.
pub fn audiences(store: &dyn Read, lane: Lane) -> Result<Vec<Audience>, StoreError> {
    let prefix = lane_prefix(lane);
    let mut audiences = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let first = LETTERS.list(store, &prefix, after.as_deref(), 1)?.pop();
        let Some((_, letter)) = first else { return Ok(audiences) };
        // Past all numbers of this audience, which are hexadecimal digits.
        after = Some(format!("{}~", audience_prefix(lane, &letter.audience)));
        audiences.push(letter.audience);
    }
}

fn list(store: &dyn Read, prefix: &str, limit: usize) -> Result<Vec<Waiting>, StoreError> {
    let letters = LETTERS.list(store, prefix, None, limit)?;
    let number = |key: &str| u64::from_str_radix(key.rsplit('/').next()?, 16).ok();
    Ok(letters
        .into_iter()
        .filter_map(|(key, letter)| Some(Waiting { number: number(&key)?, letter }))
        .collect())
}

/// Forgets letters that the mesh holds durably; one that was replaced meanwhile stays replaced.
///
/// # Errors
/// When the store can't be written.
pub fn forget(tx: &mut dyn Write, lane: Lane, told: &[Waiting]) -> Result<(), StoreError> {
    for Waiting { number, letter } in told {
        LETTERS.delete(tx, &letter_key(lane, &letter.audience, *number))?;
        let latest = latest_key(lane, &letter.audience, &letter.subject);
        if LATEST.get(tx.as_read(), &latest)? == Some(*number) {
            LATEST.delete(tx, &latest)?;
        }
    }
    Ok(())
}

/// How much waits on a lane.
///
/// # Errors
/// When the store can't be read.
pub fn depth(store: &dyn Read, lane: Lane) -> Result<Depth, StoreError> {
    let prefix = lane_prefix(lane);
    let mut oldest: Option<u64> = None;
    for audience in audiences(store, lane)? {
        let of_audience = audience_prefix(lane, &audience);
        let before_last = letter_key(lane, &audience, LAST);
        for after in [None, Some(before_last.as_str())] {
            let first = LETTERS.list(store, &of_audience, after, 1)?.pop();
            oldest = oldest.into_iter().chain(first.map(|(_, letter)| letter.written_at.as_millis())).min();
        }
    }
    let scan = openkcm_store::Scan { prefix: prefix.as_bytes(), after: None, limit: COUNT_LIMIT };
    Ok(Depth { letters: store.scan(LETTERS.space(), scan)?.len(), oldest_millis: oldest })
}

fn lane_prefix(lane: Lane) -> String {
    format!("{}/", lane.number())
}

fn audience_prefix(lane: Lane, audience: &Audience) -> String {
    format!("{}{audience}/", lane_prefix(lane))
}

fn letter_key(lane: Lane, audience: &Audience, number: u64) -> String {
    format!("{}{number:016x}", audience_prefix(lane, audience))
}

fn latest_key(lane: Lane, audience: &Audience, subject: &str) -> String {
    format!("{}{audience}/{subject}", lane_prefix(lane))
}
