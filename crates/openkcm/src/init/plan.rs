//! What `init` was asked for, checked as a whole before anything is made: who is where.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use openkcm_client::{Landscape, Region};
use openkcm_contracts::RegionId;

use super::host::{Host, Place};
use super::{CREDENTIAL, InitArguments, site::Site};
use crate::component::Component;

/// The port of the first Core, unless another one is chosen.
pub(super) const FIRST_CORE_PORT: u16 = 7031;

/// `NAME=HOST`, as `--hosts` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) who: Who,
    pub(super) host: Host,
}

/// Whose host it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    Component(Component),
    Broker,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, host) = text.split_once('=').ok_or("NAME=HOST is expected, such as nats=10.0.0.9")?;
        let who = match name {
            "nats" => Who::Broker,
            name => Who::Component(name.parse().map_err(|_| {
                format!("{name:?} is nobody here: registry, cmk, nats or krypton-REGION is expected")
            })?),
        };
        Ok(Self { who, host: host.parse()? })
    }
}

/// Who is where.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) places: Vec<(Component, Place)>,
    pub(super) broker: Place,
    pub(super) replicas: u8,
}

impl Plan {
    /// # Errors
    /// When a region or a place is taken twice, or a host is given to nobody.
    pub(super) fn new(arguments: &InitArguments) -> anyhow::Result<Self> {
        if let Some(twice) = first_twice(&arguments.regions) {
            bail!("region {twice} stands twice in --regions");
        }
        let components = Component::all(&arguments.regions);
        let hosts = Hosts { all: &arguments.host, single: &arguments.hosts };
        hosts.check(&components)?;
        let first = arguments.core_port.unwrap_or(FIRST_CORE_PORT);
        let mut places = Vec::new();
        for (index, component) in components.into_iter().enumerate() {
            let port = match &component {
                Component::Registry => arguments.registry_port,
                Component::Cmk => arguments.cmk_port,
                // The two authorities come first.
                Component::Krypton(_) => u16::try_from(index - 2)
                    .ok()
                    .and_then(|offset| first.checked_add(offset))
                    .context("--core-port leaves no room for all regions")?,
            };
            let host = hosts.of(&Who::Component(component.clone()));
            places.push((component, Place { host, port }));
        }
        let broker = Place { host: hosts.of(&Who::Broker), port: arguments.nats_port };
        let taken: Vec<&Place> = places.iter().map(|(_, place)| place).chain([&broker]).collect();
        if let Some(twice) = first_twice(&taken) {
            bail!("two would listen at {twice}: give each a port of its own");
        }
        Ok(Self { places, broker, replicas: arguments.replicas })
    }

    pub(super) fn regions(&self) -> Vec<RegionId> {
        self.places.iter().filter_map(|(component, _)| component.region().cloned()).collect()
    }

    /// What clients find the landscape by.
    pub(super) fn landscape(&self, site: &Site<'_>) -> anyhow::Result<Landscape> {
        let url = |place: &Place| url_of(place);
        let mut regions = Vec::new();
        for (component, place) in &self.places {
            if let Some(name) = component.region() {
                regions.push(Region { name: name.clone(), url: url(place)? });
            }
        }
        let [(_, registry), (_, cmk), ..] = &self.places[..] else {
            unreachable!("the plan of a landscape begins with its two authorities")
        };
        Ok(Landscape {
            registry: url(registry)?,
            cmk: url(cmk)?,
            regions,
            credential: site.path(CREDENTIAL),
            ca: Some(site.path("tls/ca.pem")),
        })
    }
}

/// The URL of a component.
pub(super) fn url_of(place: &Place) -> anyhow::Result<openkcm_client::Url> {
    format!("https://{place}").parse().with_context(|| format!("{place} does not fit a URL"))
}

/// The hosts that were chosen.
pub(super) struct Hosts<'a> {
    pub(super) all: &'a Host,
    pub(super) single: &'a [Named],
}

impl Hosts<'_> {
    /// # Errors
    /// When one is for none of these components, or two are for one.
    pub(super) fn check(&self, components: &[Component]) -> anyhow::Result<()> {
        for (index, named) in self.single.iter().enumerate() {
            if let Who::Component(component) = &named.who
                && !components.contains(component)
            {
                bail!("--hosts has a host for {component}, which is none of these: {}", names(components));
            }
            if self.single[..index].iter().any(|earlier| earlier.who == named.who) {
                bail!("--hosts has two hosts for one of the components");
            }
        }
        Ok(())
    }

    pub(super) fn of(&self, who: &Who) -> Host {
        self.single.iter().find(|named| named.who == *who).map_or(self.all, |named| &named.host).clone()
    }
}

fn names(components: &[Component]) -> String {
    components.iter().map(Component::to_string).collect::<Vec<_>>().join(", ")
}

fn first_twice<T: PartialEq>(items: &[T]) -> Option<&T> {
    items.iter().enumerate().find_map(|(index, item)| items[..index].contains(item).then_some(item))
}
