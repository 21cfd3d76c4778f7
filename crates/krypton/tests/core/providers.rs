//! The L1 provider denies, is away, or is another one: each is told apart, and none is remembered longer
//! than it lasts.

use std::time::Duration;

use openkcm_host::Clock as _;

use crate::rig::facts::{self, SERVICE, SYSTEM};
use crate::rig::{Mood, Running, World, eventually};

/// A world in which `acme` is linked to the provider `moody`.
async fn linked_to_moody() -> World {
    let world = World::new().await;
    for (counter, event) in facts::all().into_iter().take(3) {
        world.tell(counter, &event).await;
    }
    world.tell(4, &facts::linked_to("acme", 4, &[facts::root("moody", "acme")])).await;
    world
}

async fn comes_back(world: &World, core: &Running) -> String {
    core.as_time_passes(world, Duration::from_secs(1), "it is served again", async || {
        let reply = core.encrypt(SERVICE, b"back").await;
        (reply.status == 200).then(|| reply.field("ciphertext"))
    })
    .await
}

#[tokio::test]
async fn a_key_that_its_owner_disabled_is_denied_and_comes_back_by_itself() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    drop(a);
    std::fs::write(world.disabled_marker("acme"), "").expect("a marker");
    let a = world.start("a").await;
    let refused = a.refuses(SERVICE, "l1_denied").await;
    assert_eq!((refused.status, refused.retry_after), (403, None));
    a.refuses_to_open(SERVICE, &sealed, "l1_denied").await;
    assert_eq!(a.ask(SYSTEM, "rotate", &serde_json::json!({})).await.code(), "l1_denied");
    let shown = a.get(&format!("/v1/keys/{SYSTEM}")).await;
    assert_eq!(shown.body["versions"][0]["refusal"]["code"], "l1_denied", "{}", shown.text);
    std::fs::remove_file(world.disabled_marker("acme")).expect("it was there");
    comes_back(&world, &a).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    assert_eq!(a.versions(SYSTEM).await.len(), 1, "nothing was made in the place of what was denied");
}

#[tokio::test]
async fn a_tenant_whose_first_l2_is_denied_is_served_when_the_owner_allows_it() {
    let world = World::defined().await;
    std::fs::create_dir_all(world.directory.path().join("roots")).expect("a directory");
    world.roots.local().expect("it is configured").create("acme").await.expect("a key");
    std::fs::write(world.disabled_marker("acme"), "").expect("a marker");
    let a = world.start("a").await;
    a.refuses(SERVICE, "l1_denied").await;
    std::fs::remove_file(world.disabled_marker("acme")).expect("it was there");
    let sealed = comes_back(&world, &a).await;
    a.opens(SERVICE, &sealed, b"back").await;
    assert_eq!(a.versions(SYSTEM).await.len(), 1);
}

#[tokio::test]
async fn a_provider_that_is_away_is_not_a_denial_and_is_asked_again() {
    let world = linked_to_moody().await;
    world.moody.set(Mood::Away);
    let a = world.start("a").await;
    let refused = a.refuses(SERVICE, "l1_unreachable").await;
    assert_eq!(refused.status, 503);
    assert!(refused.retry_after.is_some());
    world.moody.set(Mood::Denies);
    a.as_time_passes(&world, Duration::from_secs(1), "a denial", async || {
        (a.encrypt(SERVICE, b"x").await.code() == "l1_denied").then_some(())
    })
    .await;
    // That it is away now does not take its no back.
    world.moody.set(Mood::Away);
    let asked = world.moody.asked();
    a.as_time_passes(&world, Duration::from_secs(1), "another probe", async || {
        (world.moody.asked() > asked).then_some(())
    })
    .await;
    world.heard_by(&a).await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.code(), "l1_denied");
    world.moody.set(Mood::Answers);
    comes_back(&world, &a).await;
}

#[tokio::test]
async fn what_is_open_stays_open_while_the_provider_is_away() {
    let world = linked_to_moody().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    world.moody.set(Mood::Away);
    world.advance(Duration::from_secs(3600));
    world.tell(11, &facts::key("acme/hr/new", |_| ())).await;
    let new = a.sealed_when_usable("acme/hr/new", b"new").await;
    a.opens("acme/hr/new", &new, b"new").await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.status, 200);
}

#[tokio::test]
async fn a_link_to_another_key_refuses_what_the_old_one_sealed_and_replaces_nothing() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    world.tell(5, &facts::linked_to("acme", 5, &[facts::local("another")])).await;
    let refused = a.refuses_to_open(SERVICE, &sealed, "material_not_here").await;
    assert_eq!(refused.status, 503);
    a.refuses(SERVICE, "material_not_here").await;
    assert_eq!((a.versions(SYSTEM).await.len(), a.versions(SERVICE).await.len()), (1, 1));
    world.tell(6, &facts::link("acme", 6)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_link_with_a_second_root_opens_by_either_and_seals_to_both() {
    let world = World::new().await;
    for (counter, event) in facts::all().into_iter().take(3) {
        world.tell(counter, &event).await;
    }
    let roots = [facts::root("moody", "acme"), facts::local("second")];
    world.tell(4, &facts::linked_to("acme", 4, &roots)).await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    let l2 = world.sealed_on_mesh().await.into_iter().find(|sealed| sealed.service.is_none());
    assert_eq!(l2.expect("it was told").seals.len(), 2);
    world.moody.set(Mood::Away);
    let b = world.start("b").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    world.tell(5, &facts::linked_to("acme", 5, &roots[1..])).await;
    for core in [&a, &b] {
        world.heard_by(core).await;
        core.opens(SERVICE, &sealed, b"hello").await;
    }
}

#[tokio::test]
async fn a_provider_that_answers_nobody_holds_up_no_other_tenant_and_no_revoke() {
    let world = linked_to_moody().await;
    world.moody.set(Mood::Ponders);
    world.tell(11, &facts::tenant("other", |_| ())).await;
    world.tell(12, &facts::key("other/hr", |_| ())).await;
    world.tell(13, &facts::key("other/hr/payroll", |_| ())).await;
    world.tell(14, &facts::link("other", 14)).await;
    let a = world.start("a").await;
    a.sealed_when_usable("other/hr/payroll", b"x").await;
    eventually("the provider was asked", async || (world.moody.asked() > 0).then_some(())).await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.code(), "hydrating");
    let rotation = a.ask(SYSTEM, "rotate", &serde_json::json!({})).await;
    assert_eq!(
        (rotation.status, rotation.code()),
        (503, "hydrating"),
        "one is being made: {}",
        rotation.text
    );
    world.tell(15, &facts::unlink("acme", 4)).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    world.moody.set(Mood::Answers);
    world.heard_by(&a).await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.code(), "tenant_unlinked");
    let other = |sealed: &openkcm_contracts::v1::KeySealed| sealed.tenant.as_str() == "other";
    assert!(world.sealed_on_mesh().await.iter().all(other), "what was sealed for a dead link is not kept");
}

#[tokio::test]
async fn a_rotation_whose_tenant_is_unlinked_meanwhile_is_refused_and_kept_nowhere() {
    let world = linked_to_moody().await;
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"x").await;
    world.moody.set(Mood::Ponders);
    let asked = world.moody.asked();
    let nothing = serde_json::json!({});
    let rotation = a.ask(SYSTEM, "rotate", &nothing);
    let meanwhile = async {
        eventually("the provider was asked", async || (world.moody.asked() > asked).then_some(())).await;
        world.tell(5, &facts::unlink("acme", 4)).await;
        a.refuses(SERVICE, "tenant_unlinked").await;
        a.has_applied(5).await;
        world.heard_by(&a).await;
        world.moody.set(Mood::Answers);
    };
    let (refused, ()) = tokio::join!(rotation, meanwhile);
    assert_eq!(refused.status, 503, "it is worth another try, which says why: {}", refused.text);
    assert_eq!(a.versions(SYSTEM).await.len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_put_off_the_next_question_to_a_provider_that_was_away() {
    let world = linked_to_moody().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    drop(a);
    let right = world.clock.now();
    world.clock.set_wall(right.after(Duration::from_secs(86_400)));
    world.moody.set(Mood::Away);
    let a = world.start("a").await;
    a.refuses(SERVICE, "l1_unreachable").await;
    world.clock.set_wall(right);
    world.moody.set(Mood::Answers);
    comes_back(&world, &a).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}
