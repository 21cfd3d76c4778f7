//! Who is told of what, and by which revision.

use openkcm_registry::rules::{KeySpec, Precondition};

use crate::registry::{Registry, at, rotating, version};

const NONE: Precondition = Precondition::None;

#[test]
fn a_tenant_is_told_to_its_regions_and_to_the_cmk_server() {
    let mut registry = Registry::new();
    registry.tenant("acme", &["b", "a"], &NONE).unwrap();
    let expected = ["region.b", "region.a", "cmk"].map(|who| format!("{who} tenant.acme 1.1 Active 1.1"));
    assert_eq!(registry.letters(), expected);
}

#[test]
fn a_key_is_told_to_each_region_of_its_tenant() {
    let mut registry = Registry::furnished();
    registry.define("acme/hr", rotating("90d"), &NONE).unwrap();
    registry.compromise("acme/hr/payroll", version(1)).unwrap();
    assert_eq!(
        registry.letters(),
        [
            "region.a key.acme.hr 1.4 Defined 1.2 of 1.1",
            "region.b key.acme.hr 1.4 Defined 1.2 of 1.1",
            "region.a key.acme.hr.payroll 1.5 Defined 1.3 of 1.2 1 compromised",
            "region.b key.acme.hr.payroll 1.5 Defined 1.3 of 1.2 1 compromised",
        ]
    );
}

#[test]
fn only_the_latest_word_about_a_thing_waits() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr").unwrap();
    registry.undelete("acme/hr").unwrap();
    assert_eq!(
        registry.letters(),
        ["region.a key.acme.hr 1.5 Defined 1.2 of 1.1", "region.b key.acme.hr 1.5 Defined 1.2 of 1.1"]
    );
}

#[test]
fn a_deletion_is_told_at_once_and_about_the_deleted_thing_alone() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr").unwrap();
    assert_eq!(
        registry.letters(),
        ["region.a key.acme.hr 1.4 Deleted 1.2 of 1.1", "region.b key.acme.hr 1.4 Deleted 1.2 of 1.1"]
    );
}

#[test]
fn an_offboarding_is_one_word_to_each_region_and_the_cmk_server() {
    let mut registry = Registry::furnished();
    registry.offboard("acme").unwrap();
    let expected = ["region.a", "region.b", "cmk"].map(|who| format!("{who} tenant.acme 1.4 Offboarded 1.1"));
    assert_eq!(registry.letters(), expected);
    registry.undelete_tenant("acme").unwrap();
    let expected = ["region.a", "region.b", "cmk"].map(|who| format!("{who} tenant.acme 1.5 Active 1.1"));
    assert_eq!(registry.letters(), expected);
}

#[test]
fn a_region_that_is_left_hears_withdrawn_as_its_last_word() {
    let mut registry = Registry::furnished();
    registry.tenant("acme", &["b"], &NONE).unwrap();
    assert_eq!(
        registry.letters(),
        [
            "region.b tenant.acme 1.4 Active 1.1",
            "cmk tenant.acme 1.4 Active 1.1",
            "region.a tenant.acme 1.4 Withdrawn 1.1",
        ]
    );
    registry.delete("acme/hr/payroll").unwrap();
    assert_eq!(registry.letters(), ["region.b key.acme.hr.payroll 1.5 Deleted 1.3 of 1.2"]);
}

#[test]
fn a_region_that_is_added_hears_of_all_keys_each_at_its_own_revision() {
    let mut registry = Registry::furnished();
    registry.tenant("acme", &["a", "b", "c"], &NONE).unwrap();
    assert_eq!(
        registry.letters(),
        [
            "region.c key.acme.hr 1.2 Defined 1.2 of 1.1",
            "region.c key.acme.hr.payroll 1.3 Defined 1.3 of 1.2",
            "region.a tenant.acme 1.4 Active 1.1",
            "region.b tenant.acme 1.4 Active 1.1",
            "region.c tenant.acme 1.4 Active 1.1",
            "cmk tenant.acme 1.4 Active 1.1",
        ]
    );
}

#[test]
fn a_region_that_is_added_again_hears_of_what_was_deleted_while_it_was_away() {
    let mut registry = Registry::furnished();
    registry.tenant("acme", &["b"], &NONE).unwrap();
    registry.delete("acme/hr/payroll").unwrap();
    registry.letters();
    registry.tenant("acme", &["b", "a"], &NONE).unwrap();
    let told = registry.letters();
    assert!(told.contains(&"region.a key.acme.hr.payroll 1.5 Deleted 1.3 of 1.2".into()), "{told:?}");
}

#[test]
fn a_region_that_is_added_hears_nothing_of_what_is_gone_for_good() {
    let mut registry = Registry::furnished();
    let deleted = registry.delete("acme/hr").unwrap().record().revision;
    registry.define("acme/hr", KeySpec::default(), &at(deleted)).unwrap();
    registry.letters();
    registry.tenant("acme", &["a", "b", "c"], &NONE).unwrap();
    let told = registry.letters();
    assert!(told.contains(&"region.c key.acme.hr 1.5 Defined 1.5 of 1.1".into()), "{told:?}");
    assert!(!told.iter().any(|letter| letter.contains("payroll")), "{told:?}");
}

#[test]
fn a_tenant_that_is_defined_again_elsewhere_is_withdrawn_where_it_was() {
    let mut registry = Registry::furnished();
    let offboarded = registry.offboard("acme").unwrap().record().revision;
    registry.letters();
    registry.tenant("acme", &["c"], &at(offboarded)).unwrap();
    assert_eq!(
        registry.letters(),
        [
            "region.c tenant.acme 1.5 Active 1.5",
            "cmk tenant.acme 1.5 Active 1.5",
            "region.a tenant.acme 1.5 Withdrawn 1.5",
            "region.b tenant.acme 1.5 Withdrawn 1.5",
        ]
    );
}

#[test]
fn a_new_region_is_told_of_ten_thousand_services() {
    let mut registry = Registry::furnished();
    for number in 0..10_000 {
        registry.define(&format!("acme/hr/s{number:05}"), KeySpec::default(), &NONE).unwrap();
    }
    registry.letters();
    registry.tenant("acme", &["a", "b", "c"], &NONE).unwrap();
    registry.work(500);
    let keys = registry.letters().into_iter().filter(|letter| letter.starts_with("region.c key.")).count();
    assert_eq!(keys, 10_002);
}
