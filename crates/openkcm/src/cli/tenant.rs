//! `openkcm tenant`: whose keys there are, and where they are served.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use openkcm_client::TenantSpec;
use openkcm_contracts::{RegionId, TenantId};

use super::arrival::{self, Expected};
use super::globals::{ListFlags, parse_pair};
use super::output;
use super::render::Column;
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("TENANT", "/tenant"),
    ("STATE", "/state"),
    ("REGIONS", "/regions"),
    ("LABELS", "/labels"),
    ("REVISION", "/revision"),
    ("PURGE AT", "/purge_at"),
];

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Define a tenant, or change it
    Define(Define),
    /// End a tenant: its keys are refused at once, its L1 is unlinked, and they are destroyed after a waiting period;
    /// waits and tells when each region refused
    Offboard(Offboard),
    /// Take an offboarding back, within its waiting period; its L1 has to be linked again
    Undelete(Named),
    /// Show a tenant's definition
    Show(Named),
    /// List tenants
    List(List),
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  openkcm tenant define acme --regions eu-1,us-1 --label contract=2026-0042"
)]
pub(crate) struct Define {
    /// Its name: 1 to 63 of a-z, 0-9 and '-'
    tenant: TenantId,
    /// Where it is served, in order of preference
    #[arg(long, required = true, value_delimiter = ',', value_name = "REGION,…")]
    regions: Vec<RegionId>,
    /// A note of your own; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
}

#[derive(Args)]
pub(crate) struct Offboard {
    /// Its name
    tenant: TenantId,
    /// How long to wait before its keys may be destroyed [default: 7d]
    #[arg(long, value_name = "SPAN")]
    purge_after: Option<String>,
}

#[derive(Args)]
pub(crate) struct Named {
    /// Its name
    tenant: TenantId,
}

#[derive(Args)]
pub(crate) struct List {
    /// Show only tenants in this state
    #[arg(long, value_enum, default_value_t = State::Active)]
    state: State,
    #[command(flatten)]
    flags: ListFlags,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Active,
    Offboarded,
    All,
}

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let registry = session.client().registry();
    let resource = match command {
        Command::Define(Define { tenant, regions, labels }) => {
            let spec = TenantSpec { regions, labels: labels.into_iter().collect() };
            let put = registry.put_tenant(&tenant, &spec).await;
            put.with_context(|| format!("can't define the tenant {tenant}"))?
        }
        Command::Offboard(arguments) => return offboard(session, arguments).await,
        Command::Undelete(Named { tenant }) => return undelete(session, tenant).await,
        Command::Show(Named { tenant }) => {
            let shown = registry.tenant(&tenant).await;
            shown.with_context(|| format!("can't show the tenant {tenant}"))?
        }
        Command::List(List { state, flags }) => {
            let state = match state {
                State::Active => "active",
                State::Offboarded => "offboarded",
                State::All => "all",
            };
            return session.show_list(registry.tenants().state(Some(state)), &flags, COLUMNS).await;
        }
    };
    session.show(&resource.value)
}

async fn offboard(session: &Session, arguments: Offboard) -> anyhow::Result<()> {
    let begun = session.now();
    let Offboard { tenant, purge_after } = arguments;
    let ended = session.client().registry().delete_tenant(&tenant, purge_after.as_deref()).await;
    let ended = ended.with_context(|| format!("can't offboard the tenant {tenant}"))?;
    let regions = arrival::names(&ended.value["regions"]);
    let expected = ended.revision.map(|revision| Expected::TenantEnded(tenant, revision));
    arrival::finish(session, ended, expected, regions, begun).await
}

async fn undelete(session: &Session, tenant: TenantId) -> anyhow::Result<()> {
    let begun = session.now();
    let back = session.client().registry().undelete_tenant(&tenant).await;
    let back = back.with_context(|| format!("can't undelete the tenant {tenant}"))?;
    let regions = arrival::names(&back.value["regions"]);
    let expected = back.revision.map(|revision| Expected::TenantBack(tenant.clone(), revision));
    let outcome = arrival::finish(session, back, expected, regions, begun).await;
    output::note(&format!(
        "its offboarding has unlinked its L1: with its owner's consent, `openkcm l1 link {tenant} …` has it served again"
    ));
    outcome
}
