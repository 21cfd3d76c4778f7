//! What does not answer: a mesh, and a provider.

use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::RootRef;
use openkcm_host::{Entropy, OsEntropy};
use openkcm_orbital::{Message, Position, Published, Reading, Subscription, Transport, TransportError};
use openkcm_roots::{Binding, Description, Root, RootError};
use openkcm_secrets::SecretKey;

/// A mesh that can't be reached.
pub(crate) struct NoMesh;

#[async_trait]
impl Transport for NoMesh {
    async fn publish(&self, _: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        Err(TransportError::Unavailable("no route".into()))
    }

    async fn subscribe(
        &self,
        _: &Reading,
        _: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        Err(TransportError::Unavailable("no route".into()))
    }
}

/// A provider that can't be reached.
#[derive(Default)]
pub(crate) struct NoProvider(OsEntropy);

impl NoProvider {
    fn unreachable<T>() -> Result<T, RootError> {
        Err(RootError::Unreachable { reason: "no route".into(), retry_after: Duration::from_secs(7) })
    }
}

#[async_trait]
impl Root for NoProvider {
    async fn seal(&self, _: &RootRef, _: &Binding, _: &SecretKey) -> Result<Vec<u8>, RootError> {
        Self::unreachable()
    }

    async fn unseal(&self, _: &RootRef, _: &Binding, _: &[u8]) -> Result<SecretKey, RootError> {
        Self::unreachable()
    }

    async fn describe(&self, _: &RootRef) -> Result<Description, RootError> {
        Self::unreachable()
    }

    fn entropy(&self) -> &dyn Entropy {
        &self.0
    }
}
