//! A Core that has much to open asks its providers no faster than they bear, and first about what is asked for.

use std::time::Duration;

use openkcm_krypton::PacePolicy;

use crate::rig::facts::{self, SERVICE};
use crate::rig::{Mood, Running, World, eventually};

/// Questions in a second: what a test moves the clock on by is what is asked.
const SLOW: PacePolicy = PacePolicy { per_second: 1, concurrent: 64 };

const SECOND: Duration = Duration::from_secs(1);

/// A world in which tenants `t-0` and on each have a service `hr/payroll`, and a ciphertext of each, made in region a.
async fn with_tenants(count: usize, provider: &str) -> (World, Vec<(String, String)>) {
    let mut world = World::new().await;
    let mut said = Vec::new();
    let names: Vec<String> = (0..count).map(|number| format!("t-{number:02}")).collect();
    for name in &names {
        let link = facts::linked_to(name, 4, &[facts::root(provider, name)]);
        let (system, service) = (format!("{name}/hr"), format!("{name}/hr/payroll"));
        said.extend([(1, facts::tenant(name, |_| ())), (4, link)]);
        said.extend([(2, facts::key(&system, |_| ())), (3, facts::key(&service, |_| ()))]);
    }
    world.tell_all(&said).await;
    let a = world.start("a").await;
    let mut sealed = Vec::new();
    for name in names {
        let key = format!("{name}/hr/payroll");
        let ciphertext = a.sealed_when_usable(&key, name.as_bytes()).await;
        sealed.push((key, ciphertext));
    }
    a.replicates().await;
    world.pace = SLOW;
    (world, sealed)
}

async fn systems_open(core: &Running) -> (u64, u64, u64) {
    let status = core.get("/v1/status").await;
    let count = |name: &str| status.body["warm_up"][name].as_u64().expect("a count");
    (count("systems_open"), count("systems"), count("tenants_left"))
}

async fn waiting(core: &Running, reason: &str) -> u64 {
    let status = core.get("/v1/status").await;
    let providers = status.body["providers"].as_array().expect("a list");
    providers.iter().map(|provider| provider["waiting"][reason].as_u64().expect("a count")).sum()
}

#[tokio::test]
async fn a_tenant_that_is_asked_for_is_opened_before_those_that_nobody_asks_for() {
    let (world, sealed) = with_tenants(30, "local").await;
    let b = world.start("b").await;
    // One may be asked for at once; the clock stands still.
    eventually("all but one wait", async || (systems_open(&b).await == (1, 30, 0)).then_some(())).await;
    assert_eq!((waiting(&b, "rest").await, waiting(&b, "demanded").await), (29, 0));
    let (key, ciphertext) = &sealed[20];
    let refused = b.refuses_to_open(key, ciphertext, "hydrating").await;
    let wait: u64 = refused.retry_after.expect("it is worth another try").parse().expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
    eventually("its turn is the next", async || (waiting(&b, "demanded").await == 1).then_some(())).await;
    world.advance(SECOND);
    b.opens(key, ciphertext, b"t-20").await;
    assert_eq!(systems_open(&b).await, (2, 30, 0), "nobody asked for the others");
    for number in [11, 5, 28] {
        b.refuses_to_open(&sealed[number].0, &sealed[number].1, "hydrating").await;
    }
    eventually("they wait first", async || (waiting(&b, "demanded").await == 3).then_some(())).await;
    let asked_last = b.decrypt(&sealed[28].0, &sealed[28].1).await;
    assert_eq!(asked_last.retry_after.as_deref(), Some("3"), "the third of three, one each second");
    for _ in 0..3 {
        let before = systems_open(&b).await.0;
        world.advance(SECOND);
        eventually("another one", async || (systems_open(&b).await.0 > before).then_some(())).await;
    }
    for number in [11, 5, 28] {
        b.opens(&sealed[number].0, &sealed[number].1, format!("t-{number:02}").as_bytes()).await;
    }
    assert_eq!(systems_open(&b).await, (5, 30, 0));
    for (key, ciphertext) in &sealed {
        b.as_time_passes(&world, SECOND, "all of them in time", async || {
            (b.decrypt(key, ciphertext).await.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_system_whose_tenant_is_unlinked_or_which_is_deleted_while_it_waits_is_not_asked_for() {
    let (world, sealed) = with_tenants(3, "moody").await;
    let asked = world.moody.asked();
    let b = world.start("b").await;
    eventually("all but one wait", async || (systems_open(&b).await == (1, 3, 0)).then_some(())).await;
    assert_eq!(world.moody.asked() - asked, 1);
    world.tell(5, &facts::unlink("t-01", 4)).await;
    world.tell(6, &facts::key("t-02/hr", facts::deleted)).await;
    b.refuses(&sealed[1].0, "tenant_unlinked").await;
    b.refuses(&sealed[2].0, "key_disabled").await;
    b.has_applied(5).await;
    world.heard_by(&b).await;
    for _ in 0..5 {
        world.advance(SECOND);
        world.heard_by(&b).await;
    }
    eventually("nothing waits", async || (waiting(&b, "rest").await == 0).then_some(())).await;
    assert_eq!(world.moody.asked() - asked, 1, "their owners see no use of their keys");
    world.tell(7, &facts::linked_to("t-01", 7, &[facts::root("moody", "t-01")])).await;
    let (key, ciphertext) = &sealed[1];
    b.as_time_passes(&world, SECOND, "it is linked again", async || {
        (b.decrypt(key, ciphertext).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_limits_the_rate_ends_nothing_and_fails_no_key() {
    let (mut world, sealed) = with_tenants(2, "moody").await;
    world.pace = PacePolicy { per_second: 100, concurrent: 64 };
    world.moody.set(Mood::Throttles);
    let b = world.start("b").await;
    let (key, ciphertext) = &sealed[0];
    let throttled = async || {
        let status = b.get("/v1/status").await;
        let providers = status.body["providers"].as_array().expect("a list").clone();
        let moody =
            providers.iter().find(|provider| provider["provider"] == "moody").expect("it is configured");
        (moody["throttled"].as_u64().expect("a count"), moody["per_second"].as_u64().expect("a count"))
    };
    b.as_time_passes(&world, SECOND, "some refusals", async || (throttled().await.0 >= 5).then_some(()))
        .await;
    assert!(throttled().await.1 < 100, "it is asked more slowly");
    let refused = b.decrypt(key, ciphertext).await;
    assert_eq!((refused.status, refused.code()), (503, "hydrating"), "{}", refused.text);
    world.moody.set(Mood::Answers);
    for (key, ciphertext) in &sealed {
        b.as_time_passes(&world, SECOND, "it is opened", async || {
            (b.decrypt(key, ciphertext).await.status == 200).then_some(())
        })
        .await;
    }
    // What is open stays so while probes are refused for their rate, and these deny nothing.
    world.moody.set(Mood::Throttles);
    let before = throttled().await.0;
    b.as_time_passes(&world, SECOND * 10, "refused probes", async || {
        (throttled().await.0 > before).then_some(())
    })
    .await;
    for (key, ciphertext) in &sealed {
        assert_eq!(b.decrypt(key, ciphertext).await.status, 200);
    }
    let metrics = b.get("/metrics").await.text;
    for name in
        ["openkcm_l1_throttled_total", "openkcm_l1_asked_total", "openkcm_l1_waiting", "openkcm_systems_open"]
    {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_rotation_that_a_caller_waits_for_does_not_wait_for_the_warm_up() {
    let (mut world, sealed) = with_tenants(20, "local").await;
    for (counter, event) in facts::all() {
        world.tell(counter, &event).await;
    }
    world.pace = PacePolicy { per_second: PacePolicy::MOST_PER_SECOND, concurrent: 64 };
    drop(world.start("a").await.sealed_when_usable(SERVICE, b"x").await);
    world.pace = SLOW;
    let a = world.start("a").await;
    eventually("all but one wait", async || (systems_open(&a).await == (1, 21, 0)).then_some(())).await;
    a.as_time_passes(&world, SECOND, "it is opened", async || {
        (a.encrypt(SERVICE, b"x").await.status == 200).then_some(())
    })
    .await;
    let nothing = serde_json::json!({});
    let rotated = tokio::join!(a.ask(facts::SYSTEM, "rotate", &nothing), async {
        eventually("it waits first", async || (waiting(&a, "demanded").await == 1).then_some(())).await;
        world.advance(SECOND);
    });
    assert_eq!(rotated.0.status, 200, "{}", rotated.0.text);
    assert!(systems_open(&a).await.0 < 10, "the others wait still");
    drop(sealed);
}
