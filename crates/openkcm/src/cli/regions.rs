//! `openkcm regions`: whether the regions hold what the Registry says, and an operator's word that a claim stops nothing.
//!
//! What always holds: nothing is overruled that was not shown and agreed to.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use openkcm_contracts::RegionId;
use serde_json::Value;

use super::output;
use super::render::{self, Column};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("REGION", "/region"),
    ("STATE", "/state"),
    ("DRIFT", "/drift_open"),
    ("DOUBT", "/doubt"),
    ("PURGES", "/purges/state"),
    ("WAITING", "/purges/waiting"),
    ("HELD", "/purges/held"),
    ("PURGED UP TO", "/purges/up_to"),
    ("APPLIED", "/manifest/applied"),
    ("LAST MANIFEST", "/manifest/at"),
    ("FAILOVER", "/failover/state"),
    ("TO", "/failover/to"),
];

/// What it means.
const OVERRULES: &str = "\
A region that claims to know a later word of the Registry than there is keeps everything from being destroyed, in
every region: the Registry's store may have been put back from an older copy, and what that has for deleted may have
been undeleted since. FIRST start the Registry once with --rebuild-from-mesh, if it was put back. To overrule the
region says that nothing was lost, and that its Core lies or was wrong: what is due is destroyed then, for good.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the regions: whether each holds what it is to hold, what it claims, how far it is with what it destroys
    List,
    /// Have what a region claims keep nothing from being destroyed any more
    #[command(after_help = OVERRULES)]
    Overrule(Overrule),
}

#[derive(Args)]
pub(crate) struct Overrule {
    /// The region
    region: RegionId,
    /// Overrule it without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::List => {
            output::result(&render::list(session.format, COLUMNS, &regions(session).await?, false))
        }
        Command::Overrule(arguments) => overrule(&arguments, session).await,
    }
}

async fn overrule(arguments: &Overrule, session: &Session) -> anyhow::Result<()> {
    let region = &arguments.region;
    output::warn(OVERRULES);
    if !arguments.yes {
        let mut found = regions(session).await?;
        found.retain(|item| item["region"] == region.as_str());
        output::note(&render::list(render::Format::Table, COLUMNS, &found, false));
        if !output::agreed(&format!("Overrule what region {region} claims? [y/N] "))? {
            output::note("nothing was overruled");
            return Ok(());
        }
    }
    let overruled = session.client().registry().overrule(region).await;
    session.show(&overruled.with_context(|| format!("can't overrule region {region}"))?.value)
}

async fn regions(session: &Session) -> anyhow::Result<Vec<Value>> {
    let found = session.client().registry().regions().await.context("can't list the regions")?;
    Ok(found.value["items"].as_array().cloned().unwrap_or_default())
}
