//! References that point at something else than a key that can seal: told as such, and never given an L2.

use reqwest::Method;
use serde_json::json;

use super::customer::{BaoCustomer, POLICY, bao_key};
use crate::customer::{Customer, binding, plaintext, reference_with};
use crate::suite::assert_refused;

#[tokio::test]
async fn a_key_is_never_made_even_by_a_token_that_may() {
    let customer = BaoCustomer::new().await;
    let (roots, server) = (customer.roots(), &customer.server);
    for reading in ["\"read\"", "\"deny\""] {
        let policy = format!(
            "path \"transit/*\" {{ capabilities = [\"create\", \"update\"] }}\n\
             path \"transit/keys/*\" {{ capabilities = [{reading}] }}"
        );
        server.put_policy(POLICY, &policy).await;
        for _ in 0..2 {
            assert_refused!(
                roots.seal(&customer.unknown_key(), &binding(), &plaintext()).await,
                Misconfigured
            );
            assert_refused!(roots.probe(&customer.unknown_key(), &binding()).await, Misconfigured);
        }
    }
    customer.put_token(server.root_token());
    assert_refused!(roots.seal(&customer.unknown_key(), &binding(), &plaintext()).await, Misconfigured);
    assert_eq!(server.keys("transit").await, ["acme", "other"]);
}

#[tokio::test]
async fn a_transit_engine_of_the_server_does_make_a_key_for_whoever_names_a_type() {
    // Why the driver names the type of no key: this is what the same request does with a type that exists.
    let server = BaoCustomer::new().await.server;
    let body = |kind: &str| json!({ "plaintext": "AAAA", "associated_data": "AAAA", "type": kind });
    server.admin(Method::POST, "transit/encrypt/made", Some(body("aes256-gcm96"))).await;
    assert!(server.keys("transit").await.contains(&"made".to_owned()));
    // And with a key that is there, the type is not looked at.
    server.admin(Method::POST, "transit/encrypt/acme", Some(body("never-create"))).await;
}

#[tokio::test]
async fn a_key_value_store_is_not_given_a_key_to_keep() {
    let customer = BaoCustomer::new().await;
    let (roots, server) = (customer.roots(), &customer.server);
    server.mount("kv", "kv").await;
    customer.put_token(server.root_token());
    for mount in ["kv", "cubbyhole"] {
        let key = bao_key(&format!("{mount}/acme"));
        assert_refused!(roots.seal(&key, &binding(), &plaintext()).await, Misconfigured);
        assert_refused!(roots.probe(&key, &binding()).await, Misconfigured);
        assert!(!server.has(&format!("{mount}/encrypt/acme")).await, "{mount} was given an L2");
    }
    // The same where we may not read, so that the store is told by how it takes what is no ciphertext.
    let policy = "path \"kv/encrypt/*\" { capabilities = [\"create\", \"update\"] }\n\
                  path \"kv/decrypt/*\" { capabilities = [\"create\", \"update\"] }";
    server.put_policy(POLICY, policy).await;
    customer.put_token(&customer.token);
    assert_refused!(roots.seal(&bao_key("kv/acme"), &binding(), &plaintext()).await, Misconfigured);
    assert!(!server.has("kv/encrypt/acme").await, "kv was given an L2");
}

#[tokio::test]
async fn an_engine_that_is_no_transit_engine_or_not_there_is_misconfigured() {
    let customer = BaoCustomer::new().await;
    let (roots, server) = (customer.roots(), &customer.server);
    let sealed = roots.seal(&customer.key(), &binding(), &plaintext()).await.unwrap();
    for kind in ["pki", "totp"] {
        server.mount(kind, kind).await;
    }
    customer.put_token(server.root_token());
    let references = ["nowhere/acme", "pki/acme", "totp/acme", "sys/acme", "auth/token/acme"].map(bao_key);
    let no_namespace = reference_with("openbao", "transit/acme", "namespace", "nowhere");
    for key in references.iter().chain([&no_namespace]) {
        assert_refused!(roots.describe(key).await, Misconfigured);
        assert_refused!(roots.seal(key, &binding(), &plaintext()).await, Misconfigured);
        assert_refused!(roots.unseal(key, &binding(), &sealed).await, Misconfigured);
    }
    // An operator may have pointed us at another server: that is no word of the customer's.
    server.unmount("transit").await;
    assert_refused!(roots.unseal(&customer.key(), &binding(), &sealed).await, Misconfigured);
}

#[tokio::test]
async fn a_key_that_can_not_bind_what_it_seals_is_misconfigured() {
    let customer = BaoCustomer::new().await;
    let (roots, server) = (customer.roots(), &customer.server);
    customer.put_token(server.root_token());
    for (name, parameters) in [
        ("rsa", json!({ "type": "rsa-2048" })),
        ("ed25519", json!({ "type": "ed25519" })),
        ("hmac", json!({ "type": "hmac", "key_size": 32 })),
        ("derived", json!({ "type": "aes256-gcm96", "derived": true })),
        ("convergent", json!({ "type": "aes256-gcm96", "derived": true, "convergent_encryption": true })),
    ] {
        server.create_key_with("transit", name, parameters).await;
        let key = bao_key(&format!("transit/{name}"));
        assert_refused!(roots.describe(&key).await, Misconfigured);
        assert_refused!(roots.seal(&key, &binding(), &plaintext()).await, Misconfigured);
    }
}

#[tokio::test]
async fn every_type_that_binds_what_it_seals_can_be_used() {
    let customer = BaoCustomer::new().await;
    let (roots, server) = (customer.roots(), &customer.server);
    customer.put_token(server.root_token());
    server.mount("transit", "deep/er/kms").await;
    for kind in ["aes256-gcm96", "aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305"] {
        server.create_key_with("deep/er/kms", kind, json!({ "type": kind })).await;
        let key = bao_key(&format!("deep/er/kms/{kind}"));
        roots.probe(&key, &binding()).await.unwrap();
        assert_eq!(roots.describe(&key).await.unwrap().algorithm.as_deref(), Some(kind));
        let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
        let elsewhere = crate::customer::binding_of("evil", "hr", 1);
        assert_refused!(roots.unseal(&key, &elsewhere, &sealed).await, Unopenable);
    }
}
