//! A mesh that holds what is to be measured in memory, and gives as much of it as it was told to. It answers manifests
//! with leases, as a CMK Server that agrees would.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::v1::{Audience, Lane, SovereignLease};
use openkcm_contracts::{Event, EventType, Period, Revision};
use openkcm_orbital::{
    Batch, Delivered, Letter, Message, Position, Published, Reading, Signer, Stream, Subscription, Transport,
    TransportError,
};
use tokio::sync::watch;

use super::facts::now;

/// A mesh in memory: one stream has messages, another the leases, the others are empty; what is published goes nowhere
/// else.
pub(super) struct Shelf {
    stream: Stream,
    messages: Arc<[Message]>,
    /// How many of the messages there are by now.
    there: watch::Sender<usize>,
    lessor: Arc<Signer>,
    /// The last lease, and how many there were.
    lease: watch::Sender<(u64, Option<Message>)>,
}

impl Shelf {
    pub(super) fn new(stream: Stream, messages: Arc<[Message]>, there: usize, lessor: Arc<Signer>) -> Self {
        let (there, lease) = (watch::channel(there).0, watch::channel((0, None)).0);
        Self { stream, messages, there, lessor, lease }
    }

    /// Answers a manifest.
    fn answer(&self, message: &Message) {
        let Ok(Event::StateManifest(manifest)) = Event::from_body(EventType::StateManifest, &message.body)
        else {
            return;
        };
        let lease = Event::SovereignLease(SovereignLease {
            region: manifest.region.clone(),
            incarnation: manifest.incarnation,
            nonce: manifest.nonce,
            ttl: Period::from_secs(86_400).expect("a day is a period"),
            disputes: Vec::new(),
            unsettled: Vec::new(),
        });
        let audience = Audience::Region(manifest.region);
        let number = self.lease.borrow().0 + 1;
        let letter = Letter::new(&lease, audience, Revision::new(1, 3), now());
        self.lease.send_replace((number, Some(self.lessor.sign(&letter))));
    }

    /// From now on all of the messages are there.
    pub(super) fn show_all(&self) {
        self.there.send_replace(self.messages.len());
    }
}

#[async_trait]
impl Transport for Shelf {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        messages.iter().for_each(|message| self.answer(message));
        Ok(messages.iter().map(|_| Published::Stored).collect())
    }

    async fn subscribe(
        &self,
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        if reading.stream.lane == Lane::Urgent {
            return Ok(Box::new(Leases { lease: self.lease.subscribe(), told: false }));
        }
        let messages = if reading.stream == self.stream { self.messages.clone() } else { [].into() };
        let at = after.map_or(0, |position| position.sequence as usize);
        Ok(Box::new(Reader { messages, there: self.there.subscribe(), at, told: false }))
    }
}

struct Reader {
    messages: Arc<[Message]>,
    there: watch::Receiver<usize>,
    at: usize,
    /// Whether it was said that nothing waits.
    told: bool,
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self, max: usize) -> Result<Batch, TransportError> {
        let (at, told, len) = (self.at, self.told, self.messages.len());
        let there = self.there.wait_for(|there| at < (*there).min(len) || !told).await;
        let gone = |_| TransportError::Unavailable("the shelf is gone".into());
        let there = (*there.map_err(gone)?).min(len);
        let until = there.min(at + max);
        self.at = until;
        self.told = true;
        Ok(batch(&self.messages, at..until, until == there))
    }
}

/// A reader of leases.
struct Leases {
    lease: watch::Receiver<(u64, Option<Message>)>,
    told: bool,
}

#[async_trait]
impl Subscription for Leases {
    async fn next(&mut self, _max: usize) -> Result<Batch, TransportError> {
        let gone = |_| TransportError::Unavailable("the shelf is gone".into());
        if std::mem::replace(&mut self.told, true) {
            self.lease.changed().await.map_err(gone)?;
        }
        let (number, message) = self.lease.borrow_and_update().clone();
        let delivered = message.map(|message| Delivered {
            position: Position { mesh: "shelf".into(), sequence: number },
            message,
        });
        Ok(Batch { messages: delivered.into_iter().collect(), caught_up: true })
    }
}

/// Some of the messages, as a subscription delivers them.
pub(super) fn batch(messages: &[Message], range: std::ops::Range<usize>, caught_up: bool) -> Batch {
    let delivered = range.map(|at| Delivered {
        position: Position { mesh: "shelf".into(), sequence: at as u64 + 1 },
        message: messages[at].clone(),
    });
    Batch { messages: delivered.collect(), caught_up }
}
