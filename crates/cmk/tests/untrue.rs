//! What a Core says that is not true, or what its credential lets somebody else say: it stops nothing for ever, and
//! says nothing of what it was not asked.

mod world;

use openkcm_cmk::commands::Failure;
use openkcm_cmk::rules::{Precondition, Refusal};
use openkcm_cmk::store;
use openkcm_contracts::v1::{Contents, Kept, Listed, ManifestBody, Node};
use openkcm_contracts::{Lane, Revision};
use openkcm_digests::{Sum, bucket_of};

use world::speaker::{Speaker, linked};
use world::{region, request};

/// A revision that the CMK Server never gave.
const NEVER: Revision = Revision::new(7, 9);

#[test]
fn a_claim_of_a_later_word_stops_links_until_a_rebuild_has_found_none() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    core.applied = Some(NEVER);
    world.hears(&core.digests());
    assert_eq!(world.lease(), None);
    let refused = world.link("acme", &request(&["other"]), &Precondition::None);
    assert!(matches!(refused, Err(Failure::Refused(Refusal::Behind { .. }))), "{refused:?}");
    // The Core is gone, and never takes it back: an operator's explicit word is enough.
    world.begin(true);
    world.conclude();
    world.link("acme", &request(&["other"]), &Precondition::None).expect("nothing is against it any more");
    // A claim that is made again counts again.
    world.hears(&core.digests());
    assert_eq!(world.lease(), None);
    let refused = world.link("acme", &request(&["third"]), &Precondition::None);
    assert!(matches!(refused, Err(Failure::Refused(Refusal::Behind { .. }))), "{refused:?}");
}

#[test]
fn a_start_that_lies_far_in_the_future_is_not_heard_and_the_honest_one_is_leased() {
    let mut world = linked();
    for far in [u64::MAX, world.now().as_millis() / 1_000 + 7 * 86_400] {
        world.hears(&Speaker::new(far).holding(&world, &["acme", "beta"]).digests());
        assert_eq!(world.lease(), None);
    }
    world.hears(&Speaker::new(7).holding(&world, &["acme", "beta"]).digests());
    assert_eq!(world.lease().expect("it is leased").incarnation, 7);
}

#[test]
fn two_that_were_copied_while_they_ran_are_shown_by_one_number_of_two_manifests() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    let mut copy = Speaker::new(7).holding(&world, &["acme", "beta"]);
    let said = core.digests();
    world.hears(&said);
    world.lease().expect("it is leased");
    let seen_again = |world: &world::World| {
        let core = store::core(&world.store, &region("a")).expect("memory does not fail");
        core.incarnations[&7].spoke_again
    };
    world.hears(&said);
    assert_eq!(seen_again(&world), None, "one that comes twice is a replay");
    let mut of_copy = copy.digests();
    of_copy.nonce = "another".into();
    world.hears(&of_copy);
    assert!(seen_again(&world).is_some());
    assert_eq!(world.lease(), None, "the copy is not answered");
    world.hears(&core.digests());
    world.lease().expect("one of them is leased");
    assert!(seen_again(&world).is_some(), "the next word does not hide it");
}

#[test]
fn one_that_goes_on_speaking_is_seen_however_many_later_starts_there_were() {
    let mut world = linked();
    let mut old = Speaker::new(7).holding(&world, &["acme", "beta"]);
    world.hears(&old.digests());
    let mut last = None;
    for later in 8..24 {
        world.pass_a_minute();
        let mut core = Speaker::new(later).holding(&world, &["acme", "beta"]);
        world.hears(&core.digests());
        world.hears(&old.digests());
        last = Some(core);
    }
    world.hears(&last.expect("there were some").digests());
    let core = store::core(&world.store, &region("a")).expect("memory does not fail");
    assert!(core.incarnations[&7].spoke_again.is_some());
    assert_eq!(core.incarnations.last_key_value().map(|(number, _)| *number), Some(23));
}

#[test]
fn what_a_forgotten_core_claimed_stops_no_links_any_more() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    core.applied = Some(NEVER);
    world.hears(&core.digests());
    world.link("acme", &request(&["other"]), &Precondition::None).expect_err("it is behind, as it seems");
    world.forget();
    world.link("acme", &request(&["other"]), &Precondition::None).expect("an operator has decided");
}

#[test]
fn a_listing_is_looked_at_only_as_far_as_it_was_asked_for() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme"]);
    world.hears(&core.digests());
    let query = world.question().expect("beta is missing");
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    // The answer says that it holds another link of acme, whose bucket nobody asked for, and nothing of beta's.
    let bucket = bucket_of("acme");
    assert!(!query.nodes.contains(&Node::Bucket(bucket)), "acme agrees");
    let digest = Sum::of("l1.acme", NEVER, b"made up").digest();
    let node = openkcm_contracts::v1::NodeDigest { node: Node::Unit("acme".into()), digest };
    let listed = Listed { node: Node::Bucket(bucket), contents: Contents::Nodes(vec![node]) };
    let body = ManifestBody::Listing { query: query.nonce, of: Kept::Links, listed: vec![listed] };
    let listing = core.manifest(body);
    world.hears(&listing);
    assert_eq!((world.said(Lane::Urgent), world.said(Lane::Facts)), (vec![], vec![]));
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert!(lease.disputes.iter().all(|dispute| dispute.tenant.as_str() != "acme"), "{:?}", lease.disputes);
}
