//! What the CMK Server does by what its probes see: a denial ends the link everywhere, a yes makes it anew, and all
//! else is health alone.

mod world;

use openkcm_cmk::commands::{self, Outcome};
use openkcm_cmk::rules::Precondition;
use openkcm_cmk::rules::probe::Seen;
use openkcm_cmk::store::{Pointer, ProbeOutcome, UnlinkReason};
use openkcm_contracts::v1::LinkState::{Linked, Unlinked};
use openkcm_contracts::{LinkEpoch, Revision, TenantState};
use openkcm_orbital::words::Standing;

use world::{Told, World, id, request, tenant};

const NONE: Precondition = Precondition::None;

fn r(counter: u64) -> Revision {
    Revision::new(1, counter)
}

fn seen(outcome: ProbeOutcome) -> Seen {
    let reason = (outcome != ProbeOutcome::Ok).then(|| "a reason".to_owned());
    Seen { outcome, reason }
}

/// The roots of the pointer as it is now have said this.
fn probe(world: &mut World, outcome: ProbeOutcome) -> Option<Outcome<Pointer>> {
    let asked = world.pointer("acme").expect("it was linked").revision;
    probe_at(world, asked, seen(outcome))
}

fn probe_at(world: &mut World, asked: Revision, seen: Seen) -> Option<Outcome<Pointer>> {
    let now = world.now();
    let World { store, landscape, .. } = world;
    let done = store.write(|tx| commands::probed(tx, landscape, &id("acme"), (asked, seen), now));
    done.expect("memory does not fail")
}

fn linked() -> World {
    let mut world = World::default();
    world.define("acme", 1, &["a", "b"]);
    world.link("acme", &request(&["k"]), &NONE).expect("linked");
    world.told();
    world.pass_a_minute();
    world
}

#[test]
fn a_root_that_denies_ends_the_link_in_every_region_and_its_yes_links_anew() {
    let mut world = linked();
    let denied = probe(&mut world, ProbeOutcome::Denied).expect("decided").into_inner();
    assert_eq!((denied.state, denied.unlinked.expect("ended").reason), (Unlinked, UnlinkReason::Denied));
    let health = &denied.health;
    assert_eq!((health.outcome, health.since), (ProbeOutcome::Denied, Some(world.now())));
    assert!(health.last_good < health.since && health.last_good.is_some());
    let reason = "the owner of a root denies its use";
    let told: Vec<_> = ["a", "b"].map(|region| Told::revoke(region, r(2), LinkEpoch(r(2)), reason)).into();
    let facts = ["a", "b"].map(|region| Told::reference(region, r(2), Unlinked, LinkEpoch(r(1)), &["k"]));
    assert_eq!(world.told(), [told, facts.into()].concat());

    world.pass_a_minute();
    assert!(
        !probe(&mut world, ProbeOutcome::Unreachable).expect("noted").changed(),
        "a failure ends no denial"
    );
    let partly = Seen { outcome: ProbeOutcome::Ok, reason: Some("the other root is away".into()) };
    assert!(!probe_at(&mut world, r(2), partly).expect("noted").changed(), "nor does another root's yes");
    let again = probe(&mut world, ProbeOutcome::Ok).expect("decided").into_inner();
    assert_eq!((again.state, again.epoch, again.unlinked), (Linked, LinkEpoch(r(3)), None));
    let facts = ["a", "b"].map(|region| Told::reference(region, r(3), Linked, LinkEpoch(r(3)), &["k"]));
    assert_eq!(world.told(), facts);
}

#[test]
fn all_else_changes_the_health_and_tells_nobody() {
    let mut world = linked();
    for outcome in [ProbeOutcome::Unreachable, ProbeOutcome::Misconfigured, ProbeOutcome::Ok] {
        world.pass_a_minute();
        assert!(!probe(&mut world, outcome).expect("noted").changed());
        let pointer = world.pointer("acme").expect("linked");
        assert_eq!((pointer.state, pointer.revision, pointer.health.outcome), (Linked, r(1), outcome));
        assert_eq!(pointer.health.since, Some(world.now()));
    }
    assert_eq!(world.told(), []);
}

#[test]
fn somebodys_unlink_of_what_was_denied_is_final_and_a_late_answer_is_dropped() {
    let mut world = linked();
    probe(&mut world, ProbeOutcome::Denied);
    let unlinked = world.unlink("acme", &NONE).expect("unlinked").into_inner();
    assert_eq!(
        (unlinked.revision, unlinked.unlinked.expect("it is").reason),
        (r(3), UnlinkReason::Requested)
    );
    assert_eq!(probe(&mut world, ProbeOutcome::Ok), None);
    assert_eq!(probe_at(&mut world, r(2), seen(ProbeOutcome::Ok)), None);
    assert!(!world.pointer("acme").expect("it was linked").is_linked());
}

#[test]
fn an_answer_about_roots_that_were_exchanged_meanwhile_ends_nothing() {
    let mut world = linked();
    world.link("acme", &request(&["other"]), &NONE).expect("linked");
    assert_eq!(probe_at(&mut world, r(1), seen(ProbeOutcome::Denied)), None);
    assert!(world.pointer("acme").expect("linked").is_linked());
}

#[test]
fn a_tenant_that_was_offboarded_while_its_root_denied_is_not_linked_again() {
    let mut world = linked();
    probe(&mut world, ProbeOutcome::Denied);
    world.tell(2, tenant("acme", 1, TenantState::Offboarded, &["a", "b"]));
    assert!(!probe(&mut world, ProbeOutcome::Ok).expect("noted").changed());
    assert!(!world.pointer("acme").expect("it was linked").is_linked());
}

#[test]
fn a_cmk_server_that_is_stale_revokes_what_is_denied_everywhere_and_links_nothing_again() {
    let mut world = linked();
    world.begin(false);
    let ahead = Told::reference("a", r(9), Linked, LinkEpoch(r(9)), &["k"]);
    let fact = openkcm_contracts::v1::L1Reference {
        tenant: id("acme"),
        generation: openkcm_contracts::Generation(r(1)),
        epoch: ahead.epoch,
        state: Linked,
        roots: world::roots(&["k"]),
        owner_key: None,
        ttl: None,
        owner_word: None,
    };
    world.compare("a", &[(r(9), openkcm_contracts::Event::L1Reference(fact))]);
    world.conclude();
    assert!(matches!(world.standing(), Standing::Stale { .. }), "{:?}", world.standing());
    world.told();
    probe(&mut world, ProbeOutcome::Denied);
    let regions: std::collections::BTreeSet<String> =
        world.told().into_iter().map(|told| told.region).collect();
    assert_eq!(regions, ["a", "b", "c"].map(str::to_owned).into());
    assert!(!probe(&mut world, ProbeOutcome::Ok).expect("noted").changed());
}
