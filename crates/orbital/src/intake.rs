//! What came on one stream, sorted: believed, poison, dropped.
//!
//! The position is that of the last message that was looked at, whatever became of it: nothing that
//! is not believed or can't be read holds up what comes after it.

use openkcm_contracts::Timestamp;
use openkcm_store::{StoreError, Write};

use crate::inbox::{self, Quarantined};
use crate::{Batch, Delivered, Message, Position, Rejection, Stream, Verified, Verifier};

/// What came on one stream.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The stream.
    pub stream: Stream,
    /// What is believed, in order.
    pub events: Vec<Verified>,
    /// What is authentic and can't be read.
    pub poison: Vec<Quarantined>,
    /// How many messages were not believed.
    pub dropped: usize,
    /// How far the stream was read with this.
    pub position: Option<Position>,
    /// Whether the stream held nothing more.
    pub caught_up: bool,
}

impl Intake {
    /// Verifies what a subscription delivered.
    pub fn verify(stream: &Stream, batch: Batch, verifier: &Verifier, now: Timestamp) -> Self {
        let position = batch.messages.last().map(|delivered| delivered.position.clone());
        let mut intake = Self {
            stream: stream.clone(),
            events: Vec::with_capacity(batch.messages.len()),
            poison: Vec::new(),
            dropped: 0,
            position,
            caught_up: batch.caught_up,
        };
        for Delivered { message, .. } in batch.messages {
            // What a transport delivers on a stream that it was not asked for is another's.
            let verified = if message.address.stream == *stream {
                verifier.verify(&message, now)
            } else {
                Err(Rejection::Misplaced)
            };
            match verified {
                Ok(verified) => intake.events.push(verified),
                Err(rejection) => intake.reject(message, rejection, now),
            }
        }
        intake
    }

    fn reject(&mut self, message: Message, rejection: Rejection, now: Timestamp) {
        tracing::warn!(address = %message.address, reason = %rejection, "an event was not applied");
        let Rejection::Unreadable { reason, tenant, revokes } = rejection else {
            self.dropped += 1;
            return;
        };
        let body = String::from_utf8_lossy(&message.body).into_owned();
        self.poison.push(Quarantined { at: now, reason, tenant, revokes, headers: message.headers, body });
    }

    /// Commits how far the stream was read, and what could not be read.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn record(&self, tx: &mut dyn Write) -> Result<(), StoreError> {
        for poison in &self.poison {
            inbox::quarantine(tx, &self.stream, poison)?;
        }
        match &self.position {
            Some(position) => inbox::advance(tx, &self.stream, position),
            None => Ok(()),
        }
    }
}
