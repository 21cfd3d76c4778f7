//! What the rules of failovers promise.

use openkcm_contracts::Revision;

use super::*;
use crate::rules::tenant::tests::{moment, tenant};

const NONE: Precondition = Precondition::None;

fn region(name: &str) -> RegionId {
    RegionId::new(name).unwrap()
}

fn regions(names: &[&str]) -> Vec<RegionId> {
    names.iter().map(|name| region(name)).collect()
}

fn landscape() -> Landscape {
    Landscape { regions: ["a", "b", "c"].map(region).into() }
}

fn fail_over(
    (from, to): (&str, &str),
    held: Option<&Failover>,
    of_survivor: Option<&Failover>,
    condition: &Precondition,
) -> Result<Outcome<Failover>, Refusal> {
    let (from, to) = (region(from), region(to));
    let regions = Regions { from: &from, to: &to, held, of_survivor };
    begin(regions, &landscape(), condition, 7, moment(20, 900))
}

/// A failover of region a to region b, said at revision 1.10.
fn failover(phase: FailoverPhase) -> Failover {
    let (from, to) = (region("a"), region("b"));
    let regions = Regions { from: &from, to: &to, held: None, of_survivor: None };
    let begun = begin(regions, &landscape(), &NONE, 3, moment(10, 100)).unwrap();
    Failover { phase, moved: 3, ..begun.record().clone() }
}

fn moved() -> Failover {
    failover(FailoverPhase::Moved { at: moment(0, 200).now })
}

fn returned() -> Failover {
    failover(FailoverPhase::Returned { at: moment(0, 300).now })
}

fn if_match(failover: &Failover) -> Precondition {
    Precondition::OneOf(vec![failover.revision])
}

fn fate_of(list: &[&str]) -> Fate {
    let tenant = TenantRecord { regions: regions(list), ..tenant(5) };
    fate(&failover(FailoverPhase::Moving { after: None }), &tenant)
}

#[test]
fn the_survivor_takes_the_place_of_the_lost_region_and_has_one_place() {
    assert_eq!(fate_of(&["a"]), Fate::Moved(regions(&["b"])));
    assert_eq!(fate_of(&["c", "a"]), Fate::Moved(regions(&["c", "b"])));
    assert_eq!(fate_of(&["a", "c", "b"]), Fate::Moved(regions(&["b", "c"])));
    assert_eq!(fate_of(&["b", "c", "a"]), Fate::Moved(regions(&["b", "c"])));
    assert_eq!(fate_of(&["b", "c"]), Fate::Elsewhere);
}

#[test]
fn a_tenant_of_which_an_operator_spoke_later_is_left() {
    let failover = failover(FailoverPhase::Moving { after: None });
    assert_eq!(fate(&failover, &tenant(11)), Fate::Left);
    assert_eq!(fate(&failover, &tenant(9)), Fate::Moved(regions(&["b"])));
}

#[test]
fn no_failover_goes_to_a_region_that_there_is_not_or_to_itself() {
    let unknown = |name| Err(Refusal::UnknownRegion(region(name)));
    assert_eq!(fail_over(("x", "b"), None, None, &NONE), unknown("x"));
    assert_eq!(fail_over(("a", "x"), None, None, &NONE), unknown("x"));
    let to_itself = fail_over(("a", "a"), None, None, &NONE);
    assert!(matches!(to_itself, Err(Refusal::Invalid { field: "to", .. })), "{to_itself:?}");
}

#[test]
fn a_failover_is_said_again_to_no_other_place_and_not_while_tenants_come_back() {
    for held in [moved(), failover(FailoverPhase::Moving { after: None })] {
        let elsewhere = fail_over(("a", "c"), Some(&held), None, &NONE);
        assert!(matches!(elsewhere, Err(Refusal::FailoverInForce { returning: false, .. })), "{elsewhere:?}");
    }
    let held = failover(FailoverPhase::Returning);
    let again = fail_over(("a", "b"), Some(&held), None, &NONE);
    assert!(matches!(again, Err(Refusal::FailoverInForce { returning: true, .. })), "{again:?}");
}

#[test]
fn a_region_that_was_failed_over_takes_no_others_tenants_until_its_own_are_back() {
    let survivor = moved();
    assert!(fail_over(("c", "a"), None, Some(&survivor), &NONE).is_err());
    assert!(fail_over(("c", "a"), None, Some(&returned()), &NONE).is_ok());
}

#[test]
fn a_late_retry_neither_moves_what_came_since_nor_what_was_given_back() {
    let held = moved();
    assert_eq!(fail_over(("a", "b"), Some(&held), None, &NONE), Ok(Outcome::Unchanged(held.clone())));
    let held = returned();
    assert_eq!(fail_over(("a", "b"), Some(&held), None, &NONE), Err(Refusal::PreconditionRequired));
}

#[test]
fn who_has_seen_a_failover_may_have_it_move_what_came_since() {
    let held = moved();
    let again = fail_over(("a", "b"), Some(&held), None, &if_match(&held)).unwrap();
    let again = again.to_save().expect("it is a change");
    assert_eq!((again.total, again.moved, again.revision), (10, 3, Revision::new(1, 20)));
    assert!(again.is_running());
    let held = returned();
    let anew = fail_over(("a", "b"), Some(&held), None, &if_match(&held)).unwrap();
    assert_eq!(anew.to_save().map(|failover| (failover.total, failover.moved)), Some((7, 0)));
}

#[test]
fn what_was_never_failed_over_does_not_come_back_and_what_came_back_does_so_once() {
    let give_back =
        |held: Option<&Failover>| back(&region("a"), held, &landscape(), &NONE, moment(30, 1_000));
    assert_eq!(give_back(None), Err(Refusal::NotFailedOver(region("a"))));
    let returned = returned();
    assert_eq!(give_back(Some(&returned)), Ok(Outcome::Unchanged(returned.clone())));
    let held = moved();
    assert_eq!(give_back(Some(&held)), Err(Refusal::PreconditionRequired));
    let seen = Precondition::OneOf(vec![held.revision]);
    let begun = back(&region("a"), Some(&held), &landscape(), &seen, moment(30, 1_000)).unwrap();
    assert_eq!(begun.to_save().map(|failover| failover.phase.clone()), Some(FailoverPhase::Returning));
}

#[test]
fn a_tenant_comes_back_unless_an_operator_placed_it_or_it_is_another_one() {
    let record = TenantRecord { regions: regions(&["b", "c"]), ..tenant(5) };
    let (before, after) = (regions(&["a", "c"]), regions(&["b", "c"]));
    let moved =
        Moved { generation: record.generation, revision: record.revision, before: before.clone(), after };
    assert_eq!(way_back(&moved, &record), Some(before));
    let placed = TenantRecord { regions: regions(&["c"]), ..record.clone() };
    assert_eq!(way_back(&moved, &placed), None);
    let another = TenantRecord { generation: tenant(6).generation, ..record };
    assert_eq!(way_back(&moved, &another), None);
}
