//! Sums held against what they are over: what a store that was edited behind its component's back shows.

use std::collections::BTreeSet;

use openkcm_store::{Read, StoreError};

use crate::{Shelf, Sum};

impl Shelf {
    /// The sum that is kept of a unit, and the views that it is in; nothing for one that is not kept.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn kept(&self, store: &dyn Read, unit: &str) -> Result<(Sum, BTreeSet<String>), StoreError> {
        let unit = self.units.get(store, unit)?.unwrap_or_default();
        Ok((unit.sum, unit.views))
    }

    /// The names of units that are kept under a prefix, after one of them, and at most so many.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn kept_units(
        &self,
        store: &dyn Read,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        Ok(self.units.list(store, prefix, after, limit)?.into_iter().map(|(name, _)| name).collect())
    }
}
