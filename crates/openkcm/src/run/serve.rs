//! One component from its start to its end.
//!
//! Who owns what: [`run`] owns the runtime, the lock on the data directory and the tasks beside the component (a look
//! at its files, the mesh's set-up, the watchdog); the component owns its store, courier and connections, and ends
//! when `stop` says so. The socket is bound before the store is opened, so that a taken port changes nothing.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;

use anyhow::Context as _;
use openkcm_contracts::RegionId;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::config::{Config, Sources};
use super::parts::Parts;
use super::reload::Reload;
use super::{mesh, notify};
use crate::cli::output;
use crate::component::Component;
use crate::files;
use crate::process::{DRAIN, StopSignals, log_to_stderr, warn_of_memory};

/// A component that serves, to its end.
type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Runs the component until it is asked to stop.
pub(super) fn run(sources: Sources, config: Config, rebuild: bool) -> anyhow::Result<()> {
    log_to_stderr(config.component.to_string());
    warn_of_memory(&openkcm_host::harden().context("the process can't be hardened")?);
    files::private_directory(&config.data_dir)?;
    let _lock = files::lock(&config.data_dir)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    let outcome = runtime.block_on(serve(sources, config, rebuild));
    runtime.shutdown_timeout(DRAIN);
    outcome
}

async fn serve(sources: Sources, config: Config, rebuild: bool) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let parts = Parts::open(&config).await?;
    let listener = openkcm_http::bind(config.listen.address, &parts.access).await?;
    let address = listener.local_addr().context("the listener's address can't be told")?;
    let (stop, mut stopping) = watch::channel(false);
    let stopped = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let (reload, regions) = Reload::new(sources, &config, &parts)?;
    let mut beside = JoinSet::new();
    let start = Start { config: &config, parts: &parts, regions: &regions, rebuild };
    let serving = start.component(&mut beside, listener, stopped).await?;
    let title = config.component.title();
    let mut serving = tokio::spawn(serving);
    beside.spawn(reload.run());
    beside.spawn(mesh::keep(config.mesh.clone(), regions, parts.entropy.clone()));
    beside.spawn(notify::keep_alive());
    tracing::info!(%address, regions = ?config.regions, "the {title} serves");
    output::result("ready")?;
    notify::ready();
    let ended = tokio::select! {
        () = signals.asked() => {
            tracing::info!("stopping");
            notify::stopping();
            stop.send_replace(true);
            serving.await
        }
        ended = &mut serving => ended,
    };
    ended.context("the component's task failed")?.with_context(|| format!("the {title} failed"))
}

/// How a component is started.
struct Start<'a> {
    config: &'a Config,
    parts: &'a Parts,
    regions: &'a watch::Receiver<Vec<RegionId>>,
    /// Whether an authority gets its facts back from the mesh.
    rebuild: bool,
}

impl Start<'_> {
    /// Starts the component that the configuration is for, and what it needs beside it.
    async fn component(
        &self,
        beside: &mut JoinSet<()>,
        listener: TcpListener,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<Serving> {
        match &self.config.component {
            Component::Registry => {
                let service = self.registry().await?;
                let handle = service.handle();
                beside.spawn(follow(self.regions.clone(), move |regions| handle.set_regions(regions)));
                Ok(Box::pin(service.serve(listener, stopped)))
            }
            Component::Cmk => {
                let service = self.cmk().await?;
                let handle = service.handle();
                beside.spawn(follow(self.regions.clone(), move |regions| handle.set_regions(regions)));
                Ok(Box::pin(service.serve(listener, stopped)))
            }
            Component::Krypton(region) => {
                let service = self.core(region).await?;
                Ok(Box::pin(service.serve(listener, stopped)))
            }
        }
    }

    async fn registry(&self) -> anyhow::Result<openkcm_registry::Service> {
        let options = openkcm_registry::Options {
            data_dir: self.config.data_dir.clone(),
            regions: self.config.regions.iter().cloned().collect(),
            access: self.parts.access.clone(),
            rebuild: self.rebuild,
        };
        Ok(openkcm_registry::Service::start(options, self.parts.surroundings()).await?)
    }

    async fn cmk(&self) -> anyhow::Result<openkcm_cmk::Service> {
        let options = openkcm_cmk::Options {
            data_dir: self.config.data_dir.clone(),
            regions: self.config.regions.iter().cloned().collect(),
            access: self.parts.access.clone(),
            rebuild: self.rebuild,
            leases: self.config.lease_terms.clone(),
            probed_every: self.config.probed_every,
        };
        let (roots, common) = (self.parts.roots.clone(), self.parts.surroundings());
        Ok(openkcm_cmk::Service::start(options, openkcm_cmk::Surroundings { roots, common }).await?)
    }

    async fn core(&self, region: &RegionId) -> anyhow::Result<openkcm_krypton::Service> {
        let options = openkcm_krypton::Options {
            data_dir: self.config.data_dir.clone(),
            region: region.clone(),
            access: self.parts.access.clone(),
            leases: self.config.lease_policy,
            purge: self.config.purge,
            probed_every: self.config.probed_every,
            change_wait: self.config.change_wait,
            pace: self.config.pace,
        };
        let (roots, common) = (self.parts.roots.clone(), self.parts.surroundings());
        let surroundings = openkcm_krypton::Surroundings { roots, common };
        Ok(openkcm_krypton::Service::start(options, surroundings).await?)
    }
}

/// Hands the regions on whenever they change.
async fn follow(
    mut regions: watch::Receiver<Vec<RegionId>>,
    take: impl Fn(BTreeSet<RegionId>) + Send + 'static,
) {
    while regions.changed().await.is_ok() {
        take(regions.borrow_and_update().iter().cloned().collect());
    }
}
