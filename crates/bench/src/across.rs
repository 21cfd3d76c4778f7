//! A landscape across processes, over a real broker, TLS and all: how soon an Unlink is refused, quiet and
//! while a million definitions stream by, and how long a region that has nothing takes to have them all.
//!
//! The definitions are signed with the Registry's own key and published under its own identity, so that what
//! is measured is the mesh and the Core, at the highest rate that the broker takes them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use openkcm_client::{Call, Client, Component, KeySpec, L1Spec, Patience, Route};
use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::TenantDefine;
use openkcm_contracts::{
    Audience, Event, Generation, KeyPath, RegionId, Revision, Role, ServicePath, TenantId, TenantState,
};
use openkcm_harness::Distributed;
use openkcm_host::OsEntropy;
use openkcm_orbital::nats::{NatsOptions, NatsTransport, Tls};
use openkcm_orbital::{Letter, Message, Signer, Transport};
use serde_json::Value;

use crate::landscape::{self, elapsed};
use crate::mesh::{definition, now, rate};
use crate::statistics::Sample;

/// Revisions of the published definitions: beyond all that the Registry itself says in a run.
const FAR: u64 = 1_000_000_000;

/// Letters that are published together.
const BATCH: usize = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Definitions that stream by, and that a new region reads
    #[arg(long, default_value_t = 1_000_000)]
    definitions: usize,
    /// Unlinks that are measured on a quiet landscape
    #[arg(long, default_value_t = 300)]
    rounds: usize,
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut running = Distributed::start(program, &directory.path().join("landscape"), &["a", "b"]).await;
    let client = landscape::client(&running.landscape_file())?;
    let path: ServicePath = "bench/app/data".parse()?;
    landscape::tenant(&client, &path.system_path(), landscape::local_root("bench")).await?;
    client.registry().put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await?;
    let unlinks = Unlinks { client: client.clone(), path: path.clone(), region: RegionId::new("a")? };
    let done = AtomicBool::new(false);
    unlinks.measure("quiet", |rounds| rounds < arguments.rounds).await?;
    let publisher = Publisher::new(&running).await?;
    let last = Revision::new(1, FAR + arguments.definitions as u64);
    // Signed beforehand, and published in a task of its own: what is measured shares the machine with the
    // broker and the regions, not with signing, and is looked at while a batch is under way.
    let batches = publisher.prepare(arguments.definitions)?;
    let publishing = tokio::spawn(async move { publisher.publish(batches).await });
    let publishing = async {
        let begun = elapsed();
        let published = publishing.await?;
        rate("definitions published to region a and b", arguments.definitions, elapsed() - begun);
        until_applied(&client, &unlinks.region, last).await?;
        rate("  until region a has applied them all", arguments.definitions, elapsed() - begun);
        done.store(true, Ordering::Relaxed);
        published
    };
    let measuring = unlinks.measure("while definitions stream by", |_| !done.load(Ordering::Relaxed));
    tokio::try_join!(publishing, measuring)?;
    client
        .cmk()
        .link(&path.tenant, &L1Spec { roots: vec![landscape::local_root("bench")], ..L1Spec::default() })
        .await?;
    unlinks.until(None).await?;
    hydrate(&mut running, (&client, &path), arguments.definitions).await
}

/// Region b loses its disk, and starts again.
async fn hydrate(
    running: &mut Distributed,
    (client, path): (&Client, &ServicePath),
    definitions: usize,
) -> anyhow::Result<()> {
    let region = RegionId::new("b")?;
    running.kill("krypton-b");
    let data = running.directory().join("data/krypton-b");
    std::fs::remove_dir_all(&data).with_context(|| format!("{} can't be removed", data.display()))?;
    let begun = elapsed();
    running.spawn("krypton-b");
    let impatient = client.with_patience(Patience::NONE);
    let served = async {
        while impatient.core(Route::Only(region.clone())).encrypt(path, b"x", None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("{:<44} {:>8.2} s", "empty region: first encryption", (elapsed() - begun).as_secs_f64());
        Ok::<_, anyhow::Error>(())
    };
    let hydrated = async {
        let what = "the region's facts are read";
        until(what, || async {
            let status = status(&impatient, &region).await?;
            let streams = status["mesh"]["streams"].as_array()?;
            let facts = streams.iter().find(|stream| stream["stream"] == "1.region.b")?;
            (facts["hydrated"] == true).then_some(())
        })
        .await?;
        rate("empty region: all verified and durable", definitions, elapsed() - begun);
        Ok(())
    };
    tokio::try_join!(served, hydrated)?;
    let memory = std::fs::read_to_string(format!("/proc/{}/status", running.pid("krypton-b")))?;
    let resident = memory.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS: unknown");
    println!("{:<44} {}", "  resident memory", resident.trim_start_matches("VmRSS:").trim());
    Ok(())
}

/// Unlinks one tenant again and again.
struct Unlinks {
    client: Client,
    path: ServicePath,
    region: RegionId,
}

impl Unlinks {
    async fn measure(&self, when: &str, more: impl Fn(usize) -> bool) -> anyhow::Result<()> {
        let (mut answered, mut asked) = (Vec::new(), Vec::new());
        while more(answered.len()) {
            let (after_answer, after_request) = self.round().await?;
            answered.push(after_answer);
            asked.push(after_request);
        }
        println!("{}", Sample::new(answered).line(&format!("unlink committed to refused, {when}")));
        println!("{}", Sample::new(asked).line("  the same, counted from the request"));
        Ok(())
    }

    /// The time from the answer to the Unlink, and from its request, to the first refusal.
    async fn round(&self) -> anyhow::Result<(Duration, Duration)> {
        let root = landscape::local_root("bench");
        let (cmk, tenant) = (self.client.cmk(), &self.path.tenant);
        cmk.link(tenant, &L1Spec { roots: vec![root], ..L1Spec::default() }).await?;
        self.until(None).await?;
        let requested = elapsed();
        let unlinked = async {
            cmk.unlink(tenant).await?;
            Ok::<_, anyhow::Error>(elapsed())
        };
        let (committed, refused) = tokio::try_join!(unlinked, self.until(Some(Code::TenantUnlinked)))?;
        Ok((refused.saturating_sub(committed), refused - requested))
    }

    /// Asks without a pause until the Core answers so; says when.
    async fn until(&self, refusal: Option<Code>) -> anyhow::Result<Duration> {
        let impatient = self.client.with_patience(Patience::NONE);
        let begun = elapsed();
        while elapsed() - begun < Duration::from_secs(60) {
            let answer =
                impatient.core(Route::Only(self.region.clone())).encrypt(&self.path, b"x", None).await;
            if answer.as_ref().err().and_then(|error| error.code()) == refusal {
                return Ok(elapsed());
            }
        }
        anyhow::bail!("region {} did not come to answer with {refusal:?}", self.region)
    }
}

/// Says what the Registry says.
struct Publisher {
    transport: Arc<dyn Transport>,
    signer: Signer,
    regions: Vec<Audience>,
}

impl Publisher {
    async fn new(running: &Distributed) -> anyhow::Result<Self> {
        let path = |name: &str| running.directory().join(name);
        let text = |name: &str| {
            std::fs::read_to_string(path(name)).with_context(|| format!("{name} of the landscape"))
        };
        let options = NatsOptions {
            servers: vec![running.nats().url().to_owned()],
            user: "registry".into(),
            nkey_seed: Some(text("keys/registry.nk")?.trim().to_owned().into()),
            tls: Some(Tls {
                ca: path("tls/ca.pem"),
                certificate: path("tls/registry.pem"),
                key: path("tls/registry.key"),
            }),
            makes_what_is_missing: false,
        };
        let transport = NatsTransport::connect(options, Arc::new(OsEntropy::new())).await?;
        until("the publisher is connected", || async { transport.publish(Vec::new()).await.ok() }).await?;
        let signer = Signer::from_seed(&text("keys/registry.seed")?, Role::Registry, None)?;
        let regions = ["a", "b"].map(|name| RegionId::new(name).map(Audience::Region));
        let regions = regions.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { transport: Arc::new(transport), signer, regions })
    }

    /// What is to be said, signed, in batches: each for one region.
    fn prepare(&self, definitions: usize) -> anyhow::Result<Vec<Vec<Message>>> {
        let tenants: Vec<Event> = (0..1000).map(tenant).collect::<anyhow::Result<_>>()?;
        let mut batches = Vec::new();
        for tenants in tenants.chunks(BATCH) {
            batches.extend(self.sign(tenants, FAR));
        }
        for from in (0..definitions).step_by(BATCH) {
            let facts: Vec<Event> =
                (from..definitions.min(from + BATCH)).map(definition).collect::<anyhow::Result<_>>()?;
            batches.extend(self.sign(&facts, FAR + from as u64 + 1));
        }
        Ok(batches)
    }

    fn sign(&self, facts: &[Event], first: u64) -> impl Iterator<Item = Vec<Message>> {
        self.regions.iter().map(move |audience| {
            let letters: Vec<Letter> = (first..)
                .zip(facts)
                .map(|(counter, fact)| Letter::new(fact, audience.clone(), Revision::new(1, counter), now()))
                .collect();
            self.signer.sign_all(&letters)
        })
    }

    async fn publish(&self, batches: Vec<Vec<Message>>) -> anyhow::Result<()> {
        for batch in batches {
            self.transport.publish(batch).await?;
        }
        Ok(())
    }
}

fn tenant(number: usize) -> anyhow::Result<Event> {
    Ok(Event::TenantDefine(TenantDefine {
        tenant: TenantId::new(&format!("tenant-{number}"))?,
        generation: Generation(Revision::new(1, 1)),
        state: TenantState::Active,
        regions: vec![RegionId::new("a")?, RegionId::new("b")?],
        labels: Default::default(),
    }))
}

async fn status(client: &Client, region: &RegionId) -> Option<Value> {
    let call = Call::get(Component::Core(region.clone()), "/v1/status");
    client.call(&call).await.ok()?.json().ok()
}

async fn until_applied(client: &Client, region: &RegionId, revision: Revision) -> anyhow::Result<()> {
    until("the region has applied all definitions", || async {
        let applied = status(client, region).await?["mesh"]["applied"]["registry"].as_str()?.parse().ok()?;
        (revision <= applied).then_some(())
    })
    .await
}

/// Looks for up to ten minutes.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> anyhow::Result<T> {
    for _ in 0..12_000 {
        if let Some(found) = look().await {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("it did not happen that {what}")
}
