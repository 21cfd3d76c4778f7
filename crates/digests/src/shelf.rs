//! Where sums lie in a store: by unit, by place, and the totals of each view.
//!
//! A *view* is what one region is told of (an authority keeps one for each region), or simply what is held (a
//! Core has one). Units are the same in all views; which views a unit is in is up to the caller, and lies with it,
//! so that a unit leaves a view with exactly what it brought. What is in all views, also those to come, lies in
//! [`EVERY_VIEW`] once.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::sum::place_of;
use crate::{Changes, Sum};

/// Buckets of a view: so many that a million systems are some thousand in each, so few that the digests of all
/// are 4 KiB.
pub const BUCKETS: usize = 256;

/// The view of what lies in every view. No region has this name.
pub const EVERY_VIEW: &str = "*";

/// The sums of one kind of things.
#[derive(Debug)]
pub struct Shelf {
    /// By name.
    pub(crate) units: Table<Unit>,
    /// Names of units by place: `8f3a/acme/hr@1.7`.
    places: Table<()>,
    /// By view and bucket: `a/8f`.
    totals: Table<Sum>,
}

/// A unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub(crate) sum: Sum,
    /// The views that it is in.
    pub(crate) views: BTreeSet<String>,
}

/// The digests of all buckets of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets(Vec<[u8; 16]>);

/// A text is not the digests of all buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the digests of {BUCKETS} buckets are expected, 16 bytes each, base64")]
pub struct BucketsError;

impl Shelf {
    /// A shelf in the spaces of these names.
    pub const fn new(units: &'static str, places: &'static str, totals: &'static str) -> Self {
        Self { units: Table::new(units), places: Table::new(places), totals: Table::new(totals) }
    }

    /// Its spaces, for the list that a store is opened with.
    pub const fn spaces(&self) -> [Space; 3] {
        [self.units.space(), self.places.space(), self.totals.space()]
    }

    /// Applies changes: units that change, or may be in other views, are in those that `views` tells from now on.
    ///
    /// # Errors
    /// When the store can't be read or written, or the views can't be told.
    pub fn apply(
        &self,
        tx: &mut dyn Write,
        Changes { mut units, moved }: Changes,
        views: impl Fn(&dyn Read, &str) -> Result<BTreeSet<String>, StoreError>,
    ) -> Result<(), StoreError> {
        for prefix in moved {
            for (unit, _) in self.units.list(tx.as_read(), &prefix, None, usize::MAX)? {
                units.entry(unit).or_default();
            }
        }
        let mut totals = BTreeMap::new();
        for (name, difference) in units {
            let before = self.units.get(tx.as_read(), &name)?;
            let known = before.is_some();
            let before = before.unwrap_or_default();
            let after = Unit { sum: before.sum.plus(difference), views: views(tx.as_read(), &name)? };
            if after == before {
                continue;
            }
            for view in &before.views {
                add(&mut totals, view, &name, Sum::default().minus(before.sum));
            }
            for view in &after.views {
                add(&mut totals, view, &name, after.sum);
            }
            self.put_unit(tx, &name, known, &after)?;
        }
        self.add_totals(tx, totals)
    }

    /// The digests of all buckets of a view.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn buckets(&self, store: &dyn Read, view: &str) -> Result<Buckets, StoreError> {
        let mut sums = [Sum::default(); BUCKETS];
        for (bucket, sum) in
            self.totals_of(store, view)?.into_iter().chain(self.totals_of(store, EVERY_VIEW)?)
        {
            sums[usize::from(bucket)] = sums[usize::from(bucket)].plus(sum);
        }
        Ok(Buckets(sums.iter().map(|sum| sum.bytes()).collect()))
    }

    /// The sum of all that lies in every view.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sum_of_every_view(&self, store: &dyn Read) -> Result<Sum, StoreError> {
        let totals = self.totals_of(store, EVERY_VIEW)?;
        Ok(totals.into_iter().fold(Sum::default(), |total, (_, sum)| total.plus(sum)))
    }

    fn totals_of(&self, store: &dyn Read, view: &str) -> Result<Vec<(u8, Sum)>, StoreError> {
        let prefix = format!("{view}/");
        let totals = self.totals.list(store, &prefix, None, BUCKETS)?.into_iter();
        let bucket = |key: &str| u8::from_str_radix(&key[prefix.len()..], 16).ok();
        Ok(totals.filter_map(|(key, sum)| Some((bucket(&key)?, sum))).collect())
    }

    /// The units of a view that lie in a bucket.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn units_in(&self, store: &dyn Read, view: &str, bucket: u8) -> Result<Vec<String>, StoreError> {
        let units = self.units_at(store, view, &[bucket], usize::MAX)?;
        Ok(units.into_iter().map(|(name, _)| name).collect())
    }

    /// The units of a view whose place begins so, at most so many.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn units_at(
        &self,
        store: &dyn Read,
        view: &str,
        place: &[u8],
        limit: usize,
    ) -> Result<Vec<(String, Sum)>, StoreError> {
        let prefix: String = place.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut found = Vec::new();
        for (key, ()) in self.places.list(store, &prefix, None, usize::MAX)? {
            let Some((_, name)) = key.split_once('/') else { continue };
            let unit = self.units.get(store, name)?.unwrap_or_default();
            let is_in = unit.views.contains(view) || unit.views.contains(EVERY_VIEW);
            if is_in && !unit.sum.is_nothing() {
                found.push((name.to_owned(), unit.sum));
            }
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    fn put_unit(&self, tx: &mut dyn Write, name: &str, known: bool, unit: &Unit) -> Result<(), StoreError> {
        if unit.sum.is_nothing() {
            self.places.delete(tx, &place_key(name))?;
            return self.units.delete(tx, name);
        }
        if !known {
            self.places.put(tx, &place_key(name), &())?;
        }
        self.units.put(tx, name, unit)
    }

    fn add_totals(&self, tx: &mut dyn Write, totals: BTreeMap<String, Sum>) -> Result<(), StoreError> {
        for (key, difference) in totals {
            let total = self.totals.get(tx.as_read(), &key)?.unwrap_or_default().plus(difference);
            if total.is_nothing() {
                self.totals.delete(tx, &key)?;
            } else {
                self.totals.put(tx, &key, &total)?;
            }
        }
        Ok(())
    }
}

fn add(totals: &mut BTreeMap<String, Sum>, view: &str, unit: &str, difference: Sum) {
    let total = totals.entry(format!("{view}/{:02x}", place_of(unit)[0])).or_default();
    *total = total.plus(difference);
}

fn place_key(unit: &str) -> String {
    let [high, low] = place_of(unit);
    format!("{high:02x}{low:02x}/{unit}")
}

impl Buckets {
    /// Those of a view that holds nothing.
    pub fn of_nothing() -> Self {
        Self(vec![[0; 16]; BUCKETS])
    }

    /// The same, as if a unit held something else: digests, none for nothing. What is no digest counts as nothing.
    pub fn replace(&mut self, unit: &str, held: Option<&str>, instead: Option<&str>) {
        let value = |digest: Option<&str>| {
            digest.and_then(|digest| u128::from_str_radix(digest, 16).ok()).unwrap_or_default()
        };
        let bucket = &mut self.0[usize::from(crate::bucket_of(unit))];
        let changed = u128::from_be_bytes(*bucket).wrapping_sub(value(held)).wrapping_add(value(instead));
        *bucket = changed.to_be_bytes();
    }

    /// The digest of one bucket, in hexadecimal.
    pub fn digest(&self, bucket: u8) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0[usize::from(bucket)]))
    }

    /// As a manifest has them.
    pub fn to_text(&self) -> String {
        STANDARD_NO_PAD.encode(self.0.as_flattened())
    }

    /// Reads what a manifest has.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_text(text: &str) -> Result<Self, BucketsError> {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| BucketsError)?;
        let (digests, rest) = bytes.as_chunks::<16>();
        if digests.len() != BUCKETS || !rest.is_empty() {
            return Err(BucketsError);
        }
        Ok(Self(digests.to_vec()))
    }

    /// The buckets that are not the same as in others.
    pub fn differing(&self, other: &Self) -> Vec<u8> {
        let pairs = (0..=u8::MAX).zip(self.0.iter().zip(&other.0));
        pairs.filter(|(_, (own, other))| own != other).map(|(bucket, _)| bucket).collect()
    }
}
