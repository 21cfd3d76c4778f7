//! A server that can't answer denies nothing, and is used again as soon as it can.

use openkcm_harness::OpenBao;
use openkcm_roots::RootError;
use reqwest::Method;
use serde_json::json;

use super::customer::{BaoCustomer, bao_key};
use crate::customer::{CANARY, Customer, binding, plaintext};
use crate::suite::assert_refused;

#[tokio::test]
async fn a_server_that_was_stopped_is_unreachable_and_opens_the_same_keys_when_it_is_back() {
    let mut customer = BaoCustomer::at(OpenBao::start_durable().await).await;
    let key = customer.key();
    let sealed = customer.roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    customer.server.stop();
    assert_refused!(customer.roots.unseal(&key, &binding(), &sealed).await, Unreachable);
    assert_refused!(customer.roots.seal(&key, &binding(), &plaintext()).await, Unreachable);
    assert_refused!(customer.roots.probe(&key, &binding()).await, Unreachable);
    assert_refused!(customer.roots.describe(&key).await, Unreachable);
    customer.server.start_again().await;
    assert_eq!(customer.roots.unseal(&key, &binding(), &sealed).await.unwrap().expose(), CANARY);
}

#[tokio::test]
async fn a_sealed_server_is_unreachable_until_it_is_unsealed() {
    let customer = BaoCustomer::new().await;
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    customer.server.seal().await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Unreachable);
    assert_refused!(roots.describe(&key).await, Unreachable);
    customer.server.unseal().await;
    assert_eq!(roots.unseal(&key, &binding(), &sealed).await.unwrap().expose(), CANARY);
}

#[tokio::test]
async fn a_server_that_hangs_is_unreachable_when_the_deadline_has_passed() {
    let customer = BaoCustomer::new().await;
    let roots = customer.roots_with(|config| config.timeout = Some("1s".parse().unwrap()));
    let key = customer.key();
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    customer.server.freeze();
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Unreachable);
    customer.server.thaw();
    let opened = openkcm_harness::until("the server answers again", || async {
        roots.unseal(&key, &binding(), &sealed).await.ok()
    })
    .await;
    assert_eq!(opened.expose(), CANARY);
}

#[tokio::test]
async fn a_server_that_limits_the_rate_is_told_from_one_that_is_away() {
    let customer = BaoCustomer::new().await;
    let (roots, key) = (customer.roots(), customer.key());
    let quota = json!({ "rate": 1, "interval": "10s", "path": "transit" });
    customer.server.admin(Method::POST, "sys/quotas/rate-limit/strict", Some(quota)).await;
    let refused =
        openkcm_harness::until("the quota is used up", || async { roots.describe(&key).await.err() }).await;
    // It says when to ask again only where it was told to send such headers.
    assert!(matches!(refused, RootError::Throttled { .. }), "it will pass: {refused:?}");
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_is_unreachable() {
    let customer = BaoCustomer::at(OpenBao::start_tls().await).await;
    let untrusting = customer.roots_with(|_| {});
    assert_refused!(untrusting.probe(&bao_key("transit/acme"), &binding()).await, Unreachable);
    let trusting = customer.roots_with(|config| config.ca_file = customer.server.ca_file());
    trusting.probe(&bao_key("transit/acme"), &binding()).await.unwrap();
}
