//! `openkcm system`: the L2 definitions of a tenant. What services have in common with them is here too.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use openkcm_client::{KeySpec, Resource};
use openkcm_contracts::{KeyPath, Period, SystemPath, TenantId, VersionId};
use openkcm_host::BootInstant;

use super::arrival::{self, Expected};
use super::globals::ListFlags;
use super::render::Column;
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("SYSTEM", "/system"),
    ("STATE", "/state"),
    ("ALGORITHM", "/algorithm"),
    ("ROTATE EVERY", "/rotate_every"),
    ("REVISION", "/revision"),
    ("PURGE AT", "/purge_at"),
    ("PURGED AT", "/purged_at"),
];

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Define a system, or change it
    #[command(after_help = "Example:\n  openkcm system define acme/hr --rotate-every 365d")]
    Define {
        /// TENANT/SYSTEM
        system: SystemPath,
        #[command(flatten)]
        spec: SpecFlags,
    },
    /// Show a system's definition
    Show {
        /// TENANT/SYSTEM
        system: SystemPath,
    },
    /// Delete a system and all its services: their keys are refused at once, and destroyed after a waiting period; waits
    /// and tells when each region refused
    Delete {
        /// TENANT/SYSTEM
        system: SystemPath,
        #[command(flatten)]
        flags: DeleteFlags,
    },
    /// Take a deletion back, within its waiting period; waits until the regions serve
    Undelete {
        /// TENANT/SYSTEM
        system: SystemPath,
    },
    /// List a tenant's systems
    List {
        /// TENANT
        tenant: TenantId,
        #[command(flatten)]
        flags: DefinitionListFlags,
    },
    /// Mark a version of the L2 as compromised: refused from now on, in every region, for good
    Compromise {
        /// TENANT/SYSTEM
        system: SystemPath,
        /// The version's id, as `openkcm key show` prints it
        version: VersionId,
    },
}

/// What a definition says of its key.
#[derive(Args)]
pub(crate) struct SpecFlags {
    /// How long a version encrypts before the next one takes its place, such as 90d
    #[arg(long, value_name = "SPAN")]
    rotate_every: Option<Period>,
    /// What it encrypts with [default: AES256]
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,
}

impl SpecFlags {
    /// As the Registry takes it.
    pub(crate) fn spec(self) -> KeySpec {
        KeySpec { algorithm: self.algorithm, rotate_every: self.rotate_every.map(|span| span.to_string()) }
    }
}

/// The flags of a deletion.
#[derive(Args)]
pub(crate) struct DeleteFlags {
    /// How long to wait before the key may be destroyed [default: 7d]
    #[arg(long, value_name = "SPAN")]
    purge_after: Option<String>,
}

/// The flags of a list of definitions.
#[derive(Args)]
pub(crate) struct DefinitionListFlags {
    /// Show only definitions in this state
    #[arg(long, value_enum, default_value_t = State::Defined)]
    state: State,
    #[command(flatten)]
    pub(crate) list: ListFlags,
}

impl DefinitionListFlags {
    /// The state, as the Registry takes it.
    pub(crate) fn state(&self) -> Option<&'static str> {
        Some(match self.state {
            State::Defined => "defined",
            State::Deleted => "deleted",
            State::All => "all",
        })
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Defined,
    Deleted,
    All,
}

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let resource = match command {
        Command::Define { system, spec } => define(session, &KeyPath::System(system), spec).await?,
        Command::Show { system } => show(session, &KeyPath::System(system)).await?,
        Command::Delete { system, flags } => return delete(session, KeyPath::System(system), flags).await,
        Command::Undelete { system } => return undelete(session, KeyPath::System(system)).await,
        Command::Compromise { system, version } => {
            compromise(session, &KeyPath::System(system), &version).await?
        }
        Command::List { tenant, flags } => {
            let listing = session.client().registry().systems(&tenant).state(flags.state());
            return session.show_list(listing, &flags.list, COLUMNS).await;
        }
    };
    session.show(&resource.value)
}

pub(crate) async fn define(session: &Session, key: &KeyPath, flags: SpecFlags) -> anyhow::Result<Resource> {
    let put = session.client().registry().put_key(key, &flags.spec()).await;
    put.with_context(|| format!("can't define {key}"))
}

pub(crate) async fn show(session: &Session, key: &KeyPath) -> anyhow::Result<Resource> {
    session.client().registry().key(key).await.with_context(|| format!("can't show {key}"))
}

pub(crate) async fn delete(session: &Session, key: KeyPath, flags: DeleteFlags) -> anyhow::Result<()> {
    let begun = session.now();
    let deleted = session.client().registry().delete_key(&key, flags.purge_after.as_deref()).await;
    let deleted = deleted.with_context(|| format!("can't delete {key}"))?;
    let generation = deleted.value["generation"].as_str().unwrap_or_default().to_owned();
    let expected = deleted.revision.map(|revision| Expected::KeyEnded(key.clone(), revision, generation));
    finish(session, deleted, &key, expected, begun).await
}

pub(crate) async fn undelete(session: &Session, key: KeyPath) -> anyhow::Result<()> {
    let begun = session.now();
    let undeleted = session.client().registry().undelete_key(&key).await;
    let undeleted = undeleted.with_context(|| format!("can't undelete {key}"))?;
    let expected = undeleted.revision.map(|revision| Expected::KeyBack(key.clone(), revision));
    finish(session, undeleted, &key, expected, begun).await
}

/// Waits for the regions of the key's tenant, then shows what was committed.
pub(crate) async fn finish(
    session: &Session,
    committed: Resource,
    key: &KeyPath,
    expected: Option<Expected>,
    begun: BootInstant,
) -> anyhow::Result<()> {
    let regions = match session.patience.total.is_zero() {
        true => Vec::new(),
        false => arrival::regions_of(session, key.tenant()).await,
    };
    arrival::finish(session, committed, expected, regions, begun).await
}

pub(crate) async fn compromise(
    session: &Session,
    key: &KeyPath,
    version: &VersionId,
) -> anyhow::Result<Resource> {
    let marked = session.client().registry().compromise(key, version).await;
    marked.with_context(|| format!("can't mark version {version} of {key} as compromised"))
}
