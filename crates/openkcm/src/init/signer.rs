//! `openkcm signer`: a component's signing key replaced without a stop.
//!
//! Three steps, since everyone has to believe a key before it signs, and until all that it signed was replaced: `add`
//! makes a second key and has it believed, `use` lets it sign, `retire` ends the belief in the one before. What
//! always holds: a step in the wrong order is refused, and changes nothing; the key that signs is believed.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use openkcm_host::{OsEntropy, SystemClock};
use openkcm_orbital::{Signer, TrustBundle, TrustedKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::site::Site;
use super::{LANDSCAPE, TRUST, keys};
use crate::cli::{Format, output, render};
use crate::component::Component;
use crate::files;

const COLUMNS: &[render::Column] =
    &[("SIGNER", "/signer"), ("KEY", "/key"), ("STATE", "/state"), ("BELIEVED", "/believed")];

/// Replace the keys that components sign with, without a stop
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show who signs with which key, and which keys are believed
    List(Place),
    /// Make a second key, and have it believed
    Add(One),
    /// Sign with the second key from now on
    ///
    /// Every component has to have the trust bundle of `add` by now, or it won't believe the new key.
    Use(One),
    /// Believe only the key that signs
    ///
    /// What was signed by others, and was not said again since, is then believed by nobody who reads it anew.
    Retire(One),
}

/// A landscape's directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The landscape's directory, as `openkcm init` made it
    #[arg(long, value_name = "DIR")]
    dir: std::path::PathBuf,
}

/// One signer of a landscape.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    #[command(flatten)]
    place: Place,
    /// Whose key: registry, cmk or krypton-REGION
    #[arg(value_name = "NAME")]
    name: Component,
}

/// Does one step, and says what follows it.
///
/// # Errors
/// When it is not the step's turn, or a file can't be read or written.
pub(crate) fn run(command: &Command, format: Format) -> anyhow::Result<()> {
    let place = match command {
        Command::List(place) => place,
        Command::Add(one) | Command::Use(one) | Command::Retire(one) => &one.place,
    };
    let (clock, entropy) = (SystemClock, OsEntropy::new());
    let site = Site::new(&place.dir, &clock, &entropy)?;
    if !site.path(LANDSCAPE).exists() {
        bail!("{} holds no landscape: name the directory of `openkcm init`", site.directory().display());
    }
    let _lock = files::lock(site.directory())?;
    let mut keyring = Keyring::load(&site)?;
    let told = match command {
        Command::List(_) => None,
        Command::Add(one) => Some(keyring.add(&site, &one.name)?),
        Command::Use(one) => Some(keyring.switch(&site, &one.name)?),
        Command::Retire(one) => Some(keyring.retire(&site, &one.name)?),
    };
    if let Some(told) = told {
        output::note(told);
    }
    output::result(&render::list(format, COLUMNS, &keyring.rows(), false))
}

/// The signing keys of a landscape.
struct Keyring {
    bundle: TrustBundle,
    signers: Vec<Keys>,
}

/// The keys of one signer.
struct Keys {
    component: Component,
    /// The one that signs.
    signing: TrustedKey,
    /// The one that will.
    waiting: Option<TrustedKey>,
}

/// The file of a seed that does not sign yet.
fn waiting_file(component: &Component) -> String {
    format!("keys/{component}.next.seed")
}

impl Keyring {
    fn load(site: &Site<'_>) -> anyhow::Result<Self> {
        let bundle = TrustBundle::load(&site.path(TRUST))?;
        let mut components: Vec<Component> = bundle.keys.iter().map(component_of).collect();
        components.sort();
        components.dedup();
        let mut signers = Vec::new();
        for component in components {
            // The seed of a component elsewhere is elsewhere.
            if let Some(signing) = key_in(site, &keys::seed_file(&component), &component)? {
                let waiting = key_in(site, &waiting_file(&component), &component)?;
                signers.push(Keys { component, signing, waiting });
            }
        }
        Ok(Self { bundle, signers })
    }

    fn of(
        &mut self,
        site: &Site<'_>,
        component: &Component,
    ) -> anyhow::Result<(&mut Keys, &mut TrustBundle)> {
        let keys = self.signers.iter_mut().find(|keys| keys.component == *component);
        let missing = || format!("{} has no signing key of {component}", site.directory().display());
        Ok((keys.with_context(missing)?, &mut self.bundle))
    }

    fn add(&mut self, site: &Site<'_>, component: &Component) -> anyhow::Result<&'static str> {
        let (keys, bundle) = self.of(site, component)?;
        if keys.waiting.as_ref().is_some_and(|waiting| bundle.keys.contains(waiting)) {
            bail!("a second key of {component} waits already: `openkcm signer use` lets it sign");
        }
        let path = site.path(&waiting_file(component));
        let seed = files::once(&path, || Ok(Zeroizing::new(Signer::new_seed(site.entropy))))?;
        let key = keys::signer_of(&seed, component)?.trusted_key();
        bundle.keys.push(key.clone());
        keys.waiting = Some(key);
        keys::save_trust(site, bundle)?;
        Ok(
            "Bring trust.json to every component that runs on a copy of it; those on this file read it within seconds. \
            Then: openkcm signer use",
        )
    }

    fn switch(&mut self, site: &Site<'_>, component: &Component) -> anyhow::Result<&'static str> {
        let (keys, bundle) = self.of(site, component)?;
        let Some(waiting) = &keys.waiting else {
            bail!("no second key of {component} waits: `openkcm signer add` makes one");
        };
        if !bundle.keys.contains(waiting) {
            bail!("the second key of {component} is not in trust.json: `openkcm signer add` puts it there");
        }
        files::rename(&site.path(&waiting_file(component)), &site.path(&keys::seed_file(component)))?;
        keys.signing = waiting.clone();
        keys.waiting = None;
        Ok(
            "The component signs with it within seconds; bring it the seed if it runs on a copy. `openkcm signer \
            retire` ends the belief in the earlier key, and in what only that one has signed.",
        )
    }

    fn retire(&mut self, site: &Site<'_>, component: &Component) -> anyhow::Result<&'static str> {
        let (keys, bundle) = self.of(site, component)?;
        if keys.waiting.is_some() {
            bail!("a second key of {component} waits: `openkcm signer use` comes before retiring the first");
        }
        if !bundle.keys.contains(&keys.signing) {
            bail!("the key that {component} signs with is not in trust.json: put it back first");
        }
        let before = bundle.keys.len();
        bundle.keys.retain(|key| component_of(key) != *component || *key == keys.signing);
        if bundle.keys.len() == before {
            bail!("{component} has no earlier key: `openkcm signer add` begins a rotation");
        }
        keys::save_trust(site, bundle)?;
        Ok(match component {
            Component::Krypton(_) => "Bring trust.json to every component that runs on a copy of it.",
            Component::Registry | Component::Cmk => {
                "Bring trust.json to every component that runs on a copy of it. Then start this one once with \
                --rebuild-from-mesh: it says again what only the retired key had signed."
            }
        })
    }

    fn rows(&self) -> Vec<Value> {
        let row = |component: &Component, key: &TrustedKey, state: &str| {
            let believed = self.bundle.keys.contains(key);
            json!({ "signer": component.to_string(), "key": key.id, "state": state, "believed": believed })
        };
        let mut rows = Vec::new();
        for keys in &self.signers {
            rows.push(row(&keys.component, &keys.signing, "signs"));
            rows.extend(keys.waiting.iter().map(|key| row(&keys.component, key, "waits")));
        }
        let known = |key: &TrustedKey| {
            self.signers.iter().any(|keys| keys.signing == *key || keys.waiting.as_ref() == Some(key))
        };
        let earlier = self.bundle.keys.iter().filter(|key| !known(key));
        rows.extend(earlier.map(|key| row(&component_of(key), key, "elsewhere or earlier")));
        rows.sort_by_key(|row| row["signer"].to_string());
        rows
    }
}

/// The key of a seed's file, if it is there.
fn key_in(site: &Site<'_>, name: &str, component: &Component) -> anyhow::Result<Option<TrustedKey>> {
    let path = site.path(name);
    let Some(seed) = files::read_if_there(&path)? else { return Ok(None) };
    let signer = keys::signer_of(&seed, component);
    let signer = signer.with_context(|| format!("{} holds no signing key", path.display()))?;
    Ok(Some(signer.trusted_key()))
}

fn component_of(key: &TrustedKey) -> Component {
    match (key.role, &key.region) {
        (openkcm_contracts::Role::Registry, _) => Component::Registry,
        (openkcm_contracts::Role::Krypton, Some(region)) => Component::Krypton(region.clone()),
        // A Core without a region is refused by every verifier; it is shown with those who have none.
        (openkcm_contracts::Role::Cmk, _) | (openkcm_contracts::Role::Krypton, None) => Component::Cmk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a step in a landscape's directory; the answer is what its signer's keys are then.
    fn step(directory: &std::path::Path, step: &str) -> Result<String, String> {
        let (clock, entropy) = (SystemClock, OsEntropy::new());
        let site = Site::new(directory, &clock, &entropy).expect("a site");
        let mut keyring = Keyring::load(&site).expect("a keyring");
        let done = match step {
            "add" => keyring.add(&site, &Component::Cmk),
            "use" => keyring.switch(&site, &Component::Cmk),
            _ => keyring.retire(&site, &Component::Cmk),
        };
        done.map_err(|error| error.to_string())?;
        // What was told is what is on disk.
        let read_again = Keyring::load(&site).expect("a keyring");
        assert_eq!(keyring.rows(), read_again.rows());
        let of_cmk =
            keyring.rows().into_iter().filter(|row| row["signer"] == "cmk" && row["believed"] == true);
        Ok(of_cmk.map(|row| row["state"].as_str().expect("a text").to_owned()).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn a_key_is_added_then_used_and_then_the_earlier_one_is_retired() {
        let landscape = crate::init::tests::landscape();
        let directory = landscape.path();
        let seed = || std::fs::read_to_string(directory.join("keys/cmk.seed")).expect("a seed");
        let first = seed();
        assert_eq!(step(directory, "add").as_deref(), Ok("signs, waits"));
        assert_eq!(seed(), first, "it does not sign yet");
        assert_eq!(step(directory, "use").as_deref(), Ok("signs, elsewhere or earlier"));
        assert_ne!(seed(), first);
        assert_eq!(step(directory, "retire").as_deref(), Ok("signs"));
        assert_eq!(step(directory, "add").as_deref(), Ok("signs, waits"), "and again");
    }

    #[test]
    fn a_step_in_the_wrong_order_is_refused_and_changes_nothing() {
        let landscape = crate::init::tests::landscape();
        let directory = landscape.path();
        let trust = || std::fs::read(directory.join(TRUST)).expect("a bundle");
        for (before, wrong, said) in [
            ("", "use", "signer add"),
            ("", "retire", "begins a rotation"),
            ("add", "add", "signer use"),
            ("", "retire", "comes before"),
            ("use", "use", "signer add"),
        ] {
            if !before.is_empty() {
                step(directory, before).expect("its turn");
            }
            let unchanged = trust();
            let refused = step(directory, wrong).expect_err("not its turn");
            assert!(refused.contains(said), "{wrong}: {refused}");
            assert_eq!(trust(), unchanged, "{wrong}");
        }
    }

    #[test]
    fn an_add_that_was_killed_before_the_bundle_is_typed_again() {
        let landscape = crate::init::tests::landscape();
        let directory = landscape.path();
        let trust = std::fs::read(directory.join(TRUST)).expect("a bundle");
        step(directory, "add").expect("added");
        let seed = std::fs::read(directory.join("keys/cmk.next.seed")).expect("a seed");
        std::fs::write(directory.join(TRUST), trust).expect("written");
        assert!(step(directory, "use").expect_err("not believed").contains("signer add"));
        step(directory, "add").expect("added again");
        assert_eq!(std::fs::read(directory.join("keys/cmk.next.seed")).expect("a seed"), seed);
    }
}
