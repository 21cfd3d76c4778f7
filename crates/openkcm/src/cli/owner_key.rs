//! `openkcm l1 owner-key`: the key with which a tenant's owner says which roots its keys may be sealed to.
//!
//! Its private half stays with the owner: no component holds it, and nothing here sends it anywhere.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use openkcm_client::L1Spec;
use openkcm_contracts::v1::OwnerWord;
use openkcm_contracts::{Generation, Revision, TenantId};
use openkcm_host::OsEntropy;
use openkcm_orbital::{OwnerKey, Signer};
use serde_json::json;

use super::globals::Globals;
use super::session::Session;
use super::{output, render};
use crate::files;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a key; prints its public half, which the first link of the tenant pins
    Generate(Generate),
    /// Show the public half of a key
    Show(Show),
}

#[derive(Args)]
#[command(after_help = "\
Example:
  openkcm l1 owner-key generate --out acme-owner.key
  openkcm l1 link acme --provider openbao --key transit/acme --owner-key-public \"$(openkcm l1 owner-key show acme-owner.key \\
    --output json | jq -r .public)\"")]
pub(crate) struct Generate {
    /// The file that is to hold it; it is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The file that holds it
    file: PathBuf,
}

/// Needs no landscape: a file is all there is to it.
pub(crate) fn run(command: &Command, globals: &Globals) -> anyhow::Result<()> {
    let (file, key) = match command {
        Command::Generate(Generate { out }) => {
            if out.exists() {
                bail!("{} is there already: a key that is in use must not be lost", out.display());
            }
            let seed = Signer::new_seed(&OsEntropy::new());
            files::replace(out, seed.as_bytes())?;
            (out, OwnerKey::from_seed(&seed)?)
        }
        Command::Show(Show { file }) => (file, read(file)?),
    };
    let shown = json!({ "file": file, "public": key.public() });
    output::result(&render::document(globals.output, &shown))
}

/// Signs for the roots of a link that is about to be made.
pub(crate) async fn sign(
    session: &Session,
    tenant: &TenantId,
    spec: &L1Spec,
    file: &Path,
) -> anyhow::Result<OwnerWord> {
    let key = read(file)?;
    let doing = || format!("can't tell what is to be signed for {tenant}");
    let pointer = session.client().cmk().l1(tenant).await.with_context(doing)?.value;
    let generation: Revision =
        pointer["generation"].as_str().unwrap_or_default().parse().with_context(doing)?;
    let pinned = pointer["owner_key"].as_str();
    let owner_key = spec.owner_key.as_deref().or(pinned);
    // Rises from one word to the next as long as the owner's clock does; the CMK Server refuses what does not.
    let number = session.clock().now().as_millis();
    let bytes = OwnerWord::bytes(tenant, Generation(generation), &spec.roots, owner_key, number);
    Ok(OwnerWord { number, signature: key.sign(&bytes) })
}

fn read(file: &Path) -> anyhow::Result<OwnerKey> {
    let seed = files::read(file)?;
    OwnerKey::from_seed(&seed).with_context(|| format!("{} holds no owner's key", file.display()))
}
