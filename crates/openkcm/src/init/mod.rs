//! `openkcm init`: the directory of a landscape whose components are processes of their own.
//!
//! Certificates, signing keys, the trust bundle, the broker's configuration and users, and a configuration for each
//! component. Not here: anything that runs. What always holds: each file is made whole or not at all, and
//! `landscape.json` is made last, so that an init that was killed is simply typed again; keys that are there are
//! never made anew; a landscape that is complete is only ever extended (`--add-region`), or
//! gets new certificates for its keys.

mod add_region;
mod authority;
mod broker;
mod configuration;
mod host;
mod keys;
mod plan;
mod renew;
mod signer;
pub(crate) mod site;

use std::path::PathBuf;

use anyhow::bail;
use openkcm_client::{Landscape, Region};
use openkcm_contracts::RegionId;
use openkcm_host::{OsEntropy, SystemClock};
use openkcm_orbital::TrustBundle;
use openkcm_orbital::nats::layout::OPERATOR;
use serde_json::json;

use self::authority::{Authority, Bearer, Purpose};
use self::broker::User;
use self::configuration::Common;
use self::host::Host;
use self::plan::{Named, Plan};
use self::site::Site;
use crate::cli::{Format, output, render};
use crate::component::Component;
use crate::{files, shell};

pub(crate) use self::signer::{Command as SignerCommand, run as run_signer};

/// What client commands read; its being there says that the landscape is complete.
const LANDSCAPE: &str = "landscape.json";
/// The administrator's certificate and key.
const CREDENTIAL: &str = "admin.pem";
/// The signing keys that everyone believes.
const TRUST: &str = "trust.json";
/// The broker's configuration.
const BROKER: &str = "nats.conf";
/// The SPIFFE id of the administrator.
const ADMIN_ID: &str = "spiffe://openkcm/admin";
/// The SPIFFE id of the broker.
const BROKER_ID: &str = "spiffe://openkcm/nats";

/// Make the directory of a landscape whose components are processes of their own
///
/// It holds certificates, signing keys, the broker's configuration and a configuration for each component. Nothing
/// is started. A landscape that is there is extended with --add-region, or gets new certificates, and is otherwise
/// left alone.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["regions", "add_region", "renew_certificates"]))]
pub(crate) struct InitArguments {
    /// The directory to make
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The regions, in order of preference; each has a Core
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<RegionId>,
    /// Extend the landscape in DIR by this region
    #[arg(long, value_name = "REGION", conflicts_with_all = ["registry_port", "cmk_port", "nats_port", "replicas"])]
    add_region: Option<RegionId>,
    /// Issue the certificates of the landscape in DIR anew: they are valid for a year
    #[arg(long)]
    renew_certificates: bool,
    /// Where the components are reached: an address to listen on, or a name
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: Host,
    /// Where single ones are reached instead, such as nats=10.0.0.9,krypton-a=10.0.1.1
    #[arg(long, value_name = "NAME=HOST,…", value_delimiter = ',')]
    hosts: Vec<Named>,
    /// Port of the Registry
    #[arg(long, value_name = "PORT", default_value_t = 7010, value_parser = clap::value_parser!(u16).range(1..))]
    registry_port: u16,
    /// Port of the CMK Server
    #[arg(long, value_name = "PORT", default_value_t = 7020, value_parser = clap::value_parser!(u16).range(1..))]
    cmk_port: u16,
    /// Port of the first region's Core, the next ones count on [default: 7031, or behind the last one's]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    core_port: Option<u16>,
    /// Port of the broker
    #[arg(long, value_name = "PORT", default_value_t = 4222, value_parser = clap::value_parser!(u16).range(1..))]
    nats_port: u16,
    /// How many brokers of a cluster keep each message
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = replicas)]
    replicas: u8,
}

/// A number of replicas of which a majority is more than half: what JetStream recommends.
fn replicas(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5)) => Ok(count),
        _ => Err("1, 3 or 5 is expected".to_owned()),
    }
}

/// Makes or extends a landscape's directory, and says what to type next.
///
/// # Errors
/// When it is refused, or a file can't be written.
pub(crate) fn run(arguments: &InitArguments, format: Format) -> anyhow::Result<()> {
    let (clock, entropy) = (SystemClock, OsEntropy::new());
    let site = Site::new(&arguments.dir, &clock, &entropy)?;
    let made = work(arguments, &site)?;
    output::result(&match format {
        Format::Json => render::json(&made.to_json()),
        Format::Table => made.to_text(),
    })
}

fn work(arguments: &InitArguments, site: &Site<'_>) -> anyhow::Result<Made> {
    match &arguments.add_region {
        Some(region) => add_region::run(arguments, region, site),
        None if arguments.renew_certificates => renew::run(site),
        None => make(arguments, site),
    }
}

/// Makes a landscape's directory; done again, as a whole, when that was killed on the way.
fn make(arguments: &InitArguments, site: &Site<'_>) -> anyhow::Result<Made> {
    let plan = Plan::new(arguments)?;
    files::private_directory(site.directory())?;
    let _lock = files::lock(site.directory())?;
    if site.path(LANDSCAPE).exists() {
        bail!(
            "{} holds a landscape already: extend it with --add-region, or choose another --dir",
            site.directory().display()
        );
    }
    for room in ["tls", "keys", "data"] {
        files::room(site.directory(), room)?;
    }
    certify(site, &plan)?;
    let names = plan.places.iter().map(|(component, _)| component.to_string()).chain([OPERATOR.to_owned()]);
    let users: Vec<User> =
        names.map(|name| Ok(User { nkey: keys::nkey(site, &name)?, name })).collect::<anyhow::Result<_>>()?;
    site.write(BROKER, &broker::whole(site, &plan, &users)?)?;
    let mut bundle = TrustBundle::default();
    let (regions, servers) = (plan.regions(), [format!("tls://{}", plan.broker)]);
    let common = Common { regions: &regions, servers: &servers, replicas: plan.replicas };
    for (component, place) in &plan.places {
        bundle.keys.push(keys::signer(site, component)?.trusted_key());
        site.write(&format!("{component}.toml"), &configuration::of(component, place, &common))?;
    }
    keys::save_trust(site, &bundle)?;
    let landscape = plan.landscape(site)?;
    landscape.save(&site.path(LANDSCAPE))?;
    Ok(made(site, landscape))
}

/// Makes all certificates, and the rooms of those who have one.
fn certify(site: &Site<'_>, plan: &Plan) -> anyhow::Result<()> {
    let authority = Authority::ensure(site)?;
    let components =
        plan.places.iter().map(|(component, place)| (component.to_string(), component.spiffe_id(), place));
    for (name, id, place) in components.chain([("nats".to_owned(), BROKER_ID.to_owned(), &plan.broker)]) {
        files::room(&site.path("data"), &name)?;
        let bearer = Bearer { id: &id, purpose: Purpose::Both, hosts: std::slice::from_ref(&place.host) };
        authority.issue(&name, &bearer, site)?;
    }
    let administrator = Bearer { id: ADMIN_ID, purpose: Purpose::Client, hosts: &[] };
    authority.issue_as_one(CREDENTIAL, &administrator, site)
}

fn made(site: &Site<'_>, landscape: Landscape) -> Made {
    let word = |name: &str| shell::word(&site.path(name));
    let program = shell::program();
    let mut start = vec![format!("nats-server -c {}", word(BROKER))];
    let regions: Vec<RegionId> = landscape.regions.iter().map(|region| region.name.clone()).collect();
    for component in Component::all(&regions) {
        let file = word(&format!("{component}.toml"));
        start.push(format!("{program} {} --config {file}", component.role()));
    }
    Made {
        directory: site.directory().to_path_buf(),
        landscape,
        headline: format!("OpenKCM landscape in {}", site.directory().display()),
        next: vec![
            ("Start the broker (NATS 2.14 or newer) and the components, in any order:", start),
            ("Then see how all are:", vec![format!("{program} --landscape {} status", word(LANDSCAPE))]),
        ],
    }
}

/// What was made, and what to do with it.
struct Made {
    directory: PathBuf,
    landscape: Landscape,
    /// What it is, in a line.
    headline: String,
    /// What to type next, below a line that says why.
    next: Vec<(&'static str, Vec<String>)>,
}

impl Made {
    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.headline);
        let mut line = |title: &str, url: &str, file: &str| {
            text.push_str(&format!("  {title:<14} {url:<28} {file}\n"));
        };
        let plain = |url: &openkcm_client::Url| url.as_str().trim_end_matches('/').to_owned();
        line("Registry", &plain(&self.landscape.registry), "registry.toml");
        line("CMK Server", &plain(&self.landscape.cmk), "cmk.toml");
        for Region { name, url } in &self.landscape.regions {
            line(&format!("Core {name}"), &plain(url), &format!("krypton-{name}.toml"));
        }
        line("broker", "", BROKER);
        line("administrator", "", CREDENTIAL);
        for (why, commands) in &self.next {
            text.push_str(&format!("{why}\n"));
            commands.iter().for_each(|command| text.push_str(&format!("  {command}\n")));
        }
        text
    }

    fn to_json(&self) -> serde_json::Value {
        let commands: Vec<&String> = self.next.iter().flat_map(|(_, commands)| commands).collect();
        json!({
            "directory": self.directory,
            "landscape": self.directory.join(LANDSCAPE),
            "regions": self.landscape.regions.iter().map(|region| &region.name).collect::<Vec<_>>(),
            "next": commands,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
