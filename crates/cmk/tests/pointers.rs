//! What the commands promise about pointers, over a store in memory: epochs, preconditions, and who is
//! told what.

mod world;

use openkcm_cmk::commands::{Failure, Outcome};
use openkcm_cmk::rules::{Precondition, Refusal};
use openkcm_cmk::store::{Health, Pointer, ProbeOutcome, UnlinkReason};
use openkcm_contracts::v1::LinkState::{Linked, Unlinked};
use openkcm_contracts::{LinkEpoch, Revision, TenantState};

use world::{Told, World, request, request_with_ttl, tenant};

fn r(counter: u64) -> Revision {
    Revision::new(1, counter)
}

fn at(counter: u64) -> Precondition {
    Precondition::OneOf(vec![r(counter)])
}

fn refusal(result: Result<Outcome<Pointer>, Failure>) -> Refusal {
    match result {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("a refusal is expected, got {other:?}"),
    }
}

#[test]
fn a_tenant_that_nobody_told_of_is_not_linked() {
    let mut world = World::default();
    assert_eq!(refusal(world.link("acme", &request(&["k"]), &Precondition::None)), Refusal::NotYetKnown);
    assert_eq!(world.told(), []);
}

#[test]
fn the_first_link_is_told_to_each_region_of_the_tenant_as_a_fact_alone() {
    let mut world = World::default();
    world.define("acme", 1, &["a", "b"]);
    let Outcome::Changed(pointer) = world.link("acme", &request(&["k"]), &Precondition::None).unwrap() else {
        panic!("it was not linked before")
    };
    assert_eq!((pointer.state, pointer.epoch, pointer.revision), (Linked, LinkEpoch(r(1)), r(1)));
    let told = ["a", "b"].map(|region| Told::reference(region, r(1), Linked, LinkEpoch(r(1)), &["k"]));
    assert_eq!(world.told(), told);
}

#[test]
fn the_same_link_again_changes_nothing_but_the_health_and_tells_nobody() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    let first = world.link("acme", &request(&["k"]), &Precondition::None).unwrap().into_inner();
    world.told();
    world.pass_a_minute();
    let again = world.link("acme", &request(&["k"]), &at(1)).unwrap();
    let Outcome::Unchanged(again) = again else { panic!("nothing was to be changed") };
    assert_eq!(again, Pointer { health: Health::ok(world.now()), ..first.clone() });
    assert_ne!(again.health, first.health);
    assert_eq!(world.pointer("acme"), Some(again));
    assert_eq!(world.told(), []);
}

#[test]
fn another_ttl_keeps_the_epoch_and_other_roots_make_a_new_one() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    let epochs = [
        request(&["k", "l"]),
        request_with_ttl(&["k", "l"], "1h"),
        // The preferred root is another one: that is another link.
        request_with_ttl(&["l", "k"], "1h"),
        request_with_ttl(&["l"], "1h"),
        request(&["l"]),
    ]
    .map(|request| {
        let pointer = world.link("acme", &request, &Precondition::None).unwrap().into_inner();
        (pointer.revision, pointer.epoch.0)
    });
    assert_eq!(epochs, [(r(1), r(1)), (r(2), r(1)), (r(3), r(3)), (r(4), r(4)), (r(5), r(4))]);
    // Only the last word waits for the region, and no revoke: a change of roots ends nothing.
    assert_eq!(world.told(), [Told::reference("a", r(5), Linked, LinkEpoch(r(4)), &["l"])]);
}

#[test]
fn an_unlink_is_told_twice_to_every_region_and_a_second_one_to_nobody() {
    let mut world = World::default();
    world.define("acme", 1, &["a", "b"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    world.told();
    let ended = world.unlink("acme", &Precondition::None).unwrap();
    let Outcome::Changed(ended) = ended else { panic!("it was linked") };
    assert_eq!((ended.state, ended.epoch, ended.revision), (Unlinked, LinkEpoch(r(1)), r(2)));
    let epoch = LinkEpoch(r(1));
    assert_eq!(
        world.told(),
        [
            // Every link up to this Unlink is dead, known here or not.
            Told::revoke("a", r(2), LinkEpoch(r(2)), "unlinked on request"),
            Told::revoke("b", r(2), LinkEpoch(r(2)), "unlinked on request"),
            Told::reference("a", r(2), Unlinked, epoch, &["k"]),
            Told::reference("b", r(2), Unlinked, epoch, &["k"]),
        ]
    );
    assert_eq!(world.unlink("acme", &Precondition::None).unwrap(), Outcome::Unchanged(ended));
    assert_eq!(world.told(), []);
}

#[test]
fn an_unlink_takes_the_place_of_a_link_that_was_not_told_yet() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    world.unlink("acme", &Precondition::None).unwrap();
    let kinds: Vec<_> = world.told().into_iter().map(|told| (told.revision, told.state)).collect();
    assert_eq!(kinds, [(r(2), None), (r(2), Some(Unlinked))]);
}

#[test]
fn what_was_unlinked_is_linked_again_only_by_who_saw_it_unlinked_and_with_a_new_epoch() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    world.unlink("acme", &Precondition::None).unwrap();
    world.told();
    let same = request(&["k"]);
    assert_eq!(refusal(world.link("acme", &same, &Precondition::None)), Refusal::PreconditionRequired);
    let failed = Refusal::PreconditionFailed { present: Some(r(2)) };
    assert_eq!(refusal(world.link("acme", &same, &at(1))), failed);
    assert_eq!(world.told(), []);
    let again = world.link("acme", &same, &at(2)).unwrap().into_inner();
    assert_eq!((again.state, again.epoch, again.revision), (Linked, LinkEpoch(r(3)), r(3)));
    assert_eq!(again.unlinked, None);
    // A late retry of the Unlink that named the link it meant does not end this one.
    assert_eq!(refusal(world.unlink("acme", &at(1))), Refusal::PreconditionFailed { present: Some(r(3)) });
}

#[test]
fn a_precondition_never_holds_on_a_pointer_that_does_not_exist() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    let failed = Refusal::PreconditionFailed { present: None };
    assert_eq!(refusal(world.link("acme", &request(&["k"]), &Precondition::Exists)), failed);
    assert_eq!(refusal(world.link("acme", &request(&["k"]), &at(1))), failed);
    assert_eq!(refusal(world.unlink("acme", &Precondition::None)), Refusal::NotLinked);
}

#[test]
fn a_failed_precondition_stops_a_change_of_a_link_that_stands() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    world.told();
    let failed = Refusal::PreconditionFailed { present: Some(r(1)) };
    assert_eq!(refusal(world.link("acme", &request(&["l"]), &at(7))), failed);
    assert_eq!(refusal(world.unlink("acme", &at(7))), failed);
    assert_eq!((world.pointer("acme").unwrap().revision, world.told()), (r(1), vec![]));
}

#[test]
fn one_revision_counter_serves_all_tenants() {
    let mut world = World::default();
    for name in ["acme", "bolt"] {
        world.define(name, 1, &["a"]);
    }
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    let bolt = world.link("bolt", &request(&["k"]), &Precondition::None).unwrap().into_inner();
    assert_eq!((bolt.revision, bolt.epoch), (r(2), LinkEpoch(r(2))));
    assert_eq!(world.unlink("acme", &Precondition::None).unwrap().into_inner().revision, r(3));
}

#[test]
fn a_region_that_the_tenant_left_is_told_of_the_end_and_not_of_a_new_link() {
    let mut world = World::default();
    world.define("acme", 1, &["a", "b"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    world.define("acme", 2, &["a"]);
    world.told();
    world.unlink("acme", &Precondition::None).unwrap();
    let mut regions: Vec<_> = world.told().into_iter().map(|told| told.region).collect();
    regions.sort();
    assert_eq!(regions, ["a", "a", "b", "b"]);
    let late = world.link("acme", &request(&["k"]), &Precondition::Exists);
    assert_eq!(refusal(late), Refusal::PreconditionRequired, "`*` is as true of a late request");
    world.link("acme", &request(&["k"]), &Precondition::OneOf(vec![r(2)])).unwrap();
    let epoch = LinkEpoch(r(3));
    assert_eq!(world.told(), [Told::reference("a", r(3), Linked, epoch, &["k"])]);
    // It comes back: it is told of the link that stands now.
    world.define("acme", 3, &["b", "a"]);
    assert_eq!(world.told(), [Told::reference("b", r(3), Linked, epoch, &["k"])]);
}

#[test]
fn an_unlink_reaches_every_region_also_when_the_tenant_is_not_known() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    world.told();
    world.forget_tenant("acme");
    world.unlink("acme", &Precondition::None).unwrap();
    assert_eq!(world.told().len(), 2);
    assert!(!world.pointer("acme").unwrap().is_linked());
}

#[test]
fn the_health_of_a_link_is_what_the_probe_said() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    let health = world.pointer("acme").unwrap().health;
    assert_eq!((health.outcome, health.at, health.reason), (ProbeOutcome::Ok, world.now(), None));
}

#[test]
fn an_offboarded_tenant_is_not_linked_and_unlinking_it_stays_possible() {
    let mut world = World::default();
    world.tell(1, tenant("acme", 1, TenantState::Offboarded, &["a"]));
    assert_eq!(refusal(world.link("acme", &request(&["k"]), &Precondition::None)), Refusal::TenantOffboarded);
    world.define("acme", 2, &["a"]);
    world.link("acme", &request(&["k"]), &Precondition::None).unwrap();
    world.tell(3, tenant("acme", 1, TenantState::Offboarded, &["a"]));
    let ended = world.unlink("acme", &Precondition::None).unwrap();
    assert_eq!(ended.into_inner().unlinked.unwrap().reason, UnlinkReason::Offboarded);
}
