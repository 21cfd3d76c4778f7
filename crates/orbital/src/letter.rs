//! A letter: an event that waits to be told, not signed yet.
//!
//! It is signed when it is sent, so that a signing key can be replaced while letters wait.

use openkcm_contracts::{Audience, Event, EventType, Lane, Revision, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Envelope;

/// One event for one audience, as the outbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The CloudEvents `type`.
    pub kind: String,
    /// The thing that it is about.
    pub subject: String,
    /// Who may read it.
    pub audience: Audience,
    /// Its author's revision of the fact.
    pub revision: Revision,
    /// When it stops to be worth anything; facts never do.
    pub expires: Option<Timestamp>,
    /// When it was written.
    pub written_at: Timestamp,
    /// The body: the exact bytes that will be signed.
    pub body: String,
}

impl Letter {
    /// A letter that tells `event` to `audience`.
    pub fn new(event: &Event, audience: Audience, revision: Revision, now: Timestamp) -> Self {
        Self {
            kind: event.kind().wire_name().into(),
            subject: event.subject().to_string(),
            audience,
            revision,
            expires: None,
            written_at: now,
            body: String::from_utf8(event.to_body()).expect("JSON is UTF-8"),
        }
    }

    /// What a signature covers.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let Self { kind, subject, audience, revision, expires, body, .. } = self;
        Envelope::signed_bytes(kind, subject, audience, *revision, *expires, body.as_bytes())
    }

    /// The lane that it travels on; facts when a later version's outbox holds a type unknown here.
    pub fn lane(&self) -> Lane {
        EventType::from_wire_name(&self.kind).map_or(Lane::Facts, EventType::lane)
    }
}
