//! What a Registry does about its own last words: found stale, rebuilt.

use std::collections::BTreeSet;
use std::time::Duration;

use openkcm_contracts::v1::{KeyDefine, TenantDefine};
use openkcm_contracts::{
    Algorithm, Audience, DefinitionState, Event, Generation, KeyPath, Layer, Revision, TenantState,
};
use openkcm_orbital::Published;
use openkcm_orbital::words::Standing;
use openkcm_registry::rules::rebuild::WAIT;
use openkcm_registry::rules::{KeySpec, Precondition, Refusal};
use openkcm_registry::store::{self, Tenancy};

use crate::registry::{Registry, id, path, refusal, region, rotating, version};

const NONE: Precondition = Precondition::None;

fn r(counter: u64) -> Revision {
    Revision::new(1, counter)
}

fn later(counter: u64) -> Revision {
    Revision::new(2, counter)
}

fn tenant(generation: u64, state: TenantState, regions: &[&str]) -> Event {
    Event::TenantDefine(TenantDefine {
        tenant: id("acme"),
        generation: Generation(r(generation)),
        state,
        regions: regions.iter().map(|name| region(name)).collect(),
        labels: [].into(),
    })
}

fn key(name: &str, generation: u64, parent: u64, change: impl FnOnce(&mut KeyDefine)) -> Event {
    let path: KeyPath = path(name);
    let mut fact = KeyDefine {
        tenant: path.tenant().clone(),
        system: path.system().clone(),
        service: path.service().cloned(),
        generation: Generation(r(generation)),
        parent: Generation(r(parent)),
        layer: if path.service().is_some() { Layer::L3 } else { Layer::L2 },
        algorithm: Algorithm::AES256,
        rotate_every: None,
        state: DefinitionState::Defined,
        compromised: BTreeSet::new(),
    };
    change(&mut fact);
    Event::KeyDefine(fact)
}

fn at(name: &str) -> Audience {
    Audience::Region(region(name))
}

/// acme in a and b with hr and payroll (1.1 to 1.3), all told; started once more.
fn restarted() -> Registry {
    let mut registry = Registry::furnished();
    registry.begin(false);
    registry
}

/// All words of a furnished Registry, as region `name` has them.
fn furnished_words(name: &str) -> (Audience, Vec<(Revision, Event)>) {
    let words = vec![
        (r(1), tenant(1, TenantState::Active, &["a", "b"])),
        (r(2), key("acme/hr", 2, 1, |_| ())),
        (r(3), key("acme/hr/payroll", 3, 2, |_| ())),
    ];
    (at(name), words)
}

#[test]
fn a_start_that_finds_only_words_that_it_knows_goes_on_as_before() {
    let mut registry = restarted();
    registry.define("acme/ops", KeySpec::default(), &NONE).unwrap();
    let (a, words) = furnished_words("a");
    registry.compare(&a, &words);
    registry.conclude();
    assert_eq!(registry.standing(), Standing::Current);
    assert_eq!(registry.letters().len(), 2, "what was accepted before the comparison ended is told after it");
}

#[test]
fn a_stale_registry_changes_nothing_and_takes_its_letters_back() {
    let mut registry = restarted();
    registry.define("acme/ops", KeySpec::default(), &NONE).unwrap();
    registry.compare(&at("a"), &[(r(9), key("acme/hr/docs", 9, 2, |_| ()))]);
    registry.conclude();
    assert!(registry.standing().is_stale());
    assert_eq!(registry.letters(), Vec::<String>::new());
    assert_eq!(refusal(registry.define("acme/crm", KeySpec::default(), &NONE)), Refusal::Stale);
    assert_eq!(refusal(registry.delete("acme/hr")), Refusal::Stale);
    assert_eq!(refusal(registry.offboard("acme")), Refusal::Stale);
    assert_eq!(refusal(registry.compromise("acme/hr", version(1))), Refusal::Stale);
    assert!(registry.is_live("acme/hr/payroll"), "it can be read");
}

#[test]
fn a_word_that_differs_under_a_known_revision_makes_it_stale() {
    let mut registry = restarted();
    let differs = |fact: &mut KeyDefine| fact.rotate_every = Some("1h".parse().unwrap());
    registry.compare(&at("a"), &[(r(2), key("acme/hr", 2, 1, differs))]);
    registry.conclude();
    assert!(registry.standing().is_stale());
}

#[test]
fn a_letter_that_gave_way_to_a_newer_word_makes_it_stale() {
    let mut registry = restarted();
    registry.conclude();
    registry.define("acme/ops", KeySpec::default(), &NONE).unwrap();
    registry.define("acme/crm", KeySpec::default(), &NONE).unwrap();
    registry.learn(Published::Superseded);
    assert!(registry.standing().is_stale());
    assert_eq!(registry.letters(), Vec::<String>::new());
}

#[test]
fn a_lost_store_is_rebuilt_and_goes_on_above_all_that_it_found() {
    let mut registry = Registry::new();
    registry.begin(true);
    let (a, words) = furnished_words("a");
    registry.compare(&a, &words);
    registry.compare(&Audience::Cmk, &words[..1]);
    registry.conclude();
    assert_eq!(registry.standing(), Standing::Current);
    assert!(registry.is_live("acme/hr/payroll"));
    assert_eq!(registry.key("acme/hr/payroll").record.revision, r(3));
    // Region b has heard nothing.
    assert_eq!(
        registry.letters(),
        [
            "region.b tenant.acme 1.1 Active 1.1",
            "region.b key.acme.hr 1.2 Defined 1.2 of 1.1",
            "region.b key.acme.hr.payroll 1.3 Defined 1.3 of 1.2",
        ]
    );
    let next = registry.define("acme/ops", KeySpec::default(), &NONE).unwrap();
    assert_eq!(next.record().revision, later(1));
}

#[test]
fn the_newest_word_is_taken_and_told_where_an_older_one_was_heard() {
    let mut registry = Registry::new();
    registry.begin(true);
    let rotates = |fact: &mut KeyDefine| fact.rotate_every = Some("90d".parse().unwrap());
    for name in ["b", "a"] {
        let (audience, words) = furnished_words(name);
        registry.compare(&audience, &words);
    }
    registry.compare(&at("a"), &[(r(7), key("acme/hr", 2, 1, rotates))]);
    registry.compare(&Audience::Cmk, &[(r(1), tenant(1, TenantState::Active, &["a", "b"]))]);
    registry.conclude();
    assert_eq!(registry.key("acme/hr").record.rotate_every, Some("90d".parse().unwrap()));
    assert_eq!(registry.letters(), ["region.b key.acme.hr 1.7 Defined 1.2 of 1.1"]);
}

#[test]
fn a_region_that_was_left_and_does_not_know_it_is_told() {
    let mut registry = Registry::new();
    registry.begin(true);
    let moved = tenant(1, TenantState::Active, &["b"]);
    registry.compare(&at("a"), &[(r(1), tenant(1, TenantState::Active, &["a", "b"]))]);
    registry.compare(&at("b"), &[(r(5), moved.clone())]);
    registry.compare(&Audience::Cmk, &[(r(5), moved)]);
    registry.conclude();
    assert_eq!(registry.letters(), ["region.a tenant.acme 1.5 Withdrawn 1.1"]);
}

#[test]
fn a_tenant_of_which_only_withdrawn_is_heard_goes_on_elsewhere() {
    let mut registry = Registry::new();
    registry.begin(true);
    registry.compare(&at("a"), &[(r(5), tenant(1, TenantState::Withdrawn, &["b"]))]);
    registry.conclude();
    let record = store::tenant(&registry.store, &id("acme")).unwrap().unwrap();
    assert_eq!((record.state, record.regions), (Tenancy::Active, vec![region("b")]));
}

#[test]
fn the_wait_of_an_offboarding_begins_anew_when_nobody_knows_when_it_began() {
    let mut registry = Registry::new();
    registry.begin(true);
    registry.compare(&Audience::Cmk, &[(r(5), tenant(1, TenantState::Offboarded, &["a"]))]);
    registry.conclude();
    let record = store::tenant(&registry.store, &id("acme")).unwrap().unwrap();
    assert_eq!(record.state, Tenancy::Offboarded { purge_at: registry.now.after(WAIT) });
}

#[test]
fn a_change_that_nobody_was_told_of_gives_way_where_the_mesh_knows_another() {
    let mut registry = restarted();
    registry.define("acme/hr", rotating("1h"), &NONE).unwrap();
    registry.define("acme/ops", KeySpec::default(), &NONE).unwrap();
    registry.begin(true);
    let rotates = |fact: &mut KeyDefine| fact.rotate_every = Some("90d".parse().unwrap());
    let (a, mut words) = furnished_words("a");
    words[1] = (r(8), key("acme/hr", 2, 1, rotates));
    registry.compare(&a, &words);
    registry.conclude();
    assert_eq!(registry.key("acme/hr").record.rotate_every, Some("90d".parse().unwrap()));
    // Nobody said anything else about this one: it counts from now.
    assert_eq!(registry.key("acme/ops").record.revision, later(1));
    assert!(registry.letters().contains(&"region.a key.acme.ops 2.1 Defined 1.5 of 1.1".to_owned()));
}

#[test]
fn what_belongs_to_a_definition_that_gave_way_gives_way_with_it() {
    let mut registry = restarted();
    registry.define("acme/ops", KeySpec::default(), &NONE).unwrap();
    registry.define("acme/ops/docs", KeySpec::default(), &NONE).unwrap();
    registry.begin(true);
    registry.compare(&at("a"), &[(r(9), key("acme/ops", 9, 1, |_| ()))]);
    registry.conclude();
    assert_eq!(registry.key("acme/ops").record.generation, Generation(r(9)));
    assert_eq!(store::key(&registry.store, &path("acme/ops/docs")).unwrap(), None);
}

#[test]
fn a_mark_of_a_compromised_version_is_never_lost() {
    let mut registry = restarted();
    registry.compromise("acme/hr", version(1)).unwrap();
    registry.begin(true);
    let marked = |fact: &mut KeyDefine| fact.compromised = [version(2)].into();
    registry.compare(&at("a"), &[(r(8), key("acme/hr", 2, 1, marked))]);
    registry.conclude();
    let record = registry.key("acme/hr").record;
    assert_eq!(record.compromised, [version(1), version(2)].into());
    assert_eq!(record.revision, later(1), "it is more than anyone was told");
}

#[test]
fn another_word_under_the_same_revision_is_settled_by_a_new_one() {
    let mut registry = restarted();
    registry.begin(true);
    let (a, words) = furnished_words("a");
    registry.compare(&a, &words);
    let differs = |fact: &mut KeyDefine| fact.rotate_every = Some("1h".parse().unwrap());
    registry.compare(&at("b"), &[words[0].clone(), (r(2), key("acme/hr", 2, 1, differs)), words[2].clone()]);
    registry.compare(&Audience::Cmk, &words[..1]);
    registry.conclude();
    assert_eq!(registry.key("acme/hr").record.revision, later(1));
    let told = ["a", "b"].map(|name| format!("region.{name} key.acme.hr 2.1 Defined 1.2 of 1.1"));
    assert_eq!(registry.letters(), told);
}

#[test]
fn a_rebuild_of_a_store_that_lost_nothing_tells_what_the_mesh_lost() {
    let mut registry = restarted();
    registry.wait(Duration::from_secs(1));
    registry.begin(true);
    let (a, words) = furnished_words("a");
    registry.compare(&a, &words);
    registry.conclude();
    assert_eq!(registry.letters().len(), 4, "region b has lost three words, and the CMK Server one");
    assert_eq!((registry.standing(), registry.key("acme/hr").record.revision), (Standing::Current, r(2)));
}

#[test]
fn a_rebuild_goes_through_more_things_than_it_looks_at_at_once() {
    let names: Vec<String> = (0..1_200).map(|number| format!("acme/hr/s{number:04}")).collect();
    let services = (4..).zip(&names).map(|(counter, name)| (r(counter), key(name, counter, 2, |_| ())));
    let (a, mut words) = furnished_words("a");
    words.extend(services);
    let mut registry = Registry::new();
    registry.begin(true);
    registry.compare(&a, &words);
    registry.conclude();
    assert!(names.iter().all(|name| registry.is_live(name)));
    assert_eq!(registry.letters().iter().filter(|told| told.starts_with("region.b key.")).count(), 1_202);
    assert_eq!(registry.standing(), Standing::Current);
}
