//! Many services of one tenant: each definition costs the same, however many there are already.
//!
//! Not a measurement: nothing here asserts a time. For one, set `OPENKCM_MANY_SERVICES=10000`, run the test
//! alone, and read what it prints.

use openkcm_host::{Clock, SystemClock};

use crate::rig::facts;
use crate::rig::{World, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_are_defined_one_by_one_in_one_tenant_are_all_usable() {
    let many: u64 =
        std::env::var("OPENKCM_MANY_SERVICES").map_or(400, |text| text.parse().expect("a number"));
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    a.sealed_when_usable(facts::SERVICE, b"x").await;
    let began = SystemClock.boottime();
    let since = |what: &str| println!("{many} services {what}: {:?}", SystemClock.boottime().since(began));
    let path = |number: u64| format!("acme/hr/s-{number}");
    for number in 0..many {
        world.tell(10 + number, &facts::key(&path(number), |_| ())).await;
    }
    since("defined on the mesh one by one");
    let last = a.sealed_when_usable(&path(many - 1), b"last").await;
    since("usable in the first region");
    b.opens(&path(many - 1), &last, b"last").await;
    since("usable in the second region");
    a.replicates().await;
    for number in (0..many).step_by(7) {
        let sealed = a.sealed_when_usable(&path(number), b"x").await;
        b.opens(&path(number), &sealed, b"x").await;
    }
    since("looked at, every seventh");
    assert_eq!(world.sealed_on_mesh().await.len() as u64, many + 2, "an L2, and each L3 once");
    drop((a, b));
    let began_again = SystemClock.boottime();
    let (a, b) = world.start_both().await;
    for core in [&a, &b] {
        core.opens(&path(many - 1), &last, b"last").await;
    }
    println!("{many} services after a restart: {:?}", SystemClock.boottime().since(began_again));
    let told = SystemClock.boottime();
    world.tell(5, &facts::unlink("acme", 4)).await;
    a.refuses(&path(0), "tenant_unlinked").await;
    println!("{many} services unlinked: {:?}", SystemClock.boottime().since(told));
    world.tell(6, &facts::link("acme", 6)).await;
    a.opens(&path(many - 1), &last, b"last").await;
    eventually("all of them", async || {
        let first = a.encrypt(&path(0), b"x").await;
        (first.status == 200).then_some(())
    })
    .await;
    println!("{many} services linked again: {:?}", SystemClock.boottime().since(told));
}
