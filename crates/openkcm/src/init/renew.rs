//! `openkcm init --renew-certificates`: all certificates of a landscape anew, for the keys that are there.
//!
//! They are valid for a year. What always holds: no key changes, so that a component with the old certificate and one
//! with the new trust one another; the authority's own certificate stays.

use anyhow::{Context as _, bail};
use openkcm_client::{Landscape, Url};

use super::authority::{Authority, Bearer, Purpose};
use super::host::Host;
use super::site::Site;
use super::{ADMIN_ID, BROKER, BROKER_ID, CREDENTIAL, LANDSCAPE, Made, configuration};
use crate::component::Component;
use crate::{files, shell};

/// Issues every certificate anew.
pub(super) fn run(site: &Site<'_>) -> anyhow::Result<Made> {
    if !site.path(LANDSCAPE).exists() {
        bail!("{} holds no landscape: name the directory of `openkcm init`", site.directory().display());
    }
    let _lock = files::lock(site.directory())?;
    let landscape = Landscape::load(&site.path(LANDSCAPE))?;
    let authority = Authority::open(site)?;
    for (name, id, host) in bearers(site, &landscape)? {
        let bearer = Bearer { id: &id, purpose: Purpose::Both, hosts: std::slice::from_ref(&host) };
        authority.issue(&name, &bearer, site)?;
    }
    let administrator = Bearer { id: ADMIN_ID, purpose: Purpose::Client, hosts: &[] };
    authority.renew_as_one(CREDENTIAL, &administrator, site)?;
    Ok(Made {
        directory: site.directory().to_path_buf(),
        landscape,
        headline: format!("The certificates in {} are valid for another year", site.directory().display()),
        next: vec![(
            "Let the broker read its configuration again, and restart the components, one after the other. Where \
                 they run on copies, bring them their certificates first.",
            vec![format!("nats-server --signal reload={}", shell::word(&site.path("data/nats/nats.pid")))],
        )],
    })
}

/// Who listens, by which id, and where.
fn bearers(site: &Site<'_>, landscape: &Landscape) -> anyhow::Result<Vec<(String, String, Host)>> {
    let mut places = vec![(Component::Registry, &landscape.registry), (Component::Cmk, &landscape.cmk)];
    places.extend(
        landscape.regions.iter().map(|region| (Component::Krypton(region.name.clone()), &region.url)),
    );
    let mut bearers = Vec::new();
    for (component, url) in places {
        bearers.push((component.to_string(), component.spiffe_id(), host_of(url)?));
    }
    let brokers = configuration::servers_in(&files::read(&site.path("registry.toml"))?)?;
    let broker = brokers.first().context("registry.toml names no broker")?;
    let broker: Url = broker.parse().with_context(|| format!("{broker} in registry.toml is no broker"))?;
    // The file's name is that of the broker's configuration.
    let name = BROKER.trim_end_matches(".conf").to_owned();
    bearers.push((name, BROKER_ID.to_owned(), host_of(&broker)?));
    Ok(bearers)
}

fn host_of(url: &Url) -> anyhow::Result<Host> {
    let host = url.host_str().with_context(|| format!("{url} has no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse().map_err(|fault| anyhow::anyhow!("{url}: {fault}"))
}
