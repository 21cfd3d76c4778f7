//! The faults, each of which begins with a tenant that is served, and has it unlinked.

use std::pin::Pin;
use std::time::Duration;

use openkcm_harness::tool;

use super::stage::{CORE, Served, Stage};

/// A fault.
pub(super) struct Fault {
    pub(super) name: &'static str,
    /// What is promised where it is less than a lease: while the Core hears the CMK Server.
    pub(super) bound: Option<Duration>,
    pub(super) run: fn(Stage, Duration) -> Running,
}

type Running = Pin<Box<dyn Future<Output = anyhow::Result<Served>>>>;

/// Within this a connected Core has heard of an Unlink: far more than the benchmark of the mesh shows.
const CONNECTED: Option<Duration> = Some(Duration::from_secs(1));

/// With what the broker has lost, the next manifest finds it: a quarter of a lease at most, and some.
const RECONCILED: Option<Duration> = Some(Duration::from_secs(5));

macro_rules! fault {
    ($name:literal, $bound:expr, $run:ident) => {
        Fault { name: $name, bound: $bound, run: |stage, ttl| Box::pin($run(stage, ttl)) }
    };
}

/// All of them.
pub(super) const FAULTS: [Fault; 13] = [
    fault!("no fault", CONNECTED, connected),
    fault!("the Core is partitioned", None, partition),
    fault!("the CMK Server is dead before it could tell", None, cmk_dead),
    fault!("the CMK Server is restored from before the Unlink", None, cmk_restored),
    fault!("the broker is restored from before the Unlink", RECONCILED, broker_restored),
    fault!("the Core is restarted during isolation", None, core_restarted),
    fault!("the Core is restored from a backup during isolation", None, core_restored),
    fault!("the Core is restarted in isolation, clock one hour back", None, clock_back),
    fault!("the Core is restarted in isolation, clock one hour forward", None, clock_forward),
    fault!("the Core is suspended for longer than a lease", None, suspended),
    fault!("a recorded old Link is said again", CONNECTED, old_link),
    fault!("a recorded old lease is said again and again", None, old_lease),
    fault!("lane 0 is late by 1.5 s, and out of order", Some(Duration::from_secs(4)), late_lane),
];

/// The last word about the tenant's link, and the region's last lease: stream and subject on the broker.
const LINK: (&str, &str) = ("ORBITAL_1_region_a", "orbital.1.region.a.cmk.l1.bench");
const LEASE: (&str, &str) = ("ORBITAL_0_region_a", "orbital.0.region.a.cmk.lease.a");

/// How long nothing must have been served before it counts as the end.
fn quiet(ttl: Duration) -> Duration {
    ttl + Duration::from_secs(4)
}

async fn connected(stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    let unlinked = stage.unlink().await?;
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn partition(stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    stage.core_way.stall();
    let unlinked = stage.unlink().await?;
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn cmk_dead(mut stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    stage.cmk_way.stall();
    let unlinked = stage.unlink().await?;
    stage.landscape.kill("cmk");
    stage.served_since(unlinked, quiet(ttl)).await
}

/// The Core hears nothing meanwhile; when it does again, the CMK Server that was put back believes in the link.
async fn cmk_restored(mut stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    let copy = stage.back_up("cmk").await?;
    stage.core_way.stall();
    let unlinked = stage.unlink().await?;
    // The Unlink is on the mesh, and on no store.
    stage.record(LINK).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.kill_and_restore("cmk", copy.path())?;
    stage.landscape.start_again("cmk").await;
    tokio::time::sleep(ttl / 2).await;
    stage.core_way.pass();
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn broker_restored(mut stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    let copy = stage.landscape.nats().copy_store().await;
    stage.core_way.stall();
    let unlinked = stage.unlink().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.landscape.kill("nats");
    stage.landscape.nats().restore_from(&copy);
    stage.landscape.start_again("nats").await;
    stage.core_way.pass();
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn core_restarted(mut stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    stage.core_way.stall();
    let unlinked = stage.unlink().await?;
    tokio::time::sleep(ttl / 4).await;
    stage.landscape.kill(CORE);
    stage.landscape.start_again(CORE).await;
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn core_restored(mut stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    let copy = stage.back_up(CORE).await?;
    stage.core_way.stall();
    let unlinked = stage.unlink().await?;
    tokio::time::sleep(ttl / 4).await;
    stage.kill_and_restore(CORE, copy.path())?;
    stage.landscape.start_again(CORE).await;
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn clock_back(stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    with_clock(stage, ttl, "-1h").await
}

async fn clock_forward(stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    with_clock(stage, ttl, "+1h").await
}

/// The boot clock, which nobody can set, stays what it is.
async fn with_clock(mut stage: Stage, ttl: Duration, by: &str) -> anyhow::Result<Served> {
    stage.core_way.stall();
    let unlinked = stage.unlink().await?;
    tokio::time::sleep(ttl / 4).await;
    stage.landscape.kill(CORE);
    let library = tool("libfaketime", "faketime").display().to_string();
    let variables = [
        ("LD_PRELOAD", library),
        ("FAKETIME", by.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    stage.landscape.spawn_in(CORE, &[], &variables);
    stage.landscape.wait_ready(CORE).await;
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn suspended(stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    // What it would hear when it goes on comes later: the lease alone has to hold it.
    stage.core_way.stall();
    stage.landscape.freeze(CORE);
    let unlinked = stage.unlink().await?;
    tokio::time::sleep(ttl + Duration::from_secs(2)).await;
    stage.landscape.thaw(CORE);
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn old_link(stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    let link = stage.record(LINK).await?;
    let unlinked = stage.unlink().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.say_again(&link).await?;
    stage.served_since(unlinked, quiet(ttl)).await
}

/// The CMK Server's Unlink does not get out, and whoever sits on the broker renews with what there was.
async fn old_lease(mut stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    let lease = stage.record(LEASE).await?;
    stage.cmk_way.stall();
    let unlinked = stage.unlink().await?;
    stage.landscape.kill("cmk");
    for _ in 0..10 {
        stage.say_again(&lease).await?;
        tokio::time::sleep(ttl / 5).await;
    }
    stage.served_since(unlinked, quiet(ttl)).await
}

async fn late_lane(stage: Stage, ttl: Duration) -> anyhow::Result<Served> {
    let lease = stage.record(LEASE).await?;
    stage.core_way.delay(Duration::from_millis(1_500));
    stage.is_served().await?;
    let unlinked = stage.unlink().await?;
    stage.say_again(&lease).await?;
    stage.served_since(unlinked, quiet(ttl)).await
}
