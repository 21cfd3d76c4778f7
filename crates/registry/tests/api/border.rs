//! What each route owes every caller: names are checked, strangers are kept out, the document is there.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::Value;

use crate::world::{World, send};

/// Every route of the Registry, with `BAD` for the name that comes last.
const ROUTES: [(&str, &str, &str); 29] = [
    ("GET", "/v1/regions", ""),
    ("POST", "/v1/regions/BAD/overrule", "region"),
    ("GET", "/v1/regions/BAD/failover", "region"),
    ("POST", "/v1/regions/BAD/failover", "region"),
    ("GET", "/v1/regions/BAD/failover/tenants", "region"),
    ("POST", "/v1/regions/BAD/failback", "region"),
    ("GET", "/v1/tenants", ""),
    ("GET", "/v1/tenants/BAD", "tenant"),
    ("PUT", "/v1/tenants/BAD", "tenant"),
    ("DELETE", "/v1/tenants/BAD", "tenant"),
    ("POST", "/v1/tenants/BAD/undelete", "tenant"),
    ("GET", "/v1/tenants/BAD/systems", "tenant"),
    ("GET", "/v1/tenants/acme/systems/BAD", "system"),
    ("PUT", "/v1/tenants/acme/systems/BAD", "system"),
    ("DELETE", "/v1/tenants/acme/systems/BAD", "system"),
    ("POST", "/v1/tenants/acme/systems/BAD/undelete", "system"),
    ("POST", "/v1/tenants/acme/systems/BAD/compromise", "system"),
    ("GET", "/v1/tenants/acme/systems/BAD/services", "system"),
    ("GET", "/v1/tenants/acme/systems/hr/services/BAD", "service"),
    ("PUT", "/v1/tenants/acme/systems/hr/services/BAD", "service"),
    ("DELETE", "/v1/tenants/acme/systems/hr/services/BAD", "service"),
    ("POST", "/v1/tenants/acme/systems/hr/services/BAD/undelete", "service"),
    ("POST", "/v1/tenants/acme/systems/hr/services/BAD/compromise", "service"),
    ("GET", "/v1/status", ""),
    ("GET", "/v1/drift", ""),
    ("GET", "/v1/quarantine", ""),
    ("GET", "/v1/quarantine/BAD", "id"),
    ("DELETE", "/v1/quarantine/BAD", "id"),
    ("POST", "/v1/quarantine/BAD/retry", "id"),
];

fn routes() -> impl Iterator<Item = (Method, &'static str, &'static str)> {
    ROUTES.into_iter().map(|(method, path, field)| (method.parse().unwrap(), path, field))
}

#[tokio::test]
async fn a_bad_name_is_refused_by_the_field_that_it_stands_for() {
    let world = World::new().await;
    for (method, path, field) in routes().filter(|(_, _, field)| !field.is_empty()) {
        world.call(method, path, &[], "{}").await.is_refused(400, "invalid_id", Some(field));
    }
}

#[tokio::test]
async fn a_stranger_is_kept_out_of_every_route() {
    let world = World::new().await;
    for (method, path, _) in routes() {
        for headers in [&[][..], &[("authorization", "Bearer another-token-0123456789")]] {
            let answer = send(world.service.router(), method.clone(), path, headers, "{}").await;
            answer.is_refused(401, "unauthenticated", None);
        }
    }
}

#[tokio::test]
async fn the_document_describes_exactly_the_routes_that_there_are() {
    let world = World::new().await;
    let document = world.get("/openapi.json").await.body;
    let described: BTreeSet<(String, String)> = operations(&document)
        .map(|(method, path, _)| (method.to_uppercase(), path.to_owned()))
        .filter(|(_, path)| path.starts_with("/v1/"))
        .collect();
    assert_eq!(described.len(), ROUTES.len());
    let exported = openkcm_http::openapi_json(&openkcm_registry::openapi());
    assert_eq!(serde_json::from_str::<Value>(&exported).unwrap(), document);
}

#[tokio::test]
async fn no_two_operations_share_an_id() {
    let world = World::new().await;
    let document = world.get("/openapi.json").await.body;
    let ids: Vec<&str> = operations(&document).map(|(.., it)| it["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
}

#[tokio::test]
async fn each_operation_has_a_summary_a_tag_and_a_body_for_each_good_answer() {
    let world = World::new().await;
    let document = world.get("/openapi.json").await.body;
    for (method, path, operation) in operations(&document).filter(|(_, path, _)| path.starts_with("/v1/")) {
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty() && !summary.ends_with('.'), "{method} {path}: {summary:?}");
        assert!(operation["tags"][0].is_string(), "{method} {path}");
        assert!(operation["responses"]["200"]["content"]["application/json"].is_object(), "{method} {path}");
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods
            .filter(|(method, _)| ["get", "put", "post", "delete"].contains(&method.as_str()))
            .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}
