//! Verification: nothing of an event is believed before its signature was.
//!
//! Checked in this order: the envelope's form, that it lies on the stream that it speaks of, that its
//! signer is known and may say this, the signature, the expiry; only then is the body read, and must
//! be about the subject that was signed.
//!
//! What is trusted can be replaced while the component runs. Of letters that were signed together the
//! signature is checked once ([`Session`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;

use aws_lc_rs::signature::ParsedPublicKey;
use openkcm_contracts::{Audience, Event, EventType, RegionId, Revision, Role, TenantId, Timestamp};

use crate::merkle::{self, Hash};
use crate::{Envelope, EnvelopeError, Message, TrustBundle, TrustError, TrustedKey};

type Keys = HashMap<String, (TrustedKey, ParsedPublicKey)>;

/// Believes or refuses messages.
#[derive(Debug)]
pub struct Verifier {
    keys: ArcSwap<Keys>,
}

/// Verifies messages that come together, by one state of the trust bundle.
#[derive(Debug)]
pub struct Session {
    keys: Arc<Keys>,
    /// Roots whose signature was found right: of which key and tree size, and over which root.
    signed: HashSet<(String, u16, Hash)>,
}

/// An event whose author is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The event.
    pub event: Event,
    /// Its author's revision.
    pub revision: Revision,
    /// Who it is for.
    pub audience: Audience,
    /// Whom its author speaks for.
    pub author: Role,
    /// The region of the Core that said it; an authority has none.
    pub region: Option<RegionId>,
}

/// Why a message is not believed, or not understood.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It has no readable envelope.
    #[error("the envelope is damaged")]
    Envelope(#[source] EnvelopeError),
    /// Its envelope speaks of another stream or subject than the one that it came on.
    #[error("the envelope names another address")]
    Misplaced,
    /// No key of this id is trusted.
    #[error("the signer {0:?} is not in the trust bundle")]
    UnknownSigner(String),
    /// The signer may not say this.
    #[error("a {role} may not say {kind}")]
    NotItsWord {
        /// Whom the key speaks for.
        role: Role,
        /// What it said.
        kind: String,
    },
    /// The signature does not fit.
    #[error("the signature is wrong")]
    Signature,
    /// It is of the past.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// It is authentic, and this version can't read it: poison, to be kept and shown.
    #[error("it is authentic and can't be read: {reason}")]
    Unreadable {
        /// What is wrong.
        reason: String,
        /// Whom it concerns, as far as its subject tells.
        tenant: Option<TenantId>,
        /// Whether it takes away the right to serve: then its tenant is refused until it is read.
        revokes: bool,
    },
}

impl Rejection {
    /// Its name in metrics and in the status.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Envelope(EnvelopeError::TooLong(_) | EnvelopeError::HeadersTooLong(_)) => "oversized",
            Self::Envelope(_) => "damaged",
            Self::Misplaced => "misplaced",
            Self::UnknownSigner(_) => "unknown-signer",
            Self::NotItsWord { .. } => "not-its-word",
            Self::Signature => "wrong-signature",
            Self::Expired(_) => "expired",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl Verifier {
    /// From a trust bundle.
    ///
    /// # Errors
    /// When a key of it is not what it says.
    pub fn new(bundle: &TrustBundle) -> Result<Self, TrustError> {
        Ok(Self { keys: ArcSwap::from_pointee(index(bundle)?) })
    }

    /// Trusts these keys, and no others, from now on.
    ///
    /// # Errors
    /// When a key of the bundle is not what it says; then nothing is replaced.
    pub fn replace(&self, bundle: &TrustBundle) -> Result<(), TrustError> {
        self.keys.store(Arc::new(index(bundle)?));
        Ok(())
    }

    /// Whom a key speaks for now.
    pub fn role_of(&self, key_id: &str) -> Option<Role> {
        self.keys.load().get(key_id).map(|(key, _)| key.role)
    }

    /// Verifies several messages with what is trusted now.
    pub fn session(&self) -> Session {
        Session { keys: self.keys.load_full(), signed: HashSet::new() }
    }

    /// Believes a message, or says why not.
    ///
    /// # Errors
    /// See [`Rejection`]; only [`Rejection::Unreadable`] is worth keeping.
    pub fn verify(&self, message: &Message, now: Timestamp) -> Result<Verified, Rejection> {
        self.session().verify(message, now)
    }
}

fn index(bundle: &TrustBundle) -> Result<Keys, TrustError> {
    Ok(bundle.parse()?.into_iter().map(|(key, parsed)| (key.id.clone(), (key, parsed))).collect())
}

impl Session {
    /// As [`Verifier::verify`].
    ///
    /// # Errors
    /// See [`Rejection`].
    pub fn verify(&mut self, message: &Message, now: Timestamp) -> Result<Verified, Rejection> {
        let envelope = Envelope::read(message).map_err(Rejection::Envelope)?;
        let address = &message.address;
        if envelope.audience != address.stream.audience || envelope.subject != address.subject {
            return Err(Rejection::Misplaced);
        }
        let keys = self.keys.clone();
        let Some((key, public_key)) = keys.get(&envelope.key_id) else {
            return Err(Rejection::UnknownSigner(envelope.key_id));
        };
        if key.role != address.author {
            return Err(Rejection::Misplaced);
        }
        let kind = EventType::from_wire_name(&envelope.kind);
        if kind.is_some_and(|kind| !kind.may_be_said_by(key.role)) {
            return Err(Rejection::NotItsWord { role: key.role, kind: envelope.kind });
        }
        self.check_signature(&envelope, message, public_key)?;
        if let Some(at) = envelope.expires.filter(|at| *at < now) {
            return Err(Rejection::Expired(at));
        }
        let Some(kind) = kind else {
            return Err(unreadable(key, &envelope, format!("the type {} is not known here", envelope.kind)));
        };
        if kind.lane() != address.stream.lane {
            return Err(Rejection::Misplaced);
        }
        let event = Event::from_body(kind, &message.body)
            .map_err(|error| unreadable(key, &envelope, format!("{error}: {}", error.source)))?;
        check_content(&event, &envelope, key)?;
        Ok(Verified {
            event,
            revision: envelope.revision,
            audience: envelope.audience,
            author: key.role,
            region: key.region.clone(),
        })
    }

    fn check_signature(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        key: &ParsedPublicKey,
    ) -> Result<(), Rejection> {
        let bytes = Envelope::signed_bytes(
            &envelope.kind,
            &envelope.subject,
            &envelope.audience,
            envelope.revision,
            envelope.expires,
            &message.body,
        );
        let size = envelope.proof.size();
        let root = envelope.proof.root(merkle::leaf(&bytes)).ok_or(Rejection::Signature)?;
        let signed = (envelope.key_id.clone(), size, root);
        if !self.signed.contains(&signed) {
            let root = Envelope::root_bytes(size, &root);
            key.verify_sig(&root, &envelope.signature).map_err(|_| Rejection::Signature)?;
            self.signed.insert(signed);
        }
        Ok(())
    }
}

/// The body must be about the signed subject, and a Core speaks only for itself.
fn check_content(event: &Event, envelope: &Envelope, key: &TrustedKey) -> Result<(), Rejection> {
    if event.subject().as_str() != envelope.subject {
        return Err(Rejection::Misplaced);
    }
    let speaks_for = match event {
        Event::KeySealed(fact) => Some(fact.teller()),
        Event::StateManifest(fact) => Some(&fact.region),
        _ => None,
    };
    if speaks_for.is_some() && speaks_for != key.region.as_ref() {
        return Err(Rejection::NotItsWord { role: key.role, kind: envelope.kind.clone() });
    }
    // What made a thing, or a link, was said no later than what is said of it now.
    let made = match event {
        Event::TenantDefine(fact) => Some(fact.generation.0),
        Event::KeyDefine(fact) => Some(fact.generation.0.max(fact.parent.0)),
        Event::KeyPurge(fact) => Some(fact.generation.0),
        Event::L1Reference(fact) => Some(fact.epoch.0),
        Event::L1Revoke(fact) => Some(fact.epoch.0),
        _ => None,
    };
    if made.is_some_and(|made| made > envelope.revision) {
        return Err(Rejection::Misplaced);
    }
    Ok(())
}

/// Only the CMK Server takes away the right to serve: whatever another role signs under a revoke's
/// subject ends nobody's service.
fn unreadable(key: &TrustedKey, envelope: &Envelope, reason: String) -> Rejection {
    Rejection::Unreadable {
        reason,
        tenant: Envelope::tenant_of(&envelope.subject),
        revokes: key.role == Role::Cmk && envelope.subject.starts_with("revoke."),
    }
}
