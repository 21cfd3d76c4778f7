//! `openkcm init --add-region`: one region more for a landscape that is there and may be running.
//!
//! What always holds: no key and no certificate that is there is touched; of the files that are there, only what
//! tells of the regions changes. All of it is read and checked before any of it is changed, each step can be done
//! again, and `landscape.json` comes last: so an extension that was killed is simply typed again.

use anyhow::{Context as _, bail};
use openkcm_client::{Landscape, Region};
use openkcm_contracts::RegionId;
use openkcm_orbital::TrustBundle;

use super::authority::{Authority, Bearer, Purpose};
use super::broker::{self, User};
use super::configuration::{self, Common};
use super::host::Place;
use super::plan::{Hosts, Who, url_of};
use super::site::Site;
use super::{BROKER, InitArguments, LANDSCAPE, Made, TRUST, keys};
use crate::component::Component;
use crate::{files, shell};

/// The file names of those who know all regions. The Registry comes last: it makes the region's streams, which by
/// then the CMK Server expects.
const KNOW_REGIONS: [&str; 2] = ["cmk.toml", "registry.toml"];

/// Extends the landscape.
pub(super) fn run(arguments: &InitArguments, region: &RegionId, site: &Site<'_>) -> anyhow::Result<Made> {
    let landscape_file = site.path(LANDSCAPE);
    if !landscape_file.exists() {
        bail!(
            "{} holds no landscape to extend: make one with --regions, or choose another --dir",
            site.directory().display()
        );
    }
    let _lock = files::lock(site.directory())?;
    let mut landscape = Landscape::load(&landscape_file)?;
    if landscape.region(region).is_some() {
        bail!("region {region} is in this landscape already");
    }
    let core = Component::Krypton(region.clone());
    let place = place(arguments, &core, &landscape)?;
    landscape.regions.push(Region { name: region.clone(), url: url_of(&place)? });
    let regions: Vec<RegionId> = landscape.regions.iter().map(|region| region.name.clone()).collect();

    let authority = Authority::open(site)?;
    let broker = files::read(&site.path(BROKER))?;
    let bundle = TrustBundle::load(&site.path(TRUST))?;
    let configurations = extended(site, region)?;
    let servers = servers(site)?;

    files::room(&site.path("data"), &core.to_string())?;
    let new = User { name: core.to_string(), nkey: keys::nkey(site, &core.to_string())? };
    let broker = broker::with_users(&broker, &regions, std::slice::from_ref(&new))?;
    let bearer =
        Bearer { id: &core.spiffe_id(), purpose: Purpose::Both, hosts: std::slice::from_ref(&place.host) };
    authority.issue(&core.to_string(), &bearer, site)?;
    let common = Common { regions: &regions, servers: &servers, replicas: arguments.replicas };
    site.write(&format!("{core}.toml"), &configuration::of(&core, &place, &common))?;
    trust(site, bundle, &core)?;
    site.write(BROKER, &broker)?;
    for (name, text) in configurations {
        site.write(name, &text)?;
    }
    landscape.save(&landscape_file)?;
    Ok(made(site, landscape, region))
}

fn place(arguments: &InitArguments, core: &Component, landscape: &Landscape) -> anyhow::Result<Place> {
    let hosts = Hosts { all: &arguments.host, single: &arguments.hosts };
    hosts.check(std::slice::from_ref(core))?;
    let ports = landscape.regions.iter().filter_map(|region| region.url.port());
    let port = match arguments.core_port {
        Some(port) => port,
        None => {
            let last = ports.max().unwrap_or(super::plan::FIRST_CORE_PORT - 1);
            last.checked_add(1)
                .context("no port is left behind the last Core's: choose one with --core-port")?
        }
    };
    let place = Place { host: hosts.of(&Who::Component(core.clone())), port };
    let url = url_of(&place)?;
    let others =
        landscape.regions.iter().map(|region| &region.url).chain([&landscape.registry, &landscape.cmk]);
    if others.into_iter().any(|other| *other == url) {
        bail!("someone else listens at {place}: choose another --core-port");
    }
    Ok(place)
}

/// The new texts of those who know all regions.
fn extended(site: &Site<'_>, region: &RegionId) -> anyhow::Result<Vec<(&'static str, String)>> {
    let extend = |name: &'static str| {
        let path = site.path(name);
        let text = configuration::with_region(&files::read(&path)?, region);
        Ok((name, text.with_context(|| format!("region {region} can't be added to {}", path.display()))?))
    };
    KNOW_REGIONS.into_iter().map(extend).collect()
}

/// The brokers, as the Registry knows them.
fn servers(site: &Site<'_>) -> anyhow::Result<Vec<String>> {
    let path = site.path("registry.toml");
    let servers = configuration::servers_in(&files::read(&path)?);
    servers.with_context(|| format!("the broker's address is not in {}", path.display()))
}

/// Adds the Core's signing key to those that are believed.
fn trust(site: &Site<'_>, mut bundle: TrustBundle, core: &Component) -> anyhow::Result<()> {
    let key = keys::signer(site, core)?.trusted_key();
    if !bundle.keys.contains(&key) {
        bundle.keys.push(key);
    }
    keys::save_trust(site, &bundle)
}

fn made(site: &Site<'_>, landscape: Landscape, region: &RegionId) -> Made {
    let (program, word) = (shell::program(), |name: &str| shell::word(&site.path(name)));
    Made {
        directory: site.directory().to_path_buf(),
        landscape,
        headline: format!("Region {region} is in the landscape in {}", site.directory().display()),
        next: vec![
            (
                "Let the broker read its configuration again, then start the Core:",
                vec![
                    format!("nats-server --signal reload={}", word("data/nats/nats.pid")),
                    format!("{program} krypton --config {}", word(&format!("krypton-{region}.toml"))),
                ],
            ),
            (
                "Components that run on files of this directory see the region by themselves, within seconds. Where \
                 they run on copies, bring them trust.json, registry.toml and cmk.toml anew.",
                Vec::new(),
            ),
        ],
    }
}
