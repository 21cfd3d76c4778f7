//! `openkcm cores`: what the CMK Server knows of the regions' Cores, and an operator's word to forget it.
//!
//! What always holds: nothing is forgotten that was not shown and agreed to.

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
    ("INCARNATION", "/incarnation"),
    ("LAST MANIFEST", "/heard_at"),
    ("LEASED AT", "/lease/given_at"),
    ("LEASED UNTIL", "/lease_until"),
    ("IN DISPUTE", "/disputed"),
    ("SUPERSEDED", "/superseded"),
];

/// What it means.
const FORGETS: &str = "\
For a region whose Core is not leased since a later start of it was heard of: a copy that ran by mistake, or
somebody who had the Core's credential. FIRST stop the other one, and take its key out of the trust bundle if it
was stolen. The first Core of the region that speaks afterwards is leased: if both still run, that may be the
wrong one, and the right one is not leased any more. What either was leased before holds to its end.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the regions' Cores: what they told last, what they are leased, and whether two speak for one region
    List(List),
    /// Forget which starts of a region's Core were heard of, so that the first one that speaks is leased
    #[command(after_help = FORGETS)]
    Forget(Forget),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only of this region [default: all]
    #[arg(long)]
    region: Option<RegionId>,
}

#[derive(Args)]
pub(crate) struct Forget {
    /// The region
    region: RegionId,
    /// Forget them without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => {
            let found = cores(session, arguments.region.as_ref()).await?;
            output::result(&render::list(session.format, COLUMNS, &shown(session.format, found), false))
        }
        Command::Forget(arguments) => forget(&arguments, session).await,
    }
}

async fn forget(arguments: &Forget, session: &Session) -> anyhow::Result<()> {
    let region = &arguments.region;
    output::warn(FORGETS);
    if !arguments.yes {
        let found = shown(render::Format::Table, cores(session, Some(region)).await?);
        output::note(&render::list(render::Format::Table, COLUMNS, &found, false));
        if !output::agreed(&format!("Forget the starts of region {region}'s Core? [y/N] "))? {
            output::note("nothing was forgotten");
            return Ok(());
        }
    }
    let forgotten = session.client().cmk().forget_core(region).await;
    let forgotten =
        forgotten.with_context(|| format!("can't have the starts of region {region}'s Core forgotten"))?;
    session.show(&forgotten.value)
}

async fn cores(session: &Session, region: Option<&RegionId>) -> anyhow::Result<Vec<Value>> {
    let found = session.client().cmk().cores(region).await.context("can't list the Cores")?;
    Ok(found.value["cores"].as_array().cloned().unwrap_or_default())
}

/// The Cores as they are shown: to people, with each superseded start in a few words.
fn shown(format: render::Format, mut cores: Vec<Value>) -> Vec<Value> {
    if format == render::Format::Table {
        for core in &mut cores {
            let starts = core["superseded"].as_array().cloned().unwrap_or_default();
            core["superseded"] = starts.iter().map(in_words).collect();
        }
    }
    cores
}

fn in_words(start: &Value) -> Value {
    let twin = if start["is_twin"] == true { " (twin)" } else { "" };
    format!("{}{twin}", start["incarnation"]).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_twin_is_told_apart_from_one_that_waits_and_programs_see_all_of_it() {
        let twin = json!({"incarnation": 7, "spoke_at": "2026-02-02T08:00:00Z", "is_twin": true});
        let waits = json!({"incarnation": 5, "spoke_at": "2026-02-02T08:00:00Z", "is_twin": false});
        let core = json!({"region": "a", "superseded": [twin, waits]});
        let for_people = shown(render::Format::Table, vec![core.clone()]);
        assert_eq!(for_people[0]["superseded"], json!(["7 (twin)", "5"]));
        assert_eq!(shown(render::Format::Json, vec![core.clone()]), [core]);
    }
}
