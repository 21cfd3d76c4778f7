//! `openkcm l1`: which external key is a tenant's root, and its withdrawal.
//!
//! A reference is all that is ever sent: credentials stay in the components' own configuration.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use openkcm_client::{L1Spec, Resource};
use openkcm_contracts::{Period, RegionId, RootRef, TenantId};
use openkcm_host::OsEntropy;
use openkcm_roots::{LocalConfig, LocalRoot};
use serde_json::json;

use super::arrival::{self, Expected, names};
use super::globals::{Globals, ListFlags, parse_pair};
use super::render::{self, Column};
use super::session::{self, Session};
use super::{output, owner_key, report};

const COLUMNS: &[Column] = &[
    ("TENANT", "/tenant"),
    ("TENANT STATE", "/tenant_state"),
    ("L1", "/state"),
    ("EPOCH", "/epoch"),
    ("HEALTH", "/health/outcome"),
    ("SINCE", "/health/since"),
    ("LAST GOOD", "/health/last_good"),
    ("REGIONS", "/regions"),
];

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Link a tenant to its root key; waits until its regions serve
    Link(Link),
    /// Withdraw a tenant's root key: serving ends everywhere; waits and tells when each region refused
    Unlink(Named),
    /// Show a tenant's link and the health of its roots
    Status(Named),
    /// List tenants and whether they are linked
    List(List),
    /// Make a root key of the provider `local` on this machine, for trying things out
    CreateLocal(CreateLocal),
    /// The key with which a tenant's owner signs changes of its roots
    #[command(subcommand)]
    OwnerKey(owner_key::Command),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  openkcm l1 link acme --provider local --key acme
  openkcm l1 link acme --provider openbao --key transit/acme --option namespace=acme --ttl 1h
  openkcm l1 link acme --root openbao:transit/acme --root vault:transit/acme-escrow
  openkcm l1 link acme --root openbao:transit/acme --root vault:transit/new --sign-with acme-owner.key")]
pub(crate) struct Link {
    /// The tenant
    tenant: TenantId,
    /// The provider of the preferred root, as the components are configured: local, openbao, vault, …
    #[arg(long, value_name = "NAME", requires = "key")]
    provider: Option<String>,
    /// The key, as its provider writes it: a name, MOUNT/KEY, an ARN, …
    #[arg(long, value_name = "REF", requires = "provider")]
    key: Option<String>,
    /// An option of the root given by --provider and --key; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = parse_pair, requires = "provider")]
    options: Vec<(String, String)>,
    /// A further root, any one of which opens; may be repeated
    #[arg(long = "root", value_name = "PROVIDER:KEY", value_parser = parse_root)]
    roots: Vec<RootRef>,
    /// How long a Core may serve without hearing from the CMK Server, if less than usual
    #[arg(long, value_name = "SPAN")]
    ttl: Option<Period>,
    /// The public half of the owner's key, as `l1 owner-key show` prints it: the first link pins it, and another one takes
    /// its place only in a link that it signs
    #[arg(long, value_name = "KEY")]
    owner_key_public: Option<String>,
    /// Sign for these roots with the owner's key in this file, so that regions seal to new ones at once
    #[arg(long, value_name = "FILE")]
    sign_with: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Named {
    /// The tenant
    tenant: TenantId,
}

#[derive(Args)]
pub(crate) struct List {
    /// Show only tenants whose L1 is in this state
    #[arg(long, value_enum, default_value_t = State::All)]
    state: State,
    #[command(flatten)]
    flags: ListFlags,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Linked,
    Unlinked,
    /// Never linked
    None,
    All,
}

#[derive(Args)]
pub(crate) struct CreateLocal {
    /// The key's name: 1 to 63 of a-z, 0-9 and '-'
    name: String,
    /// The directory of the components' local roots
    #[arg(long, value_name = "DIR", default_value = "./.openkcm/local-roots")]
    directory: PathBuf,
}

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let cmk = session.client().cmk();
    match command {
        Command::Link(arguments) => link(session, arguments).await,
        Command::Unlink(Named { tenant }) => unlink(session, tenant).await,
        Command::Status(Named { tenant }) => {
            let shown = cmk.l1(&tenant).await.with_context(|| format!("can't show the L1 of {tenant}"))?;
            session.show(&shown.value)
        }
        Command::List(List { state, flags }) => {
            let state = match state {
                State::Linked => "linked",
                State::Unlinked => "unlinked",
                State::None => "none",
                State::All => "all",
            };
            session.show_list(cmk.tenants().state(Some(state)), &flags, COLUMNS).await
        }
        Command::CreateLocal(_) | Command::OwnerKey(_) => {
            unreachable!("needs no landscape, so it was done before one was opened")
        }
    }
}

async fn link(session: &Session, arguments: Link) -> anyhow::Result<()> {
    let begun = session.now();
    let tenant = arguments.tenant.clone();
    let key = arguments.sign_with.clone();
    let mut spec = spec(arguments)?;
    if let Some(file) = key {
        spec.owner_word = Some(owner_key::sign(session, &tenant, &spec, &file).await?);
    }
    let linked = session.client().cmk().link(&tenant, &spec).await;
    let linked = linked.with_context(|| format!("can't link {tenant}"))?;
    let regions = regions_of(session, &tenant, &linked).await;
    let expected = linked.revision.map(|revision| Expected::Linked(tenant, revision));
    arrival::finish(session, linked, expected, regions, begun).await
}

async fn unlink(session: &Session, tenant: TenantId) -> anyhow::Result<()> {
    let begun = session.now();
    let unlinked = session.client().cmk().unlink(&tenant).await;
    let unlinked = unlinked.with_context(|| format!("can't unlink {tenant}"))?;
    let regions = names(&unlinked.value["told"]);
    let expected = unlinked.revision.map(|revision| Expected::Unlinked(tenant, revision));
    arrival::finish(session, unlinked, expected, regions, begun).await
}

fn spec(arguments: Link) -> anyhow::Result<L1Spec> {
    let Link { provider, key, options, mut roots, ttl, owner_key_public, .. } = arguments;
    if let (Some(provider), Some(key)) = (provider, key) {
        roots.insert(0, RootRef { provider, key, options: options.into_iter().collect() });
    }
    if roots.is_empty() {
        return Err(report::Usage("a root is needed: --provider and --key, or --root PROVIDER:KEY").into());
    }
    let ttl = ttl.map(|ttl| ttl.to_string());
    Ok(L1Spec { roots, ttl, owner_key: owner_key_public, owner_word: None })
}

/// Where the tenant is served, as the CMK Server knows it; or else where it ever told of the link.
async fn regions_of(session: &Session, tenant: &TenantId, pointer: &Resource) -> Vec<RegionId> {
    let asker = session.asker();
    let mut known = asker.cmk().tenants().prefix(Some(tenant.as_str()));
    if let Ok(Some(page)) = known.next_page().await
        && let Some(found) = page.iter().find(|found| found["tenant"] == tenant.as_str())
    {
        return names(&found["regions"]);
    }
    names(&pointer.value["told"])
}

/// `PROVIDER:KEY`, as flags take a root.
pub(crate) fn parse_root(text: &str) -> Result<RootRef, String> {
    match text.split_once(':') {
        Some((provider, key)) if !provider.is_empty() && !key.is_empty() => {
            Ok(RootRef { provider: provider.to_owned(), key: key.to_owned(), options: Default::default() })
        }
        _ => Err("PROVIDER:KEY is expected, such as openbao:transit/acme".to_owned()),
    }
}

/// Makes a local root. Needs no landscape: the directory is all there is to it.
pub(crate) fn create_local(arguments: &CreateLocal, globals: &Globals) -> anyhow::Result<()> {
    let CreateLocal { name, directory } = arguments;
    let config = LocalConfig { directory: directory.clone(), auto_create: false };
    let doing = || format!("can't make the local root {name}");
    let here = std::env::current_dir().context("the current directory can't be told")?;
    let root = LocalRoot::build(&config, &here, Arc::new(OsEntropy::new())).with_context(doing)?;
    session::runtime()?.block_on(root.create(name)).with_context(doing)?;
    output::warn("a local root is a plain file on this machine: for trying things out, not for production");
    let made = json!({ "provider": LocalRoot::PROVIDER, "key": name, "directory": directory });
    output::result(&render::document(globals.output, &made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_split_at_its_first_colon_since_keys_have_colons() {
        let root = parse_root("aws-kms:arn:aws:kms:eu-1:1:key/x").unwrap();
        assert_eq!((root.provider.as_str(), root.key.as_str()), ("aws-kms", "arn:aws:kms:eu-1:1:key/x"));
        assert!(parse_root("local").is_err() && parse_root(":x").is_err() && parse_root("x:").is_err());
    }
}
