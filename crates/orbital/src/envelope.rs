//! The envelope around every event: CloudEvents 1.0 in binary mode, with a signature.
//!
//! Attributes travel in headers (names as in the CloudEvents NATS binding, `ce-…`), the body is the
//! event's JSON, byte for byte as it was signed. The extensions are `kcmaudience`, `kcmrevision`,
//! `kcmexpiry`, `kcmkeyid`, `kcmproof` and `kcmsignature`.
//!
//! What is signed is not the headers' text but a length-prefixed encoding of type, subject, audience,
//! revision, expiry and body under a domain of its own, so that no two different events share bytes.
//! Letters that are sent together are signed together (see [`merkle`](crate::merkle)); why:
//! `docs/adr/0011-letters-are-signed-together.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use openkcm_contracts::{Audience, Lane, Revision, Role, Subject, Timestamp};

use crate::Letter;
use crate::merkle::{Hash, Proof};

/// Separates these signatures from any other use of the same key.
const DOMAIN: &[u8] = b"openkcm.orbital.v1";

/// Separates the signature over a tree's root from what is in its leaves.
const ROOT_DOMAIN: &[u8] = b"openkcm.orbital.v1.root";

/// The longest body, in bytes: a fact is some hundred bytes, a sealed version some thousand, and a
/// listing is cut to fit. Keeps a stranger from growing a component's memory; the outbox takes no
/// letter that is longer, and every transport carries one that is as long.
pub const MAX_BODY_LEN: usize = 512 * 1024;

/// The longest headers, names and values together, in bytes: ours have less than 2 KiB. Headers that
/// are not signed can be added by whoever replays an event, and are kept with it in the quarantine.
const MAX_HEADERS_LEN: usize = 16 * 1024;

/// The unit of reading and of position: one lane for one audience.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The lane.
    pub lane: Lane,
    /// Who reads it.
    pub audience: Audience,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.lane.number(), self.audience)
    }
}

/// A text that is no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream: LANE.AUDIENCE is expected, such as 1.region.eu-1 or 3.authorities")]
pub struct StreamError;

impl FromStr for Stream {
    type Err = StreamError;

    fn from_str(text: &str) -> Result<Self, StreamError> {
        let (lane, audience) = text.split_once('.').ok_or(StreamError)?;
        let lane = Lane::ALL.into_iter().find(|known| known.number().to_string() == lane);
        let audience = audience.parse().map_err(|_| StreamError)?;
        Ok(Self { lane: lane.ok_or(StreamError)?, audience })
    }
}

/// What is read of a stream: all of it, or the words of one author.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading {
    /// The stream.
    pub stream: Stream,
    /// Whose words alone; an authority reads back its own.
    pub words_of: Option<Role>,
}

impl Reading {
    /// All of a stream.
    pub fn all(stream: Stream) -> Self {
        Self { stream, words_of: None }
    }

    /// The words of one author on a stream.
    pub fn words(stream: Stream, author: Role) -> Self {
        Self { stream, words_of: Some(author) }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words_of {
            None => self.stream.fmt(f),
            Some(author) => write!(f, "{}/{author}", self.stream),
        }
    }
}

/// Where a message is published: its stream, whose word it is, and the subject that the mesh compacts by.
/// The author is a part of it, so that a mesh can keep each to its own subjects, and no author's word ever
/// takes the place of another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The stream.
    pub stream: Stream,
    /// The author.
    pub author: Role,
    /// The subject's text.
    pub subject: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "orbital.{}.{}.{}", self.stream, self.author, self.subject)
    }
}

/// What a transport carries; it looks at the address and the revision, never into the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub address: Address,
    /// CloudEvents attributes by header name.
    pub headers: BTreeMap<String, String>,
    /// The event's JSON.
    pub body: Bytes,
}

impl Message {
    /// The author's revision, which a compacting mesh compares; none when the header is damaged.
    pub fn revision(&self) -> Option<Revision> {
        revision_header(&self.headers)
    }
}

/// The attributes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The author, such as `/krypton/eu-1`.
    pub source: String,
    /// The CloudEvents type.
    pub kind: String,
    /// The thing.
    pub subject: String,
    /// Who may read it.
    pub audience: Audience,
    /// The author's revision.
    pub revision: Revision,
    /// When it stops to be worth anything.
    pub expires: Option<Timestamp>,
    /// When it was written.
    pub time: Timestamp,
    /// Which key signed it.
    pub key_id: String,
    /// Its way to the root of what was signed together.
    pub proof: Proof,
    /// Ed25519 over that root.
    pub signature: Vec<u8>,
}

/// Why headers are no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A header is absent.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header can't be read.
    #[error("header {0} can't be read")]
    Unreadable(&'static str),
    /// The body is longer than any event.
    #[error("the body has {0} bytes")]
    TooLong(usize),
    /// The headers are longer than any event's.
    #[error("the headers have {0} bytes")]
    HeadersTooLong(usize),
}

impl Envelope {
    /// What a signature covers.
    pub fn signed_bytes(
        kind: &str,
        subject: &str,
        audience: &Audience,
        revision: Revision,
        expires: Option<Timestamp>,
        body: &[u8],
    ) -> Vec<u8> {
        let audience = audience.to_string();
        let revision = revision.to_string();
        let expires = expires.map(|at| at.to_string()).unwrap_or_default();
        let fields = [
            kind.as_bytes(),
            subject.as_bytes(),
            audience.as_bytes(),
            revision.as_bytes(),
            expires.as_bytes(),
            body,
        ];
        let mut bytes = Vec::with_capacity(DOMAIN.len() + fields.iter().map(|f| f.len() + 8).sum::<usize>());
        bytes.extend_from_slice(DOMAIN);
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        bytes
    }

    /// What is signed for all letters under one root.
    pub(crate) fn root_bytes(size: u16, root: &Hash) -> Vec<u8> {
        [ROOT_DOMAIN, &size.to_be_bytes(), root].concat()
    }

    /// The message that carries this envelope around the letter's body.
    pub(crate) fn into_message(self, letter: &Letter, author: Role) -> Message {
        let mut headers = BTreeMap::from([
            ("ce-specversion".into(), "1.0".into()),
            ("ce-id".into(), format!("{}@{}@{}", self.subject, self.revision, self.audience)),
            ("ce-source".into(), self.source),
            ("ce-type".into(), self.kind),
            ("ce-subject".into(), self.subject.clone()),
            ("ce-time".into(), self.time.to_string()),
            ("content-type".into(), "application/json".into()),
            ("ce-kcmaudience".into(), self.audience.to_string()),
            ("ce-kcmrevision".into(), self.revision.to_string()),
            ("ce-kcmkeyid".into(), self.key_id),
            ("ce-kcmproof".into(), BASE64.encode(self.proof.to_bytes())),
            ("ce-kcmsignature".into(), BASE64.encode(&self.signature)),
        ]);
        if let Some(expires) = self.expires {
            headers.insert("ce-kcmexpiry".into(), expires.to_string());
        }
        let stream = Stream { lane: letter.lane(), audience: self.audience };
        Message {
            address: Address { stream, author, subject: self.subject },
            headers,
            body: Bytes::copy_from_slice(letter.body.as_bytes()),
        }
    }

    /// Reads the attributes of a message. Says nothing about who wrote them.
    ///
    /// # Errors
    /// When an attribute is absent or can't be read, or the body or the headers are too long.
    pub fn read(message: &Message) -> Result<Self, EnvelopeError> {
        if message.body.len() > MAX_BODY_LEN {
            return Err(EnvelopeError::TooLong(message.body.len()));
        }
        let headers_len = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers_len > MAX_HEADERS_LEN {
            return Err(EnvelopeError::HeadersTooLong(headers_len));
        }
        if header(message, "ce-specversion")? != "1.0" {
            return Err(EnvelopeError::Unreadable("ce-specversion"));
        }
        let expires =
            message.headers.get("ce-kcmexpiry").map(|_| parsed(message, "ce-kcmexpiry")).transpose()?;
        let signature = decoded(message, "ce-kcmsignature")?;
        let proof = Proof::from_bytes(&decoded(message, "ce-kcmproof")?)
            .ok_or(EnvelopeError::Unreadable("ce-kcmproof"))?;
        Ok(Self {
            source: header(message, "ce-source")?.into(),
            kind: header(message, "ce-type")?.into(),
            subject: header(message, "ce-subject")?.into(),
            audience: parsed(message, "ce-kcmaudience")?,
            revision: parsed(message, "ce-kcmrevision")?,
            expires,
            time: parsed(message, "ce-time")?,
            key_id: header(message, "ce-kcmkeyid")?.into(),
            proof,
            signature,
        })
    }

    /// The thing that a damaged event was about, as far as its subject tells.
    pub fn tenant_of(subject: &str) -> Option<openkcm_contracts::TenantId> {
        let mut tokens = subject.split('.');
        let tenant = match tokens.next()? {
            "sealed-l2" | "sealed-l3" => tokens.nth(1)?,
            "tenant" | "key" | "purge" | "l1" | "revoke" => tokens.next()?,
            _ => return None,
        };
        openkcm_contracts::TenantId::new(tenant).ok()
    }
}

/// The address of an author's last word about a thing on a stream.
impl From<(Stream, Role, Subject)> for Address {
    fn from((stream, author, subject): (Stream, Role, Subject)) -> Self {
        Self { stream, author, subject: subject.to_string() }
    }
}

/// The author's revision, as headers tell it.
pub(crate) fn revision_header(headers: &BTreeMap<String, String>) -> Option<Revision> {
    headers.get("ce-kcmrevision")?.parse().ok()
}

fn header<'a>(message: &'a Message, name: &'static str) -> Result<&'a str, EnvelopeError> {
    message.headers.get(name).map(String::as_str).ok_or(EnvelopeError::Missing(name))
}

fn decoded(message: &Message, name: &'static str) -> Result<Vec<u8>, EnvelopeError> {
    BASE64.decode(header(message, name)?).map_err(|_| EnvelopeError::Unreadable(name))
}

fn parsed<T: FromStr>(message: &Message, name: &'static str) -> Result<T, EnvelopeError> {
    header(message, name)?.parse().map_err(|_| EnvelopeError::Unreadable(name))
}
