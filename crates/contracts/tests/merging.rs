//! Receivers only merge: whatever order facts come in, and however often, the newest is held in the end.

use openkcm_contracts::{Meeting, Revision, meet};
use proptest::collection::{btree_set, vec};
use proptest::prelude::{Just, Strategy, any, proptest};
use proptest::sample::Index;
use proptest::{prop_assert, prop_assert_eq};

/// A fact: its authority's revision, and what it says, which only that revision says.
type Fact = (Revision, String);

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let revisions = btree_set((0..4u32, 0..50u64), 1..20);
    let fact = |(term, counter)| (Revision::new(term, counter), format!("as of {term}.{counter}"));
    revisions.prop_map(move |revisions| revisions.into_iter().map(fact).collect())
}

/// Every fact at least once, in any order, some of them again and again.
fn deliveries() -> impl Strategy<Value = (Vec<Fact>, Vec<Fact>)> {
    (facts(), vec(any::<Index>(), 0..40)).prop_flat_map(|(facts, again)| {
        let mut delivered = facts.clone();
        delivered.extend(again.into_iter().map(|index| index.get(&facts).clone()));
        (Just(facts), Just(delivered).prop_shuffle())
    })
}

/// As every receiver does it.
fn apply(held: &mut Option<Fact>, arriving: &Fact) -> Meeting {
    let meeting = meet(held.as_ref().map(|(revision, fact)| (*revision, fact)), (arriving.0, &arriving.1));
    if meeting.replaces() {
        *held = Some(arriving.clone());
    }
    meeting
}

fn apply_all(delivered: &[Fact]) -> Option<Fact> {
    let mut held = None;
    delivered.iter().for_each(|fact| {
        apply(&mut held, fact);
    });
    held
}

proptest! {
    #[test]
    fn any_order_with_duplicates_ends_in_the_newest_fact((facts, delivered) in deliveries()) {
        let newest = facts.into_iter().max();
        prop_assert_eq!(apply_all(&delivered), newest);
    }

    #[test]
    fn what_is_held_never_becomes_older((_, delivered) in deliveries()) {
        let mut held = None;
        for fact in &delivered {
            let before = held.clone();
            apply(&mut held, fact);
            prop_assert!(held >= before);
        }
    }

    #[test]
    fn a_replay_of_everything_changes_nothing((_, delivered) in deliveries()) {
        let mut held = apply_all(&delivered);
        let before = held.clone();
        for fact in &delivered {
            prop_assert!(!apply(&mut held, fact).replaces());
        }
        prop_assert_eq!(held, before);
    }

    /// The mesh may compact: what it leaves out changes nothing, as long as the last word is there.
    #[test]
    fn facts_that_are_left_out_change_nothing_but_the_newest((facts, delivered) in deliveries(), seed in any::<u64>()) {
        let newest = facts.into_iter().max().expect("at least one");
        let kept = |(i, fact): &(usize, &Fact)| **fact == newest || (seed >> (i % 64)) & 1 == 1;
        let compacted: Vec<Fact> = delivered.iter().enumerate().filter(kept).map(|(_, fact)| fact.clone()).collect();
        prop_assert_eq!(apply_all(&compacted), Some(newest));
    }

    /// Somebody changed the copy: the authority's own word, sent again, takes its place, and then it is held.
    #[test]
    fn a_changed_copy_is_replaced_once_and_then_is_the_same(revision in (any::<u32>(), any::<u64>())) {
        let revision = Revision::new(revision.0, revision.1);
        let mut held = Some((revision, "changed by somebody".to_owned()));
        let word = (revision, "the authority's".to_owned());
        prop_assert_eq!(apply(&mut held, &word), Meeting::Differs);
        prop_assert_eq!(apply(&mut held, &word), Meeting::Same);
        prop_assert_eq!(held, Some(word));
    }
}
