//! What regions claim beyond what the Registry knows: nothing more is told to be destroyed, until someone decides.

use openkcm_contracts::{Event, Generation, Revision, SystemId};
use openkcm_digests::bucket_of;
use openkcm_registry::doubts;
use openkcm_registry::rules::doubt::{Doubt, PATIENCE};
use openkcm_registry::rules::{KeySpec, Precondition, Refusal};

use crate::drift::Region;
use crate::registry::{Registry, WAIT, refusal, region};

const SERVICE: &str = "acme/hr/payroll";

/// A Registry in which the service is due to be destroyed.
fn with_something_due() -> Registry {
    let mut registry = Registry::furnished();
    registry.delete(SERVICE).unwrap();
    registry.wait(WAIT);
    registry.letters();
    registry
}

/// Region `a`, which has applied this revision.
fn claiming(registry: &Registry, applied: Revision) -> Region {
    let mut a = Region::of(registry);
    a.applied = Some(applied);
    a
}

fn doubt(registry: &Registry) -> Doubt {
    doubts::of(&registry.store, &region("a"), registry.now).unwrap()
}

#[test]
fn a_registry_that_lost_words_which_a_region_has_applied_destroys_nothing_more() {
    let mut registry = with_something_due();
    // In the part that was lost, at 1.9, the deletion was taken back.
    let mut a = claiming(&registry, Revision::new(1, 9));
    registry.compares(&mut a);
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Open));
    assert_eq!(registry.tombstones(), [""; 0]);
    // Its own counting passes that revision, by which nothing is back that was lost.
    for number in 0..10 {
        registry.define(&format!("acme/s{number}"), KeySpec::default(), &Precondition::None).unwrap();
    }
    a.applied = Some(Revision::new(1, 12));
    registry.letters();
    registry.compares(&mut a);
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Open));
    // The region takes it back: its Core was given a new store.
    (a.applied, a.incarnation) = (Some(Revision::new(1, 3)), 2);
    registry.compares(&mut a);
    assert_eq!(registry.purge(), Some(vec![SERVICE.to_owned()]));
}

#[test]
fn a_later_word_of_one_thing_in_one_region_is_reason_enough() {
    let mut registry = with_something_due();
    let mut a = Region::of(&registry);
    let mut word = Region::word(&registry, SERVICE);
    if let Event::KeyDefine(fact) = &mut word {
        fact.state = openkcm_contracts::DefinitionState::Defined;
        fact.generation = Generation(Revision::new(1, 3));
    }
    a.hold(&word, Some(Revision::new(1, 5)));
    registry.compares(&mut a);
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Open));
    a.hold(&word, None);
    let held = registry.key(SERVICE).record.revision;
    a.hold(&Region::word(&registry, SERVICE), Some(held));
    registry.compares(&mut a);
    assert_eq!(registry.purge(), Some(vec![SERVICE.to_owned()]));
}

#[test]
fn an_operators_word_overrules_one_region_until_it_has_taken_back_what_it_claimed() {
    let mut registry = with_something_due();
    let mut a = claiming(&registry, Revision::new(7, 1));
    registry.overrule("a").unwrap();
    registry.compares(&mut a);
    assert_eq!(registry.purge(), Some(Vec::new()), "what was said before the claim is none on it");
    assert!(matches!(refusal(registry.overrule("nowhere")), Refusal::UnknownRegion(_)));
    registry.overrule("b").unwrap();
    assert_eq!(registry.purge(), Some(Vec::new()), "it is of another region");
    registry.overrule("a").unwrap();
    assert_eq!((registry.purge(), doubt(&registry)), (Some(vec![SERVICE.to_owned()]), Doubt::Overruled));
    a.applied = Some(Revision::new(8, 1));
    registry.compares(&mut a);
    assert_eq!(doubt(&registry), Doubt::Overruled, "it may not undo that by claiming more");
    for (applied, expected) in [(Revision::new(1, 4), Doubt::None), (Revision::new(7, 1), Doubt::Open)] {
        a.applied = Some(applied);
        registry.compares(&mut a);
        assert_eq!(doubt(&registry), expected);
    }
}

#[test]
fn a_rebuild_is_a_word_too_and_what_is_claimed_of_the_old_term_counts_no_more() {
    let mut registry = with_something_due();
    let mut a = claiming(&registry, Revision::new(1, 9));
    registry.compares(&mut a);
    registry.begin(true);
    registry.conclude();
    registry.letters();
    a.sequence += 1;
    registry.compares(&mut a);
    registry.wait(PATIENCE);
    assert_eq!(doubt(&registry), Doubt::None);
    assert_eq!(registry.purge(), Some(vec![SERVICE.to_owned()]));
}

#[test]
fn after_a_start_nothing_is_destroyed_before_each_region_was_heard_or_had_time_to_be() {
    for heard in [false, true] {
        let mut registry = with_something_due();
        registry.begin(false);
        // The mesh is away for longer than regions are waited for: none of them could be heard.
        registry.wait(PATIENCE * 2);
        registry.conclude();
        assert_eq!(registry.purge(), Some(Vec::new()));
        if heard {
            for name in ["a", "b", "c"] {
                assert_eq!(registry.purge(), Some(Vec::new()), "before {name} was heard");
                let mut region = Region::of(&registry);
                region.name = name;
                registry.compares(&mut region);
            }
        } else {
            registry.wait(PATIENCE);
        }
        assert_eq!(registry.purge(), Some(vec![SERVICE.to_owned()]), "heard: {heard}");
    }
}

#[test]
fn a_region_is_heard_when_what_it_holds_otherwise_was_looked_into() {
    let mut registry = with_something_due();
    // A store that was put back and counted on: the region has applied nothing beyond it, and holds the lost word.
    for number in 0..10 {
        registry.define(&format!("acme/s{number}"), KeySpec::default(), &Precondition::None).unwrap();
    }
    let mut a = Region::of(&registry);
    a.applied = Some(Revision::new(1, 9));
    let mut word = Region::word(&registry, SERVICE);
    if let Event::KeyDefine(fact) = &mut word {
        fact.state = openkcm_contracts::DefinitionState::Defined;
    }
    a.hold(&word, Some(Revision::new(1, 9)));
    registry.begin(false);
    registry.conclude();
    registry.letters();
    for name in ["b", "c"] {
        let mut other = Region::of(&registry);
        other.name = name;
        registry.compares(&mut other);
    }
    let manifest = a.tells();
    registry.hears(manifest);
    assert_eq!(
        (registry.purge(), doubt(&registry)),
        (Some(Vec::new()), Doubt::Unheard),
        "heard, not looked into"
    );
    let mut questions = 0;
    while let Some(query) = registry.asks() {
        assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Unheard));
        let answer = a.answers(&query);
        registry.hears(answer);
        questions += 1;
    }
    assert!(questions > 1, "down to the thing itself");
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Open));
    registry.wait(PATIENCE * 2);
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Open), "however long");
}

#[test]
fn a_region_that_speaks_and_answers_nothing_is_waited_for_until_an_operator_overrules_it() {
    let mut registry = with_something_due();
    registry.begin(false);
    registry.conclude();
    for name in ["a", "b", "c"] {
        let mut region = Region::empty(name);
        let manifest = region.tells();
        registry.hears(manifest);
    }
    registry.wait(PATIENCE * 10);
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Unheard));
    for name in ["a", "b", "c"] {
        registry.overrule(name).unwrap();
    }
    assert_eq!(doubt(&registry), Doubt::Overruled);
    assert_eq!(registry.purge(), Some(vec![SERVICE.to_owned()]));
    // The next start may be on another store.
    registry.begin(false);
    registry.conclude();
    assert_eq!(doubt(&registry), Doubt::Unheard);
}

/// The words of so many services of which the Registry never heard, each in a system, and so a unit, of its own, in
/// these buckets.
fn strangers(registry: &Registry, count: usize, buckets: std::ops::Range<u8>) -> Vec<Event> {
    let names = (0..).map(|number| format!("s{number}"));
    let within = names.filter(|name| buckets.contains(&bucket_of(&format!("acme/{name}"))));
    let word = |name: String| match Region::word(registry, SERVICE) {
        Event::KeyDefine(mut fact) => {
            fact.system = SystemId::new(&name).unwrap();
            Event::KeyDefine(fact)
        }
        other => panic!("{other:?} is no definition"),
    };
    within.take(count).map(word).collect()
}

/// Region `a` holds a later word of a service than the Registry, in a bucket behind all these.
fn with_a_later_word_behind(strangers: usize, buckets: std::ops::Range<u8>) -> (Registry, Region) {
    let mut registry = Registry::furnished();
    let last = (0..).map(|number| format!("z{number}"));
    let mut last = last.filter(|name| bucket_of(&format!("acme/{name}")) == buckets.end - 1);
    let system = last.next().unwrap();
    let service = format!("acme/{system}/payroll");
    registry.define(&format!("acme/{system}"), KeySpec::default(), &Precondition::None).unwrap();
    registry.define(&service, KeySpec::default(), &Precondition::None).unwrap();
    registry.delete(&service).unwrap();
    registry.wait(WAIT);
    registry.letters();
    let mut a = Region::of(&registry);
    for word in self::strangers(&registry, strangers, buckets) {
        a.hold(&word, Some(Revision::new(1, 2)));
    }
    let mut word = Region::word(&registry, &service);
    if let Event::KeyDefine(fact) = &mut word {
        fact.state = openkcm_contracts::DefinitionState::Defined;
    }
    a.hold(
        &Region::word(&registry, &format!("acme/{system}")),
        Some(registry.key(&format!("acme/{system}")).record.revision),
    );
    a.hold(&word, Some(Revision::new(1, 9)));
    registry.begin(false);
    registry.conclude();
    for name in ["b", "c"] {
        let mut other = Region::of(&registry);
        other.name = name;
        registry.compares(&mut other);
    }
    (registry, a)
}

#[test]
fn a_later_word_is_found_behind_more_differing_buckets_than_one_look_has() {
    let (mut registry, mut a) = with_a_later_word_behind(600, 0..255);
    registry.compares(&mut a);
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Open));
}

#[test]
fn a_later_word_is_found_behind_more_differing_units_than_are_waited_for() {
    let (mut registry, mut a) = with_a_later_word_behind(5_000, 0..64);
    let manifest = a.tells();
    registry.hears(manifest);
    while let Some(query) = registry.asks() {
        let answer = a.answers(&query);
        registry.hears(answer);
        assert_ne!(doubt(&registry), Doubt::None, "it was not looked into to its end");
    }
    // What was too much at once has its turn when it was left alone for a while.
    for _ in 0..100 {
        if doubt(&registry) == Doubt::Open {
            break;
        }
        registry.wait(PATIENCE / 2);
        registry.compares(&mut a);
    }
    assert_eq!((registry.purge(), doubt(&registry)), (Some(Vec::new()), Doubt::Open));
}

#[test]
fn a_region_that_comes_later_is_told_what_was_destroyed_whoever_claims_what() {
    let mut registry = with_something_due();
    registry.purge();
    registry.tombstones();
    let mut a = claiming(&registry, Revision::new(7, 1));
    registry.compares(&mut a);
    registry.set_regions(&["a", "b", "c", "d"]);
    assert_eq!(registry.purge(), Some(Vec::new()));
    assert_eq!(registry.tombstones(), ["region.d purge.acme.hr.payroll 1.5 up to 1.4"]);
}
