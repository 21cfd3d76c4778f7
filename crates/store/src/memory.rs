//! A store in memory, for the simulator and for tests of rules.
//!
//! Not for production: nothing is kept. A transaction is a layer of changes above the last committed
//! state; dropping it is a crash before the commit.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::read_write::prefix_end;
use crate::{Item, Read, Scan, Space, StoreError, Write};

type Keyed<V> = BTreeMap<Space, BTreeMap<Vec<u8>, V>>;

/// A store in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    spaces: Keyed<Vec<u8>>,
}

impl Memory {
    /// Runs one transaction; nothing of it stays when it fails.
    ///
    /// # Errors
    /// What `change` fails with.
    pub fn write<T, E>(&mut self, change: impl FnOnce(&mut dyn Write) -> Result<T, E>) -> Result<T, E> {
        let mut layer = Layer { below: self, changes: Keyed::new() };
        let answer = change(&mut layer)?;
        let changes = layer.changes;
        for (space, items) in changes {
            let committed = self.spaces.entry(space).or_default();
            for (key, value) in items {
                match value {
                    Some(value) => committed.insert(key, value),
                    None => committed.remove(&key),
                };
            }
        }
        Ok(answer)
    }

    fn range<'a>(
        &'a self,
        space: Space,
        scan: &Scan<'_>,
    ) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> {
        let bounds = bounds(scan);
        self.spaces.get(&space).into_iter().flat_map(move |items| items.range(bounds.clone()))
    }
}

fn bounds(scan: &Scan<'_>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let start = match scan.after {
        Some(after) if after >= scan.prefix => Bound::Excluded(after.to_vec()),
        _ => Bound::Included(scan.prefix.to_vec()),
    };
    let end = prefix_end(scan.prefix).map_or(Bound::Unbounded, Bound::Excluded);
    match (&start, &end) {
        // An empty range that BTreeMap would refuse: the cursor lies at or beyond the prefix's end.
        (Bound::Excluded(from), Bound::Excluded(to)) if from >= to => {
            (Bound::Included(to.clone()), Bound::Excluded(to.clone()))
        }
        _ => (start, end),
    }
}

impl Read for Memory {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.spaces.get(&space).and_then(|items| items.get(key)).cloned())
    }

    fn scan(&self, space: Space, scan: Scan<'_>) -> Result<Vec<Item>, StoreError> {
        Ok(self.range(space, &scan).take(scan.limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn last(&self, space: Space, prefix: &[u8]) -> Result<Option<Item>, StoreError> {
        Ok(self.range(space, &Scan::prefix(prefix)).next_back().map(|(k, v)| (k.clone(), v.clone())))
    }
}

struct Layer<'a> {
    below: &'a Memory,
    changes: Keyed<Option<Vec<u8>>>,
}

impl Layer<'_> {
    fn merged(&self, space: Space, scan: Scan<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut items: BTreeMap<_, _> =
            self.below.range(space, &scan).map(|(k, v)| (k.clone(), v.clone())).collect();
        for (key, value) in self.changes.get(&space).into_iter().flat_map(|c| c.range(bounds(&scan))) {
            match value {
                Some(value) => items.insert(key.clone(), value.clone()),
                None => items.remove(key),
            };
        }
        items
    }
}

impl Read for Layer<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(&space).and_then(|items| items.get(key)) {
            Some(changed) => Ok(changed.clone()),
            None => self.below.get(space, key),
        }
    }

    fn scan(&self, space: Space, scan: Scan<'_>) -> Result<Vec<Item>, StoreError> {
        Ok(self.merged(space, scan).into_iter().take(scan.limit).collect())
    }

    fn last(&self, space: Space, prefix: &[u8]) -> Result<Option<Item>, StoreError> {
        Ok(self.merged(space, Scan::prefix(prefix)).into_iter().next_back())
    }
}

impl Write for Layer<'_> {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.changes.entry(space).or_default().insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        self.changes.entry(space).or_default().insert(key.to_vec(), None);
        Ok(())
    }

    fn as_read(&self) -> &dyn Read {
        self
    }
}
