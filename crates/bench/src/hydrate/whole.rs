//! The whole Core: courier, control loop, store, a `local` root; one tenant in use while a backlog comes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use openkcm_contracts::{Role, ServicePath};
use openkcm_harness::until;
use openkcm_host::{Clock, Entropy, OsEntropy, SystemClock};
use openkcm_http::{Access, Token};
use openkcm_krypton::{Handle, LeasePolicy, Options, PROBED_EVERY, Service, StartError, Surroundings};
use openkcm_orbital::{Signer, Transport, Verifier};
use openkcm_roots::{LocalConfig, Roots, RootsConfig};
use openkcm_store::StoreError;
use tokio::sync::watch;

use super::facts::{self, Facts};
use super::figure::{Meter, Table, Took, memory_mib};
use super::shelf::Shelf;
use crate::landscape::elapsed;
use crate::statistics::Sample;

/// How often the served tenant is used meanwhile.
const USED_EVERY: Duration = Duration::from_millis(2);

/// How often it is looked whether all was read.
const LOOKED_EVERY: Duration = Duration::from_millis(10);

/// Nothing of this takes longer.
const LONGEST: Duration = Duration::from_secs(600);

/// Hydrates a Core, uses it meanwhile, and starts it once more.
pub(super) async fn measure(facts: &Facts, directory: &Path, table: &mut Table) -> anyhow::Result<()> {
    let name = |what: &str| format!("{:?}: {what}", facts.order);
    let shelf = Arc::new(Shelf::new(facts::stream()?, facts.messages.clone(), facts.before, facts.lessor()));
    let before = memory_mib("VmRSS");
    let core = start(facts, shelf.clone(), directory).await?.0;
    let (path, last) = (facts::served()?, facts::served_last()?);
    usable(&core.handle(), &path).await;
    let (stop, stopped) = watch::channel(false);
    let using = tokio::spawn(use_until(stopped, core.handle(), path.clone()));
    let meter = Meter::start();
    shelf.show_all();
    read_to_its_end(&core.handle(), facts.messages.len() as u64).await?;
    usable(&core.handle(), &last).await;
    let took = meter.stop();
    stop.send_replace(true);
    let used = using.await??;
    let note = format!("memory {} MiB more than before", memory_mib("VmRSS").saturating_sub(before));
    table.add(name("the whole: verified, committed, settled"), facts.backlog(), took, note);
    println!("{}", used.line("encrypted meanwhile, by the tenant that is served"));
    drop(core);
    let (core, took) = start(facts, shelf, directory).await?;
    let meter = Meter::start();
    usable(&core.handle(), &last).await;
    let note = format!("usable after {:.2} s more", meter.stop().wall.as_secs_f64());
    table.add(name("started again with all of it"), facts.messages.len(), took, note);
    Ok(())
}

/// Starts the Core; says how long that took, without the wait for the one before to be gone.
async fn start(
    facts: &Facts,
    shelf: Arc<dyn Transport>,
    directory: &Path,
) -> anyhow::Result<(Service, Took)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    let region = facts::region()?;
    let seed = Signer::new_seed(&*entropy);
    let signer = Signer::from_seed(&seed, Role::Krypton, Some(region.clone()));
    let signer = signer.context("a new seed is a seed")?;
    let verifier = Verifier::new(&facts.bundle(Some(signer.trusted_key())))?;
    let local = LocalConfig { directory: directory.join("roots"), auto_create: true };
    let config = RootsConfig { local: Some(local), ..RootsConfig::default() };
    let surroundings = Surroundings {
        roots: Roots::build(&config, directory, entropy.clone(), clock.clone())?,
        common: openkcm_component::Surroundings {
            transport: shelf,
            signer: Arc::new(signer),
            verifier: Arc::new(verifier),
            clock,
            entropy,
        },
    };
    let access = Access::Token(Token::new("nobody-asks-over-http-in-this-measurement")?);
    let (leases, purge) = (LeasePolicy::default(), openkcm_krypton::PurgePolicy::default());
    let options = Options {
        data_dir: directory.join("core"),
        region,
        access,
        leases,
        purge,
        probed_every: PROBED_EVERY,
        change_wait: openkcm_krypton::CHANGE_WAIT,
        pace: openkcm_krypton::PacePolicy::default(),
    };
    let begun = elapsed();
    loop {
        let meter = Meter::start();
        match Service::start(options.clone(), surroundings.clone()).await {
            Ok(service) => return Ok((service, meter.stop())),
            Err(StartError::Store(StoreError::InUse { .. })) if elapsed() - begun < LONGEST => {
                tokio::time::sleep(LOOKED_EVERY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn usable(core: &Handle, path: &ServicePath) {
    until("a service is usable", || async { core.data().encrypt(path, b"x", b"").ok() }).await;
}

async fn read_to_its_end(core: &Handle, count: u64) -> anyhow::Result<()> {
    let begun = elapsed();
    let stream = facts::stream()?.to_string();
    while elapsed() - begun < LONGEST {
        let mesh = core.status().await?.mesh;
        let facts = mesh.streams.iter().find(|status| status.stream == stream);
        if facts.is_some_and(|facts| facts.sequence == Some(count)) {
            return Ok(());
        }
        tokio::time::sleep(LOOKED_EVERY).await;
    }
    bail!("it did not come to the end of what is on the mesh")
}

/// Encrypts until it is told to stop; gives how long each took.
async fn use_until(
    mut stopped: watch::Receiver<bool>,
    core: Handle,
    path: ServicePath,
) -> anyhow::Result<Sample> {
    let mut durations = Vec::new();
    while tokio::time::timeout(USED_EVERY, stopped.changed()).await.is_err() {
        let begun = elapsed();
        if core.data().encrypt(&path, b"in use meanwhile", b"").is_err() {
            bail!("what was served before is refused while a backlog comes");
        }
        durations.push(elapsed() - begun);
    }
    Ok(Sample::new(durations))
}
