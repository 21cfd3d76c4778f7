//! Ciphertexts that were made during a drill, and must open to the end.
//!
//! Of each service, version and region a few are kept, so that what is kept grows with the versions and not with the
//! load. A plaintext is made of its number and is no secret: nothing of it has to be stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openkcm_contracts::{RegionId, ServicePath, VersionId};

/// How many are kept of one service, version and region.
const PER_VERSION: u8 = 3;

/// How many are kept in all: some 80 MB.
const MOST: usize = 200_000;

/// A ciphertext, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::drill) struct Kept {
    pub(in crate::drill) service: ServicePath,
    pub(in crate::drill) number: u64,
    pub(in crate::drill) ciphertext: String,
    pub(in crate::drill) version: VersionId,
    /// Where it was made.
    pub(in crate::drill) region: RegionId,
}

impl Kept {
    /// What is in it.
    pub(in crate::drill) fn plaintext(&self) -> Vec<u8> {
        plaintext(&self.service, self.number)
    }
}

/// What is encrypted under a number.
pub(in crate::drill) fn plaintext(service: &ServicePath, number: u64) -> Vec<u8> {
    format!("openkcm drill {service} {number}").into_bytes()
}

/// What is kept. One lock, held for an addition or a look.
#[derive(Default)]
pub(in crate::drill) struct Shelf {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    all: Vec<Arc<Kept>>,
    by_region: BTreeMap<RegionId, Vec<Arc<Kept>>>,
    /// How many there are of each, and when the first was made.
    of: HashMap<(ServicePath, VersionId, RegionId), (u8, Duration)>,
}

impl Shelf {
    /// Keeps a ciphertext that was made at this moment of the drill, unless enough are kept of its kind.
    pub(in crate::drill) fn keep(&self, kept: Kept, at: Duration) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        if inner.all.len() >= MOST {
            return;
        }
        let kind = (kept.service.clone(), kept.version, kept.region.clone());
        let (count, _) = inner.of.entry(kind).or_insert((0, at));
        if *count < PER_VERSION {
            *count += 1;
            let kept = Arc::new(kept);
            inner.by_region.entry(kept.region.clone()).or_default().push(kept.clone());
            inner.all.push(kept);
        }
    }

    /// One of those that were made in this region, or anywhere; which one is up to `drawn`.
    pub(in crate::drill) fn pick(&self, region: Option<&RegionId>, drawn: u64) -> Option<Arc<Kept>> {
        let inner = self.lock();
        let from = match region {
            Some(region) => inner.by_region.get(region)?,
            None => &inner.all,
        };
        let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
        from.get(usize::try_from(drawn % count).ok()?).cloned()
    }

    /// All of them.
    pub(in crate::drill) fn all(&self) -> Vec<Arc<Kept>> {
        self.lock().all.clone()
    }

    /// How many versions encrypted in any of these regions for the first time within this span of the drill.
    pub(in crate::drill) fn versions_begun(
        &self,
        regions: &[RegionId],
        from: Duration,
        to: Duration,
    ) -> usize {
        let inner = self.lock();
        let mut first: BTreeMap<(&ServicePath, VersionId), Duration> = BTreeMap::new();
        for ((service, version, _), (_, at)) in inner.of.iter().filter(|((.., of), _)| regions.contains(of)) {
            let first = first.entry((service, *version)).or_insert(*at);
            *first = (*first).min(*at);
        }
        first.values().filter(|at| (from..to).contains(*at)).count()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(region: &str, version: u8, number: u64) -> Kept {
        Kept {
            service: "t/s/v".parse().expect("a path"),
            number,
            ciphertext: number.to_string(),
            version: VersionId::from_bytes([version; 16]),
            region: RegionId::new(region).expect("a label"),
        }
    }

    #[test]
    fn of_each_version_and_region_a_few_are_kept_however_many_are_made() {
        let shelf = Shelf::default();
        for number in 0..100 {
            for (region, version) in [("a", 1), ("a", 2), ("b", 1)] {
                shelf.keep(kept(region, version, number), Duration::from_secs(number));
            }
        }
        assert_eq!(shelf.all().len(), 3 * usize::from(PER_VERSION));
    }

    #[test]
    fn a_version_begins_once_however_many_regions_use_it() {
        let shelf = Shelf::default();
        for (region, version, second) in [("a", 1, 0), ("b", 1, 5), ("a", 2, 5), ("b", 2, 6), ("b", 3, 7)] {
            shelf.keep(kept(region, version, 0), Duration::from_secs(second));
        }
        let [a, b] = ["a", "b"].map(|name| RegionId::new(name).expect("a label"));
        let begun = |regions: &[RegionId]| {
            shelf.versions_begun(regions, Duration::from_secs(5), Duration::from_secs(7))
        };
        assert_eq!((begun(&[a.clone(), b.clone()]), begun(&[a]), begun(&[b])), (1, 1, 2));
    }

    #[test]
    fn a_pick_is_of_the_region_that_is_asked_for() {
        let shelf = Shelf::default();
        assert_eq!(shelf.pick(None, 7), None);
        shelf.keep(kept("a", 1, 1), Duration::ZERO);
        shelf.keep(kept("b", 1, 2), Duration::ZERO);
        let b = RegionId::new("b").expect("a label");
        for drawn in [0, 1, u64::MAX] {
            assert_eq!(shelf.pick(Some(&b), drawn).expect("one").number, 2);
            assert!(shelf.pick(None, drawn).is_some());
        }
    }
}
