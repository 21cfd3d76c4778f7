//! Well-formed names of things that do not exist.

use openkcm_contracts::problem::Code;

use super::{CANARY_BASE64, Ground, To};
use crate::http::Request;

const VERSION: &str = r#"{"version": "0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5"}"#;

#[tokio::test]
async fn the_registry_names_what_it_does_not_know() {
    let ground = Ground::prepare().await;
    let table = [
        ("GET", "nobody", Code::UnknownTenant, "tenant"),
        ("DELETE", "nobody", Code::UnknownTenant, "tenant"),
        ("POST", "nobody/undelete", Code::UnknownTenant, "tenant"),
        ("GET", "nobody/systems", Code::UnknownTenant, "tenant"),
        ("GET", "nobody/systems/app", Code::UnknownTenant, "tenant"),
        ("PUT", "nobody/systems/app", Code::UnknownTenant, "tenant"),
        ("PUT", "nobody/systems/app/services/data", Code::UnknownTenant, "tenant"),
        ("GET", "demo/systems/none", Code::UnknownSystem, "system"),
        ("DELETE", "demo/systems/none", Code::UnknownSystem, "system"),
        ("POST", "demo/systems/none/undelete", Code::UnknownSystem, "system"),
        ("POST", "demo/systems/none/compromise", Code::UnknownSystem, "system"),
        ("GET", "demo/systems/none/services", Code::UnknownSystem, "system"),
        ("PUT", "demo/systems/none/services/data", Code::UnknownSystem, "system"),
        ("GET", "demo/systems/app/services/none", Code::UnknownService, "service"),
        ("DELETE", "demo/systems/app/services/none", Code::UnknownService, "service"),
        ("POST", "demo/systems/app/services/none/undelete", Code::UnknownService, "service"),
        ("POST", "demo/systems/app/services/none/compromise", Code::UnknownService, "service"),
    ];
    for (method, path, code, field) in table {
        let mut request = Request::new(method, &format!("/v1/tenants/{path}"));
        if path.ends_with("compromise") {
            request = request.json(VERSION);
        }
        let refusal = ground.refuses(To::Registry, request, code).await;
        assert_eq!(refusal["field"], field, "{method} {path}: {refusal}");
    }
}

#[tokio::test]
async fn the_cmk_server_refuses_tenants_that_it_has_not_heard_of() {
    let ground = Ground::prepare().await;
    let link = r#"{"roots": [{"provider": "local", "key": "nobody"}]}"#;
    let put = Request::new("PUT", "/v1/tenants/nobody/l1").json(link);
    ground.refuses(To::Cmk, put, Code::NotYetKnown).await;
    for method in ["GET", "DELETE"] {
        ground.refuses(To::Cmk, Request::new(method, "/v1/tenants/nobody/l1"), Code::NotLinked).await;
    }
}

#[tokio::test]
async fn a_core_says_of_whatever_it_does_not_know_that_there_is_no_such_key() {
    let ground = Ground::prepare().await;
    let sealed = format!(r#"{{"ciphertext": "kcm1.{CANARY_BASE64}"}}"#);
    let plain = format!(r#"{{"plaintext": "{CANARY_BASE64}"}}"#);
    let mut told = Vec::new();
    for key in ["nobody/app/data", "demo/none/data", "demo/app/none"] {
        let operations =
            [("encrypt", plain.as_str()), ("decrypt", &sealed), ("datakey", "{}"), ("rewrap", &sealed)];
        for (operation, body) in operations.into_iter().chain([("rotate", "{}")]) {
            let request = Request::new("POST", &format!("/v1/keys/{key}/{operation}")).json(body);
            told.push(ground.refuses(To::Core, request, Code::UnknownKey).await);
        }
        let show = Request::new("GET", &format!("/v1/keys/{key}"));
        told.push(ground.refuses(To::Core, show, Code::UnknownKey).await);
    }
    for system in ["nobody/app", "demo/none"] {
        let rotate = Request::new("POST", &format!("/v1/keys/{system}/rotate")).json("{}");
        told.push(ground.refuses(To::Core, rotate, Code::UnknownKey).await);
        let show = Request::new("GET", &format!("/v1/keys/{system}"));
        told.push(ground.refuses(To::Core, show, Code::UnknownKey).await);
    }
    let tenant = Request::new("GET", "/v1/tenants/nobody");
    told.push(ground.refuses(To::Core, tenant, Code::UnknownKey).await);
    // Nothing tells a stranger how much of a name exists.
    told.dedup();
    assert_eq!(told.len(), 1, "{told:#?}");
}
