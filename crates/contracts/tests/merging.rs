//! Receivers only merge: whatever order facts come in, and however often, the newest is held in the end.

use std::collections::BTreeSet;

use openkcm_contracts::v1::{KeySealed, Seal, SealedBy};
use openkcm_contracts::{
    Generation, Meeting, RegionId, Revision, SystemId, TenantId, Timestamp, VersionId, meet,
};
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

/// A version as its maker told of it first: sealed to one root.
fn version() -> KeySealed {
    KeySealed {
        tenant: TenantId::new("acme").expect("a label"),
        system: SystemId::new("hr").expect("a label"),
        service: None,
        generation: Generation(Revision::new(1, 2)),
        version: VersionId::from_bytes([7; 16]),
        counter: 3,
        made_at: Timestamp::from_millis(1),
        maker: RegionId::new("a").expect("a label"),
        seals: vec![seal(0)],
        resealed_by: None,
    }
}

fn seal(number: u8) -> Seal {
    Seal { by: SealedBy::L2(VersionId::from_bytes([number; 16])), ciphertext: format!("sealed-{number}") }
}

/// Words on the version with some of as many seals as are kept.
fn words() -> impl Strategy<Value = Vec<KeySealed>> {
    let seals = vec(0..KeySealed::MAX_SEALS as u8, 1..5);
    let word = |seals: Vec<u8>| KeySealed { seals: seals.into_iter().map(seal).collect(), ..version() };
    vec(seals.prop_map(word), 1..12)
}

/// The seals that are held in the end, in any order.
fn united(words: &[KeySealed]) -> BTreeSet<String> {
    let mut held = words[0].clone();
    for word in words {
        held.unite(word);
    }
    held.seals.into_iter().map(|seal| seal.ciphertext).collect()
}

proptest! {
    #[test]
    fn seals_are_united_whatever_order_words_on_them_come_in_and_however_often(
        (words, shuffled) in words().prop_flat_map(|words| (Just(words.clone()), Just([words.clone(), words].concat()).prop_shuffle()))
    ) {
        let all: BTreeSet<String> =
            words.iter().flat_map(|word| &word.seals).map(|seal| seal.ciphertext.clone()).collect();
        prop_assert_eq!(&united(&words), &all);
        prop_assert_eq!(united(&shuffled), all);
    }

    #[test]
    fn uniting_united_words_is_as_uniting_the_words((one, other) in (words(), words())) {
        let unite_all = |words: &[KeySealed]| {
            let mut held = words[0].clone();
            for word in words {
                held.unite(word);
            }
            held
        };
        let apart = united(&[unite_all(&one), unite_all(&other)]);
        prop_assert_eq!(apart, united(&[one, other].concat()));
    }

    #[test]
    fn no_number_of_later_words_takes_away_what_a_version_was_made_with(numbers in vec(any::<u8>(), 0..100)) {
        let mut held = version();
        for number in numbers {
            held.unite(&KeySealed { seals: vec![seal(number)], ..version() });
            prop_assert!(held.seals.contains(&seal(0)) && held.seals.len() <= KeySealed::MAX_SEALS);
            prop_assert!(held.seals.contains(&seal(number)), "the newest is held too");
        }
    }
}

#[test]
fn seals_of_what_is_another_version_or_another_cores_word_are_not_taken() {
    let region = |name| RegionId::new(name).expect("a label");
    let word = KeySealed { seals: vec![seal(1)], ..version() };
    for other in [
        KeySealed { counter: 4, ..word.clone() },
        KeySealed { made_at: Timestamp::from_millis(2), ..word.clone() },
        KeySealed { generation: Generation(Revision::new(1, 3)), ..word.clone() },
        KeySealed { maker: region("b"), ..word.clone() },
        KeySealed { resealed_by: Some(region("b")), ..word.clone() },
        KeySealed { version: VersionId::from_bytes([8; 16]), ..word },
    ] {
        let mut held = version();
        assert!(!held.unite(&other));
        assert_eq!(held, version());
    }
}
