//! The data plane of a region: what it answers, and who is asked when one can't be reached or is named alone.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::post;
use openkcm_client::{ClientError, Route};
use openkcm_http::{Base64, Body, WipedJson};
use serde_json::{Value, json};

use crate::harness::{client_of, component, key, nobody};

const VERSION: &str = "0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5";

/// A Core that hands the plaintext back as ciphertext, and the other way round.
async fn core() -> SocketAddr {
    let encrypt = async |Body(request): Body<Value>| {
        WipedJson(json!({"ciphertext": request["plaintext"], "version": VERSION, "at_risk": true}))
    };
    let decrypt = async |Body(request): Body<Value>| {
        WipedJson(json!({"plaintext": request["ciphertext"], "version": VERSION, "later": "member"}))
    };
    let datakey = async |Body(request): Body<Value>| {
        let bytes = vec![7; usize::try_from(request["bytes"].as_u64().unwrap()).unwrap()];
        let plaintext = Base64::from(&bytes[..]);
        WipedJson(json!({"plaintext": plaintext, "ciphertext": "kcm1.x", "version": VERSION}))
    };
    component(
        Router::new()
            .route("/v1/keys/acme/hr/payroll/encrypt", post(encrypt))
            .route("/v1/keys/acme/hr/payroll/decrypt", post(decrypt))
            .route("/v1/keys/acme/hr/payroll/datakey", post(datakey)),
    )
    .await
}

#[tokio::test]
async fn what_was_encrypted_comes_back_and_answers_may_grow_members() {
    let client = client_of(nobody().await, &[("a", core().await)]);
    let core = client.core(Route::First);
    let sealed = core.encrypt(&key(), b"a plaintext", Some(b"aad")).await.unwrap();
    assert!(sealed.answer.at_risk);
    let opened = core.decrypt(&key(), &sealed.answer.ciphertext, Some(b"aad")).await.unwrap();
    assert_eq!((opened.answer.plaintext.as_slice(), opened.answer.at_risk), (&b"a plaintext"[..], false));
    assert_eq!(core.datakey(&key(), 32).await.unwrap().answer.plaintext.len(), 32);
}

#[tokio::test]
async fn a_region_that_can_not_be_reached_is_passed_over() {
    let client = client_of(nobody().await, &[("a", nobody().await), ("b", core().await)]);
    for route in [Route::First, Route::Prefer("a".parse().unwrap()), Route::Prefer("b".parse().unwrap())] {
        let served = client.core(route).encrypt(&key(), b"x", None).await.unwrap();
        assert_eq!(served.region.as_str(), "b");
    }
}

#[tokio::test]
async fn a_region_that_was_named_alone_is_asked_alone() {
    let client = client_of(nobody().await, &[("a", nobody().await), ("b", core().await)]);
    let error = client.core(Route::Only("a".parse().unwrap())).encrypt(&key(), b"x", None).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }));
    assert!(error.to_string().starts_with("the Core of region a at http://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn an_unknown_region_is_refused_with_those_that_there_are() {
    let addr = nobody().await;
    let client = client_of(addr, &[("a", addr), ("b", addr)]);
    let error = client.core(Route::Only("c".parse().unwrap())).status().await.unwrap_err();
    assert_eq!(error.to_string(), "the landscape has no region \"c\"; it has: a, b");
    let none = client_of(addr, &[]);
    assert!(matches!(none.core(Route::First).status().await, Err(ClientError::NoSuchRegion { .. })));
}
