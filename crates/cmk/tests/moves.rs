//! Tenants that come to a region all at once: it is told of their links, and leased those that it has, while others are
//! still on their way.

mod world;

use openkcm_cmk::rules::Precondition;
use openkcm_contracts::v1::{L1Reference, LinkState, SovereignLease};
use openkcm_contracts::{Event, Lane, Revision, TenantId};
use openkcm_digests::bucket_of;

use world::speaker::Speaker;
use world::{World, request};

const NONE: Precondition = Precondition::None;

/// Names of tenants, made once: a speaker's names live as long as the test.
fn names(count: usize) -> Vec<&'static str> {
    (0..count).map(|number| &*format!("t{number:05}").leak()).collect()
}

/// A CMK Server with linked tenants in region b, of which region a has not heard.
fn elsewhere(tenants: &[&str]) -> World {
    let mut world = World::default();
    for (counter, name) in (1..).zip(tenants) {
        world.define(name, counter, &["b"]);
        world.link(name, &request(&["k"]), &NONE).expect("nothing is against it");
    }
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    world.pass_a_minute();
    world.pass_a_minute();
    world
}

/// The Registry has moved them to region a.
fn come(world: &mut World, tenants: &[&str], from: u64) {
    for (counter, name) in (from..).zip(tenants) {
        world.define(name, counter, &["a"]);
    }
}

fn links(world: &mut World) -> Vec<TenantId> {
    let said = world.said(Lane::Facts).into_iter();
    said.filter_map(|event| match event {
        Event::L1Reference(L1Reference { tenant, state: LinkState::Linked, roots, .. }) => {
            assert!(!roots.is_empty(), "the region is to use them");
            Some(tenant)
        }
        _ => None,
    })
    .collect()
}

fn count(number: u64) -> usize {
    usize::try_from(number).expect("a small number")
}

/// Whether a lease agrees on the link of a tenant that the Core holds.
fn covers(lease: &SovereignLease, core: &Speaker, tenant: &str) -> bool {
    let id = TenantId::new(tenant).expect("a label");
    let Some(open) = lease.unsettled.iter().find(|unsettled| unsettled.bucket == bucket_of(tenant)) else {
        return lease.disputes.iter().all(|dispute| dispute.tenant != id);
    };
    let mut others = openkcm_digests::Buckets::of_nothing();
    for (name, digest) in &core.held {
        if !open.without.iter().any(|without| without.as_str() == *name) {
            others.replace(name, None, Some(digest));
        }
    }
    !open.without.contains(&id) && others.digest(open.bucket) == open.others
}

#[test]
fn a_region_that_a_tenant_comes_to_is_told_of_its_link_and_of_an_end_that_it_has() {
    let mut world = elsewhere(&["acme", "beta", "gone"]);
    world.unlink("gone", &NONE).expect("it is linked");
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    come(&mut world, &["acme", "beta", "gone"], 10);
    let said = world.said(Lane::Facts);
    let states: Vec<_> = said
        .iter()
        .map(|event| match event {
            Event::L1Reference(fact) => (fact.tenant.as_str(), fact.state),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("acme", LinkState::Linked), ("beta", LinkState::Linked), ("gone", LinkState::Unlinked)];
    assert_eq!(states, expected, "what was unlinked stays so wherever it comes to");
}

#[test]
fn what_arrived_is_leased_while_others_are_on_their_way_and_nothing_is_asked_or_told_twice() {
    let all = names(3_000);
    let mut world = elsewhere(&all);
    come(&mut world, &all, 10_000);
    assert_eq!(links(&mut world).len(), 3_000);
    for arrived in [1, 40, 1_700] {
        let mut core =
            Speaker { sequence: arrived, ..Speaker::new(7).holding(&world, &all[..count(arrived)]) };
        world.hears(&core.digests());
        let lease = world.lease().expect("it is leased");
        assert_eq!((lease.disputes, lease.unsettled), (vec![], vec![]), "{arrived} have arrived");
        assert_eq!(world.question(), None);
        assert_eq!(links(&mut world), []);
        world.pass(10);
    }
}

#[test]
fn what_stays_away_is_asked_for_and_told_again() {
    let mut world = elsewhere(&["acme", "beta"]);
    come(&mut world, &["acme", "beta"], 10);
    assert_eq!(links(&mut world).len(), 2);
    let mut core = Speaker::new(7).holding(&world, &["acme"]);
    world.hears(&core.digests());
    assert_eq!(world.lease().expect("it is leased").unsettled, [], "it is on its way");
    world.pass_a_minute();
    world.pass(1);
    world.hears(&core.digests());
    world.lease().expect("it is leased");
    let query = world.question().expect("it stays away");
    world.hears(&core.listing(&query));
    assert_eq!(links(&mut world), [world::id("beta")]);
}

#[test]
fn what_a_region_holds_otherwise_is_suspected_with_those_that_came() {
    let mut world = elsewhere(&["acme", "gekko"]);
    come(&mut world, &["acme", "gekko"], 10);
    let mut core = Speaker::new(7).holding(&world, &["acme", "gekko"]);
    core.held[0].1 = openkcm_digests::Sum::of("l1.acme", Revision::new(1, 1), b"an earlier stay's").digest();
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert!(!covers(&lease, &core, "acme"));
    assert_eq!(lease.unsettled[0].without.len(), 2);
    assert_eq!(world.question(), None, "its word may be on its way");
    world.pass(3);
    world.hears(&core.digests());
    world.question().expect("it holds it still");
}

#[test]
fn a_region_that_tenants_leave_renews_the_others() {
    let mut world = elsewhere(&["stay"]);
    for (counter, name) in [(2, "gekko"), (3, "acme")] {
        world.define(name, counter, &["a"]);
        world.link(name, &request(&["k"]), &NONE).expect("nothing is against it");
    }
    world.pass_a_minute();
    world.pass_a_minute();
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    assert_eq!(bucket_of("gekko"), bucket_of("acme"));
    let mut core = Speaker::new(7).holding(&world, &["gekko", "acme"]);
    world.define("gekko", 9, &["b"]);
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert!(covers(&lease, &core, "acme"));
    assert!(!covers(&lease, &core, "gekko"), "it is no more the region's");
}
