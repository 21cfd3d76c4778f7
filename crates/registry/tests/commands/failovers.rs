//! Failover of a region: who is moved, what is told, what a crash leaves, and how tenants come back.

use openkcm_contracts::{Audience, Revision};
use openkcm_registry::commands::{self, WorkStep};
use openkcm_registry::rules::{KeySpec, Outcome, Precondition, Refusal};
use openkcm_registry::store::{self, Failover, FailoverPhase, failovers};

use crate::registry::{Registry, at, id, refusal, region};

const NONE: Precondition = Precondition::None;

/// A Registry with these tenants, each with a system and two services, all told.
fn with(tenants: &[(&str, &[&str])]) -> Registry {
    let mut registry = Registry::new();
    for (name, regions) in tenants {
        registry.tenant(name, regions, &NONE).unwrap();
        for key in ["hr", "hr/payroll", "hr/travel"] {
            registry.define(&format!("{name}/{key}"), KeySpec::default(), &NONE).unwrap();
        }
    }
    registry.letters();
    registry
}

fn regions_of(registry: &Registry, tenant: &str) -> Vec<String> {
    let record = store::tenant(&registry.store, &id(tenant)).unwrap().unwrap();
    record.regions.iter().map(ToString::to_string).collect()
}

fn of(registry: &Registry, name: &str) -> Failover {
    failovers::of(&registry.store, &region(name)).unwrap().unwrap()
}

fn fail_over(registry: &mut Registry, from: &str, to: &str) -> Failover {
    let outcome = registry.fail_over(from, to, &NONE).unwrap();
    outcome.record().clone()
}

/// Gives the tenants of a region back by the failover that there is.
fn give_back(registry: &mut Registry, from: &str) {
    let held = of(registry, from).revision;
    registry.fail_back(from, &at(held)).unwrap();
}

#[test]
fn the_survivor_takes_the_place_of_the_lost_region_in_each_tenants_list() {
    let mut registry =
        with(&[("apex", &["a"]), ("bell", &["a", "b"]), ("core", &["c", "a"]), ("dune", &["c"])]);
    fail_over(&mut registry, "a", "b");
    registry.work(500);
    assert_eq!(regions_of(&registry, "apex"), ["b"]);
    assert_eq!(regions_of(&registry, "bell"), ["b"]);
    assert_eq!(regions_of(&registry, "core"), ["c", "b"]);
    assert_eq!(regions_of(&registry, "dune"), ["c"]);
    let done = of(&registry, "a");
    assert_eq!((done.total, done.moved, done.left), (3, 3, 0));
    assert_eq!(done.phase, FailoverPhase::Moved { at: registry.now });
}

#[test]
fn the_survivor_hears_of_all_keys_and_the_lost_region_that_it_has_the_tenant_no_more() {
    let mut registry = Registry::furnished();
    fail_over(&mut registry, "a", "c");
    registry.work(500);
    assert_eq!(
        registry.letters(),
        [
            "region.c key.acme.hr 1.2 Defined 1.2 of 1.1",
            "region.c key.acme.hr.payroll 1.3 Defined 1.3 of 1.2",
            "region.c tenant.acme 1.5 Active 1.1",
            "region.b tenant.acme 1.5 Active 1.1",
            "cmk tenant.acme 1.5 Active 1.1",
            "region.a tenant.acme 1.5 Withdrawn 1.1",
        ]
    );
}

#[test]
fn a_region_that_knew_the_tenant_already_hears_of_no_key_again() {
    let mut registry = Registry::furnished();
    fail_over(&mut registry, "a", "b");
    registry.work(500);
    let expected = [
        "region.b tenant.acme 1.5 Active 1.1",
        "cmk tenant.acme 1.5 Active 1.1",
        "region.a tenant.acme 1.5 Withdrawn 1.1",
    ];
    assert_eq!(registry.letters(), expected);
}

#[test]
fn steps_of_any_size_come_to_the_same_end() {
    let tenants: [(&str, &[&str]); 3] = [("apex", &["a"]), ("bell", &["b", "a"]), ("core", &["c", "a"])];
    let letters = |limit| {
        let mut registry = with(&tenants);
        fail_over(&mut registry, "a", "c");
        let steps = registry.work(limit);
        let mut letters = registry.letters();
        letters.sort();
        (steps, letters, of(&registry, "a").moved)
    };
    let (steps, at_once, moved) = letters(500);
    assert_eq!((steps, moved), (1, 3));
    for limit in 1..8 {
        let (steps, in_parts, moved) = letters(limit);
        assert!(steps > 1 && in_parts == at_once && moved == 3, "{limit}: {in_parts:?}");
    }
}

#[test]
fn a_region_hears_of_a_tenant_after_all_its_keys_however_small_the_steps_and_whatever_changes_meanwhile() {
    for limit in 1..8 {
        let mut registry = with(&[("apex", &["a"]), ("bell", &["a"])]);
        fail_over(&mut registry, "a", "b");
        registry.work(500);
        // The lost region holds all this as it was before.
        registry.delete("apex/hr/payroll").unwrap();
        registry.letters();
        give_back(&mut registry, "a");
        let mut told: Vec<String> = Vec::new();
        let mut relabelled = false;
        loop {
            let now = registry.now;
            let step = registry.store.write(|tx| commands::work(tx, now, limit)).unwrap();
            told.extend(registry.letters());
            if !relabelled && regions_of(&registry, "apex") == ["a"] {
                registry.relabel("apex");
                told.extend(registry.letters());
                relabelled = true;
            }
            if !step.more {
                break;
            }
        }
        for name in ["apex", "bell"] {
            let first = told.iter().position(|word| word.starts_with(&format!("region.a tenant.{name} ")));
            let last = told.iter().rposition(|word| word.starts_with(&format!("region.a key.{name}.")));
            assert!(first > last && last.is_some(), "{limit}: {told:#?}");
            let keys = told.iter().filter(|word| word.starts_with(&format!("region.a key.{name}."))).count();
            assert!(keys >= 3, "{limit}: {told:#?}");
        }
    }
}

#[test]
fn a_late_retry_gives_nothing_back() {
    let mut registry = with(&[("apex", &["a"])]);
    let said = fail_over(&mut registry, "a", "b").revision;
    registry.work(500);
    assert!(matches!(refusal(registry.fail_back("a", &NONE)), Refusal::PreconditionRequired));
    registry.fail_back("a", &at(said)).unwrap();
    registry.work(500);
    let again = of(&registry, "a").revision;
    registry.fail_over("a", "b", &at(again)).unwrap();
    registry.work(500);
    assert!(matches!(refusal(registry.fail_back("a", &at(said))), Refusal::PreconditionFailed { .. }));
    assert_eq!(regions_of(&registry, "apex"), ["b"]);
}

#[test]
fn a_step_that_is_lost_is_done_again_and_nothing_twice() {
    let mut registry = with(&[("apex", &["a"]), ("bell", &["a"])]);
    fail_over(&mut registry, "a", "b");
    loop {
        let now = registry.now;
        // The process ends before the commit: what the step wrote is gone.
        let lost = registry.store.write(|tx| {
            commands::work(tx, now, 2).unwrap();
            Err::<(), _>("the process ended")
        });
        assert!(lost.is_err());
        let WorkStep { more, .. } = registry.store.write(|tx| commands::work(tx, now, 2)).unwrap();
        if !more {
            break;
        }
    }
    let done = of(&registry, "a");
    assert_eq!((done.moved, done.left), (2, 0));
    let mut keys = registry.letters();
    keys.retain(|letter| letter.contains(" key."));
    assert_eq!(keys.len(), 6, "{keys:?}");
}

#[test]
fn a_tenant_of_many_keys_keeps_no_other_one_waiting() {
    let mut registry = with(&[("bell", &["a"])]);
    registry.tenant("apex", &["a"], &NONE).unwrap();
    registry.define("apex/hr", KeySpec::default(), &NONE).unwrap();
    for number in 0..600 {
        registry.define(&format!("apex/hr/service-{number}"), KeySpec::default(), &NONE).unwrap();
    }
    registry.letters();
    fail_over(&mut registry, "a", "b");
    let now = registry.now;
    registry.store.write(|tx| commands::work(tx, now, 550)).unwrap();
    assert_eq!(regions_of(&registry, "bell"), ["b"]);
    let first = registry.letters();
    assert!(first.contains(&"region.b key.bell.hr.travel 1.4 Defined 1.4 of 1.2".into()), "{first:?}");
    assert!(of(&registry, "a").is_running(), "the survivor lacks keys yet");
    registry.work(500);
    let of_apex =
        |letters: &[String]| letters.iter().filter(|letter| letter.contains(" key.apex.hr.")).count();
    assert_eq!(of_apex(&first) + of_apex(&registry.letters()), 600);
}

#[test]
fn what_an_operator_says_after_the_failover_is_left() {
    let mut registry = with(&[("apex", &["a"]), ("bell", &["a"])]);
    fail_over(&mut registry, "a", "b");
    registry.tenant("bell", &["a", "c"], &NONE).unwrap();
    registry.tenant("cove", &["a"], &NONE).unwrap();
    registry.work(1);
    assert_eq!(regions_of(&registry, "bell"), ["a", "c"]);
    assert_eq!(regions_of(&registry, "cove"), ["a"]);
    let done = of(&registry, "a");
    assert_eq!((done.total, done.moved, done.left), (2, 1, 2));
}

#[test]
fn what_was_left_is_moved_when_that_is_said_once_more() {
    let mut registry = with(&[("apex", &["a"])]);
    let first = fail_over(&mut registry, "a", "b");
    registry.work(500);
    registry.tenant("bell", &["a"], &NONE).unwrap();
    assert_eq!(fail_over(&mut registry, "a", "b").revision, first.revision);
    registry.work(500);
    assert_eq!(regions_of(&registry, "bell"), ["a"]);
    registry.fail_over("a", "b", &at(first.revision)).unwrap();
    registry.work(500);
    assert_eq!(regions_of(&registry, "bell"), ["b"]);
    assert_eq!((of(&registry, "a").total, of(&registry, "a").moved), (2, 2));
    give_back(&mut registry, "a");
    registry.work(500);
    assert_eq!(
        (regions_of(&registry, "apex"), regions_of(&registry, "bell")),
        (vec!["a".into()], vec!["a".into()])
    );
}

#[test]
fn tenants_come_back_to_exactly_the_regions_that_they_had() {
    let lists: [(&str, &[&str]); 3] = [("apex", &["a"]), ("bell", &["a", "c", "b"]), ("core", &["b", "a"])];
    for limit in [1, 2, 500] {
        let mut registry = with(&lists);
        fail_over(&mut registry, "a", "b");
        registry.work(limit);
        registry.letters();
        give_back(&mut registry, "a");
        registry.work(limit);
        for (name, regions) in lists {
            assert_eq!(regions_of(&registry, name), regions, "{limit}");
        }
        let done = of(&registry, "a");
        assert_eq!((done.returned, done.kept), (3, 0));
        assert_eq!(done.phase, FailoverPhase::Returned { at: registry.now });
        let told = registry.letters();
        assert!(told.iter().any(|letter| letter.starts_with("region.a key.bell.hr.payroll ")), "{told:?}");
        assert!(
            told.iter()
                .any(|letter| letter.starts_with("region.b tenant.apex ") && letter.contains("Withdrawn"))
        );
        assert!(failovers::moved(&registry.store, &region("a"), None, 9).unwrap().is_empty());
    }
}

#[test]
fn a_tenant_that_an_operator_placed_meanwhile_stays_there_and_is_counted() {
    let mut registry = with(&[("apex", &["a"]), ("bell", &["a"]), ("core", &["a"])]);
    fail_over(&mut registry, "a", "b");
    registry.work(500);
    registry.tenant("bell", &["c"], &NONE).unwrap();
    let offboarded = registry.offboard("core").unwrap();
    registry.tenant("core", &["b"], &at(offboarded.record().revision)).unwrap();
    give_back(&mut registry, "a");
    registry.work(500);
    assert_eq!(regions_of(&registry, "apex"), ["a"]);
    assert_eq!(regions_of(&registry, "bell"), ["c"]);
    assert_eq!(regions_of(&registry, "core"), ["b"], "it is another tenant under the name");
    assert_eq!((of(&registry, "a").returned, of(&registry, "a").kept), (1, 2));
}

#[test]
fn a_failover_that_was_a_mistake_is_turned_round_in_the_middle() {
    let mut registry = with(&[("apex", &["a"]), ("bell", &["a"])]);
    fail_over(&mut registry, "a", "b");
    let now = registry.now;
    registry.store.write(|tx| commands::work(tx, now, 1)).unwrap();
    assert_eq!(
        (regions_of(&registry, "apex"), regions_of(&registry, "bell")),
        (vec!["b".into()], vec!["a".into()])
    );
    give_back(&mut registry, "a");
    registry.work(2);
    assert_eq!(
        (regions_of(&registry, "apex"), regions_of(&registry, "bell")),
        (vec!["a".into()], vec!["a".into()])
    );
}

#[test]
fn a_tenant_whose_survivor_is_lost_too_comes_back_by_either_failover_in_any_order() {
    for (first, last, expected) in [("b", "a", "a"), ("a", "b", "a")] {
        let mut registry = with(&[("apex", &["a"])]);
        for (from, to) in [("a", "b"), ("b", "c")] {
            fail_over(&mut registry, from, to);
            registry.work(500);
        }
        assert_eq!(regions_of(&registry, "apex"), ["c"]);
        for region in [first, last] {
            give_back(&mut registry, region);
            registry.work(500);
        }
        assert_eq!(regions_of(&registry, "apex"), [expected], "{first} came back first");
    }
}

#[test]
fn a_registry_that_may_be_behind_its_own_words_fails_nothing_over() {
    let mut registry = with(&[("apex", &["a"])]);
    fail_over(&mut registry, "a", "b");
    registry.begin(false);
    assert_eq!(refusal(registry.fail_over("c", "b", &NONE)), Refusal::NotCompared);
    assert_eq!(refusal(registry.fail_back("a", &NONE)), Refusal::NotCompared);
    registry.work(500);
    assert_eq!(regions_of(&registry, "apex"), ["a"], "what was said before the start waits too");
    registry.conclude();
    registry.work(500);
    assert_eq!(regions_of(&registry, "apex"), ["b"]);
}

#[test]
fn a_stale_registry_fails_nothing_over_and_goes_on_when_it_has_caught_up() {
    let mut registry = with(&[("apex", &["a"]), ("bell", &["a"])]);
    fail_over(&mut registry, "a", "b");
    registry.begin(false);
    let word = store::tenant(&registry.store, &id("apex")).unwrap().unwrap();
    let event = openkcm_contracts::Event::TenantDefine(openkcm_registry::rules::telling::tenant_word(&word));
    registry.compare(&Audience::Cmk, &[(Revision::new(1, 99), event)]);
    registry.conclude();
    assert!(registry.standing().is_stale());
    assert_eq!(refusal(registry.fail_over("c", "b", &NONE)), Refusal::Stale);
    registry.work(500);
    assert_eq!(regions_of(&registry, "bell"), ["a"]);
    registry.begin(true);
    registry.conclude();
    registry.work(500);
    assert_eq!(regions_of(&registry, "bell"), ["b"]);
}

#[test]
fn a_region_that_is_added_by_hand_is_told_of_many_keys_in_parts() {
    let mut registry = with(&[("apex", &["a"])]);
    for number in 0..1_200 {
        registry.define(&format!("apex/hr/service-{number}"), KeySpec::default(), &NONE).unwrap();
    }
    registry.letters();
    let outcome = registry.tenant("apex", &["a", "b"], &NONE).unwrap();
    assert!(matches!(outcome, Outcome::Changed(_)));
    let first = registry.letters();
    assert_eq!(first.iter().filter(|letter| letter.starts_with("region.b key.")).count(), 500);
    assert!(failovers::is_untold(&registry.store, &region("b")).unwrap());
    assert!(
        !first.iter().any(|letter| letter.starts_with("region.b tenant.")),
        "it is told when all its keys are"
    );
    registry.work(300);
    let rest = registry.letters();
    assert_eq!(rest.len(), 704);
    assert!(rest[703].starts_with("region.b tenant.apex "), "{}", rest[703]);
    assert!(!failovers::is_untold(&registry.store, &region("b")).unwrap());
}

#[test]
fn a_region_that_left_before_it_was_told_all_is_told_no_more() {
    let mut registry = with(&[("apex", &["a"])]);
    for number in 0..600 {
        registry.define(&format!("apex/hr/service-{number}"), KeySpec::default(), &NONE).unwrap();
    }
    registry.tenant("apex", &["a", "b"], &NONE).unwrap();
    registry.tenant("apex", &["a"], &NONE).unwrap();
    registry.letters();
    registry.work(500);
    assert!(registry.letters().is_empty());
}
