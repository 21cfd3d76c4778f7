//! Putting a backup in place, on a node that has no store.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use openkcm_contracts::Role;
use openkcm_host::{Clock, Entropy, OsEntropy, SystemClock};
use openkcm_krypton::backup as core;
use openkcm_orbital::TrustBundle;
use openkcm_roots::Roots;
use openkcm_store::backup::Copy;
use serde_json::json;

use super::description::{Description, digest};
use super::{RestoreArguments, STORE, identity, store_of};
use crate::cli::{Format, Progress, output, render};
use crate::files;
use crate::run::Config;

/// Tenants that an error names.
const NAMED: usize = 5;

/// Checks a backup, and puts it in place.
pub(super) fn run(config: &Config, arguments: &RestoreArguments, format: Format) -> anyhow::Result<()> {
    let RestoreArguments { from, without_roots, check, .. } = arguments;
    let store = store_of(config);
    if !check && store.exists() {
        bail!(
            "{} is there: a restore writes over nothing; stop the {} and move its data directory away first",
            store.display(),
            config.component.title()
        );
    }
    let description = Description::read(from)?;
    fits(config, &description)?;
    let copy = from.join(STORE);
    is_whole(&copy, &description)?;
    let opened = Copy::open(&copy)?;
    opened.check()?;
    let (found, expected) = (opened.identity().context("it holds no store")?, identity(config));
    if found != expected {
        bail!("the backup holds the store of {found:?}, not of {expected:?}");
    }
    let proof = match config.component.role() {
        Role::Krypton if !without_roots => Some(prove(config, &opened)?),
        _ => None,
    };
    drop(opened);
    if !check {
        put(config, &copy, &store)?;
    }
    tell(config, &description, proof.as_ref(), *check, format)
}

/// Whether it is this component's, and this landscape's.
fn fits(config: &Config, description: &Description) -> anyhow::Result<()> {
    let own = config.component.to_string();
    if description.component != own {
        bail!("the backup is of {}, and the configuration is of {own}", description.component);
    }
    let trust = TrustBundle::load(&config.mesh.trust)?;
    if !description.is_of_landscape(&trust) {
        bail!(
            "the backup is of another landscape: none of the keys that were believed when it was taken is in {}. If all \
             of them were replaced since, put one of the old public keys back into that file for the restore",
            config.mesh.trust.display()
        );
    }
    Ok(())
}

/// Whether it is what was written.
fn is_whole(copy: &Path, description: &Description) -> anyhow::Result<()> {
    let found = digest(copy, "checking")?;
    if (found.bytes, &found.sha256) != (description.bytes, &description.sha256) {
        bail!(
            "{} is not what was written when the backup was taken: it has {} bytes and SHA-256 {}, and should have {} \
             and {}. Use another backup",
            copy.display(),
            found.bytes,
            found.sha256,
            description.bytes,
            description.sha256
        );
    }
    Ok(())
}

/// Tries whether the tenants' roots open what is sealed.
fn prove(config: &Config, copy: &Copy) -> anyhow::Result<core::Proof> {
    let (entropy, clock): (Arc<dyn Entropy>, Arc<dyn Clock>) =
        (Arc::new(OsEntropy::new()), Arc::new(SystemClock));
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    let questions = core::questions(copy)?;
    let progress = Progress::count("asking the tenants' roots", questions.len());
    let proof = runtime.block_on(async {
        let roots = Roots::build(&config.roots, &config.directory, entropy, clock)?;
        anyhow::Ok(core::prove(&roots, questions, || progress.add(1)).await)
    })?;
    if !proof.unopened.is_empty() {
        let first = proof.unopened.iter().take(NAMED);
        let reasons: Vec<String> = first.map(|(tenant, reason)| format!("  {tenant}: {reason}")).collect();
        bail!(
            "the roots of {} of {} tenants do not open what is sealed in the backup:\n{}\nWhat they seal may be of \
             another key, or the provider is away: then type the command again when it is back, or with --without-roots",
            proof.unopened.len(),
            proof.unopened.len() + proof.opened + proof.denied,
            reasons.join("\n")
        );
    }
    Ok(proof)
}

/// Puts the store in place whole: copied beside, synced, renamed.
fn put(config: &Config, copy: &Path, store: &Path) -> anyhow::Result<()> {
    files::private_directory(&config.data_dir)?;
    let _lock = files::lock(&config.data_dir)?;
    if store.exists() {
        bail!("{} has come to be there meanwhile: a restore writes over nothing", store.display());
    }
    // What a log of an earlier store left would be taken for this one's.
    for ending in ["db-wal", "db-shm"] {
        let left = store.with_extension(ending);
        if left.exists() {
            bail!("{} is there, which was a store's: move the data directory away first", left.display());
        }
    }
    let draft = store.with_extension("db.part");
    std::fs::copy(copy, &draft).with_context(|| format!("{} can't be written", draft.display()))?;
    files::keep_private(&draft)?;
    files::rename(&draft, store)
}

fn tell(
    config: &Config,
    description: &Description,
    proof: Option<&core::Proof>,
    is_check: bool,
    format: Format,
) -> anyhow::Result<()> {
    let next = next_step(config);
    if format == Format::Json {
        let roots = proof.map(|proof| json!({ "opened": proof.opened, "denied": proof.denied }));
        let shown = json!({
            "restored": !is_check, "description": description, "roots": roots, "next": next,
        });
        return output::result(&render::json(&shown));
    }
    let mut text = format!(
        "{} as of {}: the backup is whole and fits.\n",
        config.component.title(),
        description.taken_at
    );
    if let Some(core::Proof { opened, denied, .. }) = proof {
        text.push_str(&format!(
            "The roots of {opened} tenants open what is sealed; {denied} are denied by their owners.\n"
        ));
    }
    text.push_str(&match is_check {
        true => "Nothing was put in place.\n".to_owned(),
        false => format!("It is in place. {next}\n"),
    });
    output::result(&text)
}

/// What an operator does next.
fn next_step(config: &Config) -> String {
    match config.component.role() {
        Role::Krypton => {
            "Start the Core: it reads what it missed from the mesh, and serves after its first lease.".into()
        }
        role => format!(
            "Start it once with `openkcm {role} --config … --rebuild-from-mesh`: what it said after the backup is on the \
             mesh, and it says nothing new before it has that back."
        ),
    }
}
