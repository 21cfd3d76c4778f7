//! The first version of the wire: addressing, and the bodies of all events.
//!
//! A body is the whole current fact about one thing. Its revision, audience, expiry and signature
//! travel in the envelope around it (`openkcm-orbital`), so that a body says nothing twice. Unknown
//! fields are refused: what an old component can't understand it must not half apply; a change of
//! meaning is a new numbered module.

mod address;
mod facts;
mod key;
mod manifest;
mod sovereign;

pub use address::{Audience, AudienceError, EventType, Lane, Role, Subject};
pub use facts::{KeyDefine, KeyPurge, TenantDefine};
pub use key::{KeySealed, Seal, SealedBy};
pub use manifest::{
    Contents, Kept, LeaseReport, Listed, ListedThing, ManifestBody, ManifestQuery, Node, NodeDigest,
    PurgeReport, StateManifest, is_far_ahead,
};
pub use sovereign::{Dispute, L1Reference, L1Revoke, LinkState, OwnerWord, SovereignLease, Unsettled};

/// Any event's body, with the type that says how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A tenant exists, or no longer does.
    TenantDefine(TenantDefine),
    /// A key should exist, or no longer should.
    KeyDefine(KeyDefine),
    /// Material of a generation, and of all earlier ones, is to be destroyed.
    KeyPurge(KeyPurge),
    /// A tenant's L1 pointer is linked or unlinked.
    L1Reference(L1Reference),
    /// A tenant's links up to an epoch are dead; the fast word beside the fact.
    L1Revoke(L1Revoke),
    /// The CMK Server and a Core agree on who may be served.
    SovereignLease(SovereignLease),
    /// What a Core holds.
    StateManifest(StateManifest),
    /// An authority asks a Core to list buckets.
    ManifestQuery(ManifestQuery),
    /// A version's sealed form.
    KeySealed(KeySealed),
}

/// A body that can't be read as its type.
#[derive(Debug, thiserror::Error)]
#[error("the body is no valid {kind:?}")]
pub struct BodyError {
    /// The type that the envelope named.
    pub kind: EventType,
    /// What the decoder found.
    #[source]
    pub source: serde_json::Error,
}

impl Event {
    /// The event's type.
    pub fn kind(&self) -> EventType {
        match self {
            Self::TenantDefine(_) => EventType::TenantDefine,
            Self::KeyDefine(_) => EventType::KeyDefine,
            Self::KeyPurge(_) => EventType::KeyPurge,
            Self::L1Reference(_) => EventType::L1Reference,
            Self::L1Revoke(_) => EventType::L1Revoke,
            Self::SovereignLease(_) => EventType::SovereignLease,
            Self::StateManifest(_) => EventType::StateManifest,
            Self::ManifestQuery(_) => EventType::ManifestQuery,
            Self::KeySealed(_) => EventType::KeySealed,
        }
    }

    /// The thing that the event is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::TenantDefine(fact) => Subject::new("tenant", [fact.tenant.as_str()]),
            Self::KeyDefine(fact) => Subject::of_key("key", &fact.path()),
            Self::KeyPurge(fact) => Subject::of_key("purge", &fact.path()),
            Self::L1Reference(fact) => Subject::new("l1", [fact.tenant.as_str()]),
            Self::L1Revoke(fact) => Subject::new("revoke", [fact.tenant.as_str()]),
            Self::SovereignLease(fact) => Subject::new("lease", [fact.region.as_str()]),
            Self::StateManifest(fact) => fact.subject(),
            Self::ManifestQuery(fact) => Subject::new("query", [fact.region.as_str()]),
            Self::KeySealed(fact) => fact.subject(),
        }
    }

    /// The body's bytes, as they are signed and sent.
    pub fn to_body(&self) -> Vec<u8> {
        let encoded = match self {
            Self::TenantDefine(fact) => serde_json::to_vec(fact),
            Self::KeyDefine(fact) => serde_json::to_vec(fact),
            Self::KeyPurge(fact) => serde_json::to_vec(fact),
            Self::L1Reference(fact) => serde_json::to_vec(fact),
            Self::L1Revoke(fact) => serde_json::to_vec(fact),
            Self::SovereignLease(fact) => serde_json::to_vec(fact),
            Self::StateManifest(fact) => serde_json::to_vec(fact),
            Self::ManifestQuery(fact) => serde_json::to_vec(fact),
            Self::KeySealed(fact) => serde_json::to_vec(fact),
        };
        encoded.expect("event bodies have string keys and no failing serializer")
    }

    /// Reads a body as the type that its envelope names.
    ///
    /// # Errors
    /// When the bytes are no such body, or hold a field that this version does not know.
    pub fn from_body(kind: EventType, body: &[u8]) -> Result<Self, BodyError> {
        let read = match kind {
            EventType::TenantDefine => serde_json::from_slice(body).map(Self::TenantDefine),
            EventType::KeyDefine => serde_json::from_slice(body).map(Self::KeyDefine),
            EventType::KeyPurge => serde_json::from_slice(body).map(Self::KeyPurge),
            EventType::L1Reference => serde_json::from_slice(body).map(Self::L1Reference),
            EventType::L1Revoke => serde_json::from_slice(body).map(Self::L1Revoke),
            EventType::SovereignLease => serde_json::from_slice(body).map(Self::SovereignLease),
            EventType::StateManifest => serde_json::from_slice(body).map(Self::StateManifest),
            EventType::ManifestQuery => serde_json::from_slice(body).map(Self::ManifestQuery),
            EventType::KeySealed => serde_json::from_slice(body).map(Self::KeySealed),
        };
        read.map_err(|source| BodyError { kind, source })
    }
}
