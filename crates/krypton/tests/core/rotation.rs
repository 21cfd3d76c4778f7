//! Scheduled rotation: by the definition's period, in one region, without a loss and without duplicates.

use std::time::Duration;

use openkcm_contracts::v1::KeyDefine;

use crate::rig::facts::{self, SERVICE, SYSTEM};
use crate::rig::{Link, Mood, Way, World, eventually};

const DAY: Duration = Duration::from_secs(86_400);

fn every_ten_days(fact: &mut KeyDefine) {
    fact.rotate_every = Some("10d".parse().expect("a period"));
}

async fn with_periods(l2: bool, l3: bool) -> World {
    let world = World::defined().await;
    if l2 {
        world.tell(11, &facts::key(SYSTEM, every_ten_days)).await;
    }
    if l3 {
        world.tell(12, &facts::key(SERVICE, every_ten_days)).await;
    }
    world
}

#[tokio::test]
async fn an_l3_is_rotated_when_its_period_is_over_and_not_before_nine_and_a_half_tenths_of_it() {
    let world = with_periods(false, true).await;
    let (a, b) = world.start_both().await;
    let first = a.when_usable(SERVICE, b"first").await;
    b.opens(SERVICE, &first.field("ciphertext"), b"first").await;
    world.advance(DAY * 9);
    // Settled anew, so that whatever is due would be done.
    world.tell(13, &facts::tenant("acme", |_| ())).await;
    world.heard_by(&a).await;
    world.heard_by(&b).await;
    assert_eq!(a.versions(SERVICE).await, [first.version()], "the earliest moment is a twentieth early");
    world.advance(DAY);
    let second = eventually("a second version", async || a.versions(SERVICE).await.get(1).copied()).await;
    a.activates(SERVICE, second).await;
    b.activates(SERVICE, second).await;
    for core in [&a, &b] {
        core.opens(SERVICE, &first.field("ciphertext"), b"first").await;
        assert_eq!(core.versions(SERVICE).await.len(), 2, "one region makes it, the other receives it");
    }
    for round in 3..6 {
        world.advance(DAY * 10);
        eventually("one more", async || (b.versions(SERVICE).await.len() == round).then_some(())).await;
    }
    assert_eq!(a.versions(SYSTEM).await.len(), 1, "the L2 has no period");
}

#[tokio::test]
async fn an_l2_is_rotated_when_its_period_is_over_and_what_it_sealed_stays_open() {
    let world = with_periods(true, true).await;
    let (a, b) = world.start_both().await;
    let first = a.when_usable(SERVICE, b"first").await;
    b.opens(SERVICE, &first.field("ciphertext"), b"first").await;
    world.advance(DAY * 10);
    eventually("a second L2 and a second L3", async || {
        let (l2, l3) = (b.versions(SYSTEM).await.len(), b.versions(SERVICE).await.len());
        (l2 == 2 && l3 == 2).then_some(())
    })
    .await;
    a.replicates().await;
    world.heard_by(&a).await;
    world.heard_by(&b).await;
    assert_eq!(world.sealed_on_mesh().await.len(), 4);
    drop((a, b));
    // After a restart the provider opens both L2s in any order; neither makes anything be made again.
    let (a, b) = world.start_both().await;
    for core in [&a, &b] {
        core.opens(SERVICE, &first.field("ciphertext"), b"first").await;
        core.sealed_when_usable(SERVICE, b"x").await;
        assert_eq!((core.versions(SYSTEM).await.len(), core.versions(SERVICE).await.len()), (2, 2));
    }
    assert_eq!(world.sealed_on_mesh().await.len(), 4);
}

#[tokio::test]
async fn the_second_region_rotates_when_the_first_does_not() {
    let world = with_periods(false, true).await;
    let (a, b) = world.start_both().await;
    let first = a.when_usable(SERVICE, b"first").await;
    b.opens(SERVICE, &first.field("ciphertext"), b"first").await;
    a.replicates().await;
    drop(a);
    world.advance(DAY * 10);
    world.tell(13, &facts::tenant("acme", |_| ())).await;
    world.heard_by(&b).await;
    assert_eq!(b.versions(SERVICE).await.len(), 1, "a tenth of the period is the first region's");
    world.advance(DAY);
    let second = eventually("its own", async || b.versions(SERVICE).await.get(1).copied()).await;
    b.activates(SERVICE, second).await;
    let after = b.sealed_when_usable(SERVICE, b"after").await;
    let a = world.start("a").await;
    a.opens(SERVICE, &after, b"after").await;
    world.heard_by(&a).await;
    assert_eq!(a.versions(SERVICE).await.len(), 2, "the first region does not make one more");
}

#[tokio::test]
async fn rotation_goes_on_in_a_partition() {
    let world = with_periods(true, true).await;
    let way = Way::new(world.mesh.clone(), Link::Up);
    let a = world.start_on("a", &way).await;
    let first = a.when_usable(SERVICE, b"first").await;
    a.replicates().await;
    way.set(Link::Cut);
    world.advance(DAY * 10);
    let second = eventually("a second version", async || a.versions(SERVICE).await.get(1).copied()).await;
    // It waits for a replication that does not come, and is then relied on.
    world.advance(openkcm_krypton::rules::REPLICATION_PATIENCE);
    a.activates(SERVICE, second).await;
    assert!(a.encrypt(SERVICE, b"alone").await.is_at_risk());
    a.opens(SERVICE, &first.field("ciphertext"), b"first").await;
    assert_eq!(a.versions(SERVICE).await.len(), 2);
    way.set(Link::Up);
    a.replicates().await;
}

#[tokio::test]
async fn a_rotation_that_was_due_while_the_core_was_down_is_done_when_it_is_back() {
    let world = with_periods(false, true).await;
    let a = world.start("a").await;
    let first = a.when_usable(SERVICE, b"first").await;
    a.replicates().await;
    drop(a);
    world.advance(DAY * 35);
    let a = world.start("a").await;
    let second = eventually("a second version", async || a.versions(SERVICE).await.get(1).copied()).await;
    a.activates(SERVICE, second).await;
    a.opens(SERVICE, &first.field("ciphertext"), b"first").await;
    world.heard_by(&a).await;
    assert_eq!(a.versions(SERVICE).await.len(), 2, "one, however many periods have passed");
}

#[tokio::test]
async fn a_period_that_is_shortened_or_taken_away_holds_from_then_on() {
    let world = with_periods(false, true).await;
    let a = world.start("a").await;
    a.when_usable(SERVICE, b"first").await;
    world.advance(DAY * 2);
    let daily = |fact: &mut KeyDefine| fact.rotate_every = Some("1d".parse().expect("a period"));
    world.tell(13, &facts::key(SERVICE, daily)).await;
    eventually("a second version", async || a.versions(SERVICE).await.get(1).copied()).await;
    world.tell(14, &facts::key(SERVICE, |_| ())).await;
    world.heard_by(&a).await;
    world.advance(DAY * 100);
    world.tell(15, &facts::tenant("acme", |_| ())).await;
    world.heard_by(&a).await;
    assert_eq!(a.versions(SERVICE).await.len(), 2);
}

#[tokio::test]
async fn a_rotation_of_an_l2_that_the_provider_does_not_answer_is_tried_again() {
    let world = World::new().await;
    for (counter, event) in facts::all().into_iter().take(3) {
        world.tell(counter, &event).await;
    }
    world.tell(4, &facts::linked_to("acme", 4, &[facts::root("moody", "acme")])).await;
    world.tell(5, &facts::key(SYSTEM, every_ten_days)).await;
    let a = world.start("a").await;
    let first = a.sealed_when_usable(SERVICE, b"first").await;
    world.moody.set(Mood::Away);
    let refused = a.ask(SYSTEM, "rotate", &serde_json::json!({})).await;
    assert_eq!((refused.status, refused.code()), (503, "l1_unreachable"));
    assert!(refused.retry_after.is_some());
    let asked = world.moody.asked();
    world.advance(DAY * 10);
    eventually("the provider was asked again", async || (world.moody.asked() > asked).then_some(())).await;
    assert_eq!(a.decrypt(SERVICE, &first).await.status, 200, "what is open stays open");
    assert_eq!(a.encrypt(SERVICE, b"x").await.status, 200);
    world.moody.set(Mood::Answers);
    a.as_time_passes(&world, Duration::from_secs(5), "a second L2", async || {
        (a.versions(SYSTEM).await.len() == 2).then_some(())
    })
    .await;
}
