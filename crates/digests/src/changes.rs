//! What a transaction changes, gathered by units.

use std::collections::{BTreeMap, BTreeSet};

use crate::Sum;

/// What changes, by units. A transaction that changes two thousand services of a system changes one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub(crate) units: BTreeMap<String, Sum>,
    pub(crate) moved: BTreeSet<String>,
}

impl Changes {
    /// A thing of a unit is another one from now on: none is no thing.
    pub fn replace(&mut self, unit: &str, before: Option<Sum>, after: Option<Sum>) {
        let difference = after.unwrap_or_default().minus(before.unwrap_or_default());
        match self.units.get_mut(unit) {
            Some(sum) => *sum = sum.plus(difference),
            None => drop(self.units.insert(unit.to_owned(), difference)),
        }
    }

    /// Units whose names begin so may be in other views from now on.
    pub fn moved(&mut self, prefix: &str) {
        if !self.moved.contains(prefix) {
            self.moved.insert(prefix.to_owned());
        }
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.moved.is_empty()
    }
}
