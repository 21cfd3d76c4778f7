//! The agenda: which key is to be looked at again, and when.
//!
//! It only says *look*: what is then to be done follows from what is held at that time, so an entry
//! that has become pointless does no harm. How long another region is waited for is therefore not told by it.
//! Not kept on disk: settling after a start fills it again.

use std::collections::{BTreeSet, HashMap};

use openkcm_contracts::{KeyPath, Timestamp};

/// What may be on the agenda.
pub type Thing = KeyPath;

/// Keys by the time at which they are to be looked at; each at most once.
#[derive(Debug, Default)]
pub struct Agenda {
    by_time: BTreeSet<(Timestamp, Thing)>,
    by_thing: HashMap<Thing, Timestamp>,
}

impl Agenda {
    /// Has a key looked at no later than `at`.
    pub fn at_latest(&mut self, thing: Thing, at: Timestamp) {
        if let Some(earlier) = self.by_thing.get(&thing).copied() {
            if earlier <= at {
                return;
            }
            self.by_time.remove(&(earlier, thing.clone()));
        }
        self.by_thing.insert(thing.clone(), at);
        self.by_time.insert((at, thing));
    }

    /// Takes what is due, the longest overdue first, and at most so much.
    pub fn take_due(&mut self, now: Timestamp, most: usize) -> BTreeSet<Thing> {
        let mut due = BTreeSet::new();
        while let Some((at, _)) = self.by_time.first() {
            if *at > now || due.len() == most {
                break;
            }
            if let Some((_, thing)) = self.by_time.pop_first() {
                self.by_thing.remove(&thing);
                due.insert(thing);
            }
        }
        due
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_once_at_its_earliest_time() {
        let mut agenda = Agenda::default();
        let thing: Thing = "acme/hr".parse().expect("valid");
        for at in [5, 3, 9] {
            agenda.at_latest(thing.clone(), Timestamp::from_millis(at));
        }
        assert_eq!(agenda.next_due(), Some(Timestamp::from_millis(3)));
        assert_eq!(agenda.take_due(Timestamp::from_millis(2), 9), [].into());
        assert_eq!(agenda.take_due(Timestamp::from_millis(3), 9), [thing].into());
        assert_eq!(agenda.next_due(), None);
    }

    #[test]
    fn what_is_overdue_longest_is_taken_first() {
        let mut agenda = Agenda::default();
        let things: [Thing; 3] = ["acme/a", "acme/b", "acme/c"].map(|text| text.parse().expect("valid"));
        for (thing, at) in things.iter().zip([7, 3, 5]) {
            agenda.at_latest(thing.clone(), Timestamp::from_millis(at));
        }
        let [a, b, c] = things;
        assert_eq!(agenda.take_due(Timestamp::from_millis(9), 2), [b, c].into());
        assert_eq!(agenda.take_due(Timestamp::from_millis(9), 2), [a].into());
    }
}
