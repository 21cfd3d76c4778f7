//! What the CMK Server answers to manifests: which links it renews, what it asks, what it tells again, and when it
//! leases nobody.

mod world;

use openkcm_cmk::commands::Failure;
use openkcm_cmk::rules::{Precondition, Refusal};
use openkcm_contracts::v1::{L1Reference, LinkState, Unsettled};
use openkcm_contracts::{Event, Lane, LinkEpoch, Revision};
use openkcm_digests::{Buckets, Sum, bucket_of};

use world::speaker::{Speaker, linked};
use world::{World, id, request};

const NONE: Precondition = Precondition::None;

fn r(counter: u64) -> Revision {
    Revision::new(1, counter)
}

#[test]
fn a_core_that_holds_the_same_is_leased_with_its_own_nonce_and_asked_nothing() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert_eq!((lease.nonce.as_str(), lease.incarnation, lease.ttl.to_string().as_str()), ("7-1", 7, "1d"));
    assert_eq!((lease.disputes, lease.unsettled), (vec![], vec![]));
    assert_eq!(world.question(), None);
}

#[test]
fn an_unlink_that_a_core_has_not_applied_keeps_its_tenant_from_being_renewed_and_is_found() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    world.unlink("acme", &NONE).expect("it is linked");
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    let unsettled: Vec<u8> = lease.unsettled.iter().map(|unsettled| unsettled.bucket).collect();
    assert_eq!((lease.disputes.len(), unsettled), (0, vec![bucket_of("acme")]), "not known yet what differs");
    assert_eq!(world.question(), None, "the unlink is on its way");
    world.pass_a_minute();
    world.hears(&core.digests());
    world.lease().expect("it is leased");
    let query = world.question().expect("what differs stays");
    world.hears(&core.listing(&query));
    // Told again: that the link is dead, and the fact.
    let revoke = world.said(Lane::Urgent);
    assert!(matches!(&revoke[..], [Event::L1Revoke(fact)] if fact.tenant == id("acme")), "{revoke:?}");
    let fact = world.said(Lane::Facts);
    assert!(
        matches!(&fact[..], [Event::L1Reference(L1Reference { state: LinkState::Unlinked, .. })]),
        "{fact:?}"
    );
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    let dispute = &lease.disputes[..];
    assert!(lease.unsettled.is_empty(), "the others of the bucket are renewed");
    let revision = world.pointer("acme").expect("it has one").revision;
    assert!(
        matches!(dispute, [one] if one.tenant == id("acme") && one.state == LinkState::Unlinked
            && one.epoch == LinkEpoch(revision)),
        "{dispute:?}"
    );
    let mut core = Speaker { sequence: core.sequence, ..Speaker::new(7).holding(&world, &["acme", "beta"]) };
    world.hears(&core.digests());
    assert_eq!(world.lease().expect("it is leased").disputes, vec![]);
}

#[test]
fn a_link_that_nobody_made_is_dead_and_one_that_is_missing_is_told_again() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme"]);
    core.held.push(("zeta", Sum::of("l1.zeta", r(1), b"made up").digest()));
    world.hears(&core.digests());
    world.lease().expect("it is leased");
    let query = world.question().expect("it has read all that was told, and differs");
    world.hears(&core.listing(&query));
    assert_eq!(world.said(Lane::Urgent), [], "no word is made for a name that a Core makes up");
    let facts = world.said(Lane::Facts);
    assert!(
        matches!(&facts[..], [Event::L1Reference(fact)] if fact.tenant == id("beta") && fact.state == LinkState::Linked),
        "{facts:?}"
    );
    // The lease itself says that it is dead.
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    let dispute = lease.disputes.iter().find(|dispute| dispute.tenant == id("zeta")).expect("it is named");
    assert_eq!((dispute.epoch, dispute.state), (LinkEpoch(r(2)), LinkState::Unlinked));
}

#[test]
fn a_cmk_server_that_may_be_behind_leases_nobody() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    world.begin(false);
    world.hears(&core.digests());
    assert_eq!(world.lease(), None, "words are still being compared");
    world.conclude();
    world.hears(&core.digests());
    world.lease().expect("it is current");
    // A Core that has applied a later word shows a store that was put back, when nothing on the mesh does.
    core.applied = Some(r(9));
    world.hears(&core.digests());
    assert_eq!(world.lease(), None);
    let refused = world.link("acme", &request(&["other"]), &NONE);
    assert!(
        matches!(refused, Err(Failure::Refused(Refusal::Behind { claims, .. })) if claims == r(9)),
        "{refused:?}"
    );
    world.unlink("acme", &NONE).expect("unlinking is always possible");
    core.applied = Some(r(3));
    world.hears(&core.digests());
    world.lease().expect("the claim is taken back");
}

/// A neighbour of `acme`: both lie in one bucket.
const NEIGHBOUR: &str = "gekko";

/// `acme` and its neighbour, linked and told of.
fn neighbours() -> World {
    let mut world = linked();
    world.define(NEIGHBOUR, 3, &["a"]);
    world.link(NEIGHBOUR, &request(&["k"]), &NONE).expect("nothing is against it");
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    assert_eq!(bucket_of("acme"), bucket_of(NEIGHBOUR));
    world
}

/// What a Core sums up that holds these links alone, as the CMK Server has them.
fn sum_of(world: &World, tenants: &[&'static str]) -> String {
    let mut links = Buckets::of_nothing();
    for (name, digest) in Speaker::new(1).holding(world, tenants).held {
        links.replace(name, None, Some(&digest));
    }
    links.digest(bucket_of(NEIGHBOUR))
}

#[test]
fn a_tenant_that_changes_without_a_pause_is_named_and_its_neighbours_are_renewed() {
    let mut world = neighbours();
    world.pass(3_600);
    for round in 0..20 {
        // What the Core holds is always a change behind.
        let mut core =
            Speaker { sequence: round, ..Speaker::new(7).holding(&world, &["acme", "beta", NEIGHBOUR]) };
        let revision = world.pointer("acme").expect("it has one").revision;
        if world.pointer("acme").is_some_and(|pointer| pointer.is_linked()) {
            world.unlink("acme", &NONE).expect("it is linked");
        } else {
            let seen = Precondition::OneOf(vec![revision]);
            world.link("acme", &request(&["k"]), &seen).expect("it was seen unlinked");
        }
        world.pass(7);
        world.hears(&core.digests());
        let lease = world.lease().expect("it is leased");
        assert!(lease.disputes.is_empty(), "nothing explains it");
        let unsettled = Unsettled {
            bucket: bucket_of(NEIGHBOUR),
            without: vec![id("acme")],
            others: sum_of(&world, &[NEIGHBOUR]),
        };
        assert_eq!(lease.unsettled, [unsettled], "in round {round}");
        // Whatever it is asked meanwhile, its answer is out of date when it comes.
        if let Some(query) = world.question() {
            world.hears(&core.listing(&query));
        }
    }
}

#[test]
fn who_was_found_to_differ_is_suspected_while_a_neighbour_keeps_the_bucket_open_and_no_longer() {
    let mut world = neighbours();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    core.held.push((NEIGHBOUR, Sum::of("l1.gekko", r(1), b"something else").digest()));
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert_eq!(lease.unsettled[0].without, [id("acme"), id(NEIGHBOUR)], "both were linked a moment ago");
    let query = world.question().expect("it has read all that was told, and differs");
    world.hears(&core.listing(&query));
    // Long afterwards another one of the bucket differs too: each is suspected, for its own reason.
    world.pass(3_600);
    world.unlink("acme", &NONE).expect("it is linked");
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert_eq!(lease.unsettled[0].without, [id("acme"), id(NEIGHBOUR)]);
    assert!(lease.disputes.is_empty());
    // What it holds of the one is put right, of the other not: a look tells which.
    let mut core =
        Speaker { sequence: core.sequence, ..Speaker::new(7).holding(&world, &["beta", NEIGHBOUR]) };
    world.pass(3_600);
    world.hears(&core.digests());
    assert_eq!(world.lease().expect("it is leased").unsettled.len(), 1);
    let query = world.question().expect("it differs still");
    world.hears(&core.listing(&query));
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    let disputed: Vec<_> = lease.disputes.iter().map(|dispute| dispute.tenant.clone()).collect();
    assert_eq!((disputed, lease.unsettled), (vec![id("acme")], vec![]));
}
