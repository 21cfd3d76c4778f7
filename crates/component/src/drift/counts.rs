//! How many drift records there are, kept with each of them: by region, and of the open ones by kind.

use std::collections::BTreeMap;

use openkcm_contracts::RegionId;
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use super::{Kind, MOST_OPEN};

/// By region.
const COUNTS: Table<Counted> = Table::new("drift_counts");

pub(super) const SPACE: Space = COUNTS.space();

/// Regions that are counted at the most: far more than a landscape has, and those that left it stay.
const REGIONS: usize = 1_000;

/// How many there are of each kind.
pub(super) type Kinds = BTreeMap<Kind, u64>;

/// How many records a region has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not healed yet.
    pub open: u64,
    /// Healed, ever.
    pub healed: u64,
    /// Of the open ones, those that show the authority to be behind.
    pub stale: u64,
}

/// The same as it is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) open: u64,
    pub(super) healed: u64,
    /// The open ones.
    #[serde(default)]
    kinds: Kinds,
}

impl Counted {
    pub(super) fn read(view: &dyn Read, region: &RegionId) -> Result<Self, StoreError> {
        COUNTS.get(view, region.as_str())?.unwrap_or_default().whole(view, region.as_str())
    }

    /// Counted before kinds were: the records themselves tell.
    fn whole(mut self, view: &dyn Read, region: &str) -> Result<Self, StoreError> {
        if self.kinds.values().sum::<u64>() != self.open {
            self.kinds.clear();
            for record in super::open_of(view, region)? {
                *self.kinds.entry(record.found.kind).or_default() += 1;
            }
        }
        Ok(self)
    }

    pub(super) fn write(&self, tx: &mut dyn Write, region: &RegionId) -> Result<(), StoreError> {
        COUNTS.put(tx, region.as_str(), self)
    }

    /// Whether another open record of this kind is kept.
    pub(super) fn has_room_for(&self, kind: Kind) -> bool {
        let stale = self.kinds.get(&Kind::StaleAuthority).copied().unwrap_or_default();
        let of_its_sort = if kind == Kind::StaleAuthority { stale } else { self.open.saturating_sub(stale) };
        of_its_sort < MOST_OPEN
    }

    /// A record was opened.
    pub(super) fn open(&mut self, kind: Kind) {
        self.open += 1;
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// An open record is of another kind now.
    pub(super) fn change(&mut self, before: Kind, after: Kind) {
        self.less(before);
        *self.kinds.entry(after).or_default() += 1;
    }

    /// An open record was healed.
    pub(super) fn heal(&mut self, kind: Kind) {
        self.healed += 1;
        self.open = self.open.saturating_sub(1);
        self.less(kind);
    }

    fn less(&mut self, kind: Kind) {
        let count = self.kinds.entry(kind).or_default();
        *count = count.saturating_sub(1);
    }
}

/// How many records a region has.
///
/// # Errors
/// When the store can't be read.
pub fn counts(view: &dyn Read, region: &RegionId) -> Result<Counts, StoreError> {
    let Counted { open, healed, kinds } = Counted::read(view, region)?;
    let stale = kinds.get(&Kind::StaleAuthority).copied().unwrap_or_default();
    Ok(Counts { open, healed, stale })
}

/// How many records are open, of all regions.
///
/// # Errors
/// When the store can't be read.
pub fn open_everywhere(view: &dyn Read) -> Result<u64, StoreError> {
    Ok(COUNTS.list(view, "", None, REGIONS)?.into_iter().map(|(_, counted)| counted.open).sum())
}

/// How many records are open, by region and kind.
pub(super) fn open_by_kind(view: &dyn Read) -> Result<Vec<(String, Kinds)>, StoreError> {
    let counted = COUNTS.list(view, "", None, REGIONS)?.into_iter();
    counted.map(|(region, counted)| Ok((region.clone(), counted.whole(view, &region)?.kinds))).collect()
}
