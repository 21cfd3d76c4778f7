//! The configuration of `dev`: how to reach L1 providers, how often and how fast they are asked, how long leases hold, and what
//! its Cores let through of a purge.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use openkcm_cmk::LeaseTerms;
use openkcm_contracts::Period;
use openkcm_krypton::{Brake, PacePolicy, PurgePolicy};
use openkcm_roots::{LocalConfig, RootsConfig};
use serde::Deserialize;

use super::DevArguments;
use super::files::Home;
use crate::run::{GivenLeases, L1, Probes};

/// What the file may say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    roots: RootsConfig,
    lease: GivenLeases,
    probe: Probes,
    purge: Purges,
    l1: L1,
}

/// `[purge]` of every Core; as in a Core's own file, but that none waits unless it is told to: what is tried out is not
/// waited for.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section with keys of its own")]
struct Purges {
    minimum_wait: Option<Period>,
    brake_percent: Option<u8>,
    brake_least: Option<u64>,
    brake_window: Option<Period>,
}

impl Purges {
    fn policy(&self) -> anyhow::Result<PurgePolicy> {
        let brake = Brake::default();
        let percent = self.brake_percent.unwrap_or(brake.percent);
        ensure!(percent <= 100, "purge.brake_percent: 0 to 100 is expected");
        Ok(PurgePolicy {
            minimum_wait: self.minimum_wait.map_or(Duration::ZERO, Period::duration),
            brake: Brake {
                percent,
                least: self.brake_least.unwrap_or(brake.least),
                window: self.brake_window.map_or(brake.window, Period::duration),
            },
        })
    }
}

/// What the configuration says.
pub(super) struct Configured {
    pub(super) roots: ConfiguredRoots,
    pub(super) leases: LeaseTerms,
    pub(super) purges: PurgePolicy,
    pub(super) change_wait: Duration,
    pub(super) probed_every: Duration,
    pub(super) pace: PacePolicy,
}

/// The providers, and the directory that relative paths in their sections start from.
pub(super) struct ConfiguredRoots {
    pub(super) config: RootsConfig,
    pub(super) directory: PathBuf,
}

/// Reads the configuration; the flags win. The provider `local` is always there, with its keys in the landscape's
/// directory and made at their first link.
pub(super) fn read(arguments: &DevArguments, home: &Home) -> anyhow::Result<Configured> {
    let default = home.directory().join("dev.toml");
    let path = match &arguments.config {
        Some(path) => Some(path.clone()),
        None => default.exists().then_some(default),
    };
    let mut file = File::default();
    let mut directory = home.directory().to_path_buf();
    if let Some(path) = &path {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        file = toml::from_str(&text)
            .with_context(|| format!("{} is no configuration of dev", path.display()))?;
        directory = path.parent().map(PathBuf::from).unwrap_or_default();
    }
    let keys = std::path::absolute(home.of("local-roots")).context("the current directory can't be told")?;
    let local = file.roots.local.unwrap_or(LocalConfig { directory: keys, ..LocalConfig::default() });
    let config = RootsConfig { local: Some(LocalConfig { auto_create: true, ..local }), ..file.roots };
    let mut leases = LeaseTerms::from(file.lease);
    leases.ttl = arguments.lease_ttl.unwrap_or(leases.ttl);
    file.purge.minimum_wait = arguments.purge_wait.or(file.purge.minimum_wait);
    let purges = file.purge.policy().with_context(|| match &path {
        Some(path) => format!("{} is no configuration of dev", path.display()),
        None => "the flags are no configuration of dev".to_owned(),
    })?;
    let pace = file.l1.pace().map_err(|(key, expected)| anyhow!("{key}: {expected}"))?;
    let roots = ConfiguredRoots { config, directory };
    let change_wait = file.l1.change_wait.map_or(Duration::ZERO, Period::duration);
    Ok(Configured { roots, leases, purges, change_wait, probed_every: file.probe.every.duration(), pace })
}
