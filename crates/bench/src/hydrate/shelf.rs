//! A mesh that holds what is to be measured in memory, and gives as much of it as it was told to.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_orbital::{
    Batch, Delivered, Message, Position, Published, Reading, Stream, Subscription, Transport, TransportError,
};
use tokio::sync::watch;

/// A mesh in memory: one stream has messages, the others are empty; what is published goes nowhere.
pub(super) struct Shelf {
    stream: Stream,
    messages: Arc<[Message]>,
    /// How many of the messages there are by now.
    there: watch::Sender<usize>,
}

impl Shelf {
    pub(super) fn new(stream: Stream, messages: Arc<[Message]>, there: usize) -> Self {
        Self { stream, messages, there: watch::channel(there).0 }
    }

    /// From now on all of the messages are there.
    pub(super) fn show_all(&self) {
        self.there.send_replace(self.messages.len());
    }
}

#[async_trait]
impl Transport for Shelf {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        Ok(messages.iter().map(|_| Published::Stored).collect())
    }

    async fn subscribe(
        &self,
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
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

/// Some of the messages, as a subscription delivers them.
pub(super) fn batch(messages: &[Message], range: std::ops::Range<usize>, caught_up: bool) -> Batch {
    let delivered = range.map(|at| Delivered {
        position: Position { mesh: "shelf".into(), sequence: at as u64 + 1 },
        message: messages[at].clone(),
    });
    Batch { messages: delivered.collect(), caught_up }
}
