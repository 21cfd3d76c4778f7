//! `openkcm failover`: the tenants of a lost region go to another one, and come back.
//!
//! What is committed first is the failover itself; the tenants follow by themselves, whether or not anybody waits. What
//! always holds: nothing is moved that was not shown and agreed to, and a tenant that is not served is named.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use openkcm_client::{Call, ClientError, Component, Registry, Resource};
use openkcm_contracts::RegionId;
use openkcm_contracts::problem::Code;
use serde_json::{Value, json};

use super::arrival::{Awaited, Unserved, names, until_served};
use super::output;
use super::progress::Progress;
use super::render::{self, Column, Format};
use super::report::{Behind, Usage};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("FROM", "/from"),
    ("TO", "/to"),
    ("STATE", "/state"),
    ("TENANTS", "/tenants"),
    ("MOVED", "/moved"),
    ("LEFT", "/left"),
    ("RETURNED", "/returned"),
    ("KEPT", "/kept"),
    ("SINCE", "/committed_at"),
    ("FINISHED", "/finished_at"),
];

/// Tenants that are not served, and that people are told of by name; programs are told of all.
const NAMED: usize = 20;

/// Between two looks at how far the Registry is.
const PAUSE: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  openkcm failover --from eu-1 --to us-1 --dry-run
  openkcm failover --from eu-1 --to us-1 --yes
  openkcm failover --back eu-1
  openkcm failover list

In the list of regions of each tenant, --to takes the place of --from, which gives it up. Needs the Registry, which must
know itself to be current, and the CMK Server, which tells the region of the links: a region that is in a tenant's list
already needs neither, and serves it now. Fail over only what is lost: a region that runs stops serving these tenants.";

/// Move the tenants of a lost region to another one, and back; waits until they are served there
#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The region that is lost
    #[arg(long, value_name = "REGION", requires = "to", required_unless_present = "back")]
    from: Option<RegionId>,
    /// The region that takes its place
    #[arg(long, value_name = "REGION", requires = "from")]
    to: Option<RegionId>,
    /// Give the tenants of this region back, which was failed over and is there again
    #[arg(long, value_name = "REGION", conflicts_with_all = ["from", "to"])]
    back: Option<RegionId>,
    /// Only show how many tenants would be moved
    #[arg(long, conflicts_with = "back")]
    dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

#[derive(Subcommand)]
enum Command {
    /// List the last failover of each region, and how far it is
    List,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> anyhow::Result<()> {
    match arguments {
        Arguments { command: Some(Command::List), .. } => list(session).await,
        Arguments { back: Some(region), yes, .. } => back(session, &region, yes).await,
        Arguments { from: Some(from), to: Some(to), dry_run, yes, .. } => {
            over(session, (&from, &to), dry_run, yes).await
        }
        _ => Err(Usage("--from and --to, or --back, are expected").into()),
    }
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let regions = session.client().registry().regions().await.context("can't list the regions")?;
    let items = regions.value["items"].as_array().into_iter().flatten();
    let failovers: Vec<Value> =
        items.map(|region| region["failover"].clone()).filter(Value::is_object).collect();
    output::result(&render::list(session.format, COLUMNS, &failovers, false))
}

async fn over(
    session: &Session,
    (from, to): (&RegionId, &RegionId),
    dry_run: bool,
    yes: bool,
) -> anyhow::Result<()> {
    let registry = session.client().registry();
    let cannot = || format!("can't fail region {from} over to {to}");
    let survey = registry.failover_survey(from, to).await.with_context(cannot)?;
    if dry_run {
        return session.show(&survey.value);
    }
    let held = held(&registry, from).await.with_context(cannot)?;
    let tenants = survey.value["tenants"].as_u64().unwrap_or_default();
    if !yes {
        output::note(&format!(
            "{tenants} tenants are moved from region {from} to {to}, which has {} of them already; region {from} serves \
             them no more, should it still run.",
            survey.value["known"]
        ));
        if !output::agreed(&format!("Fail region {from} over to {to}? [y/N] "))? {
            output::note("nothing was moved");
            return Ok(());
        }
    }
    // What came to the region since it was failed over moves too; what was given back does again.
    let seen = held.filter(|held| moves_more(&held.value, tenants)).and_then(|held| held.revision);
    let committed = registry.failover(from, to, seen).await.with_context(cannot)?;
    output::note("it is committed: the tenants follow, whether or not this command waits");
    if session.patience.total.is_zero() {
        return session.show(&committed.value);
    }
    let done = until_moved(session, &registry, from, ("moved", "moving tenants")).await?;
    let moved = moved(&registry, from, to).await?;
    finish(session, done, moved).await
}

/// Whether it takes another word to move what is there now.
fn moves_more(held: &Value, tenants: u64) -> bool {
    held["state"] == "returned" || held["state"] == "moved" && tenants > 0
}

async fn back(session: &Session, region: &RegionId, yes: bool) -> anyhow::Result<()> {
    let registry = session.client().registry();
    let cannot = || format!("can't give the tenants of region {region} back");
    let held = registry.failover_of(region).await.with_context(cannot)?;
    if let Err(error) = session.asker().call(&Call::get(Component::Core(region.clone()), "/v1/status")).await
    {
        output::warn(&format!("region {region} does not answer, and would serve none of them: {error}"));
    }
    if !yes {
        output::note(&render::list(Format::Table, COLUMNS, std::slice::from_ref(&held.value), false));
        if !output::agreed(&format!("Give the tenants back to region {region}? [y/N] "))? {
            output::note("nothing was given back");
            return Ok(());
        }
    }
    let moved = moved(&registry, region, region).await?;
    let committed = registry.failback(region, held.revision).await.with_context(cannot)?;
    if session.patience.total.is_zero() {
        return session.show(&committed.value);
    }
    let done = until_moved(session, &registry, region, ("returned", "giving tenants back")).await?;
    let moved = match done["kept"].as_u64() {
        Some(0) => moved,
        _ => back_there(&registry, moved).await?,
    };
    finish(session, done, moved).await
}

async fn held(registry: &Registry<'_>, region: &RegionId) -> Result<Option<Resource>, ClientError> {
    match registry.failover_of(region).await {
        Err(error) if error.code() == Some(Code::NotFailedOver) => Ok(None),
        held => held.map(Some),
    }
}

/// The tenants that the failover of a region moved, as those that another one is to serve in the end.
async fn moved(
    registry: &Registry<'_>,
    region: &RegionId,
    serves: &RegionId,
) -> anyhow::Result<Vec<Awaited>> {
    let found =
        registry.moved_tenants(region).all().await.context("can't list the tenants that were moved")?;
    let awaited = |moved: &Value| {
        let revision = moved["revision"].as_str()?.parse().ok()?;
        let tenant = moved["tenant"].as_str()?.parse().ok()?;
        Some(Awaited { tenant, region: serves.clone(), revision })
    };
    Ok(found.iter().filter_map(awaited).collect())
}

/// Those of the tenants that are the region's again: an operator may have placed others meanwhile.
async fn back_there(registry: &Registry<'_>, moved: Vec<Awaited>) -> anyhow::Result<Vec<Awaited>> {
    let mut back = Vec::with_capacity(moved.len());
    for awaited in moved {
        let tenant = registry.tenant(&awaited.tenant).await;
        let tenant = tenant.with_context(|| format!("can't see where the tenant {} is", awaited.tenant))?;
        if names(&tenant.value["regions"]).contains(&awaited.region) {
            back.push(awaited);
        }
    }
    Ok(back)
}

/// Waits until the Registry has worked a failover off. Gives up when nothing moved for as long as the caller waits.
async fn until_moved(
    session: &Session,
    registry: &Registry<'_>,
    region: &RegionId,
    (state, what): (&str, &'static str),
) -> anyhow::Result<Value> {
    let count = |failover: &Value, member: &str| failover[member].as_u64().unwrap_or_default();
    let mut progress: Option<Progress> = None;
    let (mut last, mut seen) = (session.now(), 0);
    loop {
        let held = registry.failover_of(region).await.context("can't see how far the failover is")?.value;
        let (done, total) = match state {
            "moved" => (count(&held, "moved"), count(&held, "tenants")),
            _ => (count(&held, "returned") + count(&held, "kept"), count(&held, "moved")),
        };
        let bar = progress
            .get_or_insert_with(|| Progress::count(what, usize::try_from(total).unwrap_or(usize::MAX)));
        bar.add(done.saturating_sub(seen));
        if held["state"] == state {
            return Ok(held);
        }
        let now = session.now();
        if done > seen {
            (last, seen) = (now, done);
        }
        if now.since(last) >= session.patience.total {
            return Err(Behind { what: format!("{done} of {total} tenants were moved so far") }.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until each tenant is served, and tells of those that are not.
async fn finish(session: &Session, done: Value, moved: Vec<Awaited>) -> anyhow::Result<()> {
    let progress = Progress::count("waiting for tenants to be served", moved.len());
    let (served, unserved) = until_served(session, moved, &progress).await;
    drop(progress);
    let shown: Vec<Value> = unserved.iter().map(document).collect();
    match session.format {
        Format::Json => {
            let mut document = done;
            document["served"] = served.into();
            document["unserved"] = shown.into();
            session.show(&document)?;
        }
        Format::Table => {
            session.show(&done)?;
            output::note(&format!("{served} tenants are served"));
            for Unserved { tenant, region, why, .. } in unserved.iter().take(NAMED) {
                output::warn(&format!("{tenant} is not served in region {region}: {why}"));
            }
            if unserved.len() > NAMED {
                output::warn(&format!("{} more are not; `--output json` names all", unserved.len() - NAMED));
            }
        }
    }
    match unserved.iter().filter(|unserved| unserved.late).count() {
        0 => Ok(()),
        late => Err(Behind { what: format!("{late} tenants were not seen to be served yet") }.into()),
    }
}

fn document(Unserved { tenant, region, why, late }: &Unserved) -> Value {
    json!({ "tenant": tenant, "region": region, "why": why, "waiting_may_help": late })
}
