//! The configuration of `dev`: how to reach L1 providers and how often they are asked, and how long leases hold.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use openkcm_cmk::LeaseTerms;
use openkcm_roots::{LocalConfig, RootsConfig};
use serde::Deserialize;

use super::DevArguments;
use super::files::Home;
use crate::run::{GivenLeases, Probes};

/// What the file may say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    roots: RootsConfig,
    lease: GivenLeases,
    probe: Probes,
}

/// The providers, and the directory that relative paths in their sections start from.
pub(super) struct ConfiguredRoots {
    pub(super) config: RootsConfig,
    pub(super) directory: PathBuf,
}

/// Reads the configuration: the providers, how long leases hold, how often roots are asked. The provider `local` is
/// always there, with its keys in the landscape's directory and made at their first link.
pub(super) fn read(
    arguments: &DevArguments,
    home: &Home,
) -> anyhow::Result<(ConfiguredRoots, LeaseTerms, Duration)> {
    let default = home.directory().join("dev.toml");
    let path = match &arguments.config {
        Some(path) => Some(path.clone()),
        None => default.exists().then_some(default),
    };
    let mut file = File::default();
    let mut directory = home.directory().to_path_buf();
    if let Some(path) = path {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
        file = toml::from_str(&text)
            .with_context(|| format!("{} is no configuration of dev", path.display()))?;
        directory = path.parent().map(PathBuf::from).unwrap_or_default();
    }
    let keys = std::path::absolute(home.of("local-roots")).context("the current directory can't be told")?;
    let local = file.roots.local.unwrap_or(LocalConfig { directory: keys, ..LocalConfig::default() });
    let config = RootsConfig { local: Some(LocalConfig { auto_create: true, ..local }), ..file.roots };
    Ok((ConfiguredRoots { config, directory }, file.lease.into(), file.probe.every.duration()))
}
