//! The mesh across machines: NATS JetStream, by the maintained client of its field.
//!
//! One stream for each lane and audience, compacted to the last message of a subject on lanes 0 to 2; an
//! acknowledgement by the stream before anything counts as published; a publication that carries the sequence
//! of the word that it replaces, so that a late one never buries a newer one; and readers that were made
//! beforehand and are put to the component's own committed position whenever it begins to read.
//!
//! Needs nats-server 2.14 or later (atomic batches, ADR-50; reset of a consumer, ADR-60).

mod connection;
pub mod layout;
mod operator;
mod publish;
mod read;
mod runs;
mod wire;

pub use connection::{BuildError, NatsOptions, Tls};
pub use operator::{Operator, OperatorError, Provision, Provisioned, Storage};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use openkcm_host::Entropy;

use crate::{Message, Position, Published, Reading, Subscription, Transport, TransportError, Verifier};
use connection::Connection;
use publish::Publisher;

/// A component's connection to the mesh. Clones share it.
#[derive(Clone)]
pub struct NatsTransport {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    publisher: Publisher,
    /// Readers that this process has made itself, where it may: each gets a name of its own.
    readers: AtomicU64,
}

impl NatsTransport {
    /// Connects in the background, and again whenever the connection is lost, with full jitter: it never waits
    /// for the broker. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the options can't be used: a certificate that is none, a seed that is none, no server.
    pub async fn connect(options: NatsOptions, entropy: Arc<dyn Entropy>) -> Result<Self, BuildError> {
        Self::open(options, None, entropy).await
    }

    /// As [`NatsTransport::connect`], for a component: a publication gives way to a newer word only if this
    /// verifier believes it.
    ///
    /// # Errors
    /// As [`NatsTransport::connect`].
    pub async fn connect_believing(
        options: NatsOptions,
        verifier: Arc<Verifier>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BuildError> {
        Self::open(options, Some(verifier), entropy).await
    }

    async fn open(
        options: NatsOptions,
        verifier: Option<Arc<Verifier>>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BuildError> {
        let connection = Connection::open(options, entropy.clone()).await?;
        let publisher = Publisher::new(connection.clone(), verifier, entropy);
        Ok(Self { inner: Arc::new(Inner { connection, publisher, readers: AtomicU64::new(0) }) })
    }
}

impl std::fmt::Debug for NatsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsTransport").field("user", &self.inner.connection.user()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for NatsTransport {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        self.inner.publisher.publish(messages).await
    }

    async fn subscribe(
        &self,
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        let Inner { connection, publisher, readers } = &*self.inner;
        let number = readers.fetch_add(1, Ordering::Relaxed);
        let reader = read::Reader::open(connection, publisher, (reading, number), after).await?;
        Ok(Box::new(reader))
    }

    async fn back(&self) {
        if self.inner.connection.check().is_ok() {
            return std::future::pending().await;
        }
        let mut state = self.inner.connection.state();
        if state.wait_for(|state| state.connected).await.is_err() {
            std::future::pending().await
        }
    }
}
