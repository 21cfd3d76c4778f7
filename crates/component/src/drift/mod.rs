//! Drift records: what an authority found a region to hold otherwise than it is to, and what it did about it.
//!
//! The same in both authorities: what is found, when, which action followed, when it was healed. Not here: how drift
//! is found, and what is done; that is each authority's own. What always holds: of a thing in a region there is one
//! open record at most; a healed one is never opened again, another is.

mod counts;
mod documents;
mod metrics;
mod routes;

use openkcm_contracts::{RegionId, Revision, Timestamp};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use self::counts::Counted;

pub use counts::{Counts, counts, open_everywhere};
pub use metrics::Gauges;
pub use routes::{Records, routes};

/// By region and state: `a/open/key.acme.hr`, `a/healed/000000000000002a`.
const RECORDS: Table<Record> = Table::new("drift");

/// The spaces of an authority's drift records.
pub const SPACES: [Space; 2] = [RECORDS.space(), counts::SPACE];

/// Open records of a region; as many again of those that show the authority to be behind, by which it goes. What is found
/// beyond is acted on all the same, and shown when there is room again.
pub const MOST_OPEN: u64 = 10_000;

/// Healed records of a region: the last ones are kept.
pub const MOST_HEALED: u64 = 1_000;

/// Records that are read at once.
const PAGE: usize = 256;

/// How a region's thing is not as it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The region lacks it.
    Missing,
    /// The region holds an earlier word.
    Behind,
    /// The region holds other content under the same revision.
    Differs,
    /// The region holds it, and its authority never knew it.
    Unknown,
    /// The region holds a later word than its authority: the authority has lost some of its own, or the region lies.
    StaleAuthority,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The authority's word was told to the region again.
    ToldAgain,
    /// Nothing but to raise an alarm: an operator decides.
    Alarm,
    /// The region was told again to destroy it.
    Purge,
    /// The region was told that it is dead.
    Revoked,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Missing, Self::Behind, Self::Differs, Self::Unknown, Self::StaleAuthority];

    /// Its name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Behind => "behind",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
            Self::StaleAuthority => "stale-authority",
        }
    }
}

impl Action {
    /// Its name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToldAgain => "told-again",
            Self::Alarm => "alarm",
            Self::Purge => "purge",
            Self::Revoked => "revoked",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Where.
    pub region: RegionId,
    /// Of which thing: its subject on the mesh, such as `key.acme.hr.payroll`.
    pub subject: String,
    /// The unit of the sums that it lies in; empty for what lies in none.
    pub unit: String,
    /// How it is not as it is to be.
    pub kind: Kind,
    /// What was done.
    pub action: Action,
    /// The authority's revision; none if it has none.
    pub ours: Option<Revision>,
    /// The region's revision; none if it holds nothing.
    pub theirs: Option<Revision>,
}

/// A drift record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was found last.
    pub found: Found,
    /// When it was found first.
    pub since: Timestamp,
    /// When something was done about it last.
    pub acted_at: Timestamp,
    /// How often.
    pub times: u64,
    /// When the region was seen to be as it is to be; none while it is not.
    pub healed: Option<Timestamp>,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of one region.
    pub region: Option<RegionId>,
    /// Healed ones alone, or open ones alone.
    pub healed: Option<bool>,
    /// After this place.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Records what was found, and done, now. Says whether it is news.
///
/// # Errors
/// When the store fails.
pub fn note(tx: &mut dyn Write, found: Found, now: Timestamp) -> Result<bool, StoreError> {
    let key = open_key(&found.region, &found.subject);
    if let Some(held) = RECORDS.get(tx.as_read(), &key)? {
        let is_news = held.found.kind != found.kind;
        if is_news {
            let mut counted = Counted::read(tx.as_read(), &found.region)?;
            counted.change(held.found.kind, found.kind);
            counted.write(tx, &found.region)?;
        }
        let times = held.times + 1;
        RECORDS.put(tx, &key, &Record { found, acted_at: now, times, ..held })?;
        return Ok(is_news);
    }
    let mut counted = Counted::read(tx.as_read(), &found.region)?;
    if !counted.has_room_for(found.kind) {
        return Ok(false);
    }
    counted.open(found.kind);
    counted.write(tx, &found.region)?;
    let Found { region, subject, kind, action, .. } = &found;
    tracing::warn!(%region, subject, kind = kind.as_str(), action = action.as_str(), "drift was found");
    RECORDS.put(tx, &key, &Record { found, since: now, acted_at: now, times: 1, healed: None })?;
    Ok(true)
}

/// The open record of a thing in a region.
///
/// # Errors
/// When the store can't be read.
pub fn open(view: &dyn Read, region: &RegionId, subject: &str) -> Result<Option<Record>, StoreError> {
    RECORDS.get(view, &open_key(region, subject))
}

/// Heals the open records of a region of which this is so. Says how many.
///
/// # Errors
/// When the store fails.
pub fn heal(
    tx: &mut dyn Write,
    region: &RegionId,
    now: Timestamp,
    mut is_healed: impl FnMut(&Found) -> bool,
) -> Result<u64, StoreError> {
    let mut counted = Counted::read(tx.as_read(), region)?;
    if counted.open == 0 {
        return Ok(0);
    }
    let (mut after, before) = (None::<String>, counted.healed);
    loop {
        let page = RECORDS.list(tx.as_read(), &format!("{region}/open/"), after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, record) in page.into_iter().filter(|(_, record)| is_healed(&record.found)) {
            RECORDS.delete(tx, &key)?;
            let healed = Record { healed: Some(now), ..record };
            RECORDS.put(tx, &healed_key(region, counted.healed), &healed)?;
            if let Some(oldest) = counted.healed.checked_sub(MOST_HEALED) {
                RECORDS.delete(tx, &healed_key(region, oldest))?;
            }
            counted.heal(healed.found.kind);
            tracing::info!(%region, subject = healed.found.subject, "drift is healed");
        }
    }
    if counted.healed > before {
        counted.write(tx, region)?;
    }
    Ok(counted.healed - before)
}

/// The open records of a region.
fn open_of(view: &dyn Read, region: &str) -> Result<impl Iterator<Item = Record>, StoreError> {
    let most = usize::try_from(2 * MOST_OPEN).unwrap_or(usize::MAX);
    Ok(RECORDS.list(view, &format!("{region}/open/"), None, most)?.into_iter().map(|(_, record)| record))
}

/// Records in the order of region, state and subject, and the place to go on after, if there may be more.
///
/// # Errors
/// When the store can't be read.
pub fn list(view: &dyn Read, wanted: &Wanted) -> Result<(Vec<Record>, Option<String>), StoreError> {
    let state = |healed: bool| if healed { "healed" } else { "open" };
    let prefix = match (&wanted.region, wanted.healed) {
        (Some(region), Some(healed)) => format!("{region}/{}/", state(healed)),
        (Some(region), None) => format!("{region}/"),
        (None, _) => String::new(),
    };
    let (mut found, mut after) = (Vec::new(), wanted.after.clone());
    loop {
        let page = RECORDS.list(view, &prefix, after.as_deref(), PAGE)?;
        if page.is_empty() {
            return Ok((found, None));
        }
        for (key, record) in page {
            if found.len() == wanted.limit {
                return Ok((found, after));
            }
            after = Some(key);
            if wanted.healed.is_none_or(|healed| record.healed.is_some() == healed) {
                found.push(record);
            }
        }
    }
}

fn open_key(region: &RegionId, subject: &str) -> String {
    format!("{region}/open/{subject}")
}

fn healed_key(region: &RegionId, number: u64) -> String {
    format!("{region}/healed/{number:016x}")
}

#[cfg(test)]
mod tests {
    use openkcm_store::Memory;

    use super::*;

    fn found(region: &str, subject: &str) -> Found {
        Found {
            region: RegionId::new(region).expect("a label"),
            subject: subject.into(),
            unit: "acme".into(),
            kind: Kind::Missing,
            action: Action::ToldAgain,
            ours: Some(Revision::new(1, 1)),
            theirs: None,
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_thing_has_one_open_record_and_another_one_after_it_was_healed() {
        let mut store = Memory::default();
        let a = found("a", "tenant.acme").region;
        for now in [1, 2] {
            store.write(|tx| note(tx, found("a", "tenant.acme"), at(now))).expect("memory");
        }
        let record = open(&store, &a, "tenant.acme").expect("memory").expect("it is open");
        assert_eq!((record.since, record.acted_at, record.times), (at(1), at(2), 2));
        let healed = store.write(|tx| heal(tx, &a, at(3), |_| true)).expect("memory");
        store.write(|tx| note(tx, found("a", "tenant.acme"), at(4))).expect("memory");
        assert_eq!(
            (healed, counts(&store, &a).expect("memory")),
            (1, Counts { open: 1, healed: 1, stale: 0 })
        );
        let all = Wanted { limit: 10, ..Wanted::default() };
        assert_eq!(list(&store, &all).expect("memory").0.len(), 2);
    }

    #[test]
    fn those_that_show_the_authority_to_be_behind_are_counted_while_they_do() {
        let mut store = Memory::default();
        let a = found("a", "tenant.acme").region;
        let mut expect = |kind: Option<Kind>, stale: u64| {
            let change = |tx: &mut dyn Write| match kind {
                Some(kind) => note(tx, Found { kind, ..found("a", "tenant.acme") }, at(1)).map(drop),
                None => heal(tx, &a, at(2), |_| true).map(drop),
            };
            store.write(change).expect("memory");
            assert_eq!(counts(&store, &a).expect("memory").stale, stale, "{kind:?}");
        };
        let (stale, behind) = (Some(Kind::StaleAuthority), Some(Kind::Behind));
        for (kind, count) in [(stale, 1), (stale, 1), (behind, 0), (stale, 1), (None, 0), (behind, 0)] {
            expect(kind, count);
        }
    }

    #[test]
    fn a_later_word_of_a_region_is_recorded_however_much_else_is_open_there() {
        let mut store = Memory::default();
        let a = found("a", "tenant.acme").region;
        let fill = |tx: &mut dyn Write| {
            (0..=MOST_OPEN).try_for_each(|n| note(tx, found("a", &format!("tenant.t{n}")), at(1)).map(drop))
        };
        store.write(fill).expect("memory");
        let stale = Found { kind: Kind::StaleAuthority, ..found("a", "tenant.acme") };
        assert!(store.write(|tx| note(tx, stale, at(1))).expect("memory"), "it is news");
        let expected = Counts { open: MOST_OPEN + 1, healed: 0, stale: 1 };
        assert_eq!(counts(&store, &a).expect("memory"), expected);
    }

    #[test]
    fn what_was_counted_before_kinds_were_is_counted_by_the_records() {
        #[derive(Clone, Serialize, Deserialize)]
        struct Before {
            open: u64,
            healed: u64,
        }
        let before: Table<Before> = Table::new("drift_counts");
        let mut store = Memory::default();
        let a = found("a", "tenant.acme").region;
        let change = |tx: &mut dyn Write| {
            note(tx, Found { kind: Kind::StaleAuthority, ..found("a", "tenant.acme") }, at(1))?;
            note(tx, found("a", "tenant.other"), at(1))?;
            before.put(tx, "a", &Before { open: 2, healed: 7 })
        };
        store.write(change).expect("memory");
        assert_eq!(counts(&store, &a).expect("memory"), Counts { open: 2, healed: 7, stale: 1 });
        store.write(|tx| heal(tx, &a, at(2), |_| true)).expect("memory");
        assert_eq!(counts(&store, &a).expect("memory"), Counts { open: 0, healed: 9, stale: 0 });
    }

    #[test]
    fn the_last_healed_records_are_kept_and_no_more() {
        let mut store = Memory::default();
        let a = found("a", "x").region;
        for number in 0..MOST_HEALED + 5 {
            store.write(|tx| note(tx, found("a", &format!("tenant.t-{number}")), at(1))).expect("memory");
            store.write(|tx| heal(tx, &a, at(2), |_| true)).expect("memory");
        }
        let wanted = Wanted { healed: Some(true), limit: 2_000, ..Wanted::default() };
        let (kept, more) = list(&store, &wanted).expect("memory");
        assert_eq!((kept.len() as u64, more), (MOST_HEALED, None));
        assert_eq!(kept[0].found.subject, "tenant.t-5");
    }

    #[test]
    fn records_are_listed_page_by_page_by_region_and_state() {
        let mut store = Memory::default();
        for region in ["a", "b"] {
            for number in 0..5 {
                let found = found(region, &format!("tenant.t-{number}"));
                store.write(|tx| note(tx, found, at(1))).expect("memory");
            }
        }
        let a = found("a", "x").region;
        store.write(|tx| heal(tx, &a, at(2), |found| found.subject.ends_with('1'))).expect("memory");
        for (region, healed, expected) in
            [(None, None, 10), (None, Some(false), 9), (Some(a.clone()), Some(true), 1), (Some(a), None, 5)]
        {
            let (mut after, mut seen) = (None, 0);
            loop {
                let wanted = Wanted { region: region.clone(), healed, after, limit: 2 };
                let (page, more) = list(&store, &wanted).expect("memory");
                seen += page.len();
                let Some(more) = more else { break };
                after = Some(more);
            }
            assert_eq!(seen, expected, "{region:?} {healed:?}");
        }
    }
}
