//! Who may not come in, where there is no way, and conditions that do not hold.

use openkcm_contracts::problem::Code;
use serde_json::Value;

use super::{EVERYONE, Ground, To, check};
use crate::http::Request;

const TENANT: &str = "/v1/tenants/demo";
const LINK: &str = "/v1/tenants/demo/l1";
const ROOTS: &str = r#"{"roots": [{"provider": "local", "key": "demo"}]}"#;
const REGIONS: &str = r#"{"regions": ["b"]}"#;

#[tokio::test]
async fn without_the_token_nothing_is_told_and_nothing_is_done() {
    let ground = Ground::prepare().await;
    let token = ground.setup.token();
    let cut = &token[..token.len() - 1];
    let flipped: String = token.chars().rev().collect();
    let wrong = [
        vec![],
        vec![String::new()],
        vec!["Bearer".to_owned()],
        vec!["Bearer ".to_owned()],
        vec![token.clone()],
        vec![format!("Basic {token}")],
        vec![format!("Bearer {cut}")],
        vec![format!("Bearer {token}x")],
        vec![format!("Bearer {flipped}")],
        vec![format!("Bearer {token}"), format!("Bearer {token}")],
        vec![format!("Bearer {token}"), "Bearer x".to_owned()],
    ];
    for to in EVERYONE {
        for lines in &wrong {
            for (method, target) in [
                ("GET", "/v1/status"),
                ("GET", "/v1/tenants/demo"),
                ("DELETE", "/v1/tenants/demo/l1"),
                ("DELETE", "/v1/tenants/demo"),
                ("POST", "/v1/keys/demo/app/data/rotate"),
                ("GET", "/no/such/route"),
            ] {
                let request = Request::new(method, target);
                let request =
                    lines.iter().fold(request, |request, line| request.header("authorization", line));
                let answer = request.send(ground.url(to)).await;
                let line = format!("{to:?}: {} {lines:?}", request.line());
                check(&line, &answer, Code::Unauthenticated);
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                assert!(challenge.starts_with("Bearer "), "{line}: {challenge}");
                assert!(!String::from_utf8_lossy(&answer.body).contains(cut), "the token comes back");
            }
        }
        ground.is_unchanged("a request without the token").await;
        for open in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
            let answer = Request::new("GET", open).send(ground.url(to)).await;
            assert_eq!(answer.status, 200, "{to:?}: {open}");
        }
    }
}

#[tokio::test]
async fn there_is_no_way_beside_the_routes() {
    let ground = Ground::prepare().await;
    for to in EVERYONE {
        for target in [
            "/",
            "/v1",
            "/v1/",
            "/v2/tenants",
            "/v1/tenants/",
            "/v1//tenants",
            "/V1/tenants",
            "/v1/tenant",
            "/openapi.json/",
            "/../v1/status",
            "/v1/status/../status",
        ] {
            for method in ["GET", "PUT", "POST", "DELETE"] {
                ground.ask(to, Request::new(method, target), Code::NotFound).await;
            }
        }
        ground.is_unchanged("a request for no route").await;
    }
    // A Core has no definitions, and the authorities have no keys.
    for (to, method, target) in [
        (To::Core, "PUT", "/v1/tenants/demo/systems/app"),
        (To::Core, "DELETE", LINK),
        (To::Registry, "DELETE", LINK),
        (To::Cmk, "DELETE", "/v1/tenants/demo/systems/app"),
        (To::Registry, "POST", "/v1/keys/demo/app/data/decrypt"),
        (To::Cmk, "POST", "/v1/keys/demo/app/data/decrypt"),
    ] {
        ground.refuses(to, Request::new(method, target), Code::NotFound).await;
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let ground = Ground::prepare().await;
    let table = [
        (To::Registry, "PATCH", TENANT, "GET"),
        (To::Registry, "POST", TENANT, "PUT"),
        (To::Registry, "DELETE", "/v1/tenants", "GET"),
        (To::Registry, "GET", "/v1/tenants/demo/undelete", "POST"),
        (To::Registry, "OPTIONS", "/v1/status", "GET"),
        (To::Cmk, "POST", LINK, "PUT"),
        (To::Cmk, "TRACE", LINK, "GET"),
        (To::Cmk, "PUT", "/v1/tenants", "GET"),
        (To::Core, "GET", "/v1/keys/demo/app/data/decrypt", "POST"),
        (To::Core, "DELETE", "/v1/keys/demo/app/data", "GET"),
        (To::Core, "BREW", "/v1/keys/demo/app/rotate", "POST"),
        (To::Core, "POST", "/livez", "GET"),
    ];
    for (to, method, target, right) in table {
        let answer = ground.ask(to, Request::new(method, target), Code::MethodNotAllowed).await;
        let allow = answer.header("allow").unwrap_or_default();
        assert!(allow.split(',').any(|method| method.trim() == right), "{method} {target}: {allow}");
        ground.is_unchanged(target).await;
    }
}

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing() {
    let ground = Ground::prepare().await;
    let writes = [
        (To::Registry, Request::new("PUT", TENANT).json(REGIONS)),
        (To::Registry, Request::new("DELETE", TENANT)),
        (To::Registry, Request::new("PUT", "/v1/tenants/demo/systems/app/services/data").json("{}")),
        (To::Registry, Request::new("DELETE", "/v1/tenants/demo/systems/app")),
        (To::Cmk, Request::new("PUT", LINK).json(ROOTS)),
        (To::Cmk, Request::new("DELETE", LINK)),
        // What is not there has no revision.
        (To::Registry, Request::new("PUT", "/v1/tenants/new").json(REGIONS)),
    ];
    for (to, request) in writes {
        for stale in [r#""1.0""#, r#""9.9999""#, r#"W/"1.1""#, r#""1.0", "2.0""#, r#""no-revision""#] {
            let request = request.clone().header("if-match", stale);
            ground.refuses(to, request, Code::PreconditionFailed).await;
        }
        for garbage in ["1.1", r#""1.1"#, "", ",", r#""1.1" "1.2""#, "*, *", r#""1.1", *"#] {
            let request = request.clone().header("if-match", garbage);
            let refusal = ground.refuses(to, request, Code::InvalidRequest).await;
            assert_eq!(refusal["field"], "If-Match", "{garbage:?}: {refusal}");
        }
    }
    let new = Request::new("PUT", "/v1/tenants/new").json(REGIONS).header("if-match", "*");
    ground.refuses(To::Registry, new, Code::PreconditionFailed).await;
}

#[tokio::test]
async fn what_has_ended_begins_again_only_for_who_says_which_end_is_meant() {
    let mut ground = Ground::prepare().await;
    let data = "/v1/tenants/demo/systems/app/services/data";
    for (to, target, body) in
        [(To::Cmk, LINK, ROOTS), (To::Registry, data, "{}"), (To::Registry, TENANT, REGIONS)]
    {
        let ended = Request::new("DELETE", target).token(&ground.setup.token()).send(ground.url(to)).await;
        assert_eq!(ended.status, 200, "{ended:?}");
        ground.settle().await;
        ground.before = ground.state().await;
        let again = Request::new("PUT", target).json(body);
        ground.refuses(to, again.clone(), Code::PreconditionRequired).await;
        // "Whatever it is now" does not say which end.
        let any = again.clone().header("if-match", "*");
        ground.refuses(to, any, Code::PreconditionRequired).await;
        let stale = again.header("if-match", r#""1.0""#);
        ground.refuses(to, stale, Code::PreconditionFailed).await;
    }
}

#[tokio::test]
async fn a_page_has_limits() {
    let ground = Ground::prepare().await;
    let long = format!("prefix={}", "a".repeat(1_025));
    let table = [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=10&limit=10", "limit"),
        ("cursor=%25%25", "cursor"),
        ("cursor=_w", "cursor"),
        ("state=sideways", "state"),
        (long.as_str(), "prefix"),
        ("page=2", ""),
    ];
    let lists = [
        (To::Registry, "/v1/tenants"),
        (To::Registry, "/v1/tenants/demo/systems"),
        (To::Registry, "/v1/tenants/demo/systems/app/services"),
        (To::Cmk, "/v1/tenants"),
    ];
    for (to, list) in lists {
        for (query, field) in table {
            let request = Request::new("GET", &format!("{list}?{query}"));
            let refusal = ground.ask(to, request, Code::InvalidRequest).await.json();
            assert_eq!(refusal["field"].as_str().unwrap_or_default(), field, "{query}: {refusal}");
        }
        let page: Value = ground.get(ground.url(to), &format!("{list}?limit=1000")).await;
        assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{to:?}: {list}: {page}");
    }
    ground.is_unchanged("a list").await;
}
