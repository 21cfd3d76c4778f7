//! Facts arrive in any order, and one version is made for each definition.

use crate::rig::facts::{self, SERVICE, SYSTEM};
use crate::rig::{World, eventually};

/// Every order of these indices.
pub(crate) fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(of - 1);
    let placed = |order: &Vec<usize>, at: usize| {
        let mut longer = order.clone();
        longer.insert(at, of - 1);
        longer
    };
    shorter.iter().flat_map(|order| (0..of).map(move |at| placed(order, at))).collect()
}

#[tokio::test]
async fn facts_that_arrive_in_any_order_end_in_a_usable_service() {
    let world = World::new().await;
    let (a, b) = world.start_both().await;
    for (number, order) in orders(4).into_iter().enumerate() {
        let name = format!("t-{number}");
        let said = [
            facts::tenant(&name, |_| ()),
            facts::key(&format!("{name}/hr"), |_| ()),
            facts::key(&format!("{name}/hr/payroll"), |_| ()),
            facts::link(&name, 4),
        ];
        for index in order {
            world.tell(index as u64 + 1, &said[index]).await;
            // One at a time, so that each arrival is settled by itself.
            world.heard_by(&a).await;
        }
        let key = format!("{name}/hr/payroll");
        let sealed = a.sealed_when_usable(&key, b"hello").await;
        b.opens(&key, &sealed, b"hello").await;
    }
}

#[tokio::test]
async fn one_version_is_made_for_each_definition_across_both_regions_and_restarts() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    drop((a, b));
    let (a, b) = world.start_both().await;
    a.opens(SERVICE, &sealed, b"hello").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    for core in [&a, &b] {
        world.heard_by(core).await;
        core.replicates().await;
        assert_eq!(core.versions(SERVICE).await.len(), 1, "in {}", core.region());
        assert_eq!(core.versions(SYSTEM).await.len(), 1, "in {}", core.region());
    }
    assert_eq!(world.sealed_on_mesh().await.len(), 2, "an L2 and an L3");
}

#[tokio::test]
async fn the_second_region_makes_what_the_first_does_not_come_to_make() {
    let world = World::defined().await;
    let b = world.start("b").await;
    b.refuses(SERVICE, "hydrating").await;
    // Its caller asks: it waits for half a second and no longer.
    b.as_time_passes(&world, std::time::Duration::from_millis(600), "the second region's own", async || {
        (b.encrypt(SERVICE, b"hello").await.status == 200).then_some(())
    })
    .await;
    let sealed = b.sealed_when_usable(SERVICE, b"hello").await;
    let a = world.start("a").await;
    a.opens(SERVICE, &sealed, b"hello").await;
    assert_eq!(world.sealed_on_mesh().await.len(), 2, "the first region makes no second one");
}

#[tokio::test]
async fn without_being_asked_the_second_region_waits_for_the_first() {
    let world = World::defined().await;
    let b = world.start("b").await;
    world.heard_by(&b).await;
    assert_eq!(world.sealed_on_mesh().await, []);
    let patience = openkcm_krypton::rules::FIRST_VERSION_PATIENCE;
    // Once for the L2, and once for the L3 that waits for it.
    b.as_time_passes(&world, patience, "the second region's own", async || {
        (world.sealed_on_mesh().await.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_second_region_waits_anew_for_a_key_that_is_defined_anew() {
    let world = World::new().await;
    let b = world.start("b").await;
    for (counter, event) in [(1, facts::tenant("acme", |_| ())), (4, facts::link("acme", 4))] {
        world.tell(counter, &event).await;
    }
    // The clock wakes no one: what is heard does.
    let made = async || {
        world.heard_by(&b).await;
        world.sealed_on_mesh().await.into_iter().map(|sealed| sealed.path().to_string())
    };
    world.tell(3, &facts::key("acme/first", |_| ())).await;
    let patience = openkcm_krypton::rules::FIRST_VERSION_PATIENCE;
    b.as_time_passes(&world, patience, "the mesh to be read, and a key made", async || made().await.next())
        .await;
    for (counter, system) in [(5, SYSTEM), (6, "acme/ops")] {
        world.tell(counter, &facts::key(system, |_| ())).await;
    }
    world.heard_by(&b).await;
    let half = patience / 2;
    world.advance(half);
    world.tell(20, &facts::key(SYSTEM, |fact| fact.generation = facts::generation(20))).await;
    world.heard_by(&b).await;
    world.advance(half);
    eventually("the other system's", async || made().await.any(|path| path == "acme/ops").then_some(()))
        .await;
    assert!(made().await.all(|path| path != SYSTEM), "its patience began anew");
    world.advance(half);
    eventually("its own", async || made().await.any(|path| path == SYSTEM).then_some(())).await;
}

#[tokio::test]
async fn a_region_that_is_added_later_opens_what_was_sealed_before() {
    let world = World::new().await;
    let only_a = |fact: &mut openkcm_contracts::v1::TenantDefine| fact.regions.truncate(1);
    world.tell(1, &facts::tenant("acme", only_a)).await;
    for (counter, event) in facts::all().into_iter().skip(1) {
        world.tell(counter, &event).await;
    }
    let (a, b) = world.start_both().await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    world.heard_by(&b).await;
    assert_eq!(b.decrypt(SERVICE, &sealed).await.code(), "unknown_key");
    world.tell(5, &facts::tenant("acme", |_| ())).await;
    b.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn services_that_are_defined_together_are_all_usable() {
    let world = World::new().await;
    let a = world.start("a").await;
    for (counter, event) in facts::all() {
        world.tell_in("a", counter, &event).await;
    }
    for number in 0..300 {
        let path = format!("acme/hr/s-{number}");
        world.tell_in("a", 10 + number, &facts::key(&path, |_| ())).await;
    }
    for number in 0..300 {
        let path = format!("acme/hr/s-{number}");
        let sealed = a.sealed_when_usable(&path, path.as_bytes()).await;
        a.opens(&path, &sealed, path.as_bytes()).await;
    }
    a.replicates().await;
    eventually("each on the mesh once", async || (world.sealed_on_mesh().await.len() == 302).then_some(()))
        .await;
}
