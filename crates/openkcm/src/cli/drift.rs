//! `openkcm drift`: where regions were found to hold something else than they are to, and what was done about it.
//!
//! The Registry knows it of definitions, the CMK Server of links. One that can't be asked hides nothing of the other.

use clap::{Args, ValueEnum};
use openkcm_client::{Client, Component};
use openkcm_contracts::RegionId;
use serde_json::Value;

use super::output;
use super::render::{self, Column};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("REGION", "/region"),
    ("AUTHORITY", "/authority"),
    ("SUBJECT", "/subject"),
    ("KIND", "/kind"),
    ("SINCE", "/since"),
    ("ACTION", "/action"),
    ("HEALED", "/healed"),
];

/// Who has drift records.
const AUTHORITIES: [(&str, Component); 2] = [("registry", Component::Registry), ("cmk", Component::Cmk)];

/// Which records are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// What is not healed
    Open,
    /// What was healed
    Healed,
    /// Both
    All,
}

/// Show where regions hold, or held, something else than they are to, and what was done about it
#[derive(Args)]
pub(crate) struct Arguments {
    /// Show only drift of this region
    #[arg(long)]
    region: Option<RegionId>,
    /// Show what is in this state
    #[arg(long, value_enum, default_value_t = State::All)]
    state: State,
    /// Show at most so many of each authority
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Healed => "healed",
            Self::All => "all",
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    if let Some(region) = &arguments.region {
        session.client().check_region(region)?;
    }
    let client = session.asker();
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let (mut items, mut more, mut failures) = (Vec::new(), false, Vec::new());
    for (name, authority) in AUTHORITIES {
        match records(&client, authority, arguments, limit).await {
            Ok((found, cut)) => {
                items.extend(found.into_iter().map(|record| of(name, record)));
                more |= cut;
            }
            Err(error) => failures.push(error.context(format!("can't read the drift that the {name} found"))),
        }
    }
    if failures.len() == AUTHORITIES.len() {
        return Err(failures.swap_remove(0));
    }
    output::result(&render::list(session.format, COLUMNS, &items, more))?;
    if more {
        output::note(&format!(
            "there are more than {limit}: raise --limit, or narrow with --region or --state"
        ));
    }
    // What one authority did not say is not known to be nothing.
    failures.into_iter().next().map_or(Ok(()), Err)
}

async fn records(
    client: &Client,
    authority: Component,
    arguments: &Arguments,
    limit: usize,
) -> anyhow::Result<(Vec<Value>, bool)> {
    let region = arguments.region.as_ref().map(RegionId::as_str);
    Ok(client.drift(authority, region, Some(arguments.state.as_str())).up_to(limit).await?)
}

/// A record, and who found it.
fn of(authority: &str, mut record: Value) -> Value {
    record["authority"] = authority.into();
    record
}
