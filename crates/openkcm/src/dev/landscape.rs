//! Starting the three actors around one mesh, and serving until one of them fails or all are asked to
//! stop.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use openkcm_client::{Landscape, Region};
use openkcm_contracts::{RegionId, Role};
use openkcm_host::{Clock, Entropy, SystemClock};
use openkcm_http::Access;
use openkcm_krypton::LeasePolicy;
use openkcm_orbital::{Embedded, Signer, Transport, TrustBundle, Verifier};
use openkcm_roots::Roots;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::DevArguments;
use super::config::Configured;
use super::files::{CREDENTIAL, Home};
use super::threads::Threads;
use crate::component::Component;
use crate::process::StopSignals;

/// What the landscape is started from.
pub(super) struct Parts<'a> {
    pub(super) arguments: &'a DevArguments,
    pub(super) home: &'a Home,
    pub(super) regions: Vec<RegionId>,
    pub(super) threads: &'a Threads,
    pub(super) configured: Configured,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// A landscape that serves.
pub(super) struct Running {
    /// Where everything is.
    pub(super) landscape: Landscape,
    stop: watch::Sender<bool>,
    components: JoinSet<anyhow::Result<()>>,
}

impl Running {
    /// Waits until the process is asked to stop (Ctrl-C, SIGTERM), or a component fails.
    pub(super) async fn until_stopped(mut self) -> anyhow::Result<()> {
        let mut signals = StopSignals::listen()?;
        let failed = tokio::select! {
            () = signals.asked() => None,
            Some(ended) = self.components.join_next() => ended.map_err(anyhow::Error::from).flatten().err(),
        };
        tracing::info!("stopping");
        self.stop.send_replace(true);
        let ended = self.components.join_all().await;
        match failed.or_else(|| ended.into_iter().find_map(Result::err)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// What every component is handed.
struct Common<'a> {
    parts: &'a Parts<'a>,
    transport: Arc<dyn Transport>,
    verifier: Arc<Verifier>,
    clock: Arc<dyn Clock>,
    roots: Roots,
    serve: Serve,
}

/// The tasks that serve, and how they are told to stop.
struct Serve {
    stopping: watch::Receiver<bool>,
    components: JoinSet<anyhow::Result<()>>,
}

impl Serve {
    fn stop(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.clone();
        async move {
            // The sender is gone only when the landscape is: stop then, too.
            let _ = stopping.wait_for(|stop| *stop).await;
        }
    }
}

/// Starts everything. Sockets are bound first, so that a taken port is told before anything changes.
pub(super) async fn start(parts: Parts<'_>) -> anyhow::Result<Running> {
    let sockets = Sockets::bind(&parts).await?;
    let landscape = sockets.landscape(&parts.regions)?;
    let home = parts.home;
    let registry_signer = home.signer(Role::Registry, None, &*parts.entropy)?;
    let cmk_signer = home.signer(Role::Cmk, None, &*parts.entropy)?;
    let core_signers: Vec<Signer> = (parts.regions.iter())
        .map(|region| home.signer(Role::Krypton, Some(region), &*parts.entropy))
        .collect::<Result<_, _>>()?;
    let signers = [&registry_signer, &cmk_signer].into_iter().chain(&core_signers);
    let bundle = TrustBundle { keys: signers.map(Signer::trusted_key).collect() };
    home.save_trust(&bundle)?;
    let mesh_dir = home.of("orbital");
    std::fs::create_dir_all(&mesh_dir).with_context(|| format!("{} can't be made", mesh_dir.display()))?;
    let mesh = Embedded::open(&mesh_dir.join("mesh.db"), &*parts.entropy).await;
    let transport: Arc<dyn Transport> =
        Arc::new(mesh.with_context(|| format!("the mesh in {} can't be opened", mesh_dir.display()))?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let configured = &parts.configured.roots;
    let roots =
        Roots::build(&configured.config, &configured.directory, parts.entropy.clone(), clock.clone())?;
    let (stop, stopping) = watch::channel(false);
    let mut common = Common {
        transport,
        verifier: Arc::new(Verifier::new(&bundle)?),
        clock,
        roots,
        serve: Serve { stopping, components: JoinSet::new() },
        parts: &parts,
    };
    common.start_registry(sockets.registry, registry_signer).await?;
    common.start_cmk(sockets.cmk, cmk_signer).await?;
    for ((region, signer), listener) in parts.regions.iter().zip(core_signers).zip(sockets.cores) {
        common.start_core(region, listener, signer).await?;
    }
    let components = common.serve.components;
    landscape.save(&home.landscape_file())?;
    Ok(Running { landscape, stop, components })
}

impl Common<'_> {
    /// What the component of this signer is handed.
    fn surroundings(&self, signer: Signer) -> openkcm_component::Surroundings {
        openkcm_component::Surroundings {
            transport: self.transport.clone(),
            signer: Arc::new(signer),
            verifier: self.verifier.clone(),
            clock: self.clock.clone(),
            entropy: self.parts.entropy.clone(),
        }
    }

    async fn start_registry(&mut self, listener: TcpListener, signer: Signer) -> anyhow::Result<()> {
        let options = openkcm_registry::Options {
            data_dir: self.parts.home.of("registry"),
            regions: self.parts.regions.iter().cloned().collect::<BTreeSet<_>>(),
            access: access_to(self.parts.home),
            rebuild: false,
        };
        let started = openkcm_registry::Service::start(options, self.surroundings(signer));
        let threads = self.parts.threads.of(&Component::Registry)?;
        let service = threads.spawn(started).await??;
        let stop = self.serve.stop();
        let serving = async move { service.serve(listener, stop).await.context("the Registry failed") };
        self.serve.components.spawn_on(serving, threads);
        Ok(())
    }

    async fn start_cmk(&mut self, listener: TcpListener, signer: Signer) -> anyhow::Result<()> {
        let options = openkcm_cmk::Options {
            data_dir: self.parts.home.of("cmk"),
            regions: self.parts.regions.iter().cloned().collect::<BTreeSet<_>>(),
            access: access_to(self.parts.home),
            rebuild: false,
            leases: self.parts.configured.leases.clone(),
            probed_every: self.parts.configured.probed_every,
        };
        let surroundings =
            openkcm_cmk::Surroundings { roots: self.roots.clone(), common: self.surroundings(signer) };
        let threads = self.parts.threads.of(&Component::Cmk)?;
        let service = threads.spawn(openkcm_cmk::Service::start(options, surroundings)).await??;
        let stop = self.serve.stop();
        let serving = async move { service.serve(listener, stop).await.context("the CMK Server failed") };
        self.serve.components.spawn_on(serving, threads);
        Ok(())
    }

    async fn start_core(
        &mut self,
        region: &RegionId,
        listener: TcpListener,
        signer: Signer,
    ) -> anyhow::Result<()> {
        let options = openkcm_krypton::Options {
            data_dir: self.parts.home.of(&format!("krypton-{region}")),
            region: region.clone(),
            access: access_to(self.parts.home),
            leases: LeasePolicy::default(),
            purge: self.parts.configured.purges,
            probed_every: self.parts.configured.probed_every,
            change_wait: self.parts.configured.change_wait,
            pace: self.parts.configured.pace,
        };
        let surroundings =
            openkcm_krypton::Surroundings { roots: self.roots.clone(), common: self.surroundings(signer) };
        let threads = self.parts.threads.of(&Component::Krypton(region.clone()))?;
        let service = threads.spawn(openkcm_krypton::Service::start(options, surroundings)).await??;
        let (stop, region) = (self.serve.stop(), region.clone());
        let serving = async move {
            service.serve(listener, stop).await.with_context(|| format!("the Core of region {region} failed"))
        };
        self.serve.components.spawn_on(serving, threads);
        Ok(())
    }
}

/// The administrator's token opens every component.
fn access_to(home: &Home) -> Access {
    Access::Token(home.token.clone())
}

/// The sockets that the landscape listens on.
struct Sockets {
    registry: TcpListener,
    cmk: TcpListener,
    cores: Vec<TcpListener>,
}

impl Sockets {
    async fn bind(parts: &Parts<'_>) -> anyhow::Result<Self> {
        let (arguments, access) = (parts.arguments, access_to(parts.home));
        let bind = async |port: u16, flag: &str| {
            let bound = openkcm_http::bind(SocketAddr::new(arguments.host, port), &access).await;
            bound.with_context(|| format!("the landscape can't listen where --host and {flag} say"))
        };
        let registry = bind(arguments.registry_port, "--registry-port").await?;
        let cmk = bind(arguments.cmk_port, "--cmk-port").await?;
        let mut cores = Vec::new();
        for offset in 0..parts.regions.len() {
            let offset = u16::try_from(offset).context("there are more regions than ports")?;
            let port = match arguments.core_port {
                0 => 0,
                first => first.checked_add(offset).context("--core-port leaves no room for all regions")?,
            };
            cores.push(bind(port, "--core-port").await?);
        }
        Ok(Self { registry, cmk, cores })
    }

    fn landscape(&self, regions: &[RegionId]) -> anyhow::Result<Landscape> {
        let url = |listener: &TcpListener| -> anyhow::Result<_> {
            Ok(format!("http://{}", listener.local_addr()?).parse()?)
        };
        let cores = regions.iter().zip(&self.cores);
        Ok(Landscape {
            registry: url(&self.registry)?,
            cmk: url(&self.cmk)?,
            regions: cores
                .map(|(name, core)| Ok(Region { name: name.clone(), url: url(core)? }))
                .collect::<anyhow::Result<_>>()?,
            credential: PathBuf::from(CREDENTIAL),
            ca: None,
        })
    }
}
