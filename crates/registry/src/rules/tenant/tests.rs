//! What the rules of tenants promise.

use openkcm_contracts::{Revision, Timestamp};

use super::*;

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn generation(counter: u64) -> Generation {
    Generation(Revision::new(1, counter))
}

pub(crate) fn moment(counter: u64, millis: u64) -> Moment {
    Moment { revision: Revision::new(1, counter), now: at(millis) }
}

/// A tenant `acme` in regions `a` and `b`, of this generation.
pub(crate) fn tenant(counter: u64) -> TenantRecord {
    new(&id(), spec(&["a", "b"]), None, moment(counter, 0))
}

fn id() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn region(name: &str) -> RegionId {
    RegionId::new(name).unwrap()
}

fn spec(regions: &[&str]) -> TenantSpec {
    TenantSpec { regions: regions.iter().map(|name| region(name)).collect(), labels: BTreeMap::new() }
}

fn landscape() -> Landscape {
    Landscape { regions: ["a", "b", "c"].map(region).into() }
}

fn define(
    held: Option<&TenantRecord>,
    spec: TenantSpec,
    condition: &Precondition,
) -> Result<Outcome<TenantRecord>, Refusal> {
    super::define(&id(), held, &landscape(), spec, condition, moment(9, 900))
}

fn field_of(refusal: Result<Outcome<TenantRecord>, Refusal>) -> &'static str {
    match refusal {
        Err(Refusal::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenant_has_at_least_one_region_each_once_and_all_of_the_landscape() {
    assert_eq!(field_of(define(None, spec(&[]), &Precondition::None)), "regions");
    assert_eq!(field_of(define(None, spec(&["a", "b", "a"]), &Precondition::None)), "regions");
    let foreign = define(None, spec(&["a", "x"]), &Precondition::None);
    assert_eq!(foreign, Err(Refusal::UnknownRegion(region("x"))));
}

#[test]
fn a_tenant_has_at_most_so_many_regions_and_labels() {
    let names: Vec<String> = (0..=MAX_REGIONS).map(|number| format!("r{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(field_of(define(None, spec(&names), &Precondition::None)), "regions");
    let with_labels = |labels: BTreeMap<String, String>| {
        define(None, TenantSpec { labels, ..spec(&["a"]) }, &Precondition::None)
    };
    let full = (0..MAX_LABELS).map(|number| (number.to_string(), "v".repeat(MAX_LABEL_VALUE_LEN)));
    let mut labels: BTreeMap<_, _> = full.collect();
    assert!(with_labels(labels.clone()).is_ok());
    labels.insert("more".into(), String::new());
    assert_eq!(field_of(with_labels(labels)), "labels");
    for (name, value) in [("", 1), (&*"n".repeat(64), 1), ("n", 257)] {
        let labels = BTreeMap::from([(name.to_owned(), "v".repeat(value))]);
        assert_eq!(field_of(with_labels(labels)), "labels");
    }
}

#[test]
fn the_first_definition_is_created_at_the_next_revision() {
    let Ok(Outcome::Created(record)) = define(None, spec(&["b", "a"]), &Precondition::None) else { panic!() };
    assert_eq!((record.generation, record.revision), (generation(9), Revision::new(1, 9)));
    assert_eq!(record.regions, [region("b"), region("a")]);
}

#[test]
fn the_same_definition_again_changes_nothing() {
    let held = tenant(1);
    let again = define(Some(&held), spec(&["a", "b"]), &Precondition::None);
    assert_eq!(again, Ok(Outcome::Unchanged(held)));
}

#[test]
fn another_order_of_regions_is_a_change_of_the_same_generation() {
    let Ok(Outcome::Changed(record)) = define(Some(&tenant(1)), spec(&["b", "a"]), &Precondition::None)
    else {
        panic!()
    };
    assert_eq!((record.generation, record.revision), (generation(1), Revision::new(1, 9)));
    assert_eq!((record.defined_at, record.changed_at), (at(0), at(900)));
}

#[test]
fn a_change_of_what_does_not_exist_fails_its_condition() {
    let missing = Err(Refusal::PreconditionFailed { present: None });
    assert_eq!(define(None, spec(&["a"]), &Precondition::Exists), missing);
}

#[test]
fn an_offboarded_tenant_is_defined_again_only_by_who_has_seen_that() {
    let held = offboarded(&tenant(1), 100);
    let condition = Precondition::OneOf(vec![held.revision]);
    assert_eq!(define(Some(&held), spec(&["a"]), &Precondition::None), Err(Refusal::PreconditionRequired));
    let Ok(Outcome::Changed(record)) = define(Some(&held), spec(&["a"]), &condition) else { panic!() };
    assert_eq!((record.generation, record.state), (generation(9), Tenancy::Active));
    assert_eq!(record.ended, Some(Ended { generation: generation(1), purge_at: at(150) }));
}

#[test]
fn of_several_ended_generations_the_last_wait_counts() {
    let mut held = offboarded(&tenant(5), 100);
    held.ended = Some(Ended { generation: generation(1), purge_at: at(5_000) });
    let seen = Precondition::OneOf(vec![held.revision]);
    let Ok(Outcome::Changed(record)) = define(Some(&held), spec(&["a"]), &seen) else { panic!() };
    assert_eq!(record.ended, Some(Ended { generation: generation(5), purge_at: at(5_000) }));
}

/// Offboarded at this time, to wait for 50 ms.
fn offboarded(held: &TenantRecord, millis: u64) -> TenantRecord {
    let wait = Duration::from_millis(50);
    let outcome = offboard(&id(), Some(held), &Precondition::None, wait, moment(2, millis));
    outcome.unwrap().record().clone()
}

#[test]
fn an_offboarding_waits_and_a_second_one_changes_nothing() {
    let held = offboarded(&tenant(1), 100);
    assert_eq!((held.state, held.revision), (Tenancy::Offboarded { purge_at: at(150) }, Revision::new(1, 2)));
    let again = offboard(&id(), Some(&held), &Precondition::None, Duration::ZERO, moment(3, 110));
    assert_eq!(again, Ok(Outcome::Unchanged(held)));
}

#[test]
fn an_offboarding_can_be_taken_back_until_its_wait_is_over() {
    let held = offboarded(&tenant(1), 100);
    let undelete = |millis| undelete(&id(), Some(&held), &Precondition::None, false, moment(3, millis));
    let Ok(Outcome::Changed(record)) = undelete(149) else { panic!() };
    assert_eq!((record.state, record.generation), (Tenancy::Active, generation(1)));
    let late = Refusal::UndeleteTooLate { name: "tenant acme".into(), purge_at: at(150) };
    assert_eq!(undelete(150), Err(late));
}

#[test]
fn what_is_not_offboarded_or_not_known_can_not_be_undeleted() {
    let undelete = |held| undelete(&id(), held, &Precondition::None, false, moment(3, 1));
    let active = tenant(1);
    assert_eq!(undelete(Some(&active)), Err(Refusal::NotDeleted("tenant acme".into())));
    assert_eq!(undelete(None), Err(Refusal::UnknownTenant(id())));
}
