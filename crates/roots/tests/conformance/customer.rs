//! The customer: who owns the keys, and can take them away.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::{RootRef, SystemId, TenantId, VersionId};
use openkcm_host::{Clock, Entropy, OsEntropy, SystemClock};
use openkcm_roots::{Binding, Roots};
use openkcm_secrets::SecretKey;

/// A customer of one provider. It has two usable keys, `key` and `other_key`.
#[async_trait]
pub(crate) trait Customer: Send + Sync {
    /// A provider of its own, and us configured to use it.
    async fn new() -> Self
    where
        Self: Sized;

    /// The providers as a component has them.
    fn roots(&self) -> &Roots;

    /// A key that can be used.
    fn key(&self) -> RootRef;

    /// Another one.
    fn other_key(&self) -> RootRef;

    /// A key that does not exist, and that our credential would be allowed to use.
    fn unknown_key(&self) -> RootRef;

    /// References that can mean no key.
    fn nonsense(&self) -> Vec<RootRef>;

    /// Disables `key`.
    async fn disable(&self);

    /// Enables `key` again.
    async fn enable(&self);

    /// Deletes `key` for good.
    async fn delete(&self);

    /// What must not be seen: credentials and the like.
    fn secrets(&self) -> Vec<String>;
}

pub(crate) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(OsEntropy::new())
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

pub(crate) fn reference(provider: &str, key: &str) -> RootRef {
    RootRef { provider: provider.into(), key: key.into(), options: BTreeMap::new() }
}

pub(crate) fn reference_with(provider: &str, key: &str, option: &str, value: &str) -> RootRef {
    RootRef { options: BTreeMap::from([(option.into(), value.into())]), ..reference(provider, key) }
}

pub(crate) fn binding_of(tenant: &str, system: &str, version: u8) -> Binding {
    Binding {
        tenant: TenantId::new(tenant).unwrap(),
        system: SystemId::new(system).unwrap(),
        version: VersionId::from_bytes([version; 16]),
    }
}

pub(crate) fn binding() -> Binding {
    binding_of("acme", "hr", 1)
}

/// The plaintext of every test: a text, so that it can be searched for.
pub(crate) const CANARY: &[u8; 32] = b"canary-L2-canary-L2-canary-L2-ca";

pub(crate) fn plaintext() -> SecretKey {
    SecretKey::from_slice_wiping(&mut CANARY.to_owned()).unwrap()
}
