//! `openkcm service`: the L3 definitions of a system.
//!
//! As systems, except that a definition waits until the tenant's regions can encrypt with it.

use clap::Subcommand;
use openkcm_contracts::{KeyPath, ServicePath, SystemPath, VersionId};

use super::arrival::Expected;
use super::render::Column;
use super::session::Session;
use super::system::{self, DefinitionListFlags, DeleteFlags, SpecFlags};

const COLUMNS: &[Column] = &[
    ("SERVICE", "/service"),
    ("STATE", "/state"),
    ("ALGORITHM", "/algorithm"),
    ("ROTATE EVERY", "/rotate_every"),
    ("REVISION", "/revision"),
    ("PURGE AT", "/purge_at"),
    ("PURGED AT", "/purged_at"),
];

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Define a service, or change it; waits until the tenant's regions can encrypt with it
    #[command(after_help = "Example:\n  openkcm service define acme/hr/payroll --rotate-every 90d")]
    Define {
        /// TENANT/SYSTEM/SERVICE
        service: ServicePath,
        #[command(flatten)]
        spec: SpecFlags,
    },
    /// Show a service's definition
    Show {
        /// TENANT/SYSTEM/SERVICE
        service: ServicePath,
    },
    /// Delete a service: its key is refused at once, and destroyed after a waiting period; waits and tells when each
    /// region refused
    Delete {
        /// TENANT/SYSTEM/SERVICE
        service: ServicePath,
        #[command(flatten)]
        flags: DeleteFlags,
    },
    /// Take a deletion back, within its waiting period; waits until the regions serve
    Undelete {
        /// TENANT/SYSTEM/SERVICE
        service: ServicePath,
    },
    /// List a system's services
    List {
        /// TENANT/SYSTEM
        system: SystemPath,
        #[command(flatten)]
        flags: DefinitionListFlags,
    },
    /// Mark a version of the L3 as compromised: refused from now on, in every region, for good
    Compromise {
        /// TENANT/SYSTEM/SERVICE
        service: ServicePath,
        /// The version's id, as `openkcm key show` prints it
        version: VersionId,
    },
}

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let resource = match command {
        Command::Define { service, spec } => return define(session, service, spec).await,
        Command::Show { service } => system::show(session, &KeyPath::Service(service)).await?,
        Command::Delete { service, flags } => {
            return system::delete(session, KeyPath::Service(service), flags).await;
        }
        Command::Undelete { service } => return system::undelete(session, KeyPath::Service(service)).await,
        Command::Compromise { service, version } => {
            system::compromise(session, &KeyPath::Service(service), &version).await?
        }
        Command::List { system, flags } => {
            let listing = session.client().registry().services(&system).state(flags.state());
            return session.show_list(listing, &flags.list, COLUMNS).await;
        }
    };
    session.show(&resource.value)
}

async fn define(session: &Session, service: ServicePath, spec: SpecFlags) -> anyhow::Result<()> {
    let begun = session.now();
    let defined = system::define(session, &KeyPath::Service(service.clone()), spec).await?;
    let key = KeyPath::Service(service);
    let expected = defined.revision.map(|revision| Expected::KeyActive(key.clone(), revision));
    system::finish(session, defined, &key, expected, begun).await
}
