//! The mesh alone: how fast NATS JetStream takes and gives signed facts, and how soon one arrives.
//!
//! No component runs: what is left of a component's own figures when these are taken away is its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_contracts::v1::{KeyDefine, L1Revoke};
use openkcm_contracts::{
    Algorithm, Audience, DefinitionState, Event, Generation, Lane, Layer, LinkEpoch, RegionId, Revision,
    Role, ServiceId, SystemId, TenantId, Timestamp,
};
use openkcm_harness::Nats;
use openkcm_host::{Clock as _, OsEntropy, SystemClock};
use openkcm_orbital::nats::{NatsOptions, NatsTransport};
use openkcm_orbital::{Intake, Letter, Reading, Signer, Stream, Transport, TrustBundle, Verifier};

use crate::landscape::elapsed;
use crate::statistics::Sample;

/// Letters that are signed and published together, as the courier does.
const BATCH: usize = 1000;

/// Messages that are read together, as the courier does.
const READ: usize = 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Definitions that are published and read back
    #[arg(long, default_value_t = 1_000_000)]
    definitions: usize,
    /// Single revokes whose arrival is measured
    #[arg(long, default_value_t = 2_000)]
    revokes: usize,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let broker = Nats::start().await;
    let signer = |role| {
        let seed = Signer::new_seed(&OsEntropy::new());
        Signer::from_seed(&seed, role, None).context("a new seed is a seed")
    };
    let (registry, cmk) = (signer(Role::Registry)?, signer(Role::Cmk)?);
    let bundle = TrustBundle { keys: vec![registry.trusted_key(), cmk.trusted_key()] };
    let verifier = Verifier::new(&bundle)?;
    publish_all(&*connect(&broker).await?, &registry, arguments.definitions).await?;
    read_all(&*connect(&broker).await?, &verifier, arguments.definitions).await?;
    measure_arrival((connect(&broker).await?, connect(&broker).await?), (&cmk, &verifier), arguments.revokes)
        .await
}

async fn connect(broker: &Nats) -> anyhow::Result<Arc<dyn Transport>> {
    let options = NatsOptions {
        servers: vec![broker.url().to_owned()],
        user: "bench".into(),
        nkey_seed: None,
        tls: None,
        makes_what_is_missing: true,
    };
    let transport = NatsTransport::connect(options, Arc::new(OsEntropy::new())).await?;
    openkcm_harness::until("the client is connected", || async { transport.publish(Vec::new()).await.ok() })
        .await;
    Ok(Arc::new(transport))
}

fn region() -> anyhow::Result<Audience> {
    Ok(Audience::Region(RegionId::new("a")?))
}

/// One of a million services: a thousand tenants with a thousand each.
pub(crate) fn definition(number: usize) -> anyhow::Result<Event> {
    let generation = Generation(Revision::new(1, number as u64 + 1));
    let fact = KeyDefine {
        tenant: TenantId::new(&format!("tenant-{}", number % 1000))?,
        system: SystemId::new("core")?,
        service: Some(ServiceId::new(&format!("service-{}", number / 1000))?),
        generation,
        parent: Generation(Revision::new(1, 1)),
        layer: Layer::L3,
        algorithm: Algorithm::AES256,
        rotate_every: Some("90d".parse()?),
        state: DefinitionState::Defined,
        compromised: Default::default(),
    };
    Ok(Event::KeyDefine(fact))
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

pub(crate) fn rate(what: &str, count: usize, took: Duration) {
    let each = count as f64 / took.as_secs_f64();
    println!("{what:<44} {:>8.2} s   {each:>10.0} /s", took.as_secs_f64());
}

async fn publish_all(mesh: &dyn Transport, signer: &Signer, count: usize) -> anyhow::Result<()> {
    let begun = elapsed();
    for from in (0..count).step_by(BATCH) {
        let letter = |number: usize| {
            let revision = Revision::new(1, number as u64 + 1);
            Ok(Letter::new(&definition(number)?, region()?, revision, now()))
        };
        let letters: Vec<Letter> =
            (from..count.min(from + BATCH)).map(letter).collect::<anyhow::Result<_>>()?;
        mesh.publish(signer.sign_all(&letters)).await?;
    }
    rate("definitions signed, published and synced", count, elapsed() - begun);
    Ok(())
}

async fn read_all(mesh: &dyn Transport, verifier: &Verifier, count: usize) -> anyhow::Result<()> {
    let reading = Reading::all(Stream { lane: Lane::Facts, audience: region()? });
    let begun = elapsed();
    let mut subscription = mesh.subscribe(&reading, None).await?;
    let (mut read, mut verifying) = (0, Duration::ZERO);
    while read < count {
        let batch = subscription.next(READ).await?;
        let from = elapsed();
        let intake = Intake::verify(&reading, batch, verifier, now());
        verifying += elapsed() - from;
        ensure!(intake.dropped.is_empty() && intake.poison.is_empty(), "all are authentic");
        read += intake.events.len();
    }
    rate("the same read from the beginning and verified", count, elapsed() - begun);
    rate("  of that, verified", count, verifying);
    Ok(())
}

async fn measure_arrival(
    (from, to): (Arc<dyn Transport>, Arc<dyn Transport>),
    (signer, verifier): (&Signer, &Verifier),
    count: usize,
) -> anyhow::Result<()> {
    let reading = Reading::all(Stream { lane: Lane::Urgent, audience: region()? });
    let mut subscription = to.subscribe(&reading, None).await?;
    ensure!(subscription.next(READ).await?.caught_up, "a new mesh holds no revoke");
    let (mut arrived, mut acknowledged) = (Vec::new(), Vec::new());
    for number in 0..count {
        let revision = Revision::new(1, number as u64 + 1);
        let fact = L1Revoke {
            tenant: TenantId::new(&format!("t{number}"))?,
            epoch: LinkEpoch(revision),
            reason: "unlinked on request".into(),
        };
        let letter = Letter::new(&Event::L1Revoke(fact), region()?, revision, now());
        let begun = elapsed();
        let publication = from.publish(vec![signer.sign(&letter)]);
        let arrival = async {
            let batch = subscription.next(READ).await?;
            let intake = Intake::verify(&reading, batch, verifier, now());
            ensure!(intake.events.len() == 1, "one revoke at a time");
            Ok(elapsed() - begun)
        };
        let acknowledgement = async {
            publication.await?;
            Ok::<_, anyhow::Error>(elapsed() - begun)
        };
        let (a, b) = tokio::try_join!(arrival, acknowledgement)?;
        arrived.push(a);
        acknowledged.push(b);
    }
    println!("{}", Sample::new(acknowledged).line("revoke: signed to acknowledged and synced"));
    println!("{}", Sample::new(arrived).line("revoke: signed to verified at the other side"));
    Ok(())
}
