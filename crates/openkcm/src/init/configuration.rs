//! The configuration that `init` makes for each component, and how a region is added to one that is there.

use anyhow::{Context as _, bail};
use openkcm_contracts::RegionId;
use toml::de::{DeTable, DeValue};

use super::ADMIN_ID;
use super::host::Place;
use crate::component::Component;

/// What the files of all components say alike.
pub(super) struct Common<'a> {
    /// All regions of the landscape.
    pub(super) regions: &'a [RegionId],
    /// The brokers, as URLs.
    pub(super) servers: &'a [String],
    /// How many brokers keep each message.
    pub(super) replicas: u8,
}

/// The file of a component.
pub(super) fn of(component: &Component, place: &Place, common: &Common<'_>) -> String {
    let mut text = format!("{}{}", head(component, common), listen(component, place));
    text.push_str(&orbital(component, common));
    if *component == Component::Registry {
        text.push_str(&operator(common.replicas));
    } else {
        text.push_str(roots(component));
    }
    if matches!(component, Component::Krypton(_)) {
        text.push_str(PURGE);
    }
    text
}

/// How a Core destroys.
const PURGE: &str = r#"
# Destruction of keys on the Registry's word. A key is kept for at least so long after this Core has heard that it
# ended; and when more than a share of all key versions (or `brake_least` of them, where that is more) would be
# destroyed within the window, the rest waits for `openkcm purge confirm`.
[purge]
minimum_wait = "24h"
brake_percent = 10
brake_least = 16
brake_window = "24h"
"#;

fn head(component: &Component, common: &Common<'_>) -> String {
    let (title, role) = (component.title(), component.role());
    let variable = format!("OPENKCM_{}__LISTEN__ADDRESS", role.to_string().to_uppercase());
    let regions = match component {
        Component::Krypton(region) => {
            format!("# The region whose keys it holds. It never changes.\nregion = \"{region}\"\n")
        }
        Component::Registry | Component::Cmk => format!(
            "# All regions of the landscape. A running component sees a change within seconds.\nregions = {}\n",
            array(common.regions.iter().map(RegionId::as_str))
        ),
    };
    format!(
        r#"# {title} of this landscape: openkcm {role} --config FILE
#
# Relative paths start where this file is. A key can be overridden by the environment, as in
# {variable}=…, and by --set listen.address=…; `--check` shows what comes of all of it.

data_dir = "data/{component}"
{regions}"#
    )
}

fn listen(component: &Component, place: &Place) -> String {
    let address = place.listen();
    let note = match address.ip().is_unspecified() {
        true => format!("# Every address of the machine that is reached as {place}.\n"),
        false => String::new(),
    };
    format!(
        r#"
[listen]
{note}address = "{address}"
certificate = "tls/{component}.pem"
key = "tls/{component}.key"
# Who signs the certificates of callers, and which of them are let in.
client_ca = "tls/ca.pem"
admins = ["{ADMIN_ID}"]
"#
    )
}

fn orbital(component: &Component, common: &Common<'_>) -> String {
    let servers = array(common.servers.iter().map(String::as_str));
    format!(
        r#"
[orbital]
servers = {servers}
nkey = "keys/{component}.nk"
ca = "tls/ca.pem"
certificate = "tls/{component}.pem"
key = "tls/{component}.key"
# What it signs with, and whose signatures it believes. Both are read again when they change.
signing_key = "keys/{component}.seed"
trust = "trust.json"
"#
    )
}

fn operator(replicas: u8) -> String {
    format!(
        r#"
# Makes missing streams and readers on the broker. Without this section `openkcm mesh setup` does it.
[orbital.operator]
nkey = "keys/operator.nk"
# How many brokers of a cluster keep each message: 1, 3 or 5.
replicas = {replicas}
# Where brokers keep messages: "file" outlives them all, "memory" as many of a cluster as it can spare.
storage = "file"
# How long manifests and queries are kept; the next ones say everything again.
manifests_kept_for = "10m"
"#
    )
}

fn roots(component: &Component) -> &'static str {
    match component {
        Component::Cmk => {
            r#"
# The L1 providers that it can ask. `local` keeps keys in plain files, to try things out: take it out in production.
[roots.local]
directory = "data/local-roots"
auto_create = true

# The deadman switch: a region that hears nothing of the CMK Server for so long serves nobody. A tenant may ask for
# less when it is linked, and a Core for less still.
[lease]
ttl = "1d"
# [lease.regions]
# eu-1 = "1h"

# How often each tenant's roots are asked whether they may be used; a no ends serving.
[probe]
every = "1m"
"#
        }
        _ => {
            r#"
# The L1 providers that it can ask. `local` keeps keys in plain files, to try things out: take it out in production.
# The CMK Server makes them when a tenant is linked, so both have to see the same directory.
[roots.local]
directory = "data/local-roots"

# The deadman switch: a lease of the CMK Server holds no longer than `longest` here, whatever it grants. A reboot ends
# every lease, unless the machine's wall clock is trusted: then nobody can set it back, while the machine is down too.
[lease]
# longest = "1h"
trusted_wall_clock = false

# How often each tenant's roots are asked whether they may be used; a no ends serving.
[probe]
every = "1m"

# How fast each L1 provider is asked at most, and how many unseals and seals are under way there at once. A provider that
# answers 429 is asked more slowly by itself. Probes count too: those of 30,000 tenants in each minute take all of it.
[l1]
unwraps_per_second = 500
concurrent = 64
# A root that comes into a tenant's link later, without the signature of the tenant's owner: nothing is sealed to it for so
# long, in which this Core runs.
change_wait = "72h"
"#
        }
    }
}

fn array<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", "))
}

/// The file with a region more in its `regions`, and nothing else changed; as it is, if the region is in it.
pub(super) fn with_region(text: &str, region: &RegionId) -> anyhow::Result<String> {
    let table = DeTable::parse(text).context("it is no TOML")?;
    let Some(DeValue::Array(regions)) = table.get_ref().get("regions").map(|value| value.get_ref()) else {
        bail!("it has no list `regions`");
    };
    if regions.iter().any(|known| known.get_ref().as_str() == Some(region.as_str())) {
        return Ok(text.to_owned());
    }
    let last = regions.iter().last().context("its list `regions` is empty")?;
    let at = last.span().end;
    Ok(format!("{}, \"{region}\"{}", &text[..at], &text[at..]))
}

/// The brokers that a file names.
pub(super) fn servers_in(text: &str) -> anyhow::Result<Vec<String>> {
    let table: toml::Table = text.parse().context("it is no TOML")?;
    let servers =
        table.get("orbital").and_then(|orbital| orbital.get("servers")).and_then(toml::Value::as_array);
    let servers = servers.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned);
    let servers: Vec<String> = servers.collect();
    if servers.is_empty() {
        bail!("it has no list `orbital.servers`");
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::new(name).expect("a label")
    }

    #[test]
    fn a_region_is_added_and_every_other_byte_stays() {
        for (before, after) in [
            ("regions = [\"a\"]  # mine\nx = 1\n", "regions = [\"a\", \"c\"]  # mine\nx = 1\n"),
            ("# regions = [\nregions=[ 'a','b', ]", "# regions = [\nregions=[ 'a','b', \"c\", ]"),
            (
                "regions = [\n  \"a\", # one\n  \"b\" # two\n]\n",
                "regions = [\n  \"a\", # one\n  \"b\", \"c\" # two\n]\n",
            ),
            ("regions = [\"c\"]\n", "regions = [\"c\"]\n"),
        ] {
            assert_eq!(with_region(before, &region("c")).expect("added"), after);
        }
    }

    #[test]
    fn a_region_is_not_added_to_what_has_no_list_of_them() {
        for text in ["", "regions = \"a\"", "regions = []", "[x]\nregions = [\"a\"]", "regions = ["] {
            assert!(with_region(text, &region("c")).is_err(), "{text}");
        }
    }
}
