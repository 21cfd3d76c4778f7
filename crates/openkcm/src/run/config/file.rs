//! The shape of the configuration files: which keys there are, and of which kind.
//!
//! One struct for each component, since a key that one of them has is unknown to another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use openkcm_cmk::LeaseTerms;
use openkcm_contracts::{Period, RegionId, Role};
use openkcm_http::SpiffeId;
use openkcm_krypton::{CHANGE_WAIT, LeasePolicy, PacePolicy, PurgePolicy};
use openkcm_orbital::nats::Storage;
use openkcm_roots::RootsConfig;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::ConfigError;
use super::layers::Layers;

/// What any component's file says.
pub(super) struct File {
    pub(super) role: Role,
    pub(super) data_dir: PathBuf,
    /// All regions of the landscape, or a Core's own.
    pub(super) regions: Vec<RegionId>,
    pub(super) listen: Listen,
    pub(super) orbital: Orbital,
    pub(super) roots: RootsConfig,
    /// Of the CMK Server.
    pub(super) lease_terms: LeaseTerms,
    /// Of a Core.
    pub(super) lease_policy: LeasePolicy,
    pub(super) purge: Purge,
    pub(super) l1: L1,
    /// Of both.
    pub(super) probed_every: Period,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    data_dir: PathBuf,
    regions: Vec<RegionId>,
    listen: Listen,
    orbital: Orbital,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cmk {
    data_dir: PathBuf,
    regions: Vec<RegionId>,
    listen: Listen,
    orbital: Orbital,
    #[serde(default)]
    roots: RootsConfig,
    #[serde(default)]
    lease: GivenLeases,
    #[serde(default)]
    probe: Probes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Krypton {
    data_dir: PathBuf,
    region: RegionId,
    listen: Listen,
    orbital: Orbital,
    #[serde(default)]
    roots: RootsConfig,
    #[serde(default)]
    lease: HeldLeases,
    #[serde(default)]
    purge: Purge,
    #[serde(default)]
    probe: Probes,
    #[serde(default)]
    l1: L1,
}

/// `[lease]` of the CMK Server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section with keys of its own")]
pub(crate) struct GivenLeases {
    ttl: Period,
    regions: BTreeMap<RegionId, Period>,
}

impl Default for GivenLeases {
    fn default() -> Self {
        let LeaseTerms { ttl, regions } = LeaseTerms::default();
        Self { ttl, regions }
    }
}

impl From<GivenLeases> for LeaseTerms {
    fn from(GivenLeases { ttl, regions }: GivenLeases) -> Self {
        Self { ttl, regions }
    }
}

/// `[lease]` of a Core.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section with keys of its own")]
pub(crate) struct HeldLeases {
    longest: Option<Period>,
    trusted_wall_clock: bool,
}

impl From<HeldLeases> for LeasePolicy {
    fn from(HeldLeases { longest, trusted_wall_clock }: HeldLeases) -> Self {
        Self { longest, trusted_wall_clock }
    }
}

/// `[purge]`, of a Core.
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section with keys of its own")]
pub(super) struct Purge {
    pub(super) minimum_wait: Period,
    pub(super) brake_percent: u8,
    pub(super) brake_least: u64,
    pub(super) brake_window: Period,
}

impl Default for Purge {
    fn default() -> Self {
        let PurgePolicy { minimum_wait, brake } = PurgePolicy::default();
        let period = |span: Duration| Period::from_secs(span.as_secs()).expect("the default is a period");
        Self {
            minimum_wait: period(minimum_wait),
            brake_percent: brake.percent,
            brake_least: brake.least,
            brake_window: period(brake.window),
        }
    }
}

/// `[l1]`, of a Core: how fast it asks each L1 provider, and how a root that comes into a link later is dealt with.
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section with keys of its own")]
pub(crate) struct L1 {
    pub(crate) unwraps_per_second: u32,
    pub(crate) concurrent: usize,
    pub(crate) change_wait: Option<Period>,
}

impl Default for L1 {
    fn default() -> Self {
        let PacePolicy { per_second, concurrent } = PacePolicy::default();
        Self { unwraps_per_second: per_second, concurrent, change_wait: None }
    }
}

impl L1 {
    /// How long a root that comes into a link later is waited for.
    pub(crate) fn change_wait(self) -> Duration {
        self.change_wait.map_or(CHANGE_WAIT, Period::duration)
    }

    /// The pace, and what is wrong with it, if anything is: the key, and what was expected.
    pub(crate) fn pace(self) -> Result<PacePolicy, (&'static str, String)> {
        let (most, concurrent) = (PacePolicy::MOST_PER_SECOND, PacePolicy::MOST_CONCURRENT);
        if !(1..=most).contains(&self.unwraps_per_second) {
            return Err(("l1.unwraps_per_second", format!("1 to {most} is expected")));
        }
        if !(1..=concurrent).contains(&self.concurrent) {
            return Err(("l1.concurrent", format!("1 to {concurrent} is expected")));
        }
        Ok(PacePolicy { per_second: self.unwraps_per_second, concurrent: self.concurrent })
    }
}

/// `[probe]`: how often each tenant's L1 is asked whether it may be used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section with keys of its own")]
pub(crate) struct Probes {
    pub(crate) every: Period,
}

impl Default for Probes {
    fn default() -> Self {
        Self { every: Period::from_secs(openkcm_cmk::PROBED_EVERY.as_secs()).expect("a minute is a period") }
    }
}

/// `[listen]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section with keys of its own")]
pub(super) struct Listen {
    #[serde(deserialize_with = "address")]
    pub(super) address: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: PathBuf,
    pub(super) admins: Vec<SpiffeId>,
}

/// `[orbital]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section with keys of its own")]
pub(super) struct Orbital {
    pub(super) servers: Vec<String>,
    pub(super) nkey: PathBuf,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) signing_key: PathBuf,
    pub(super) trust: PathBuf,
    pub(super) operator: Option<Operator>,
}

/// `[orbital.operator]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section with keys of its own")]
pub(super) struct Operator {
    pub(super) nkey: PathBuf,
    #[serde(default = "one")]
    pub(super) replicas: u8,
    #[serde(default = "on_disk")]
    pub(super) storage: Storage,
    #[serde(default = "ten_minutes")]
    pub(super) manifests_kept_for: Period,
}

fn one() -> u8 {
    1
}

fn on_disk() -> Storage {
    Storage::File
}

fn ten_minutes() -> Period {
    Period::from_secs(600).expect("a period")
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom("an address and a port are expected, such as 127.0.0.1:7010"))
}

/// What holds where nothing else is said.
pub(super) fn defaults(role: Role) -> toml::Table {
    let mut listen = toml::Table::new();
    let port = match role {
        Role::Registry => 7010,
        Role::Cmk => 7020,
        Role::Krypton => 7031,
    };
    listen.insert("address".to_owned(), format!("127.0.0.1:{port}").into());
    let mut table = toml::Table::new();
    table.insert("data_dir".to_owned(), "data".into());
    table.insert("listen".to_owned(), listen.into());
    table
}

/// Holds what was gathered to the shape of this component's file.
///
/// # Errors
/// When a key is unknown, missing, or of another kind.
pub(super) fn of(role: Role, layers: &Layers) -> Result<File, ConfigError> {
    Ok(match role {
        Role::Registry => {
            let Registry { data_dir, regions, listen, orbital } = shaped(layers)?;
            File::common(role, data_dir, regions, listen, orbital)
        }
        Role::Cmk => {
            let Cmk { data_dir, regions, listen, orbital, roots, lease, probe } = shaped(layers)?;
            File {
                roots,
                lease_terms: lease.into(),
                probed_every: probe.every,
                ..File::common(role, data_dir, regions, listen, orbital)
            }
        }
        Role::Krypton => {
            let Krypton { data_dir, region, listen, orbital, roots, lease, purge, probe, l1 } =
                shaped(layers)?;
            File {
                roots,
                lease_policy: lease.into(),
                probed_every: probe.every,
                purge,
                l1,
                ..File::common(role, data_dir, vec![region], listen, orbital)
            }
        }
    })
}

impl File {
    /// What every component's file says; the rest as where nothing is said.
    fn common(
        role: Role,
        data_dir: PathBuf,
        regions: Vec<RegionId>,
        listen: Listen,
        orbital: Orbital,
    ) -> Self {
        Self {
            role,
            data_dir,
            regions,
            listen,
            orbital,
            roots: RootsConfig::default(),
            lease_terms: LeaseTerms::default(),
            lease_policy: LeasePolicy::default(),
            probed_every: Probes::default().every,
            purge: Purge::default(),
            l1: L1::default(),
        }
    }
}

fn shaped<T: DeserializeOwned>(layers: &Layers) -> Result<T, ConfigError> {
    let table = toml::Value::Table(layers.table.clone());
    serde_path_to_error::deserialize(table).map_err(|error| {
        let (way, fault) = (error.path().to_string(), error.inner().message());
        let way = if way == "." { "" } else { &way };
        // Serde's words for what a configuration calls a key.
        if let Some((key, rest)) = in_quotes(fault, "unknown field `") {
            let known = rest.strip_prefix(", expected ").unwrap_or("no keys here");
            return layers
                .fault(&join(way, key), format!("unknown key; expected {}", known.replace('`', "")));
        }
        if let Some((key, _)) = in_quotes(fault, "missing field `") {
            return layers.fault(&join(way, key), "missing, and there is no default".to_owned());
        }
        layers.fault(way, fault.replace('`', ""))
    })
}

/// The name in a message that begins so, and what follows it.
fn in_quotes<'a>(message: &'a str, begin: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(begin)?.split_once('`')
}

/// The way to a key; serde may have told the key as the last step already.
fn join(way: &str, key: &str) -> String {
    match way {
        "" => key.to_owned(),
        way if way == key || way.ends_with(&format!(".{key}")) => way.to_owned(),
        way => format!("{way}.{key}"),
    }
}
