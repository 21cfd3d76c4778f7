//! What a component tells of itself: its OpenAPI document and its metrics.

use openkcm_http::openapi_json;
use serde_json::Value;

use crate::harness::{Running, options, routes};

#[tokio::test]
async fn the_document_is_served_as_it_is_committed_and_is_the_same_each_time() {
    let server = Running::start(options()).await;
    let served = server.get("/openapi.json").await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.body, openapi_json(&routes().1));
    assert_eq!(served.body, openapi_json(&routes().1));
}

#[test]
fn every_operation_tells_how_it_may_be_refused() {
    let document: Value = serde_json::from_str(&openapi_json(&routes().1)).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
    assert_eq!(document["security"], serde_json::json!([{"bearer": []}, {"certificate": []}]));
    assert_eq!(document["components"]["securitySchemes"]["certificate"]["type"], "mutualTLS");
    let statuses = |path: &str, method: &str| -> Vec<String> {
        document["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    };
    let seal = statuses("/v1/keys/{tenant}/{system}/seal", "post");
    assert_eq!(seal, ["200", "400", "401", "404", "408", "413", "415", "500", "503"]);
    let define = statuses("/v1/things/{tenant}", "put");
    assert_eq!(define, ["200", "400", "401", "404", "408", "412", "428", "500", "503"]);
    assert_eq!(statuses("/v1/things", "get"), ["200", "400", "401", "408", "500", "503"]);
    assert_eq!(statuses("/livez", "get"), ["200", "408", "500", "503"]);
    assert_eq!(document["paths"]["/livez"]["get"]["security"], serde_json::json!([{}]));
}

#[test]
fn every_name_in_a_path_says_what_it_looks_like() {
    let document: Value = serde_json::from_str(&openapi_json(&routes().1)).unwrap();
    let parameters = document["paths"]["/v1/keys/{tenant}/{system}/seal"]["post"]["parameters"].as_array();
    let names: Vec<&Value> = parameters.unwrap().iter().filter(|name| name["in"] == "path").collect();
    assert_eq!(names.len(), 2);
    assert_eq!(document["paths"]["/v1/keys/{tenant}/{system}/seal"]["post"]["requestBody"]["required"], true);
    for name in names {
        assert_eq!(name["schema"]["pattern"], "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                members.values().for_each(|value| check(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| check(value, document)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&openapi_json(&routes().1)).unwrap();
    check(&document, &document);
}

#[tokio::test]
async fn requests_and_refusals_are_counted_by_route_and_never_by_name() {
    let server = Running::start(options()).await;
    server.get("/v1/things").await;
    server.send("PUT", "/v1/things/acme", &[], "").await;
    server.get("/v1/no-such-route").await;
    server.send("BREW", "/v1/things", &[], "").await;
    let heard = server.get("/metrics").await;
    assert!(heard.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"openkcm_http_requests_total{component="test",method="GET",route="/v1/things",status="200"} 1"#,
        r#"openkcm_http_requests_total{component="test",method="PUT",route="/v1/things/{tenant}",status="428"} 1"#,
        r#"openkcm_http_requests_total{component="test",method="GET",route="unmatched",status="404"} 1"#,
        r#"openkcm_http_requests_total{component="test",method="other",route="/v1/things",status="405"} 1"#,
        r#"openkcm_http_refusals_total{component="test",route="/v1/things/{tenant}",code="precondition_required"} 1"#,
    ] {
        assert!(heard.body.lines().any(|found| found == line), "{line}\n{}", heard.body);
    }
    assert!(heard.body.contains("openkcm_http_request_duration_seconds_bucket"));
    assert!(heard.body.ends_with("# EOF\n"));
    assert!(!heard.body.contains("acme") && !heard.body.contains("BREW") && !heard.body.contains("no-such"));
}
