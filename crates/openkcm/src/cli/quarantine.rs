//! `openkcm quarantine`: events that a component could not read or apply, one component at a time.
//!
//! What always holds: nothing is dropped that was not shown and agreed to. Trying again is always safe: an event
//! is applied when it can be, and stays otherwise.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use openkcm_client::{Client, Component, Quarantine};
use openkcm_contracts::{RegionId, TenantId};
use serde_json::Value;

use super::output;
use super::render::{self, Column};
use super::report::Usage;
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("COMPONENT", "/component"),
    ("ID", "/id"),
    ("AT", "/at"),
    ("TENANT", "/tenant"),
    ("STREAM", "/stream"),
    ("SUBJECT", "/subject"),
    ("REVISION", "/revision"),
    ("REVOKES", "/revokes"),
    ("REASON", "/reason"),
];

/// Why a tenant may be refused, and what opens it again.
const REVOKES: &str = "A revoke that could not be read keeps its tenant refused. Neither `retry` nor `drop` changes \
                       that: only a newer link does (`openkcm l1 link`).";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the events
    #[command(after_help = REVOKES)]
    List(List),
    /// Show an event with its body
    Show(Show),
    /// Try events again: with the keys that are trusted now, by the version that runs now
    #[command(after_help = REVOKES)]
    Retry(Chosen),
    /// Drop events: what they say is not applied
    #[command(after_help = REVOKES)]
    Drop(Drop),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only of this component: registry, cmk, or the Core of a region [default: all]
    #[arg(long, value_name = "registry|cmk|REGION", value_parser = parse_component)]
    component: Option<Component>,
    /// Show only events about this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Show only events of this stream, such as 1.region.a
    #[arg(long)]
    stream: Option<String>,
    /// Show at most so many of each component
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct Of {
    /// The component: registry, cmk, or the Core of a region
    #[arg(long, value_name = "registry|cmk|REGION", value_parser = parse_component)]
    component: Component,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    of: Of,
    /// The event's id, as `list` shows it
    #[arg(value_parser = parse_id)]
    id: String,
}

#[derive(Args)]
pub(crate) struct Chosen {
    #[command(flatten)]
    of: Of,
    /// The events' ids, as `list` shows them
    #[arg(required = true, value_name = "ID", value_parser = parse_id)]
    ids: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Drop {
    #[command(flatten)]
    chosen: Chosen,
    /// Drop them without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let client = session.client();
    match command {
        Command::List(arguments) => list(&arguments, session).await,
        Command::Show(Show { of, id }) => {
            let shown = client.quarantine(of.component).event(&id).await;
            session.show(&shown.with_context(|| format!("can't show the event {id}"))?.value)
        }
        Command::Retry(Chosen { of, ids }) => {
            let quarantine = client.quarantine(of.component.clone());
            let applied = each(&ids, async |id| {
                let applied = quarantine.retry(id).await;
                Ok(applied.with_context(|| format!("can't apply the event {id}"))?.value)
            });
            print(session, &of.component, applied.await)
        }
        Command::Drop(arguments) => drop_events(&arguments, client, session).await,
    }
}

/// Components that can't be reached hide nothing of the others; the first of them is the command's failure.
async fn list(arguments: &List, session: &Session) -> anyhow::Result<()> {
    let client = session.asker();
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let components = match &arguments.component {
        Some(component) => vec![component.clone()],
        None => all(&client),
    };
    let (mut items, mut more, mut failed) = (Vec::new(), false, None);
    for component in components {
        match events(&client.quarantine(component.clone()), arguments, limit).await {
            Ok((found, cut)) => {
                items.extend(found.into_iter().map(|event| of(&component, event)));
                more |= cut;
            }
            Err(error) => {
                let error = error.context(format!("can't read the quarantine of {component}"));
                failed.get_or_insert(error);
            }
        }
    }
    output::result(&render::list(session.format, COLUMNS, &items, more))?;
    if more {
        output::note(&format!(
            "there are more than {limit}: raise --limit, or narrow with --tenant or --stream"
        ));
    }
    failed.map_or(Ok(()), Err)
}

async fn events(
    quarantine: &Quarantine<'_>,
    arguments: &List,
    limit: usize,
) -> anyhow::Result<(Vec<Value>, bool)> {
    let tenant = arguments.tenant.as_ref().map(TenantId::as_str);
    Ok(quarantine.events(tenant, arguments.stream.as_deref()).up_to(limit).await?)
}

async fn drop_events(arguments: &Drop, client: &Client, session: &Session) -> anyhow::Result<()> {
    let Chosen { of: Of { component }, ids } = &arguments.chosen;
    let quarantine = client.quarantine(component.clone());
    if !arguments.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Usage("nobody is here to be asked: add --yes").into());
        }
        for id in ids {
            let event = quarantine.event(id).await.with_context(|| format!("can't show the event {id}"))?;
            output::note(&render::document(render::Format::Table, &event.value));
        }
        if !output::agreed(&format!(
            "Drop {} of {component}? What they say is not applied. [y/N] ",
            ids.len()
        ))? {
            output::note("nothing was dropped");
            return Ok(());
        }
    }
    let dropped = each(ids, async |id| {
        let dropped = quarantine.discard(id).await;
        Ok(dropped.with_context(|| format!("can't drop the event {id}"))?.value)
    });
    print(session, component, dropped.await)
}

/// What was done, and the first failure: one event that can't be applied keeps no other from it.
type Done = (Vec<Value>, Option<anyhow::Error>);

async fn each(ids: &[String], what: impl AsyncFn(&str) -> anyhow::Result<Value>) -> Done {
    let (mut done, mut failed) = (Vec::new(), None);
    for id in ids {
        match what(id).await {
            Ok(event) => done.push(event),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    (done, failed)
}

fn print(session: &Session, component: &Component, (done, failed): Done) -> anyhow::Result<()> {
    let items: Vec<Value> = done.into_iter().map(|event| of(component, event)).collect();
    if !items.is_empty() || failed.is_none() {
        output::result(&render::list(session.format, COLUMNS, &items, false))?;
    }
    failed.map_or(Ok(()), Err)
}

fn all(client: &Client) -> Vec<Component> {
    let regions = client.landscape().regions.iter().map(|region| Component::Core(region.name.clone()));
    [Component::Registry, Component::Cmk].into_iter().chain(regions).collect()
}

/// An event, and whose quarantine it is in, named as `--component` takes it.
fn of(component: &Component, mut event: Value) -> Value {
    event["component"] = match component {
        Component::Registry => "registry".into(),
        Component::Cmk => "cmk".into(),
        Component::Core(region) => region.as_str().into(),
    };
    event
}

fn parse_component(text: &str) -> Result<Component, String> {
    match text {
        "registry" => Ok(Component::Registry),
        "cmk" => Ok(Component::Cmk),
        region => match RegionId::new(region) {
            Ok(region) => Ok(Component::Core(region)),
            Err(error) => Err(format!("registry, cmk or a region is expected: {error}")),
        },
    }
}

fn parse_id(text: &str) -> Result<String, String> {
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() == 32 && hexadecimal {
        Ok(text.to_owned())
    } else {
        Err("32 hexadecimal digits are expected".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_named_as_the_list_shows_it() {
        for name in ["registry", "cmk", "eu-1"] {
            let component = parse_component(name).unwrap();
            assert_eq!(of(&component, serde_json::json!({}))["component"], name);
        }
        assert!(parse_component("EU").unwrap_err().starts_with("registry, cmk or a region is expected"));
    }

    #[test]
    fn an_id_that_could_be_another_path_is_not_taken() {
        assert!(parse_id("9f86d081884c7d659a2feaa0c55ad015").is_ok());
        for text in ["", "9f86", "../../v1/tenants/acme/l1/xxxxxxx", "9F86D081884C7D659A2FEAA0C55AD015"] {
            assert!(parse_id(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn one_that_fails_keeps_no_other_from_being_done() {
        let ids = ["a", "b", "c"].map(str::to_owned);
        let (done, failed) = each(&ids, async |id| match id {
            "b" => anyhow::bail!("not now"),
            id => Ok(Value::from(id)),
        })
        .await;
        assert_eq!(done, ["a", "c"]);
        assert_eq!(failed.map(|error| error.to_string()).as_deref(), Some("not now"));
    }
}
