//! Definitions: made once, changed, deleted, made again.

use openkcm_contracts::Revision;
use openkcm_registry::queries;
use openkcm_registry::rules::{KeySpec, Outcome, Precondition, Refusal};
use openkcm_registry::store;

use crate::registry::{Registry, WAIT, at, id, path, refusal, rotating, version};

const NONE: Precondition = Precondition::None;

#[test]
fn one_counter_runs_through_all_changes_of_the_authority() {
    let mut registry = Registry::new();
    let first = registry.tenant("acme", &["a"], &NONE).unwrap();
    assert_eq!(first.record().revision, Revision::new(1, 1));
    registry.tenant("other", &["b"], &NONE).unwrap();
    let system = registry.define("acme/hr", KeySpec::default(), &NONE).unwrap();
    assert_eq!(system.record().revision, Revision::new(1, 3));
    assert_eq!(store::last_revision(&registry.store).unwrap(), Revision::new(1, 3));
}

#[test]
fn what_is_sent_again_changes_nothing_and_tells_nobody() {
    let mut registry = Registry::furnished();
    let before = registry.store.clone();
    assert!(matches!(registry.tenant("acme", &["a", "b"], &NONE), Ok(Outcome::Unchanged(_))));
    assert!(matches!(registry.define("acme/hr", KeySpec::default(), &NONE), Ok(Outcome::Unchanged(_))));
    assert!(matches!(
        registry.define("acme/hr/payroll", KeySpec::default(), &NONE),
        Ok(Outcome::Unchanged(_))
    ));
    assert_eq!(registry.store, before);
}

#[test]
fn a_refused_command_leaves_the_store_as_it_was() {
    let mut registry = Registry::furnished();
    let before = registry.store.clone();
    refusal(registry.tenant("acme", &["x"], &NONE));
    refusal(registry.define("acme/sales/crm", KeySpec::default(), &NONE));
    refusal(registry.define("acme/hr", rotating("1d"), &at(Revision::new(1, 77))));
    refusal(registry.undelete("acme/hr"));
    assert_eq!(registry.store, before);
}

#[test]
fn a_change_with_the_revision_that_was_read_wins_over_a_late_one() {
    let mut registry = Registry::furnished();
    let read = registry.key("acme/hr").record.revision;
    let changed = registry.define("acme/hr", rotating("90d"), &at(read)).unwrap();
    let late = refusal(registry.define("acme/hr", rotating("30d"), &at(read)));
    assert_eq!(late, Refusal::PreconditionFailed { present: Some(changed.record().revision) });
}

#[test]
fn a_late_retry_of_an_old_definition_undoes_no_deletion() {
    let mut registry = Registry::furnished();
    let defined = registry.key("acme/hr/payroll").record.revision;
    registry.delete("acme/hr/payroll").unwrap();
    let retry = refusal(registry.define("acme/hr/payroll", KeySpec::default(), &NONE));
    assert_eq!(retry, Refusal::PreconditionRequired);
    let stale = refusal(registry.define("acme/hr/payroll", KeySpec::default(), &at(defined)));
    assert!(matches!(stale, Refusal::PreconditionFailed { .. }));
    assert!(!registry.is_live("acme/hr/payroll"));
}

#[test]
fn what_is_defined_again_is_another_thing_under_the_old_name() {
    let mut registry = Registry::furnished();
    let first = registry.key("acme/hr/payroll").record;
    registry.compromise("acme/hr/payroll", version(1)).unwrap();
    let deleted = registry.delete("acme/hr/payroll").unwrap();
    let condition = at(deleted.record().revision);
    let again = registry.define("acme/hr/payroll", KeySpec::default(), &condition).unwrap();
    let record = again.record();
    assert!(record.generation > first.generation);
    assert!(record.compromised.is_empty());
    assert_eq!(record.ended.map(|ended| ended.generation), Some(first.generation));
}

#[test]
fn a_deletion_can_be_taken_back_within_its_wait_only() {
    let mut registry = Registry::furnished();
    let before = registry.key("acme/hr/payroll").record;
    registry.delete("acme/hr/payroll").unwrap();
    let undeleted = registry.undelete("acme/hr/payroll").unwrap();
    assert_eq!(undeleted.record().generation, before.generation);
    assert!(registry.is_live("acme/hr/payroll"));
    registry.delete("acme/hr/payroll").unwrap();
    registry.wait(WAIT);
    assert!(matches!(refusal(registry.undelete("acme/hr/payroll")), Refusal::UndeleteTooLate { .. }));
}

#[test]
fn a_second_deletion_keeps_the_first_ones_wait() {
    let mut registry = Registry::furnished();
    let first = registry.delete("acme/hr").unwrap().record().clone();
    registry.wait(WAIT / 2);
    let second = registry.delete("acme/hr").unwrap();
    assert_eq!(second, Outcome::Unchanged(first));
}

#[test]
fn marks_of_compromise_only_grow() {
    let mut registry = Registry::furnished();
    for key in ["acme/hr", "acme/hr/payroll"] {
        registry.compromise(key, version(1)).unwrap();
        registry.compromise(key, version(2)).unwrap();
        assert!(matches!(registry.compromise(key, version(1)), Ok(Outcome::Unchanged(_))));
        registry.define(key, rotating("30d"), &NONE).unwrap();
        registry.delete(key).unwrap();
        registry.undelete(key).unwrap();
        assert_eq!(registry.key(key).record.compromised, [version(1), version(2)].into());
    }
}

#[test]
fn what_is_not_known_is_named_at_its_own_level() {
    let registry = Registry::furnished();
    let key = |name: &str| refusal(queries::key(&registry.store, &path(name)));
    assert!(matches!(key("other/hr/payroll"), Refusal::UnknownTenant(_)));
    assert!(matches!(key("acme/sales/crm"), Refusal::UnknownSystem(_)));
    assert!(matches!(key("acme/hr/travel"), Refusal::UnknownService(_)));
    assert!(matches!(refusal(queries::tenant(&registry.store, &id("other"))), Refusal::UnknownTenant(_)));
}
