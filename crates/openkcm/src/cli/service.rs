//! `openkcm service`: the L3 definitions of a system.
//!
//! As systems, except that a definition waits until the tenant's regions can encrypt with it.

use clap::Subcommand;
use openkcm_contracts::{KeyPath, RegionId, ServicePath, SystemPath, VersionId};
use serde_json::Value;

use super::arrival::{self, Expected};
use super::output;
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
    /// Delete a service: its key is destroyed after a waiting period
    Delete {
        /// TENANT/SYSTEM/SERVICE
        service: ServicePath,
        #[command(flatten)]
        flags: DeleteFlags,
    },
    /// Take a deletion back, within its waiting period
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
            system::delete(session, &KeyPath::Service(service), flags).await?
        }
        Command::Undelete { service } => system::undelete(session, &KeyPath::Service(service)).await?,
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
    if session.patience.total.is_zero() {
        return session.show(&defined.value);
    }
    // What was committed is shown whatever becomes of the wait.
    let regions = regions_of(session, &service).await.unwrap_or_default();
    let generation = defined.value["generation"].as_str().unwrap_or_default().to_owned();
    let expected = Expected::ServiceActive(service, generation);
    let arrivals = arrival::watch(session, &expected, regions, begun).await;
    session.show_with(defined.value, arrivals)
}

/// The tenant's regions, from the Registry, which has just answered.
async fn regions_of(session: &Session, service: &ServicePath) -> Option<Vec<RegionId>> {
    match session.asker().registry().tenant(&service.tenant).await {
        Ok(tenant) => {
            let names = tenant.value.get("regions").and_then(Value::as_array)?;
            Some(names.iter().filter_map(|name| name.as_str()?.parse().ok()).collect())
        }
        Err(error) => {
            output::warn(&format!("can't tell whether the regions have heard of it: {error}"));
            None
        }
    }
}
