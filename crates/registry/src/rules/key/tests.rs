//! What the rules of systems and services promise.

use openkcm_contracts::{Revision, ServicePath};

use super::*;
use crate::rules::tenant::tests::{at, generation, moment, tenant};
use crate::store::Tenancy;

/// The system `acme/hr`, of these generations.
pub(crate) fn system(parent: u64, own: u64) -> KeyRecord {
    new(&"acme/hr".parse().unwrap(), generation(parent), KeySpec::default(), None, moment(own, 0))
}

/// The service `acme/hr/payroll`, of these generations.
pub(crate) fn service(parent: u64, own: u64) -> KeyRecord {
    new(&"acme/hr/payroll".parse().unwrap(), generation(parent), KeySpec::default(), None, moment(own, 0))
}

/// The service's place, with everything above it and itself live.
fn place() -> Place {
    let (tenant, system, held) = (Some(tenant(1)), Some(system(1, 2)), Some(service(2, 3)));
    Place { path: path(), tenant, system, held, purged: None }
}

fn path() -> KeyPath {
    "acme/hr/payroll".parse().unwrap()
}

fn empty() -> Place {
    Place { held: None, ..place() }
}

fn deleted(record: KeyRecord, millis: u64) -> KeyRecord {
    KeyRecord { state: DefinitionState::Deleted { purge_at: at(millis) }, ..record }
}

fn rotating() -> KeySpec {
    KeySpec { rotate_every: Some("90d".parse().unwrap()), ..KeySpec::default() }
}

fn version(byte: u8) -> VersionId {
    VersionId::from_bytes([byte; 16])
}

fn now() -> Moment {
    moment(9, 100)
}

fn define(place: &Place) -> Result<Outcome<KeyRecord>, Refusal> {
    super::define(place, KeySpec::default(), &Precondition::None, now())
}

#[test]
fn a_definition_needs_all_above_it_to_be_known() {
    let no_tenant = Place { tenant: None, ..empty() };
    assert_eq!(define(&no_tenant), Err(Refusal::UnknownTenant("acme".parse().unwrap())));
    let no_system = Place { system: None, ..empty() };
    assert_eq!(define(&no_system), Err(Refusal::UnknownSystem("acme/hr".parse().unwrap())));
}

#[test]
fn a_definition_needs_all_above_it_to_stand() {
    let mut offboarded = tenant(1);
    offboarded.state = Tenancy::Offboarded { purge_at: at(500) };
    let under_offboarded = Place { tenant: Some(offboarded), ..empty() };
    assert_eq!(define(&under_offboarded), Err(Refusal::TenantOffboarded("acme".parse().unwrap())));
    let system_deleted = Refusal::DefinitionDeleted("acme/hr".parse().unwrap());
    let under_deleted = Place { system: Some(deleted(system(1, 2), 500)), ..empty() };
    assert_eq!(define(&under_deleted), Err(system_deleted.clone()));
    let under_succeeded = Place { tenant: Some(tenant(8)), ..empty() };
    assert_eq!(define(&under_succeeded), Err(system_deleted));
}

#[test]
fn a_definition_belongs_to_the_present_generation_of_its_parent() {
    let Ok(Outcome::Created(record)) = define(&empty()) else { panic!() };
    assert_eq!((record.parent, record.generation), (generation(2), generation(9)));
    let system = Place { path: "acme/hr".parse().unwrap(), system: None, ..empty() };
    let Ok(Outcome::Created(record)) = define(&system) else { panic!() };
    assert_eq!((record.parent, record.service), (generation(1), None));
}

#[test]
fn the_same_definition_again_changes_nothing_and_another_does() {
    assert_eq!(define(&place()), Ok(Outcome::Unchanged(service(2, 3))));
    let change = super::define(&place(), rotating(), &Precondition::None, now());
    let Ok(Outcome::Changed(record)) = change else { panic!() };
    assert_eq!((record.generation, record.revision), (generation(3), Revision::new(1, 9)));
    assert_eq!(record.rotate_every, rotating().rotate_every);
}

#[test]
fn what_was_deleted_is_defined_again_only_by_who_has_seen_that_and_is_another_thing() {
    let mut held = deleted(service(2, 3), 700);
    held.compromised.insert(version(1));
    let place = Place { held: Some(held), ..place() };
    assert_eq!(define(&place), Err(Refusal::PreconditionRequired));
    let seen = Precondition::OneOf(vec![Revision::new(1, 3)]);
    let Ok(Outcome::Changed(record)) = super::define(&place, KeySpec::default(), &seen, now()) else {
        panic!()
    };
    assert_eq!((record.generation, record.compromised.len()), (generation(9), 0));
    assert_eq!(record.ended, Some(Ended { generation: generation(3), purge_at: at(700) }));
}

#[test]
fn what_ended_with_an_earlier_generation_of_its_parent_counts_as_deleted() {
    let mut system = system(1, 8);
    system.ended = Some(Ended { generation: generation(2), purge_at: at(600) });
    let place = Place { system: Some(system), ..place() };
    assert_eq!(define(&place), Err(Refusal::PreconditionRequired));
    let seen = Precondition::OneOf(place.held.iter().map(|held| held.revision).collect());
    let again = super::define(&place, KeySpec::default(), &seen, now());
    let Ok(Outcome::Changed(record)) = again else { panic!() };
    assert_eq!((record.parent, record.generation), (generation(8), generation(9)));
    assert_eq!(record.ended, Some(Ended { generation: generation(3), purge_at: at(600) }));
}

fn delete(place: &Place) -> Result<Outcome<KeyRecord>, Refusal> {
    super::delete(place, &Precondition::None, Duration::from_millis(50), now())
}

#[test]
fn a_deletion_waits_and_a_second_one_changes_nothing() {
    let Ok(Outcome::Changed(record)) = delete(&place()) else { panic!() };
    assert_eq!(record.state, DefinitionState::Deleted { purge_at: at(150) });
    let again = Place { held: Some(record.clone()), ..place() };
    assert_eq!(delete(&again), Ok(Outcome::Unchanged(record)));
}

#[test]
fn what_is_gone_with_its_parent_for_now_can_be_deleted_for_itself() {
    let place = Place { system: Some(deleted(system(1, 2), 500)), ..place() };
    assert!(matches!(delete(&place), Ok(Outcome::Changed(_))));
}

#[test]
fn what_belongs_to_an_offboarded_tenant_is_not_deleted_and_waits_no_shorter_than_it() {
    let offboarded =
        || Some(TenantRecord { state: Tenancy::Offboarded { purge_at: at(90_000) }, ..tenant(1) });
    let refused = Err(Refusal::TenantOffboarded("acme".parse().unwrap()));
    let below = Place { tenant: offboarded(), ..place() };
    let system =
        Place { path: "acme/hr".parse().unwrap(), system: None, held: Some(system(1, 2)), ..below.clone() };
    for place in [&below, &system] {
        assert_eq!(delete(place), refused);
    }
    // What was deleted before its tenant was offboarded is; a retry of that is told so.
    let earlier = deleted(service(2, 3), 120);
    let place = Place { held: Some(earlier.clone()), ..below };
    assert_eq!(delete(&place), Ok(Outcome::Unchanged(earlier)));
}

#[test]
fn what_is_gone_for_good_stays_as_it_is() {
    let place = Place { system: Some(system(1, 8)), ..place() };
    assert_eq!(delete(&place), Ok(Outcome::Unchanged(service(2, 3))));
    let deleted_already = Place { held: Some(deleted(service(2, 3), 500)), ..place.clone() };
    let gone = Err(Refusal::DefinitionDeleted(path()));
    assert_eq!(undelete(&deleted_already, &Precondition::None, now()), gone);
    assert_eq!(compromise(&place, &Precondition::None, version(1), now()), gone);
}

#[test]
fn what_is_not_there_can_not_be_deleted_undeleted_or_compromised() {
    let service: ServicePath = "acme/hr/payroll".parse().unwrap();
    let unknown = Err(Refusal::UnknownService(service));
    assert_eq!(delete(&empty()), unknown);
    assert_eq!(undelete(&empty(), &Precondition::None, now()), unknown);
    assert_eq!(compromise(&empty(), &Precondition::None, version(1), now()), unknown);
}

#[test]
fn a_deletion_can_be_taken_back_until_its_wait_is_over() {
    let undelete = |purge_at| {
        let place = Place { held: Some(deleted(service(2, 3), purge_at)), ..place() };
        undelete(&place, &Precondition::None, now())
    };
    let Ok(Outcome::Changed(record)) = undelete(101) else { panic!() };
    assert_eq!((record.state, record.generation), (DefinitionState::Defined, generation(3)));
    let late = Refusal::UndeleteTooLate { name: "acme/hr/payroll".into(), purge_at: at(100) };
    assert_eq!(undelete(100), Err(late));
}

#[test]
fn an_undelete_needs_something_deleted_under_something_that_stands() {
    let undelete = |place: Place| undelete(&place, &Precondition::None, now());
    assert_eq!(undelete(place()), Err(Refusal::NotDeleted("acme/hr/payroll".into())));
    let under_deleted = Place {
        system: Some(deleted(system(1, 2), 500)),
        held: Some(deleted(service(2, 3), 500)),
        ..place()
    };
    assert_eq!(undelete(under_deleted), Err(Refusal::DefinitionDeleted("acme/hr".parse().unwrap())));
}

#[test]
fn a_mark_of_compromise_stays_and_a_second_one_changes_nothing() {
    let Ok(Outcome::Changed(marked)) = compromise(&place(), &Precondition::None, version(1), now()) else {
        panic!()
    };
    assert_eq!(marked.compromised, BTreeSet::from([version(1)]));
    let again = Place { held: Some(marked.clone()), ..place() };
    let outcome = compromise(&again, &Precondition::None, version(1), now());
    assert_eq!(outcome, Ok(Outcome::Unchanged(marked.clone())));
    let Ok(Outcome::Changed(record)) = super::define(&again, rotating(), &Precondition::None, now()) else {
        panic!()
    };
    assert_eq!(record.compromised, marked.compromised);
}

#[test]
fn a_deleted_definition_takes_the_mark_too() {
    let place = Place { held: Some(deleted(service(2, 3), 500)), ..place() };
    let Ok(Outcome::Changed(record)) = compromise(&place, &Precondition::None, version(1), now()) else {
        panic!()
    };
    assert_eq!(record.state, DefinitionState::Deleted { purge_at: at(500) });
}

#[test]
fn the_marks_of_one_definition_are_bounded() {
    let mut held = service(2, 3);
    let ids = (0..MAX_COMPROMISED as u128).map(|number| VersionId::from_bytes(number.to_be_bytes()));
    held.compromised.extend(ids);
    let place = Place { held: Some(held), ..place() };
    let refused = compromise(&place, &Precondition::None, version(255), now());
    assert!(matches!(refused, Err(Refusal::Invalid { field: "version", .. })), "{refused:?}");
}

#[test]
fn each_change_honours_its_condition() {
    let stale = Precondition::OneOf(vec![Revision::new(1, 1)]);
    let failed = Err(Refusal::PreconditionFailed { present: Some(Revision::new(1, 3)) });
    assert_eq!(super::define(&place(), rotating(), &stale, now()), failed);
    assert_eq!(super::delete(&place(), &stale, Duration::ZERO, now()), failed);
    assert_eq!(undelete(&place(), &stale, now()), failed);
    assert_eq!(compromise(&place(), &stale, version(1), now()), failed);
}
