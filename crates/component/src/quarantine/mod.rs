//! A component's quarantine: what could not be read or applied, to be looked at, tried again, dropped.
//!
//! Trying again goes the way of an event that has just come: it is verified with what is trusted now, and the
//! actor's own receiver applies it and releases the entry in one transaction. What can't be applied stays.
//!
//! What always holds: dropping an entry changes nothing but the quarantine. A tenant that is refused because a
//! revoke could not be read stays refused until a newer link.

mod documents;
mod routes;

use std::sync::Arc;

use openkcm_host::Clock;
use openkcm_orbital::inbox::quarantine::{self, Entry, Wanted};
use openkcm_orbital::{Intake, Receiver, Rejection, Stream, Verifier};
use openkcm_store::{Store, StoreError};

pub use routes::routes;

/// A component's quarantine. Clones look at the same one.
#[derive(Clone)]
pub struct Quarantine {
    pub(crate) store: Store,
    pub(crate) receiver: Arc<dyn Receiver>,
    pub(crate) verifier: Arc<Verifier>,
    /// The streams that the component reads; what came on another one was an authority's own word.
    pub(crate) reads: Arc<[Stream]>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The id of an entry: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct EventId(String);

/// A text that is no id of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("id: 32 hexadecimal digits are expected, as the list shows them")]
pub struct EventIdError;

impl EventId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventId {
    type Error = EventIdError;

    fn try_from(text: String) -> Result<Self, EventIdError> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(digit) { Ok(Self(text)) } else { Err(EventIdError) }
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an entry was not released.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It is not there (any more).
    #[error("the quarantine has no entry {0}; it was applied, dropped or pushed out, or never was there")]
    Unknown(EventId),
    /// It can't be applied now either.
    #[error("the event can't be applied yet")]
    Poison(#[source] Rejection),
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Quarantine {
    /// Entries in the order of stream, author and subject, each as `show` makes it; and the place to go on
    /// after, if there may be more.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn list<T: Send + 'static>(
        &self,
        wanted: Wanted,
        show: impl Fn(Entry) -> T + Send + 'static,
    ) -> Result<(Vec<T>, Option<String>), StoreError> {
        self.store.read(move |view| quarantine::list(view, &wanted, show)).await
    }

    /// The entry of an id.
    ///
    /// # Errors
    /// When there is none, or the store can't be read.
    pub async fn find(&self, id: &EventId) -> Result<Entry, Failure> {
        let of = id.clone();
        let found = self.store.read(move |view| quarantine::find(view, of.as_str())).await?;
        found.ok_or_else(|| Failure::Unknown(id.clone()))
    }

    /// Verifies and applies an event again, as if it had just come, and releases it. Gives what was released.
    ///
    /// # Errors
    /// When there is none of this id, it still can't be applied, or the store does not take it.
    pub async fn retry(&self, id: &EventId) -> Result<Entry, Failure> {
        let entry = self.find(id).await?;
        let own_words = !self.reads.contains(&entry.stream);
        let words_of = self.verifier.role_of(entry.event.key_id()).filter(|_| own_words);
        let intake = Intake::again(entry.clone(), words_of, &self.verifier, self.clock.now());
        let intake = intake.map_err(Failure::Poison)?;
        if own_words {
            self.receiver.compare(intake).await?;
        } else {
            self.receiver.receive(intake).await?;
        }
        let (stream, subject) = (&entry.stream, entry.event.subject());
        tracing::info!(%id, %stream, subject, "a quarantined event was applied");
        Ok(entry)
    }

    /// Drops an entry: what it would have said is not applied. Gives what was dropped.
    ///
    /// # Errors
    /// When there is none of this id, or the store does not take it.
    pub async fn discard(&self, id: &EventId) -> Result<Entry, Failure> {
        let entry = self.find(id).await?;
        let dropped = entry.clone();
        if !self.store.write(move |tx| quarantine::release(tx, &dropped)).await? {
            return Err(Failure::Unknown(id.clone()));
        }
        let (stream, subject) = (&entry.stream, entry.event.subject());
        tracing::warn!(%id, %stream, subject, "a quarantined event was dropped");
        Ok(entry)
    }
}

impl std::fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quarantine").field("store", &self.store).finish_non_exhaustive()
    }
}
