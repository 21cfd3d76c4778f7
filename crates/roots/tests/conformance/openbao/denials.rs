//! Each way in which a customer can take a key away, and give it back.

use openkcm_harness::OpenBao;
use openkcm_roots::KeyState;
use reqwest::Method;
use serde_json::json;

use super::customer::{BaoCustomer, POLICY, bao_key};
use crate::customer::{CANARY, Customer, binding, plaintext, reference_with};
use crate::suite::assert_refused;

#[tokio::test]
async fn a_policy_that_was_withdrawn_denies_until_it_is_granted_again() {
    let customer = BaoCustomer::new().await;
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    customer.server.delete_policy(POLICY).await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Denied);
    assert_refused!(roots.seal(&key, &binding(), &plaintext()).await, Denied);
    assert_refused!(roots.probe(&key, &binding()).await, Denied);
    assert_refused!(roots.describe(&key).await, Denied);
    BaoCustomer::grant(&customer.server).await;
    assert_eq!(roots.unseal(&key, &binding(), &sealed).await.unwrap().expose(), CANARY);
    customer.server.put_policy(POLICY, "path \"transit/*\" { capabilities = [\"deny\"] }").await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Denied);
}

#[tokio::test]
async fn a_right_to_decrypt_that_was_withdrawn_denies_though_the_rest_is_allowed() {
    let customer = BaoCustomer::new().await;
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    let rest = "path \"transit/encrypt/acme\" { capabilities = [\"update\"] }\n\
                path \"transit/keys/acme\" { capabilities = [\"read\"] }";
    customer.server.put_policy(POLICY, rest).await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Denied);
    assert_refused!(roots.probe(&key, &binding()).await, Denied);
}

#[tokio::test]
async fn a_token_that_may_not_look_itself_up_is_denied_all_the_same() {
    let customer = BaoCustomer::new().await;
    let (roots, key) = (customer.roots(), customer.key());
    let bare = json!({ "policies": [POLICY], "no_default_policy": true, "ttl": "1h" });
    customer.put_token(&customer.server.create_token_with(bare).await);
    roots.probe(&key, &binding()).await.unwrap();
    customer.server.delete_policy(POLICY).await;
    assert_refused!(roots.probe(&key, &binding()).await, Denied);
}

#[tokio::test]
async fn a_raised_min_decryption_version_denies_what_older_versions_sealed() {
    let customer = BaoCustomer::new().await;
    let (roots, key, server) = (customer.roots(), customer.key(), &customer.server);
    let old = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    server.rotate_key("transit", "acme").await;
    assert_eq!(roots.describe(&key).await.unwrap().version, Some(2));
    let new = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    assert_eq!(roots.unseal(&key, &binding(), &old).await.unwrap().expose(), CANARY);
    server.configure_key("transit", "acme", json!({ "min_decryption_version": 2 })).await;
    assert_refused!(roots.unseal(&key, &binding(), &old).await, Denied);
    assert_eq!(roots.unseal(&key, &binding(), &new).await.unwrap().expose(), CANARY);
    server.configure_key("transit", "acme", json!({ "min_decryption_version": 1 })).await;
    assert_eq!(roots.unseal(&key, &binding(), &old).await.unwrap().expose(), CANARY);
}

#[tokio::test]
async fn a_key_that_was_made_again_does_not_open_what_the_deleted_one_sealed() {
    let customer = BaoCustomer::new().await;
    let (roots, key, server) = (customer.roots(), customer.key(), &customer.server);
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    server.delete_key("transit", "acme").await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Denied);
    server.create_key("transit", "acme").await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Unopenable);
}

#[tokio::test]
async fn a_key_is_used_without_the_right_to_read_it() {
    let customer = BaoCustomer::new().await;
    let (roots, key, server) = (customer.roots(), customer.key(), &customer.server);
    let rights = ["encrypt/acme", "decrypt/acme", "encrypt/unknown", "decrypt/unknown"]
        .map(|path| format!("path \"transit/{path}\" {{ capabilities = [\"update\"] }}\n"));
    server.put_policy(POLICY, &rights.concat()).await;
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    assert_eq!(roots.unseal(&key, &binding(), &sealed).await.unwrap().expose(), CANARY);
    let described = roots.describe(&key).await.unwrap();
    assert_eq!((described.state, described.algorithm, described.version), (KeyState::Usable, None, None));
    assert_refused!(roots.seal(&bao_key("transit/unknown"), &binding(), &plaintext()).await, Misconfigured);
    assert_refused!(roots.describe(&bao_key("transit/unknown")).await, Misconfigured);
    customer.disable().await;
    assert_eq!(roots.describe(&key).await.unwrap().state, KeyState::Disabled);
    assert_refused!(roots.seal(&key, &binding(), &plaintext()).await, Denied);
}

#[tokio::test]
async fn a_namespace_is_used_by_option_or_configuration_and_denies_while_it_is_locked() {
    let customer = BaoCustomer::new().await;
    let server = &customer.server;
    server.admin(Method::POST, "sys/namespaces/team", Some(json!({}))).await;
    let in_team = |method, path: &'static str, body| server.admin_in("team", method, path, Some(body));
    in_team(Method::POST, "sys/mounts/transit", json!({ "type": "transit" })).await;
    in_team(Method::POST, "transit/keys/payroll", json!({})).await;
    server.put_policy("team", &openkcm_harness::transit_policy("team/transit", "payroll")).await;
    customer.put_token(&server.create_token("team").await);

    let by_option = reference_with("openbao", "transit/payroll", "namespace", "team");
    let sealed = customer.roots().seal(&by_option, &binding(), &plaintext()).await.unwrap();
    let configured = customer.roots_with(|config| config.namespace = Some("team/".into()));
    let by_configuration = bao_key("transit/payroll");
    assert_eq!(configured.unseal(&by_configuration, &binding(), &sealed).await.unwrap().expose(), CANARY);
    let elsewhere = customer.roots().unseal(&by_configuration, &binding(), &sealed).await;
    assert_refused!(elsewhere, Denied);

    server.admin(Method::POST, "sys/namespaces/api-lock/lock/team", Some(json!({}))).await;
    assert_refused!(customer.roots().unseal(&by_option, &binding(), &sealed).await, Denied);
    assert_refused!(configured.probe(&by_configuration, &binding()).await, Denied);
    server.admin(Method::POST, "sys/namespaces/api-lock/unlock/team", Some(json!({}))).await;
    assert_eq!(customer.roots().unseal(&by_option, &binding(), &sealed).await.unwrap().expose(), CANARY);
}

#[tokio::test]
async fn a_server_that_is_reached_over_tls_denies_just_so() {
    let customer = BaoCustomer::at(OpenBao::start_tls().await).await;
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    assert_eq!(roots.unseal(&key, &binding(), &sealed).await.unwrap().expose(), CANARY);
    customer.disable().await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Denied);
}
