//! `openkcm status`: how all components are, as each says of itself.
//!
//! A component that can't be reached is a row like the others: that is what an operator looks for here.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use openkcm_client::{Call, Client, Component};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{RegionId, TenantId, Timestamp};
use openkcm_host::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::output;
use super::render::{self, Column, Format};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("COMPONENT", "/component"),
    ("URL", "/url"),
    ("REACHABLE", "/reachable"),
    ("MESH", "/mesh"),
    ("OUTBOX", "/outbox"),
    ("REVISION", "/revision"),
    ("AUTHORITY", "/authority"),
    ("DRIFT", "/drift"),
    ("APPLIED", "/applied"),
    ("DROPPED", "/dropped"),
    ("QUARANTINED", "/quarantined"),
    ("LEASE", "/lease"),
    ("L1", "/l1"),
    ("TENANTS", "/tenants"),
    ("OPEN", "/open"),
    ("AT RISK", "/at_risk"),
    ("PURGES HELD", "/purges_held"),
];

const TENANT_COLUMNS: &[Column] = &[
    ("REGION", "/region"),
    ("SERVED", "/serving"),
    ("WHY NOT", "/refusal"),
    ("LINK", "/link"),
    ("EPOCH", "/epoch"),
    ("LEASE LEFT", "/left"),
];

/// Show how all components are: reachable, mesh, outbox, revisions, drift, events dropped and quarantined, leases,
/// tenants served, systems open, versions at risk
#[derive(Args)]
pub(crate) struct Arguments {
    /// Show one tenant instead, in every region: whether it is served, and what is left of its lease
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    if let Some(tenant) = &arguments.tenant {
        return show_tenant(tenant, session).await;
    }
    let landscape = session.client().landscape();
    let mut components = vec![
        ("registry".to_owned(), Component::Registry, landscape.registry.to_string()),
        ("cmk".to_owned(), Component::Cmk, landscape.cmk.to_string()),
    ];
    components.extend(landscape.regions.iter().map(|region| {
        (format!("krypton {}", region.name), Component::Core(region.name.clone()), region.url.to_string())
    }));
    let mut asked = JoinSet::new();
    for (place, (name, component, url)) in components.into_iter().enumerate() {
        let asker = session.asker();
        asked.spawn(async move { (place, ask(&asker, name, component, url).await) });
    }
    let mut answers = Vec::new();
    while let Some(answer) = asked.join_next().await {
        answers.push(answer.context("a request was not carried out")?);
    }
    answers.sort_by_key(|(place, _)| *place);
    let answers: Vec<Value> = answers.into_iter().map(|(_, answer)| answer).collect();
    print(session.format, &answers)
}

/// One tenant, in every region.
async fn show_tenant(tenant: &TenantId, session: &Session) -> anyhow::Result<()> {
    let regions: Vec<RegionId> =
        session.client().landscape().regions.iter().map(|region| region.name.clone()).collect();
    let (mut rows, mut known) = (Vec::new(), false);
    for region in regions {
        let call = Call::get(Component::Core(region.clone()), format!("/v1/tenants/{tenant}"));
        let answer = session.asker().call(&call).await;
        known |= !matches!(&answer, Err(error) if error.code() == Some(Code::UnknownKey));
        let mut row = match answer.map(|answer| answer.json::<Value>()) {
            Ok(Ok(row)) => row,
            Ok(Err(_)) => json!({ "serving": false, "error": "its answer is not JSON" }),
            Err(error) => json!({ "serving": false, "error": error.to_string() }),
        };
        row["region"] = region.as_str().into();
        rows.push(row);
    }
    if !known {
        // Whether it is a tenant is the Registry's to say: the regions may only not have heard of it yet.
        let defined = session.asker().registry().tenant(tenant).await;
        defined.with_context(|| format!("no region knows a tenant {tenant}"))?;
        output::note(&format!("the tenant {tenant} is defined, and no region has heard of it"));
    }
    match session.format {
        Format::Json => output::result(&render::json(&json!({ "tenant": tenant, "regions": rows }))),
        Format::Table => {
            let now = SystemClock.now();
            let shown: Vec<Value> = rows.iter().map(|row| tenant_row(row, now)).collect();
            output::result(&render::table(TENANT_COLUMNS, &shown))
        }
    }
}

fn tenant_row(row: &Value, now: Timestamp) -> Value {
    let until = row["lease_deadline"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let left = until
        .map(|until| humantime::format_duration(Duration::from_secs(until.since(now).as_secs())).to_string());
    let why = row["refusal"]["code"].as_str().or(row["error"].as_str());
    json!({
        "region": row["region"],
        "serving": row["serving"],
        "refusal": why,
        "link": row["link"]["state"],
        "epoch": row["link"]["epoch"],
        "left": left,
    })
}

async fn ask(asker: &Client, name: String, component: Component, url: String) -> Value {
    let url = url.trim_end_matches('/');
    match asker.call(&Call::get(component, "/v1/status")).await.map(|answer| answer.json::<Value>()) {
        Ok(Ok(status)) => json!({ "component": name, "url": url, "reachable": true, "status": status }),
        Ok(Err(_)) => {
            json!({ "component": name, "url": url, "reachable": false, "error": "its answer is not JSON" })
        }
        // A refusal is an answer, and says more than that there was one.
        Err(error) => {
            let reachable = error.problem().is_some();
            json!({ "component": name, "url": url, "reachable": reachable, "error": error.to_string() })
        }
    }
}

fn print(format: Format, answers: &[Value]) -> anyhow::Result<()> {
    match format {
        Format::Json => output::result(&render::json(&json!({ "components": answers }))),
        Format::Table => {
            let rows: Vec<Value> = answers.iter().map(row).collect();
            output::result(&render::table(COLUMNS, &rows))?;
            for answer in answers {
                for trouble in [&answer["error"], &answer["status"]["mesh"]["error"]] {
                    if let Some(trouble) = trouble.as_str() {
                        let name = answer["component"].as_str().unwrap_or_default();
                        output::note(&format!("{name}: {trouble}"));
                    }
                }
                if answer["status"]["purging"]["state"] == "withheld" {
                    output::note(
                        "registry: nothing more is told to be destroyed at present; see `openkcm regions list`, and \
                         `purging` in the JSON",
                    );
                }
                for failover in answer["status"]["failovers"].as_array().into_iter().flatten() {
                    output::note(&in_words(failover));
                }
                if let Some(open) = answer["status"]["drift_open"].as_u64().filter(|open| *open > 0) {
                    let name = answer["component"].as_str().unwrap_or_default();
                    output::note(&format!(
                        "{name}: differences in what regions hold that are not healed: {open}; see `openkcm drift \
                         --state open`"
                    ));
                }
            }
            Ok(())
        }
    }
}

/// A failover that runs, or is in force.
fn in_words(failover: &Value) -> String {
    let text = |member: &str| failover[member].as_str().unwrap_or_default();
    let back = if text("state") == "returning" {
        format!(", {} given back", failover["returned"])
    } else {
        String::new()
    };
    format!(
        "region {} is failed over to {} since {}: {}, {} of {} tenants moved{back}",
        text("from"),
        text("to"),
        text("committed_at"),
        text("state"),
        failover["moved"],
        failover["tenants"],
    )
}

/// What a table shows of one component's status: the mesh has one shape in all three.
fn row(answer: &Value) -> Value {
    let (status, mesh) = (&answer["status"], &answer["status"]["mesh"]);
    let since = mesh["since"].as_str().unwrap_or("its start");
    let connected = mesh["connected"].as_bool();
    let letters = mesh["outbox"]["letters"].as_u64();
    json!({
        "component": answer["component"],
        "url": answer["url"],
        "reachable": answer["reachable"],
        "mesh": connected.map(|up| if up { "connected".to_owned() } else { format!("cut off since {since}") }),
        "outbox": letters.map(|letters| match mesh["outbox"]["oldest_seconds"].as_u64() {
            Some(age) => format!("{letters}, for {}", humantime::format_duration(Duration::from_secs(age))),
            None => letters.to_string(),
        }),
        "revision": status["revision"],
        // Whether its store is as new as its own last words.
        "authority": status["authority"]["standing"],
        // Differences that it found in regions and that are not healed.
        "drift": status["drift_open"],
        "applied": mesh["applied"].as_object().filter(|applied| !applied.is_empty()),
        "dropped": mesh["dropped"].as_object().map(|reasons| {
            reasons.values().filter_map(Value::as_u64).sum::<u64>()
        }),
        "quarantined": mesh["quarantined"],
        "lease": lease(status),
        "l1": l1(status),
        "tenants": status["tenants"]["serving"].as_u64().map(|serving| {
            format!("{serving} of {} served", status["tenants"]["known"])
        }),
        "open": open(&status["warm_up"]),
        "at_risk": status["versions_at_risk"],
        // They wait for an operator.
        "purges_held": status["purges"]["held"],
    })
}

/// How many tenants' roots are in which state, as the CMK Server sees them; how many a Core does not serve for theirs.
fn l1(status: &Value) -> Option<String> {
    let counts = [&status["health"], &status["l1"]].into_iter().find_map(Value::as_object)?;
    let told: Vec<String> = counts
        .iter()
        .filter_map(|(state, count)| Some((state, count.as_u64().filter(|count| *count > 0)?)))
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    Some(told.join(", "))
}

/// How many systems a Core has opened, of those that it is to open.
fn open(warm_up: &Value) -> Option<String> {
    let count = |name: &str| warm_up[name].as_u64();
    let (open, all, left) = (count("systems_open")?, count("systems")?, count("tenants_left")?);
    let so_far = if left > 0 { format!(", {left} tenants to go") } else { String::new() };
    Some(format!("{open} of {all} systems{so_far}"))
}

/// How much of a Core's lease is left.
fn lease(status: &Value) -> Option<String> {
    let lease = status["lease"].as_object()?;
    let state = lease.get("state")?.as_str()?;
    let moment = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let left = moment(&status["now"]).zip(lease.get("deadline").and_then(moment));
    let used = lease.get("used_percent").and_then(Value::as_u64);
    Some(match (state, left, used) {
        ("held", Some((now, until)), Some(used)) => {
            let left = Duration::from_secs(until.since(now).as_secs());
            format!("{} left ({used} % used)", humantime::format_duration(left))
        }
        _ => state.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_is_told_in_words() {
        let failover = json!({
            "from": "a", "to": "b", "state": "moving", "moved": 3, "tenants": 9, "committed_at": "2026-02-02T08:00:00.000Z",
        });
        assert_eq!(
            in_words(&failover),
            "region a is failed over to b since 2026-02-02T08:00:00.000Z: moving, 3 of 9 tenants moved"
        );
    }

    #[test]
    fn the_statuses_of_all_three_actors_fit_one_table() {
        let registry = json!({"component": "registry", "reachable": true, "status": {
            "revision": "1.7", "authority": {"standing": "stale"}, "drift_open": 41,
            "mesh": {
                "connected": true, "outbox": {"letters": 3, "oldest_seconds": 75, "lanes": []}, "applied": {},
                "dropped": {"damaged": 1, "expired": 4}, "quarantined": 0,
            },
        }});
        let core = json!({"component": "krypton a", "reachable": true, "status": {
            "mesh": {
                "connected": false, "since": "2026-02-02T08:00:00.000Z", "outbox": {"letters": 0, "lanes": []},
                "applied": {"registry": "1.7", "cmk": "1.2"}, "dropped": {}, "quarantined": 2,
            },
            "tenants": {"serving": 1, "known": 2}, "versions_at_risk": 3, "now": "2026-02-02T08:00:00.000Z",
            "warm_up": {"systems_open": 7, "systems": 9, "tenants_left": 4},
            "purges": {"waiting": 1, "held": 12, "destroyed": 0},
            "lease": {"state": "held", "deadline": "2026-02-02T09:30:00.000Z", "used_percent": 93},
        }});
        let gone = json!({"component": "cmk", "reachable": false, "error": "unreachable"});
        let text = render::table(COLUMNS, &[row(&registry), row(&gone), row(&core)]);
        let lines: Vec<&str> = text.lines().collect();
        for (line, words) in [
            (1, &["connected", "1.7", "stale", " 41 ", "3, for 1m 15s", " 5 "][..]),
            (2, &["no"]),
            (
                3,
                &[
                    "cut off since 2026-02-02T08:00:00.000Z",
                    "cmk=1.2,registry=1.7",
                    "1 of 2 served",
                    "7 of 9 systems, 4 tenants to go",
                    " 12",
                    "1h 30m left (93 % used)",
                ],
            ),
        ] {
            for word in words {
                assert!(lines[line].contains(word), "{word:?} is not in line {line} of\n{text}");
            }
        }
    }
}
