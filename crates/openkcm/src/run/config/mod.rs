//! The configuration of a component: defaults, its file, the environment, flags; the later wins.
//!
//! Gathered in `layers`, which remembers where each key came from; held to the shape in `file`; its values are checked
//! in `check`, as far as that can be done without touching the network. What always holds: an unknown key or a bad
//! value is an error that names the place that it came from, the key, and what was expected; what can be read here
//! holds no secret, only the files that do.

mod check;
mod error;
mod file;
mod layers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use openkcm_cmk::LeaseTerms;
use openkcm_contracts::{RegionId, Role};
use openkcm_http::{SpiffeId, TlsOptions};
use openkcm_krypton::{LeasePolicy, PacePolicy, PurgePolicy};
use openkcm_orbital::nats::Provision;
use openkcm_roots::RootsConfig;

pub(crate) use self::check::others_may_use;
pub(crate) use self::error::ConfigError;
pub(crate) use self::file::{GivenLeases, L1, Probes};
pub(crate) use self::layers::{Flag, FlagValue, Sources};
use crate::component::Component;

/// A component's configuration, checked; all paths are absolute or start where this process is.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Who it is.
    pub(crate) component: Component,
    /// All regions of the landscape, as an authority knows them; a Core's own.
    pub(crate) regions: Vec<RegionId>,
    /// Its own state.
    pub(crate) data_dir: PathBuf,
    /// Its HTTP interface.
    pub(crate) listen: Listen,
    /// The mesh.
    pub(crate) mesh: Mesh,
    /// How to reach L1 providers.
    pub(crate) roots: RootsConfig,
    /// How long leases hold that a CMK Server gives.
    pub(crate) lease_terms: LeaseTerms,
    /// How a Core deals with leases.
    pub(crate) lease_policy: LeasePolicy,
    /// How long a Core waits before it destroys, and how much at once.
    pub(crate) purge: PurgePolicy,
    /// How long a Core seals nothing to a root that came into a link without its owner's word.
    pub(crate) change_wait: Duration,
    /// How fast a Core asks each L1 provider.
    pub(crate) pace: PacePolicy,
    /// How often each tenant's L1 is asked.
    pub(crate) probed_every: Duration,
    /// Where relative paths of `roots` start.
    pub(crate) directory: PathBuf,
    /// All of it as it came together, for people.
    shown: toml::Table,
    /// Which keys are not the file's, and whose they are.
    overridden: Vec<(String, String)>,
}

/// Where it listens, and who is let in.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) tls: TlsOptions,
    pub(crate) admins: Vec<SpiffeId>,
}

/// How it reaches the mesh, signs, and believes.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    pub(crate) servers: Vec<String>,
    pub(crate) nkey: PathBuf,
    /// The files for TLS, unless the broker is on this machine and speaks none.
    pub(crate) tls: Option<MeshTls>,
    pub(crate) signing_key: PathBuf,
    pub(crate) trust: PathBuf,
    pub(crate) operator: Option<Operator>,
}

/// The broker's CA, and what this component shows to the broker.
#[derive(Debug, Clone)]
pub(crate) struct MeshTls {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What makes streams and readers.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    pub(crate) nkey: PathBuf,
    pub(crate) wanted: Provision,
}

impl Config {
    /// Reads and checks the configuration of a component in this role.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub(crate) fn load(role: Role, sources: &Sources) -> Result<Self, ConfigError> {
        let layers = sources.gather(role, file::defaults(role))?;
        let file = file::of(role, &layers)?;
        check::check(file, layers)
    }

    /// Whether anything but the regions is another one.
    pub(crate) fn differs_beyond_regions(&self, other: &Self) -> bool {
        let without = |config: &Self| {
            let mut table = config.shown.clone();
            table.remove("regions");
            table
        };
        without(self) != without(other)
    }

    /// The configuration as it came together, as a file could say it, and what did not come from the file.
    pub(crate) fn to_text(&self) -> String {
        let mut text =
            format!("# {}: relative paths start in {}\n", self.component, self.directory.display());
        for (key, origin) in &self.overridden {
            text.push_str(&format!("# {key}: by {origin}\n"));
        }
        text.push_str(&self.shown.to_string());
        text
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "component": self.component.to_string(),
            "directory": self.directory,
            "configuration": self.shown,
            "overridden": self.overridden.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}

#[cfg(test)]
mod tests;
