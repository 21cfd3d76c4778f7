//! Our own credential: replaced without a restart, renewed, and never taken for the customer's refusal.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::Timestamp;
use openkcm_harness::AppRole;
use openkcm_host::{BootInstant, ManualClock};
use openkcm_roots::{AppRoleConfig, RootError, Roots, RootsConfig, TransitConfig};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::customer::{BaoCustomer, POLICY};
use crate::customer::{Customer, binding, entropy, plaintext};
use crate::suite::assert_refused;

#[tokio::test]
async fn a_token_that_the_server_does_not_know_is_misconfigured_until_it_is_replaced() {
    let customer = BaoCustomer::new().await;
    let (roots, key, server) = (customer.roots(), customer.key(), &customer.server);
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    server.revoke_token(&customer.token).await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Misconfigured);
    assert_refused!(roots.probe(&key, &binding()).await, Misconfigured);
    for wrong in ["", "s.AAAAAAAAAAAAAAAAAAAAAAAA", "two lines\nof text"] {
        customer.put_token(wrong);
        assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Misconfigured);
    }
    fs::remove_file(customer.token_file()).unwrap();
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Misconfigured);
    customer.put_token(&server.create_token(POLICY).await);
    roots.unseal(&key, &binding(), &sealed).await.unwrap();
}

#[tokio::test]
async fn a_token_whose_uses_are_spent_is_misconfigured_and_not_denied() {
    let customer = BaoCustomer::new().await;
    let few = json!({ "policies": [POLICY], "num_uses": 1, "ttl": "1h" });
    customer.put_token(&customer.server.create_token_with(few).await);
    customer.roots().describe(&customer.key()).await.unwrap();
    assert_refused!(customer.roots().describe(&customer.key()).await, Misconfigured);
}

/// Us with an AppRole, and a clock that we move.
struct RoleScene {
    customer: BaoCustomer,
    roots: Roots,
    clock: ManualClock,
    home: TempDir,
    role: AppRole,
}

impl RoleScene {
    async fn new(parameters: Value) -> Self {
        let customer = BaoCustomer::new().await;
        customer.server.enable_app_role("approle").await;
        let role = customer.server.create_app_role("approle", "core", parameters).await;
        let home = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(0), BootInstant::from_nanos(0));
        let app_role = AppRoleConfig {
            role_id_file: "role-id".into(),
            secret_id_file: "secret-id".into(),
            mount: "approle".into(),
        };
        let config = RootsConfig {
            openbao: Some(TransitConfig {
                address: customer.server.address().to_owned(),
                app_role: Some(app_role),
                ..TransitConfig::default()
            }),
            ..RootsConfig::default()
        };
        let roots = Roots::build(&config, home.path(), entropy(), Arc::new(clock.clone())).unwrap();
        let scene = Self { customer, roots, clock, home, role };
        fs::write(scene.home.path().join("role-id"), &scene.role.role_id).unwrap();
        scene.put_secret_id(&scene.role.secret_id);
        scene
    }

    fn put_secret_id(&self, secret_id: &str) {
        fs::write(self.home.path().join("secret-id"), format!("{secret_id}\n")).unwrap();
    }

    async fn probe(&self) -> Result<(), RootError> {
        self.roots.probe(&self.customer.key(), &binding()).await
    }

    /// How many tokens there are now: each login makes one.
    async fn tokens(&self) -> usize {
        let answer = self.customer.server.admin(Method::GET, "auth/token/accessors?list=true", None).await;
        answer["data"]["keys"].as_array().unwrap().len()
    }

    async fn revoke_all(&self) {
        let path = "sys/leases/revoke-prefix/auth/approle/login";
        self.customer.server.admin(Method::POST, path, Some(json!({ "sync": true }))).await;
    }
}

#[tokio::test]
async fn many_operations_at_once_log_in_once() {
    let scene = RoleScene::new(json!({ "token_policies": [POLICY], "token_ttl": "1h" })).await;
    let before = scene.tokens().await;
    let (a, b, c, d) = tokio::join!(scene.probe(), scene.probe(), scene.probe(), scene.probe());
    for result in [a, b, c, d] {
        result.unwrap();
    }
    assert_eq!(scene.tokens().await, before + 1);
    scene.probe().await.unwrap();
    assert_eq!(scene.tokens().await, before + 1);
}

#[tokio::test]
async fn a_role_renews_its_token_before_the_end_and_does_not_log_in_again() {
    let role = json!({ "token_policies": [POLICY], "token_ttl": "1h", "secret_id_num_uses": 1 });
    let scene = RoleScene::new(role).await;
    let before = scene.tokens().await;
    scene.probe().await.unwrap();
    for _ in 0..5 {
        scene.clock.advance(Duration::from_secs(45 * 60));
        scene.probe().await.unwrap();
    }
    assert_eq!(scene.tokens().await, before + 1);
}

#[tokio::test]
async fn a_role_whose_token_was_revoked_or_has_expired_logs_in_again() {
    let scene = RoleScene::new(json!({ "token_policies": [POLICY], "token_ttl": "1h" })).await;
    let before = scene.tokens().await;
    scene.probe().await.unwrap();
    scene.revoke_all().await;
    scene.probe().await.unwrap();
    assert_eq!(scene.tokens().await, before + 1);
    // By our clock the token is long over, and can't be renewed any more.
    scene.clock.advance(Duration::from_secs(10 * 3600));
    scene.probe().await.unwrap();
    assert_eq!(scene.tokens().await, before + 2);
}

#[tokio::test]
async fn a_role_that_may_not_use_the_key_is_denied() {
    let scene = RoleScene::new(json!({ "token_policies": [POLICY], "token_ttl": "1h" })).await;
    scene.probe().await.unwrap();
    scene.customer.server.delete_policy(POLICY).await;
    assert_refused!(scene.probe().await, Denied);
    BaoCustomer::grant(&scene.customer.server).await;
    scene.probe().await.unwrap();
}

#[tokio::test]
async fn a_login_that_was_refused_is_not_repeated_until_the_server_would_lock_the_role() {
    let scene = RoleScene::new(json!({ "token_policies": [POLICY], "token_ttl": "1h" })).await;
    scene.put_secret_id("wrong-canary");
    for _ in 0..20 {
        let Err(RootError::Misconfigured { reason }) = scene.probe().await else { panic!("it was refused") };
        assert!(!reason.contains("canary"), "{reason}");
    }
    // Five refused logins would have locked the role for the right secret id as well.
    scene.put_secret_id(&scene.role.secret_id);
    scene.probe().await.unwrap();
}

#[tokio::test]
async fn a_refused_login_is_tried_again_after_some_minutes() {
    let scene = RoleScene::new(json!({ "token_policies": [POLICY], "token_ttl": "1h" })).await;
    let path = "auth/approle/role/core";
    let custom = |id: &str| json!({ "secret_id": id });
    scene.put_secret_id("not-yet-issued");
    assert_refused!(scene.probe().await, Misconfigured);
    let server = &scene.customer.server;
    server.admin(Method::POST, &format!("{path}/custom-secret-id"), Some(custom("not-yet-issued"))).await;
    assert_refused!(scene.probe().await, Misconfigured);
    scene.clock.advance(Duration::from_secs(5 * 60));
    scene.probe().await.unwrap();
}

#[tokio::test]
async fn a_role_at_a_mount_that_is_not_there_is_misconfigured() {
    let customer = BaoCustomer::new().await;
    fs::write(customer.token_file(), "anything").unwrap();
    let roots = customer.roots_with(|config| {
        config.app_role = Some(AppRoleConfig {
            role_id_file: customer.token_file(),
            secret_id_file: customer.token_file(),
            mount: "nowhere".into(),
        });
        config.token_file = None;
    });
    assert_refused!(roots.probe(&customer.key(), &binding()).await, Misconfigured);
}
