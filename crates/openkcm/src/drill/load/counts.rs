//! What became of each request, by the second and the region in which it was asked.

use std::collections::BTreeMap;

use openkcm_contracts::RegionId;
use serde::Serialize;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::drill) enum Outcome {
    /// It was answered rightly; at risk: by a version that is in one region alone.
    Served { at_risk: bool },
    /// It was refused, with this code.
    Refused(String),
    /// There was no answer, or none in time.
    Unanswered,
    /// It was answered, and the answer is not what was encrypted.
    Wrong,
}

/// The requests of one second, or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(in crate::drill) struct Second {
    /// Answered rightly.
    pub(in crate::drill) served: u64,
    /// Of those, by a version that was in one region alone.
    pub(in crate::drill) at_risk: u64,
    /// Refused, by code.
    pub(in crate::drill) refused: BTreeMap<String, u64>,
    /// Without an answer.
    pub(in crate::drill) unanswered: u64,
    /// Answered with something else than what was encrypted.
    pub(in crate::drill) wrong: u64,
}

impl Second {
    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Served { at_risk } => {
                self.served += 1;
                self.at_risk += u64::from(at_risk);
            }
            Outcome::Refused(code) => *self.refused.entry(code).or_default() += 1,
            Outcome::Unanswered => self.unanswered += 1,
            Outcome::Wrong => self.wrong += 1,
        }
    }

    pub(in crate::drill) fn add(&mut self, other: &Self) {
        self.served += other.served;
        self.at_risk += other.at_risk;
        for (code, count) in &other.refused {
            *self.refused.entry(code.clone()).or_default() += count;
        }
        self.unanswered += other.unanswered;
        self.wrong += other.wrong;
    }

    /// Those that were refused, by whatever code.
    pub(in crate::drill) fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// All of them.
    pub(in crate::drill) fn asked(&self) -> u64 {
        self.served + self.refused() + self.unanswered + self.wrong
    }
}

/// All requests of a drill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::drill) struct Counts {
    regions: BTreeMap<RegionId, Vec<Second>>,
}

impl Counts {
    /// A request that was sent to this region in this second of the drill.
    pub(in crate::drill) fn note(&mut self, region: &RegionId, second: u64, outcome: Outcome) {
        let seconds = self.regions.entry(region.clone()).or_default();
        let at = usize::try_from(second).unwrap_or(usize::MAX);
        if seconds.len() <= at {
            seconds.resize_with(at.saturating_add(1), Second::default);
        }
        if let Some(second) = seconds.get_mut(at) {
            second.note(outcome);
        }
    }

    /// Each region's seconds, from the drill's first on.
    pub(in crate::drill) fn regions(&self) -> &BTreeMap<RegionId, Vec<Second>> {
        &self.regions
    }

    /// All seconds of all regions together.
    pub(in crate::drill) fn total(&self) -> Second {
        let mut total = Second::default();
        self.regions.values().flatten().for_each(|second| total.add(second));
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_in_its_second_its_region_and_the_total() {
        let [a, b] = ["a", "b"].map(|name| RegionId::new(name).expect("a label"));
        let mut counts = Counts::default();
        counts.note(&a, 0, Outcome::Served { at_risk: false });
        counts.note(&a, 2, Outcome::Served { at_risk: true });
        counts.note(&a, 2, Outcome::Refused("hydrating".to_owned()));
        counts.note(&b, 1, Outcome::Unanswered);
        counts.note(&b, 1, Outcome::Wrong);
        counts.note(&b, 1, Outcome::Refused("hydrating".to_owned()));
        let a = &counts.regions()[&a];
        assert_eq!(a.iter().map(Second::asked).collect::<Vec<_>>(), [1, 0, 2]);
        let total = counts.total();
        assert_eq!((total.served, total.at_risk, total.refused()), (2, 1, 2));
        assert_eq!((total.unanswered, total.wrong, total.asked()), (1, 1, 6));
        assert_eq!(total.refused, BTreeMap::from([("hydrating".to_owned(), 2)]));
    }
}
