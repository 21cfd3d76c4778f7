//! What the Registry says of the destruction of keys, when, and to whom.

use openkcm_contracts::v1::KeyPurge;
use openkcm_contracts::{Audience, Event, Generation, Revision};
use openkcm_registry::rules::doubt::PATIENCE;
use openkcm_registry::rules::{KeySpec, Precondition, Refusal};
use openkcm_registry::store::purges;

use crate::registry::{Registry, WAIT, at, path, refusal, region};

const NONE: Precondition = Precondition::None;

fn told(registry: &mut Registry) -> Vec<String> {
    let told = registry.purge().expect("nothing keeps it from telling");
    registry.letters();
    told
}

#[test]
fn a_deleted_service_is_named_to_all_regions_of_the_landscape_when_its_wait_is_over() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr/payroll").unwrap();
    assert_eq!(told(&mut registry), [""; 0]);
    registry.wait(WAIT);
    assert_eq!(told(&mut registry), ["acme/hr/payroll"]);
    let letters = ["a", "b", "c"].map(|name| format!("region.{name} purge.acme.hr.payroll 1.5 up to 1.4"));
    assert_eq!(registry.tombstones(), letters);
    assert_eq!(registry.key("acme/hr/payroll").purged_at, Some(registry.now));
    assert_eq!(told(&mut registry), [""; 0], "it is told once");
}

#[test]
fn what_was_undeleted_in_time_is_not_named() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr").unwrap();
    registry.undelete("acme/hr").unwrap();
    registry.wait(WAIT);
    assert_eq!(told(&mut registry), [""; 0]);
}

#[test]
fn what_was_named_is_not_undeleted_whatever_the_clock_says() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr").unwrap();
    let before = registry.now;
    registry.wait(WAIT);
    told(&mut registry);
    registry.now = before;
    assert!(matches!(refusal(registry.undelete("acme/hr")), Refusal::UndeleteTooLate { .. }));
    let revision = registry.key("acme/hr").record.revision;
    let again = registry.define("acme/hr", KeySpec::default(), &at(revision)).unwrap();
    assert!(again.record().generation > Generation(Revision::new(1, 5)), "another key");
    assert_eq!(registry.key("acme/hr").purged_at, None);
}

#[test]
fn a_systems_tombstone_is_the_only_one_for_all_its_services() {
    let mut registry = Registry::furnished();
    registry.define("acme/hr/leave", KeySpec::default(), &NONE).unwrap();
    registry.delete("acme/hr").unwrap();
    registry.wait(WAIT);
    assert_eq!(told(&mut registry), ["acme/hr"]);
    assert_eq!(registry.tombstones().len(), 3);
    assert_eq!(registry.key("acme/hr/leave").purged_at, Some(registry.now));
}

#[test]
fn the_past_of_what_was_defined_again_is_named_and_the_present_is_not() {
    let mut registry = Registry::furnished();
    let deleted = registry.delete("acme/hr").unwrap().record().revision;
    registry.define("acme/hr", KeySpec::default(), &at(deleted)).unwrap();
    registry.define("acme/hr/leave", KeySpec::default(), &NONE).unwrap();
    registry.wait(WAIT);
    assert_eq!(told(&mut registry), ["acme/hr"]);
    // Deleted at 1.4, again at 1.5, leave at 1.6: payroll, of 1.3, is named, and leave is not.
    assert_eq!(registry.tombstones()[0], "region.a purge.acme.hr 1.7 up to 1.4");
    assert_eq!(registry.key("acme/hr/leave").purged_at, None);
    assert!(registry.key("acme/hr/payroll").purged_at.is_some());
}

#[test]
fn an_offboarded_tenants_systems_are_named_step_by_step() {
    let mut registry = Registry::furnished();
    for name in ["acme/a", "acme/b", "acme/c", "acme/d"] {
        registry.define(name, KeySpec::default(), &NONE).unwrap();
    }
    registry.offboard("acme").unwrap();
    registry.wait(WAIT);
    let before = registry.now;
    assert_eq!(told(&mut registry), ["acme/a", "acme/b", "acme/c", "acme/d", "acme/hr"]);
    registry.now = openkcm_contracts::Timestamp::from_millis(before.as_millis() - 1_000);
    assert!(matches!(refusal(registry.undelete_tenant("acme")), Refusal::UndeleteTooLate { .. }));
}

#[test]
fn a_region_that_comes_later_is_told_what_was_told_before_it() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr/payroll").unwrap();
    registry.wait(WAIT);
    told(&mut registry);
    registry.tombstones();
    registry.set_regions(&["a", "b", "c", "d"]);
    assert_eq!(told(&mut registry), [""; 0]);
    assert_eq!(registry.tombstones(), ["region.d purge.acme.hr.payroll 1.5 up to 1.4"]);
}

#[test]
fn a_registry_that_compares_or_is_stale_names_nothing() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr").unwrap();
    registry.wait(WAIT);
    registry.begin(false);
    assert_eq!(registry.purge(), None, "it compares");
    registry.conclude();
    registry.wait(PATIENCE);
    assert_eq!(registry.purge(), Some(vec!["acme/hr".into()]));
}

#[test]
fn a_tombstone_on_the_mesh_that_the_store_lost_makes_it_stale_and_a_rebuild_takes_it_back() {
    let mut registry = Registry::furnished();
    registry.begin(false);
    let path = path("acme/hr");
    let (tenant, system) = (path.tenant().clone(), path.system().clone());
    let said = KeyPurge { tenant, system, service: None, generation: Generation(Revision::new(1, 7)) };
    let words = [(Revision::new(1, 9), Event::KeyPurge(said))];
    let audience = Audience::Region(region("a"));
    registry.compare(&audience, &words);
    registry.conclude();
    assert!(registry.standing().is_stale());
    registry.wait(WAIT * 100);
    assert_eq!(registry.purge(), None);
    registry.begin(true);
    registry.compare(&audience, &words);
    registry.conclude();
    assert!(!registry.is_live("acme/hr"), "the word that had ended it was lost; the tombstone was not");
    assert!(!registry.is_live("acme/hr/payroll"));
    assert!(matches!(refusal(registry.undelete("acme/hr")), Refusal::UndeleteTooLate { .. }));
    registry.purge();
    let told = registry.tombstones();
    let letters = ["a", "b", "c"].map(|name| format!("region.{name} purge.acme.hr 1.9 up to 1.7"));
    assert_eq!(told, letters, "nobody knows who was told");
    assert_eq!(
        purges::of(&registry.store, &path).unwrap().unwrap().generation,
        Generation(Revision::new(1, 7))
    );
}
