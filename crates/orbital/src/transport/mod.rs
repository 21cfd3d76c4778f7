//! Transports: who carries messages. One trait, and one suite of contract tests for all of them
//! (`tests/transport_contract/`).
//!
//! A transport delivers at least once, keeps the order of what one publisher published to one
//! subject, keeps at least the last message of each subject of a compacted lane, and answers a
//! publication only when it is durable. It carries bodies of [`MAX_BODY_LEN`](crate::MAX_BODY_LEN),
//! whatever their bytes. It needs to be believed in nothing else.

pub(crate) mod embedded;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Message, Reading};

/// Where a message lies in its stream. Positions of one mesh and stream are ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Which mesh: one that was made anew counts anew, and is read from its beginning.
    pub mesh: String,
    /// The message's number in its stream.
    pub sequence: u64,
}

/// A message and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Where it lies.
    pub position: Position,
    /// The message.
    pub message: Message,
}

/// What a subscription delivers at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Messages in the order of their stream; none when this only tells that all were read.
    pub messages: Vec<Delivered>,
    /// Whether nothing lay beyond them when they were read.
    pub caught_up: bool,
}

/// What became of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is durable.
    Stored,
    /// The mesh holds a newer word about the same thing; this one was not stored.
    Superseded,
}

/// Why a transport did not do what it was asked. All of these are worth another try.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// The mesh can't be reached, or does not answer.
    #[error("the mesh does not answer: {0}")]
    Unavailable(String),
    /// The mesh says that it has no such stream: it was not set up yet, so no word can lie on it.
    #[error("the mesh has no {0}; set it up with `openkcm mesh setup`")]
    Missing(String),
    /// The mesh answers, and does not do it: a right that this component does not have, a stream that is full, a
    /// reader that was not made yet.
    #[error("the mesh refuses: {0}")]
    Refused(String),
}

impl TransportError {
    /// Whether the mesh answered.
    pub fn answered(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

/// Who carries messages.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Publishes messages in this order, and answers for each when all are durable. When it fails,
    /// any of them may have been stored.
    ///
    /// # Errors
    /// When the mesh does not take them now.
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>, TransportError>;

    /// Reads a stream, or one author's words on it: what lies after a position, or from the beginning, and then what comes. A
    /// position of another mesh, or one that this mesh has not come to (it was restored from an
    /// older copy), is none: the stream is read from its beginning.
    ///
    /// # Errors
    /// When the mesh can't be read now.
    async fn subscribe(
        &self,
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError>;

    /// Waits until the mesh is back, where it is known to be away: whoever pauses before another try need not
    /// pause any longer. Never returns where that is not known.
    async fn back(&self) {
        std::future::pending().await
    }
}

/// A reader of one stream.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next messages, at most so many. The first answer may be an empty one that
    /// tells that nothing waits; later ones are never empty.
    ///
    /// # Errors
    /// When the mesh can't be read now; a new subscription goes on from the last position.
    async fn next(&mut self, max: usize) -> Result<Batch, TransportError>;
}
