//! `openkcm status`: how all components are, as each says of itself.
//!
//! A component that can't be reached is a row like the others: that is what an operator looks for here.

use anyhow::Context as _;
use clap::Args;
use openkcm_client::{Call, Client, Component};
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
    ("QUARANTINED", "/quarantined"),
    ("REVISIONS", "/revisions"),
    ("TENANTS", "/tenants"),
    ("AT RISK", "/at_risk"),
];

/// Show how all components are: reachable, mesh, outbox, applied revisions, tenants served, versions at risk
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: &Arguments, session: &Session) -> anyhow::Result<()> {
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
            }
            Ok(())
        }
    }
}

/// What a table shows of one component's status, whichever of the three it is.
fn row(answer: &Value) -> Value {
    let status = &answer["status"];
    let mesh = status["mesh"]["connected"].as_bool().map(|up| if up { "connected" } else { "cut off" });
    json!({
        "component": answer["component"],
        "url": answer["url"],
        "reachable": answer["reachable"],
        "mesh": mesh,
        "outbox": outbox(status),
        "quarantined": status.get("quarantined").or_else(|| status["mesh"].get("quarantined")),
        "revisions": status.get("revision").or_else(|| status.get("applied")),
        "tenants": status["tenants"]["serving"].as_u64().map(|serving| {
            format!("{serving} of {} served", status["tenants"]["known"])
        }),
        "at_risk": status["versions_at_risk"],
    })
}

/// How many letters wait, over all lanes.
fn outbox(status: &Value) -> Option<u64> {
    match (&status["outbox"], &status["mesh"]["outbox"]) {
        (Value::Array(lanes), _) => Some(lanes.iter().filter_map(|lane| lane["letters"].as_u64()).sum()),
        (_, outbox) => outbox["letters"].as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_of_all_three_actors_fit_one_table() {
        let registry = json!({"component": "registry", "reachable": true, "status": {
            "revision": "1.7", "outbox": [{"lane": 0, "letters": 1}, {"lane": 1, "letters": 2}],
            "mesh": {"connected": true},
        }});
        let core = json!({"component": "krypton a", "reachable": true, "status": {
            "mesh": {"connected": false, "outbox": {"letters": 4, "oldest": null}, "quarantined": 1},
            "applied": {"registry": "1.7", "cmk": null}, "tenants": {"serving": 1, "known": 2},
            "versions_at_risk": 3,
        }});
        let gone = json!({"component": "cmk", "reachable": false, "error": "unreachable"});
        let text = render::table(COLUMNS, &[row(&registry), row(&gone), row(&core)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("connected") && lines[1].contains("1.7") && lines[1].contains(" 3 "),
            "{text}"
        );
        assert!(lines[2].contains("no"), "{text}");
        assert!(lines[3].contains("cut off") && lines[3].contains("1 of 2 served"), "{text}");
    }
}
