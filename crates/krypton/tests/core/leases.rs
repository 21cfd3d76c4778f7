//! Nobody is served without a lease; no lease is longer than it was granted, whatever is restarted, replayed or set
//! back; and with the next one everything goes on by itself.

use std::time::Duration;

use openkcm_contracts::v1::{Dispute, LinkState};
use openkcm_contracts::{LinkEpoch, Revision};
use openkcm_host::Clock as _;
use openkcm_orbital::Transport as _;

use crate::rig::facts::{self, SERVICE};
use crate::rig::{Link, Running, Way, World, eventually};

/// How long leases hold in these tests, whose clock stands still until it is moved.
const TTL: u64 = 3_600;

/// A world in which leases run out, and a Core of region `a` that serves.
async fn leased() -> (World, Running, String) {
    let world = World::defined().await;
    world.lessor.set_ttl(TTL);
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    (world, a, sealed)
}

fn pass(world: &World, secs: u64) {
    world.advance(Duration::from_secs(secs));
}

async fn is_ready(core: &Running) -> bool {
    core.get("/readyz").await.status == 200
}

/// Waits until the plaintext keys of an ended lease are gone.
async fn is_wiped(core: &Running) {
    eventually("an empty ring", async || {
        let tenant = openkcm_contracts::TenantId::new("acme").expect("a label");
        let rings = core.handle.tenant(&tenant).await.expect("the store can be read").expect("it is known");
        rings.leased_until.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_core_that_never_had_a_lease_serves_nobody() {
    let world = World::defined().await;
    world.lessor.set_away(true);
    let a = world.start("a").await;
    a.refuses(SERVICE, "lease_expired").await;
    assert_eq!(world.sealed_on_mesh().await, [], "nothing is made either");
    assert!(!is_ready(&a).await);
    let status = a.get("/v1/status").await;
    assert_eq!(status.body["lease"]["state"], "none", "{}", status.text);
    world.lessor.set_away(false);
    // It asks again by itself.
    pass(&world, 10);
    a.sealed_when_usable(SERVICE, b"hello").await;
    assert!(is_ready(&a).await);
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_runs_out_and_serving_resumes_with_the_next() {
    let (world, a, sealed) = leased().await;
    world.lessor.set_away(true);
    pass(&world, TTL - 1);
    a.opens(SERVICE, &sealed, b"hello").await;
    pass(&world, 2);
    let refused = a.decrypt(SERVICE, &sealed).await;
    assert_eq!(
        (refused.code(), refused.status),
        ("lease_expired", 503),
        "at once, before anything was settled"
    );
    assert!(refused.retry_after.is_some());
    is_wiped(&a).await;
    eventually("a Core that is not ready", async || (!is_ready(&a).await).then_some(())).await;
    // Traffic of the Registry renews nothing, and broker liveness does not.
    world.heard_by(&a).await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.code(), "lease_expired");
    world.lessor.set_away(false);
    pass(&world, 10);
    a.opens(SERVICE, &sealed, b"hello").await;
    assert!(is_ready(&a).await);
}

#[tokio::test]
async fn a_restart_neither_ends_a_lease_nor_lengthens_it() {
    let (world, a, sealed) = leased().await;
    a.replicates().await;
    world.lessor.set_away(true);
    drop(a);
    pass(&world, TTL - 10);
    let cut = Way::new(world.mesh.clone(), Link::Cut);
    let a = world.start_on("a", &cut).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    drop(a);
    // The wall clock is set back by an hour while it is down: the boot clock goes on.
    let now = world.clock.now().as_millis();
    world.clock.set_wall(openkcm_contracts::Timestamp::from_millis(now - 3_600_000));
    pass(&world, 11);
    let a = world.start_on("a", &cut).await;
    a.refuses(SERVICE, "lease_expired").await;
}

#[tokio::test]
async fn a_reboot_voids_a_lease_and_a_clock_set_forward_ends_it() {
    let (world, a, sealed) = leased().await;
    a.replicates().await;
    world.lessor.set_away(true);
    let now = world.clock.now().as_millis();
    world.clock.set_wall(openkcm_contracts::Timestamp::from_millis(now + TTL * 1_000));
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "lease_expired");
    world.clock.set_wall(openkcm_contracts::Timestamp::from_millis(now));
    a.opens(SERVICE, &sealed, b"hello").await;
    drop(a);
    world.clock.reboot();
    let a = world.start_on("a", &Way::new(world.mesh.clone(), Link::Cut)).await;
    a.refuses(SERVICE, "lease_expired").await;
}

#[tokio::test]
async fn a_replay_of_an_old_lease_renews_nothing() {
    let (world, a, sealed) = leased().await;
    let old = world.lessor.last();
    world.lessor.set_away(true);
    pass(&world, TTL - 1);
    world.mesh.publish(vec![old.clone()]).await.expect("the mesh is here");
    world.heard_by(&a).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    pass(&world, 2);
    world.mesh.publish(vec![old]).await.expect("the mesh is here");
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "lease_expired");
}

#[tokio::test]
async fn a_tenant_in_dispute_is_not_renewed_and_one_that_is_dead_ends_at_once() {
    let (world, a, sealed) = leased().await;
    let tenant = openkcm_contracts::TenantId::new("acme").expect("a label");
    let dispute = |counter, state| Dispute {
        tenant: tenant.clone(),
        epoch: LinkEpoch(Revision::new(1, counter)),
        state,
    };
    world.lessor.disputes(vec![dispute(4, LinkState::Linked)]);
    // Manifests go on being told and answered, and yet the tenant's lease is the one from before.
    for _ in 0..8 {
        let given = world.lessor.given();
        pass(&world, TTL / 8);
        eventually("another lease", async || (world.lessor.given() > given).then_some(())).await;
    }
    pass(&world, 1);
    a.refuses_to_open(SERVICE, &sealed, "lease_expired").await;
    world.lessor.disputes(Vec::new());
    pass(&world, TTL / 8);
    a.opens(SERVICE, &sealed, b"hello").await;
    // What the lease says to be dead is so before any revoke comes.
    world.lessor.disputes(vec![dispute(4, LinkState::Unlinked)]);
    pass(&world, TTL / 2);
    a.refuses_to_open(SERVICE, &sealed, "tenant_unlinked").await;
    world.lessor.disputes(Vec::new());
    world.tell(6, &facts::link("acme", 6)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_new_link_waits_for_a_lease_that_agreed_on_it() {
    let (world, a, sealed) = leased().await;
    world.lessor.set_away(true);
    world.tell(5, &facts::unlink("acme", 4)).await;
    world.tell(6, &facts::link("acme", 6)).await;
    // The region's lease is in force, and was given before this link was known.
    a.refuses_to_open(SERVICE, &sealed, "hydrating").await;
    world.lessor.set_away(false);
    pass(&world, TTL / 2);
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_core_that_is_put_back_from_a_copy_has_the_lease_of_the_copy() {
    let (world, a, sealed) = leased().await;
    a.replicates().await;
    drop(a);
    let store = world.directory.path().join("core-a");
    let copy = world.directory.path().join("copy");
    copy_all(&store, &copy);
    pass(&world, TTL / 2);
    let a = world.start("a").await;
    eventually("a later lease", async || {
        let status = a.get("/v1/status").await;
        (status.body["lease"]["used_percent"] == 0).then_some(())
    })
    .await;
    drop(a);
    copy_all(&copy, &store);
    world.lessor.set_away(true);
    let a = world.start_on("a", &Way::new(world.mesh.clone(), Link::Cut)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    pass(&world, TTL / 2);
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "lease_expired");
}

/// Copies a store's files, once nobody has them open.
fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(to).expect("a directory") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

#[tokio::test]
async fn a_core_whose_clock_was_behind_at_its_start_goes_on_as_a_later_one_and_serves() {
    let world = World::defined().await;
    world.lessor.set_ttl(TTL);
    // A start that is dated a day from now was leased, and its store is gone.
    world.lessor.has_heard_of(world.clock.now().as_millis() / 1_000 + 86_400);
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    // Also after the next start, whatever the clock shows.
    drop(a);
    let a = world.start("a").await;
    a.opens(SERVICE, &sealed, b"hello").await;
    let given = world.lessor.given();
    pass(&world, TTL / 4 + 1);
    eventually("another lease", async || (world.lessor.given() > given).then_some(())).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}
