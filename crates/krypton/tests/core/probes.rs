//! The owner of a tenant's L1 is asked while its tenant is served: a no ends serving at once and until it is taken
//! back; silence ends it after a lease; and it resumes by itself.

use std::time::Duration;

use openkcm_host::Clock as _;

use crate::rig::facts::{self, SERVICE};
use crate::rig::{Link, Mood, Running, Way, World, eventually};

/// How long leases hold in these tests, whose clock stands still until it is moved.
const TTL: u64 = 3_600;

/// Between two looks: a few of them are a pause between two probes.
const STEP: Duration = Duration::from_secs(10);

/// A Core that serves `acme`, which is linked to these roots, all with keys of the provider `local`.
async fn serving(roots: &[openkcm_contracts::RootRef]) -> (World, Running, String) {
    let world = World::new().await;
    world.lessor.set_ttl(TTL);
    for (counter, event) in facts::all().into_iter().take(3) {
        world.tell(counter, &event).await;
    }
    world.tell(4, &facts::linked_to("acme", 4, roots)).await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    (world, a, sealed)
}

async fn comes_to(world: &World, core: &Running, sealed: &str, code: &str) {
    core.as_time_passes(world, STEP, code, async || {
        (core.decrypt(SERVICE, sealed).await.code() == code).then_some(())
    })
    .await;
}

async fn l1_of(core: &Running) -> (u64, u64) {
    let status = core.get("/v1/status").await;
    let count = |name: &str| status.body["l1"][name].as_u64().expect("a count");
    (count("denied"), count("unreachable"))
}

async fn plaintext_keys(core: &Running) -> u64 {
    core.get("/v1/status").await.body["locked_memory"]["keys"].as_u64().expect("a count")
}

#[tokio::test]
async fn a_key_that_its_owner_disables_is_denied_by_the_next_probe_and_served_again_when_it_is_allowed() {
    let (world, a, sealed) = serving(&[facts::local("acme")]).await;
    let open = plaintext_keys(&a).await;
    std::fs::write(world.disabled_marker("acme"), "").expect("a marker");
    comes_to(&world, &a, &sealed, "l1_denied").await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.status, 403);
    assert_eq!(l1_of(&a).await, (1, 0));
    eventually("wiped keys", async || (plaintext_keys(&a).await < open).then_some(())).await;
    std::fs::remove_file(world.disabled_marker("acme")).expect("it was there");
    comes_to(&world, &a, &sealed, "").await;
    a.opens(SERVICE, &sealed, b"hello").await;
    assert_eq!(l1_of(&a).await, (0, 0));
}

#[tokio::test]
async fn any_root_of_a_tenant_denies_for_all_and_only_its_own_yes_ends_that_also_after_a_restart() {
    let (world, a, sealed) = serving(&[facts::local("acme"), facts::root("moody", "second")]).await;
    world.moody.set(Mood::Denies);
    comes_to(&world, &a, &sealed, "l1_denied").await;
    // It is refused at once, and kept by the same step.
    world.heard_by(&a).await;
    drop(a);
    // The root that denied does not answer any more; the other one would open everything.
    world.moody.set(Mood::Away);
    let a = world.start("a").await;
    a.refuses_to_open(SERVICE, &sealed, "l1_denied").await;
    let asked = world.moody.asked();
    a.as_time_passes(&world, STEP, "two more probes", async || {
        (world.moody.asked() > asked + 1).then_some(())
    })
    .await;
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "l1_denied");
    world.moody.set(Mood::Answers);
    comes_to(&world, &a, &sealed, "").await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_root_that_is_away_while_another_answers_ends_nothing() {
    let (world, a, sealed) = serving(&[facts::root("moody", "acme"), facts::local("second")]).await;
    world.moody.set(Mood::Away);
    for _ in 0..30 {
        let asked = world.moody.asked();
        a.as_time_passes(&world, STEP, "a probe", async || (world.moody.asked() > asked).then_some(())).await;
        world.heard_by(&a).await;
    }
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn silence_ends_serving_when_a_lease_has_passed_and_not_before_and_the_next_yes_resumes_it() {
    let (world, a, sealed) = serving(&[facts::root("moody", "acme")]).await;
    world.moody.set(Mood::Away);
    let proven = world.clock.now();
    // In steps in which the CMK Server renews its lease.
    comes_to(&world, &a, &sealed, "l1_unreachable").await;
    let passed = world.clock.now().since(proven);
    assert!(passed >= Duration::from_secs(TTL - 120), "it was proven shortly before: {passed:?}");
    eventually("a tenant that is unproven", async || (l1_of(&a).await == (0, 1)).then_some(())).await;
    let refused = a.encrypt(SERVICE, b"x").await;
    assert_eq!((refused.status, refused.retry_after.is_some()), (503, true));
    world.moody.set(Mood::Answers);
    comes_to(&world, &a, &sealed, "").await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_restart_proves_nothing_by_itself() {
    let (world, a, sealed) = serving(&[facts::root("moody", "acme")]).await;
    world.moody.set(Mood::Away);
    drop(a);
    let a = world.start_on("a", &Way::new(world.mesh.clone(), Link::Up)).await;
    a.refuses_to_open(SERVICE, &sealed, "l1_unreachable").await;
    world.moody.set(Mood::Answers);
    comes_to(&world, &a, &sealed, "").await;
}

#[tokio::test]
async fn a_denied_tenant_that_is_linked_to_another_root_is_asked_there() {
    let (world, a, sealed) = serving(&[facts::local("acme"), facts::root("moody", "second")]).await;
    world.moody.set(Mood::Denies);
    comes_to(&world, &a, &sealed, "l1_denied").await;
    world.tell(5, &facts::linked_to("acme", 5, &[facts::local("acme")])).await;
    comes_to(&world, &a, &sealed, "").await;
    a.opens(SERVICE, &sealed, b"hello").await;
}
