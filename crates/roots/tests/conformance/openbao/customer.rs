//! The customer of a real OpenBao server, and us with the least rights that do.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use openkcm_contracts::RootRef;
use openkcm_harness::{OpenBao, transit_policy};
use openkcm_roots::{Roots, RootsConfig, TransitConfig};
use tempfile::TempDir;

use crate::customer::{Customer, clock, entropy, reference, reference_with};

/// The policy of our token.
pub(crate) const POLICY: &str = "openkcm";

pub(crate) struct BaoCustomer {
    pub(crate) server: OpenBao,
    pub(crate) roots: Roots,
    pub(crate) token: String,
    home: TempDir,
}

impl BaoCustomer {
    /// With this server, to which keys, a policy and a token are added.
    pub(crate) async fn at(server: OpenBao) -> Self {
        server.mount("transit", "transit").await;
        for key in ["acme", "other"] {
            server.create_key("transit", key).await;
        }
        Self::grant(&server).await;
        let token = server.create_token(POLICY).await;
        let home = tempfile::tempdir().unwrap();
        let config = TransitConfig {
            address: server.address().to_owned(),
            token_file: Some("token".into()),
            ca_file: server.ca_file(),
            ..TransitConfig::default()
        };
        let roots = roots_at(&home, config);
        let customer = Self { server, roots, token, home };
        customer.put_token(&customer.token);
        customer
    }

    /// Allows what is needed for the keys of the tests, and nothing else.
    pub(crate) async fn grant(server: &OpenBao) {
        let keys = ["acme", "other", "unknown"].map(|key| transit_policy("transit", key));
        server.put_policy(POLICY, &keys.concat()).await;
    }

    /// Replaces the token in our token file.
    pub(crate) fn put_token(&self, token: &str) {
        fs::write(self.token_file(), format!("{token}\n")).unwrap();
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.home.path().join("token")
    }

    /// Us with a configuration that differs: the address and the directory of files are the same.
    pub(crate) fn roots_with(&self, change: impl FnOnce(&mut TransitConfig)) -> Roots {
        let mut config = TransitConfig {
            address: self.server.address().to_owned(),
            token_file: Some("token".into()),
            ..TransitConfig::default()
        };
        change(&mut config);
        roots_at(&self.home, config)
    }
}

/// Us, configured to use OpenBao.
pub(crate) fn roots_at(home: &TempDir, config: TransitConfig) -> Roots {
    let config = RootsConfig { openbao: Some(config), ..RootsConfig::default() };
    Roots::build(&config, home.path(), entropy(), clock()).unwrap()
}

pub(crate) fn bao_key(key: &str) -> RootRef {
    reference("openbao", key)
}

#[async_trait]
impl Customer for BaoCustomer {
    async fn new() -> Self {
        Self::at(OpenBao::start().await).await
    }

    fn roots(&self) -> &Roots {
        &self.roots
    }

    fn key(&self) -> RootRef {
        bao_key("transit/acme")
    }

    fn other_key(&self) -> RootRef {
        bao_key("transit/other")
    }

    fn unknown_key(&self) -> RootRef {
        bao_key("transit/unknown")
    }

    fn nonsense(&self) -> Vec<RootRef> {
        vec![
            bao_key(""),
            bao_key("acme"),
            bao_key("transit/../sys"),
            bao_key("transit/acme?version=1"),
            reference_with("openbao", "transit/acme", "region", "eu"),
        ]
    }

    async fn disable(&self) {
        self.server.soft_delete_key("transit", "acme").await;
    }

    async fn enable(&self) {
        self.server.restore_key("transit", "acme").await;
    }

    async fn delete(&self) {
        self.server.delete_key("transit", "acme").await;
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.token.clone(), self.server.root_token().to_owned()]
    }
}
