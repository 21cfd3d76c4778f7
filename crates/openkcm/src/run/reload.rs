//! What a running component takes over from its files without a restart: whom it believes, what it signs with, and
//! for an authority which regions there are.
//!
//! It looks every few seconds whether a file was changed, and reads all of them at once on SIGHUP. What always holds:
//! a file that can't be used changes nothing and is told once; a new signing key is taken only when the trust bundle
//! has it, so that nothing is signed that nobody believes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use openkcm_contracts::RegionId;
use openkcm_orbital::{Signer, TrustBundle, Verifier};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::config::{self, Config, Sources};
use super::parts::Parts;
use crate::files;

/// How often the files are looked at: an operator who replaces a key is not kept waiting, and three calls of stat cost
/// nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Takes changes over.
pub(super) struct Reload {
    sources: Sources,
    config: Config,
    signer: Arc<Signer>,
    verifier: Arc<Verifier>,
    regions: watch::Sender<Vec<RegionId>>,
    hangup: Signal,
    seen: Seen,
}

/// The files as they were when they were last read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    configuration: Option<Stamp>,
    trust: Option<Stamp>,
    signing_key: Option<Stamp>,
}

/// What differs when a file was written again: when, how long, and which one it is.
type Stamp = (i64, i64, u64, u64);

impl Reload {
    /// Begins with what the component was started with. The receiver has the regions, now and whenever they change.
    ///
    /// # Errors
    /// When SIGHUP can't be heard.
    pub(super) fn new(
        sources: Sources,
        config: &Config,
        parts: &Parts,
    ) -> anyhow::Result<(Self, watch::Receiver<Vec<RegionId>>)> {
        let (regions, receiver) = watch::channel(config.regions.clone());
        let reload = Self {
            seen: Seen::look(&sources, config),
            sources,
            config: config.clone(),
            signer: parts.signer.clone(),
            verifier: parts.verifier.clone(),
            regions,
            hangup: signal(SignalKind::hangup()).context("SIGHUP can't be heard")?,
        };
        Ok((reload, receiver))
    }

    /// Looks, for as long as the component runs.
    pub(super) async fn run(mut self) {
        loop {
            let all = tokio::select! {
                _ = self.hangup.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            self.look(all);
        }
    }

    /// Looks once, and takes over what has changed; `all` reads everything again.
    fn look(&mut self, all: bool) {
        let now = Seen::look(&self.sources, &self.config);
        let before = std::mem::replace(&mut self.seen, now.clone());
        if all {
            tracing::info!("reading configuration, trust bundle and signing key again");
        }
        if all || now.configuration != before.configuration {
            told("the configuration", self.take_configuration());
        }
        let trust = all || now.trust != before.trust;
        if trust {
            told("the trust bundle", self.take_trust());
        }
        // A key that was not believed before may be now.
        if trust || now.signing_key != before.signing_key {
            told("the signing key", self.take_signing_key());
        }
    }

    fn take_configuration(&mut self) -> anyhow::Result<()> {
        let role = self.config.component.role();
        let new = Config::load(role, &self.sources)?;
        if new.component != self.config.component {
            bail!("it is now that of {}, and this is {}", new.component, self.config.component);
        }
        if new.differs_beyond_regions(&self.config) {
            tracing::warn!(
                "the configuration has changed; all but the regions takes effect at the next start"
            );
        }
        if new.regions != self.config.regions {
            tracing::info!(regions = ?new.regions, "the regions of the landscape have changed");
            self.config.regions.clone_from(&new.regions);
            self.regions.send_replace(new.regions);
        }
        Ok(())
    }

    fn take_trust(&self) -> anyhow::Result<()> {
        let bundle = TrustBundle::load(&self.config.mesh.trust)?;
        self.verifier.replace(&bundle)?;
        tracing::info!(keys = bundle.keys.len(), "the trust bundle was read");
        Ok(())
    }

    fn take_signing_key(&self) -> anyhow::Result<()> {
        let path = &self.config.mesh.signing_key;
        if let Some(fault) = config::others_may_use(path) {
            bail!(fault);
        }
        let seed = files::read(path)?;
        let component = &self.config.component;
        let new = Signer::from_seed(&seed, component.role(), component.region().cloned())?.trusted_key();
        if new == self.signer.trusted_key() {
            return Ok(());
        }
        if !TrustBundle::load(&self.config.mesh.trust)?.keys.contains(&new) {
            bail!("the trust bundle does not have the key {} yet", new.id);
        }
        self.signer.replace_seed(&seed)?;
        tracing::info!(key = new.id, "signing with another key");
        Ok(())
    }
}

fn told(what: &str, taken: anyhow::Result<()>) {
    if let Err(error) = taken {
        tracing::error!(
            error = format!("{error:#}"),
            "{what} was changed and can't be used: what was before stays"
        );
    }
}

impl Seen {
    fn look(sources: &Sources, config: &Config) -> Self {
        Self {
            configuration: stamp(&sources.path),
            trust: stamp(&config.mesh.trust),
            signing_key: stamp(&config.mesh.signing_key),
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests;
