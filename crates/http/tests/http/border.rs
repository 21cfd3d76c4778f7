//! Every refusal is a problem document, says what to do, and repeats nothing of a body.

use openkcm_http::Readiness;
use std::sync::Arc;

use crate::harness::{Running, options};

const SEAL: &str = "/v1/keys/acme/hr/seal";

#[tokio::test]
async fn what_is_right_is_answered_and_no_cache_keeps_it() {
    let server = Running::start(options()).await;
    let heard = server.send("POST", SEAL, &[], r#"{"plaintext": "Zm9vYmFy"}"#).await;
    assert_eq!((heard.status, heard.json()["bytes"].as_u64()), (200, Some(6)));
    assert_eq!(server.get("/v1/things?limit=7").await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn who_has_no_token_gets_a_challenge_whatever_the_route() {
    let server = Running::start(options()).await;
    for path in [SEAL, "/v1/things", "/v1/no-such-route", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let heard = server.raw(request.as_bytes()).await;
        assert_eq!((heard.status, heard.code().as_str()), (401, "unauthenticated"), "{path}");
        assert_eq!(heard.header("www-authenticate"), Some(r#"bearer realm="openkcm""#));
    }
    let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer CANARY\r\n\r\n";
    let heard = server.raw(request.as_bytes()).await;
    assert!(heard.header("www-authenticate").unwrap().contains("invalid_token"));
    assert!(!heard.body.contains("CANARY"));
}

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_are_told_apart() {
    let server = Running::start(options()).await;
    for path in ["/", "/v1/nothing", "/v1/things/", "/v1//things"] {
        let heard = server.get(path).await;
        assert_eq!((heard.status, heard.code().as_str()), (404, "not_found"), "{path}");
    }
    let heard = server.send("DELETE", "/v1/things/acme", &[], "").await;
    assert_eq!((heard.status, heard.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(heard.header("allow"), Some("put"));
}

#[tokio::test]
async fn a_bad_name_in_the_path_is_named() {
    let server = Running::start(options()).await;
    for (path, field) in
        [("/v1/things/ACME", "tenant"), ("/v1/things/%ff", "tenant"), ("/v1/things/a%2Fb", "tenant")]
    {
        let heard = server.send("PUT", path, &[], "").await;
        assert_eq!((heard.status, heard.code().as_str()), (400, "invalid_id"), "{path}");
        assert_eq!(heard.json()["field"], field, "{path}");
    }
    let heard = server.send("POST", "/v1/keys/acme/h.r/seal", &[], "").await;
    assert_eq!(heard.json()["field"], "system");
    let heard = server.get("/v1/versions/not-a-uuid").await;
    assert_eq!((heard.code().as_str(), heard.json()["field"].as_str()), ("invalid_id", Some("version")));
    assert!(heard.json()["detail"].as_str().unwrap().starts_with("version: "));
}

#[tokio::test]
async fn a_panic_is_a_defect_without_its_text_and_the_server_goes_on() {
    let server = Running::start(options()).await;
    let heard = server.get("/v1/panic").await;
    assert_eq!((heard.status, heard.code().as_str()), (500, "internal"));
    assert!(!heard.body.contains("CANARY"));
    assert_eq!(server.get("/v1/things").await.status, 200);
}

#[tokio::test]
async fn what_axum_or_a_handler_refuses_by_itself_becomes_a_problem_too() {
    let server = Running::start(options()).await;
    let json = [("content-type", "application/json")];
    for (method, path, code) in [
        ("POST", "/v1/axum-json", "invalid_request"),
        ("GET", "/v1/axum-path/CANARY", "invalid_request"),
        ("PUT", "/v1/bare-error", "internal"),
    ] {
        let heard = server.send(method, path, &json, r#"{"CANARY": 1"#).await;
        assert_eq!(heard.code(), code, "{path}");
        assert!(!heard.body.contains("CANARY"), "{heard:?}");
    }
    let heard = server.send("POST", "/v1/axum-json", &[], "CANARY").await;
    assert_eq!(heard.code(), "unsupported_media_type");
}

#[tokio::test]
async fn no_value_of_a_body_is_ever_repeated() {
    let server = Running::start(options()).await;
    for body in [
        r#"{"plaintext": "CANARY!"}"#,
        r#"{"plaintext": 5, "rounds": "CANARY"}"#,
        r#"{"plaintext": "Zg==", "rounds": "CANARY"}"#,
        r#"{"plaintext": ["CANARY"]}"#,
        r#"{"plaintext": {"CANARY": "CANARY"}}"#,
        r#"{"CANARY": "Zg=="}"#,
        r#"["CANARY"]"#,
        r#""CANARY""#,
        r#"CANARY"#,
        r#"{"plaintext": "CANARY"#,
        r#"{"plaintext": "Zg=="} CANARY"#,
        "{\"plaintext\": \"CANARY\u{1}\"}",
        r#"{"plaintext": "CANARY\q"}"#,
        r#"{"plaintext": "Zg==", "rounds": 99999999999999, "x": "CANARY"}"#,
    ] {
        let heard = server.send("POST", SEAL, &[], body).await;
        assert_eq!(heard.status, 400, "{body}");
        heard.code();
        assert!(!heard.body.contains("CANARY") && !heard.head.contains("canary"), "{body}: {heard:?}");
    }
    let heard = server.send("POST", SEAL, &[("content-type", "text/plain")], "CANARY").await;
    assert_eq!((heard.status, heard.body.contains("CANARY")), (415, false));
}

#[tokio::test]
async fn a_change_that_undoes_goes_ahead_only_at_the_revision_it_names() {
    let server = Running::start(options()).await;
    let put = async |condition: &[(&str, &str)]| server.send("PUT", "/v1/things/acme", condition, "").await;
    for condition in [&[][..], &[("if-match", "*")]] {
        let heard = put(condition).await;
        assert_eq!((heard.status, heard.code().as_str()), (428, "precondition_required"), "{condition:?}");
    }
    for condition in ["\"1.41\"", "W/\"1.42\"", "\"foreign\""] {
        let heard = put(&[("if-match", condition)]).await;
        assert_eq!((heard.status, heard.code().as_str()), (412, "precondition_failed"), "{condition}");
    }
    for condition in ["\"1.42\"", "\"1.41\", \"1.42\""] {
        let heard = put(&[("if-match", condition)]).await;
        assert_eq!((heard.status, heard.header("etag")), (200, Some("\"1.43\"")), "{condition}");
    }
    assert_eq!(put(&[("if-match", "1.42")]).await.code(), "invalid_request");
}

#[tokio::test]
async fn a_component_that_is_not_ready_says_why_and_is_alive_all_the_same() {
    let mut options = options();
    options.ready = Arc::new(|| Readiness::not_ready("no lease yet").with_reason("mesh away"));
    let server = Running::start(options).await;
    let heard = server.get("/readyz").await;
    assert_eq!((heard.status, heard.code().as_str()), (503, "not_ready"));
    assert_eq!(heard.json()["detail"], "no lease yet; mesh away");
    assert!(heard.header("retry-after").is_some());
    assert_eq!(server.get("/livez").await.json()["alive"], true);
}

#[tokio::test]
async fn a_component_that_is_ready_tells_its_defects_too() {
    let mut options = options();
    options.ready = Arc::new(|| Readiness::ready().with_reason("mesh away"));
    let heard = Running::start(options).await.get("/readyz").await;
    assert_eq!(heard.json(), serde_json::json!({"ready": true, "reasons": ["mesh away"]}));
}
