//! What came on one stream, sorted: believed, poison, dropped.
//!
//! The position is that of the last message that was looked at, whatever became of it: nothing that
//! is not believed or can't be read holds up what comes after it.

use std::collections::BTreeMap;

use openkcm_contracts::{Revision, Role, Timestamp};
use openkcm_store::{StoreError, Write};

use crate::inbox;
use crate::inbox::quarantine::{self, Entry, Quarantined};
use crate::{Address, Batch, Delivered, Message, Position, Reading, Rejection, Stream, Verified, Verifier};

/// What came on one stream.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The stream.
    pub stream: Stream,
    /// Whose words alone were read, when it is not all of the stream.
    pub words_of: Option<Role>,
    /// What is believed, in order.
    pub events: Vec<Verified>,
    /// What is authentic and can't be read.
    pub poison: Vec<Quarantined>,
    /// How many messages were not believed, by [`Rejection::reason`].
    pub dropped: BTreeMap<&'static str, u64>,
    /// The latest revision that own words claim which nobody signed who is trusted now: of an author whose key was
    /// retired, or no word at all. Of others' words it is not kept.
    pub unbelieved: Option<Revision>,
    /// How far the stream was read with this.
    pub position: Option<Position>,
    /// Whether the stream held nothing more.
    pub caught_up: bool,
    /// The entry of the quarantine that this is another try of: it is released with this.
    pub releases: Option<Entry>,
}

impl Intake {
    /// Verifies what a subscription delivered.
    pub fn verify(reading: &Reading, batch: Batch, verifier: &Verifier, now: Timestamp) -> Self {
        let Reading { stream, words_of } = reading;
        let position = batch.messages.last().map(|delivered| delivered.position.clone());
        let mut intake = Self {
            stream: stream.clone(),
            words_of: *words_of,
            events: Vec::with_capacity(batch.messages.len()),
            poison: Vec::new(),
            dropped: BTreeMap::new(),
            unbelieved: None,
            position,
            caught_up: batch.caught_up,
            releases: None,
        };
        let mut session = verifier.session();
        for Delivered { message, .. } in batch.messages {
            // What a transport delivers that it was not asked for is another's.
            let asked_for = words_of.is_none_or(|role| role == message.address.author);
            let verified = if message.address.stream == *stream && asked_for {
                session.verify(&message, now)
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

    /// Looks again at an event of the quarantine, with what is trusted and understood now, as if it had just
    /// come. `words_of` is that of the reading that it came by.
    ///
    /// # Errors
    /// Why it still can't be applied.
    pub fn again(
        entry: Entry,
        words_of: Option<Role>,
        verifier: &Verifier,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let event = &entry.event;
        let author = verifier.role_of(event.key_id());
        let author = author.ok_or_else(|| Rejection::UnknownSigner(event.key_id().to_owned()))?;
        let subject = event.subject().to_owned();
        let message = Message {
            address: Address { stream: entry.stream.clone(), author, subject },
            headers: event.headers.clone(),
            body: event.body.clone().into(),
        };
        let verified = verifier.verify(&message, now)?;
        Ok(Self {
            stream: entry.stream.clone(),
            words_of,
            events: vec![verified],
            poison: Vec::new(),
            dropped: BTreeMap::new(),
            unbelieved: None,
            position: None,
            caught_up: false,
            releases: Some(entry),
        })
    }

    /// Adds what came after it by the same reading: both are committed together.
    pub fn join(&mut self, next: Self) {
        debug_assert!((&self.stream, self.words_of) == (&next.stream, next.words_of), "one reading");
        self.events.extend(next.events);
        self.poison.extend(next.poison);
        for (reason, count) in next.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
        self.unbelieved = self.unbelieved.max(next.unbelieved);
        self.position = next.position.or(self.position.take());
        self.caught_up |= next.caught_up;
        self.releases = next.releases.or(self.releases.take());
    }

    fn reject(&mut self, message: Message, rejection: Rejection, now: Timestamp) {
        tracing::warn!(address = %message.address, reason = %rejection, "an event was not applied");
        let name = rejection.reason();
        if self.words_of.is_some() && matches!(rejection, Rejection::UnknownSigner(_)) {
            let claimed = message.headers.get("ce-kcmrevision").and_then(|text| text.parse().ok());
            self.unbelieved = self.unbelieved.max(claimed);
        }
        let Rejection::Unreadable { reason, tenant, revokes } = rejection else {
            *self.dropped.entry(name).or_default() += 1;
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
            quarantine::quarantine(tx, &self.stream, poison)?;
        }
        if let Some(entry) = &self.releases {
            quarantine::release(tx, entry)?;
        }
        match &self.position {
            Some(position) => inbox::advance(tx, &self.reading(), position),
            None => Ok(()),
        }
    }

    /// What was read.
    pub fn reading(&self) -> Reading {
        Reading { stream: self.stream.clone(), words_of: self.words_of }
    }
}
