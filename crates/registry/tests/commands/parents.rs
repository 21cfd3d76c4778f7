//! What becomes of definitions when what they belong to ends: nobody rewrites them.

use openkcm_registry::rules::{KeySpec, Precondition, Refusal};

use crate::registry::{Registry, WAIT, at, id, refusal};

const NONE: Precondition = Precondition::None;

#[test]
fn a_deleted_system_takes_its_services_along_and_brings_them_back() {
    let mut registry = Registry::furnished();
    let before = registry.key("acme/hr/payroll").record;
    registry.delete("acme/hr").unwrap();
    assert!(!registry.is_live("acme/hr/payroll"));
    let refused = refusal(registry.define("acme/hr/travel", KeySpec::default(), &NONE));
    assert_eq!(refused, Refusal::DefinitionDeleted("acme/hr".parse().unwrap()));
    registry.undelete("acme/hr").unwrap();
    assert!(registry.is_live("acme/hr/payroll"));
    assert_eq!(registry.key("acme/hr/payroll").record, before);
}

#[test]
fn a_service_that_was_deleted_under_a_deleted_system_stays_deleted() {
    let mut registry = Registry::furnished();
    registry.delete("acme/hr").unwrap();
    registry.delete("acme/hr/payroll").unwrap();
    registry.undelete("acme/hr").unwrap();
    assert!(!registry.is_live("acme/hr/payroll"));
}

#[test]
fn a_system_that_is_defined_again_does_not_bring_its_old_services_back() {
    let mut registry = Registry::furnished();
    let old = registry.key("acme/hr/payroll").record;
    let deleted = registry.delete("acme/hr").unwrap().record().revision;
    let system = registry.define("acme/hr", KeySpec::default(), &at(deleted)).unwrap().record().clone();
    assert!(!registry.is_live("acme/hr/payroll"));
    let again = refusal(registry.define("acme/hr/payroll", KeySpec::default(), &NONE));
    assert_eq!(again, Refusal::PreconditionRequired);
    let back = refusal(registry.undelete("acme/hr/payroll"));
    assert_eq!(back, Refusal::DefinitionDeleted("acme/hr/payroll".parse().unwrap()));
    registry.define("acme/hr/payroll", KeySpec::default(), &at(old.revision)).unwrap();
    let record = registry.key("acme/hr/payroll").record;
    assert!(registry.is_live("acme/hr/payroll"));
    assert_eq!(record.parent, system.generation);
    assert!(record.generation > old.generation);
}

#[test]
fn an_offboarded_tenant_takes_all_along_and_brings_it_back() {
    let mut registry = Registry::furnished();
    registry.offboard("acme").unwrap();
    assert!(!registry.is_live("acme/hr") && !registry.is_live("acme/hr/payroll"));
    let refused = refusal(registry.define("acme/hr", KeySpec::default(), &NONE));
    assert_eq!(refused, Refusal::TenantOffboarded(id("acme")));
    registry.undelete_tenant("acme").unwrap();
    assert!(registry.is_live("acme/hr") && registry.is_live("acme/hr/payroll"));
}

#[test]
fn a_tenant_that_is_defined_again_owns_nothing_of_the_old_one() {
    let mut registry = Registry::furnished();
    let offboarded = registry.offboard("acme").unwrap().record().revision;
    assert_eq!(refusal(registry.tenant("acme", &["a"], &NONE)), Refusal::PreconditionRequired);
    registry.tenant("acme", &["a"], &at(offboarded)).unwrap();
    assert!(!registry.is_live("acme/hr") && !registry.is_live("acme/hr/payroll"));
    let system = registry.key("acme/hr").record.revision;
    registry.define("acme/hr", KeySpec::default(), &at(system)).unwrap();
    assert!(registry.is_live("acme/hr") && !registry.is_live("acme/hr/payroll"));
}

#[test]
fn a_tenant_can_not_be_undeleted_after_its_wait() {
    let mut registry = Registry::furnished();
    registry.offboard("acme").unwrap();
    registry.wait(WAIT);
    assert!(matches!(refusal(registry.undelete_tenant("acme")), Refusal::UndeleteTooLate { .. }));
}
