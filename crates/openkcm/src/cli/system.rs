//! `openkcm system`: the L2 definitions of a tenant. What services have in common with them is here too.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use openkcm_client::{KeySpec, Resource};
use openkcm_contracts::{KeyPath, Period, SystemPath, TenantId, VersionId};

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
    /// Delete a system and all its services: their keys are destroyed after a waiting period
    Delete {
        /// TENANT/SYSTEM
        system: SystemPath,
        #[command(flatten)]
        flags: DeleteFlags,
    },
    /// Take a deletion back, within its waiting period
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
        Command::Delete { system, flags } => delete(session, &KeyPath::System(system), flags).await?,
        Command::Undelete { system } => undelete(session, &KeyPath::System(system)).await?,
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

pub(crate) async fn delete(session: &Session, key: &KeyPath, flags: DeleteFlags) -> anyhow::Result<Resource> {
    let deleted = session.client().registry().delete_key(key, flags.purge_after.as_deref()).await;
    deleted.with_context(|| format!("can't delete {key}"))
}

pub(crate) async fn undelete(session: &Session, key: &KeyPath) -> anyhow::Result<Resource> {
    session.client().registry().undelete_key(key).await.with_context(|| format!("can't undelete {key}"))
}

pub(crate) async fn compromise(
    session: &Session,
    key: &KeyPath,
    version: &VersionId,
) -> anyhow::Result<Resource> {
    let marked = session.client().registry().compromise(key, version).await;
    marked.with_context(|| format!("can't mark version {version} of {key} as compromised"))
}
