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
use futures_util::future::{join_all, select_all};
use openkcm_contracts::Lane;
use openkcm_host::Entropy;

use crate::{
    Message, Position, Published, Reading, Stream, Subscription, Transport, TransportError, Verifier,
};
use connection::Connection;
use publish::Publisher;

/// A component's ways to the mesh. Clones share them.
#[derive(Clone)]
pub struct NatsTransport {
    inner: Arc<Inner>,
}

struct Inner {
    /// The urgent lane's own: on a shared one, an Unlink waits behind the thousand facts that a reader has asked
    /// for (measured: some 20 ms of 25).
    urgent: Way,
    /// All other lanes'.
    others: Way,
    /// Readers that this process has made itself, where it may: each gets a name of its own.
    readers: AtomicU64,
}

/// A connection, and what is published over it.
struct Way {
    connection: Connection,
    publisher: Publisher,
}

impl Way {
    async fn open(
        options: NatsOptions,
        verifier: Option<Arc<Verifier>>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BuildError> {
        let connection = Connection::open(options, entropy.clone()).await?;
        let publisher = Publisher::new(connection.clone(), verifier, entropy);
        Ok(Self { connection, publisher })
    }
}

impl Inner {
    fn way(&self, lane: Lane) -> &Way {
        if lane == Lane::Urgent { &self.urgent } else { &self.others }
    }

    fn ways(&self) -> [&Way; 2] {
        [&self.urgent, &self.others]
    }
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
        let urgent = Way::open(options.clone(), verifier.clone(), entropy.clone()).await?;
        let others = Way::open(options, verifier, entropy).await?;
        Ok(Self { inner: Arc::new(Inner { urgent, others, readers: AtomicU64::new(0) }) })
    }
}

impl std::fmt::Debug for NatsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsTransport")
            .field("user", &self.inner.urgent.connection.user())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for NatsTransport {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        if messages.is_empty() {
            return self
                .inner
                .ways()
                .iter()
                .try_for_each(|way| way.connection.check().map(drop))
                .map(|()| Vec::new());
        }
        let mut streams: Vec<(&Stream, Vec<usize>)> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let stream = &message.address.stream;
            match streams.iter_mut().find(|(known, _)| *known == stream) {
                Some((_, indexes)) => indexes.push(index),
                None => streams.push((stream, vec![index])),
            }
        }
        let publications = streams.iter().map(|(stream, indexes)| {
            let messages = indexes.iter().map(|index| &messages[*index]).collect();
            self.inner.way(stream.lane).publisher.publish(stream, messages)
        });
        let mut outcomes = vec![Published::Stored; messages.len()];
        for ((_, indexes), published) in streams.iter().zip(join_all(publications).await) {
            for (index, outcome) in indexes.iter().zip(published?) {
                outcomes[*index] = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn subscribe(
        &self,
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        let Way { connection, publisher } = self.inner.way(reading.stream.lane);
        let number = self.inner.readers.fetch_add(1, Ordering::Relaxed);
        let reader = read::Reader::open(connection, publisher, (reading, number), after).await?;
        Ok(Box::new(reader))
    }

    async fn back(&self) {
        let lost = self.inner.ways().into_iter().filter(|way| way.connection.check().is_err());
        let back: Vec<_> = lost.map(|way| Box::pin(way.connection.back())).collect();
        if back.is_empty() {
            return std::future::pending().await;
        }
        select_all(back).await;
    }
}
