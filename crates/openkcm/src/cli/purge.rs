//! `openkcm purge`: what the regions are to destroy, and an operator's word on it.
//!
//! What always holds: nothing is confirmed that was not named, by its key or as all of one region.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use openkcm_client::Purges;
use openkcm_contracts::{KeyPath, RegionId};
use serde_json::{Value, json};

use super::output;
use super::render::{self, Column};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("REGION", "/region"),
    ("KEY", "/key"),
    ("STATE", "/state"),
    ("UP TO", "/generation"),
    ("HEARD AT", "/heard_at"),
    ("WAITS (S)", "/waits_seconds"),
    ("DESTROYED", "/destroyed"),
];

/// What is gone and what is not.
const REFUSED: &str = "A purged key is refused since its region has heard of it, whatever state its purge is in. Only \
                       its sealed material is still there, until the purge is done.";

/// Where to look for what no region was told to destroy yet.
const WAITS_ELSEWHERE: &str = "No such purge was told to a region. What is deleted is told when its waiting period is \
                               over; until then PURGE AT says when that is: openkcm tenant list --state offboarded, \
                               openkcm system list TENANT --state deleted, openkcm service list TENANT/SYSTEM --state \
                               deleted.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List what the regions are to destroy
    #[command(after_help = REFUSED)]
    List(List),
    /// Let a region destroy what it holds, once its minimum wait is over; there is no way back
    #[command(after_help = REFUSED)]
    Confirm(Confirm),
    /// Keep a region from destroying what waits, until it is confirmed
    #[command(after_help = REFUSED)]
    Hold(Chosen),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only of this region [default: all]
    #[arg(long)]
    region: Option<RegionId>,
    /// Show only purges in this state
    #[arg(long, value_parser = ["waiting", "held", "confirmed", "done"])]
    state: Option<String>,
    /// Show at most so many of each region
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct Chosen {
    /// The region
    #[arg(long)]
    region: RegionId,
    /// TENANT/SYSTEM, with all its services, or TENANT/SYSTEM/SERVICE
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "KEY")]
    keys: Vec<KeyPath>,
    /// All of them
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
pub(crate) struct Confirm {
    #[command(flatten)]
    chosen: Chosen,
    /// Confirm all of them without asking; keys that are named are not asked about
    #[arg(long)]
    yes: bool,
}

/// Purges that are shown before all are confirmed.
const SHOWN: u32 = 100;

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => list(&arguments, session).await,
        Command::Confirm(Confirm { chosen, yes }) => match yes || agrees(&chosen, session).await? {
            true => decide(&chosen, session, true).await,
            false => {
                output::note("nothing was confirmed");
                Ok(())
            }
        },
        Command::Hold(chosen) => decide(&chosen, session, false).await,
    }
}

/// Regions that can't be reached hide nothing of the others; the first of them is the command's failure.
async fn list(arguments: &List, session: &Session) -> anyhow::Result<()> {
    let client = session.asker();
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let (mut items, mut more, mut failed) = (Vec::new(), false, None);
    for region in session.regions(arguments.region.as_ref()) {
        match purges(&client.purges(region.clone()), arguments.state.as_deref(), limit).await {
            Ok((found, cut)) => {
                items.extend(found.into_iter().map(|purge| of(&region, purge)));
                more |= cut;
            }
            Err(error) => {
                let error = error.context(format!("can't read the purges of region {region}"));
                failed.get_or_insert(error);
            }
        }
    }
    output::result(&render::list(session.format, COLUMNS, &items, more))?;
    if items.is_empty() && failed.is_none() && arguments.state.is_none() {
        output::note(WAITS_ELSEWHERE);
    }
    if more {
        output::note(&format!(
            "there are more than {limit}: raise --limit, or narrow with --region or --state"
        ));
    }
    failed.map_or(Ok(()), Err)
}

async fn purges(
    purges: &Purges<'_>,
    state: Option<&str>,
    limit: usize,
) -> anyhow::Result<(Vec<Value>, bool)> {
    Ok(purges.list(state).up_to(limit).await?)
}

/// Whether what is held is to be destroyed: whoever names the keys has said so.
async fn agrees(chosen: &Chosen, session: &Session) -> anyhow::Result<bool> {
    if !chosen.all {
        return Ok(true);
    }
    let held = List { region: Some(chosen.region.clone()), state: Some("held".into()), limit: SHOWN };
    list(&held, session).await?;
    output::agreed(&format!("Destroy all that is held in region {}, for good? [y/N] ", chosen.region))
}

async fn decide(chosen: &Chosen, session: &Session, confirm: bool) -> anyhow::Result<()> {
    let purges = session.client().purges(chosen.region.clone());
    let keys = (!chosen.all).then_some(&chosen.keys[..]);
    let mut decided: Vec<Value> = Vec::new();
    loop {
        let answer = match confirm {
            true => purges.confirm(keys).await,
            false => purges.hold(keys).await,
        };
        let answer =
            answer.with_context(|| format!("can't decide about purges of region {}", chosen.region))?;
        let some = answer.value["keys"].as_array().cloned().unwrap_or_default();
        let is_last = !chosen.all || some.is_empty();
        decided.extend(some);
        if is_last {
            break;
        }
    }
    // Whoever names a key means one that there is.
    let decided_nothing = decided.is_empty() && !chosen.all;
    session.show(&json!({ "region": chosen.region, "keys": decided }))?;
    if decided_nothing {
        let state = if confirm { "held" } else { "waiting" };
        bail!(
            "no purge of these keys is {state} in region {}; see `openkcm purge list --region {0}`",
            chosen.region
        );
    }
    Ok(())
}

/// A purge, and whose it is.
fn of(region: &RegionId, mut purge: Value) -> Value {
    purge["region"] = region.as_str().into();
    purge
}
