//! The customer of the provider `local`, who works with files.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use openkcm_contracts::RootRef;
use openkcm_roots::{LocalConfig, Roots, RootsConfig};
use tempfile::TempDir;

use crate::customer::{Customer, clock, entropy, reference, reference_with};

pub(crate) struct LocalCustomer {
    roots: Roots,
    home: TempDir,
}

impl LocalCustomer {
    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("keys").join(name)
    }
}

#[async_trait]
impl Customer for LocalCustomer {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let local = LocalConfig { directory: "keys".into(), auto_create: false };
        let config = RootsConfig { local: Some(local), ..RootsConfig::default() };
        let roots = Roots::build(&config, home.path(), entropy(), clock()).unwrap();
        for name in ["acme", "other"] {
            roots.local().unwrap().create(name).await.unwrap();
        }
        Self { roots, home }
    }

    fn roots(&self) -> &Roots {
        &self.roots
    }

    fn key(&self) -> RootRef {
        reference("local", "acme")
    }

    fn other_key(&self) -> RootRef {
        reference("local", "other")
    }

    fn unknown_key(&self) -> RootRef {
        reference("local", "unknown")
    }

    fn nonsense(&self) -> Vec<RootRef> {
        vec![
            reference("local", ""),
            reference("local", "../acme"),
            reference("local", "Acme"),
            reference_with("local", "acme", "namespace", "team"),
        ]
    }

    async fn disable(&self) {
        fs::write(self.file("acme.disabled"), "").unwrap();
    }

    async fn enable(&self) {
        fs::remove_file(self.file("acme.disabled")).unwrap();
    }

    async fn delete(&self) {
        fs::write(self.file("acme.deleted"), "").unwrap();
        fs::remove_file(self.file("acme.key")).unwrap();
    }

    fn secrets(&self) -> Vec<String> {
        ["acme.key", "other.key"]
            .map(|name| fs::read_to_string(self.file(name)).unwrap().lines().nth(1).unwrap().to_owned())
            .to_vec()
    }
}
