//! Malformed names, in every place of every path that the components describe.

use openkcm_contracts::problem::Code;
use serde_json::Value;

use super::{EVERYONE, Ground, To};
use crate::http::Request;

/// What is no lower-case DNS label.
const MALFORMED: [&str; 13] =
    ["ACME", "acMe", "a.b", "a_b", "-a", "a-", "..", "%2e%2e", "a%2Fb", "%2F", "a%00", "%ff", "%C3%A9"];

#[tokio::test]
async fn a_malformed_name_is_refused_in_every_place_of_every_route() {
    let ground = Ground::prepare().await;
    let long = "a".repeat(64);
    let mut sent = 0;
    for to in EVERYONE {
        for (method, path) in operations(&ground, to).await {
            let places = path.split('/').filter(|segment| segment.starts_with('{')).count();
            for place in 0..places {
                for name in MALFORMED.into_iter().chain([long.as_str()]) {
                    ground.ask(to, request(&method, &fill(&path, place, name)), Code::InvalidId).await;
                    sent += 1;
                }
                // At the end of a path an empty name makes it another route, and there is none.
                let target = fill(&path, place, "");
                let code = if target.ends_with('/') { Code::NotFound } else { Code::InvalidId };
                ground.ask(to, request(&method, &target), code).await;
            }
            ground.is_unchanged(&format!("{to:?}: {method} {path}")).await;
        }
    }
    assert!(sent > 400, "only {sent} requests were sent: are there no routes?");
}

#[tokio::test]
async fn a_malformed_name_in_a_body_is_refused_by_its_field() {
    let ground = Ground::prepare().await;
    for name in ["ACME", "a.b", "", "..", "a/b", &"a".repeat(64)] {
        let body = format!(r#"{{"regions": ["a", "{name}"]}}"#);
        let request = Request::new("PUT", "/v1/tenants/new").json(body);
        let refusal = ground.refuses(To::Registry, request, Code::InvalidId).await;
        assert_eq!(refusal["field"], "regions[1]", "{refusal}");
    }
    for version in ["", "latest", "0e4fd0b1-8f3a-4f1e-9a57", "0E4FD0B1-8F3A-4F1E-9A57-0C6D8AB6A0F5x"] {
        let body = format!(r#"{{"version": "{version}"}}"#);
        let request =
            Request::new("POST", "/v1/tenants/demo/systems/app/services/data/compromise").json(body);
        let refusal = ground.refuses(To::Registry, request, Code::InvalidId).await;
        assert_eq!(refusal["field"], "version", "{refusal}");
    }
}

/// The operations of a component that have names in their path, by its own description.
async fn operations(ground: &Ground, to: To) -> Vec<(String, String)> {
    let document = ground.get(ground.url(to), "/openapi.json").await;
    let paths = document["paths"].as_object().expect("the document describes paths");
    let named = paths.iter().filter(|(path, _)| path.contains('{'));
    named
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").iter();
            let operations = methods.filter(|(_, operation)| operation.get("responses").is_some());
            operations.map(|(method, _): (&String, &Value)| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

/// The path, with this name in one place and the sample's names in the others.
fn fill(path: &str, place: usize, name: &str) -> String {
    let mut sample = ["demo", "app", "data"].into_iter().enumerate();
    let segments = path.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment;
        }
        let (at, own) = sample.next().expect("no path has more names");
        if at == place { name } else { own }
    });
    segments.collect::<Vec<_>>().join("/")
}

fn request(method: &str, target: &str) -> Request {
    let request = Request::new(method, target);
    if method == "GET" || method == "DELETE" { request } else { request.json("{}") }
}
