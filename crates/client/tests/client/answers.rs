//! Answers are read with care: pages to their end, problems in the component's words, nonsense as such,
//! and no plaintext in any error.

use axum::Json;
use axum::Router;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use openkcm_client::{Call, Client, ClientError, Component, LandscapeError, Route};
use openkcm_contracts::problem::Code;
use openkcm_http::{Answer, PageQuery, Problem};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{TOKEN, client_of, component, key, nobody, tenant};

#[tokio::test]
async fn a_collection_is_read_to_its_end_with_the_parameters_of_each_page() {
    let list = async |query: PageQuery, headers: HeaderMap| {
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(query.prefix.as_deref(), Some("tenant-"));
        let all = (0..250).map(|number| format!("tenant-{number:03}"));
        let after = query.after.clone().unwrap_or_default();
        Json(query.page(all.filter(|name| *name > after).take(query.fetch()).collect(), Clone::clone))
    };
    let addr = component(Router::new().route("/v1/tenants", get(list))).await;
    let client = client_of(addr, &[]);
    let mut listing = client.registry().tenants().prefix(Some("tenant-"));
    let mut pages = Vec::new();
    while let Some(page) = listing.next_page().await.unwrap() {
        pages.push(page.len());
    }
    assert_eq!(pages, [100, 100, 50]);
    let all = client.cmk().tenants().prefix(Some("tenant-")).all().await.unwrap();
    assert_eq!(all.last().unwrap(), &json!("tenant-249"));
}

#[tokio::test]
async fn a_problem_arrives_in_the_words_of_the_component() {
    let refuse = async || -> Answer<()> {
        Err(Problem::new(Code::UnknownTenant, "tenant acme is not defined").field("tenant"))
    };
    let addr = component(Router::new().route("/v1/tenants/acme", get(refuse))).await;
    let error = client_of(addr, &[]).registry().tenant(&tenant()).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.status, problem.code), (404, Some(Code::UnknownTenant)));
    assert_eq!(problem.field.as_deref(), Some("tenant"));
    assert_eq!(error.to_string(), "There is no such tenant: tenant acme is not defined (unknown_tenant)");
}

/// Answers one request with these bytes, whatever it was.
async fn other_program(answer: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buf = [0; 4096];
        assert!(stream.read(&mut buf).await.unwrap() > 0);
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    addr
}

#[tokio::test]
async fn an_answer_of_another_program_is_told_as_such() {
    for (answer, said) in [
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\nnope", "HTTP 502 and no problem document"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnope", "a body that is not JSON"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", "did not answer to the end"),
    ] {
        let addr = other_program(answer).await;
        let error = client_of(addr, &[]).registry().tenant(&tenant()).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_later_versions_code_is_kept_as_it_was_sent() {
    let addr = other_program(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 16\r\nretry-after: 7\r\n\r\n{\"code\":\"newer\"}",
    )
    .await;
    let error = client_of(addr, &[]).registry().tenant(&tenant()).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.code, problem.code_text.as_str()), (None, "newer"));
    assert!(problem.retryable() && problem.retry_after.unwrap().as_secs() == 7);
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_credential() {
    let elsewhere = async || (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/v1/elsewhere")]);
    let routes = Router::new()
        .route("/v1/tenants/acme", get(elsewhere))
        .route("/v1/elsewhere", get(async || Json(json!({"reached": true}))));
    let error = client_of(component(routes).await, &[]).registry().tenant(&tenant()).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn no_error_repeats_a_plaintext() {
    let version = "0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5";
    for body in [
        json!({"plaintext": "CANARY!", "version": version}),
        json!({"plaintext": {"CANARY": "CANARY"}, "version": version}),
        json!({"plaintext": "Zg==", "version": "CANARY"}),
        json!("CANARY"),
    ] {
        let answer = async move || Json(body);
        let addr = component(Router::new().route("/v1/keys/acme/hr/payroll/decrypt", post(answer))).await;
        let client = client_of(nobody().await, &[("a", addr)]);
        let error = client.core(Route::First).decrypt(&key(), "kcm1.x", None).await.unwrap_err();
        let mut told = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            told.push_str(&error.to_string());
            cause = error.source();
        }
        assert!(!told.contains("CANARY"), "{told}");
    }
}

#[tokio::test]
async fn a_route_without_a_method_can_be_called_all_the_same() {
    let addr = component(Router::new().route("/v1/new", get(async || Json(json!([1, 2]))))).await;
    let answer = client_of(addr, &[]).call(&Call::get(Component::Cmk, "/v1/new")).await.unwrap();
    assert_eq!((answer.status, answer.json::<Vec<u8>>().unwrap()), (200, vec![1, 2]));
}

#[tokio::test]
async fn the_credential_is_not_sent_where_it_would_need_tls() {
    let client = client_of(nobody().await, &[]);
    let entropy = std::sync::Arc::new(openkcm_host::SeededEntropy::new(1));
    let clock = std::sync::Arc::new(openkcm_host::SystemClock);
    let mut landscape = client.landscape().clone();
    landscape.cmk = "http://192.0.2.1:7020".parse().unwrap();
    let refused = Client::new(&landscape, clock, entropy);
    assert!(matches!(refused, Err(LandscapeError::NeedsTls { .. })));
}
