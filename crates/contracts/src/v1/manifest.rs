//! What a Core says it holds, and what an authority asks of it.
//!
//! What is held is summed up by units: a tenant's word is one, its systems are one, a system's services are one, a
//! tenant's link is one. Units lie in buckets by the hash of their name. Where two sides differ they look into buckets,
//! then into units, and list things only where few are left. Why so: `docs/adr/0015-digests-by-system.md`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Role, Subject};
use crate::{RegionId, Revision, Timestamp};

/// How far beyond the clock of whoever hears it a Core's start may lie, which the Core's own clock dates.
const START_AHEAD: Duration = Duration::from_secs(86_400);

/// What kind of things a digest is over: each kind has one authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Tenants, systems and services, and tombstones: the Registry's.
    Definitions,
    /// Pointers: the CMK Server's.
    Links,
}

impl Kept {
    /// Whose things they are: who may ask for them, and who compares them.
    pub const fn authority(self) -> Role {
        match self {
            Self::Definitions => Role::Registry,
            Self::Links => Role::Cmk,
        }
    }

    /// Its name in subjects.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Definitions => "definitions",
            Self::Links => "links",
        }
    }
}

/// A part of what is held, into which the other side can look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Node {
    /// The units whose name's hash begins with this byte.
    Bucket(u8),
    /// The units whose name's hash begins with these two bytes, the first one high.
    Place(u16),
    /// A unit: `acme` is that tenant's word, or its link; `acme@1.4` the systems of that generation of it;
    /// `acme/hr@1.7` the services of that generation of its system; `acme/hr@purged` the tombstones of the system and of
    /// its services.
    Unit(String),
    /// The things of a unit whose subject's hash begins with a byte.
    Part {
        /// The unit.
        unit: String,
        /// The byte.
        part: u8,
    },
}

/// The digest of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDigest {
    /// Which one.
    pub node: Node,
    /// The digest over (thing, revision, content), in hexadecimal.
    pub digest: String,
}

/// One thing that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedThing {
    /// Its subject, such as `key.acme.hr.payroll`.
    pub subject: String,
    /// The revision that the Core holds.
    pub revision: Revision,
    /// The digest of the thing, its revision and content, in hexadecimal.
    pub digest: String,
}

/// What is in a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Contents {
    /// Smaller nodes: all of them that hold anything.
    Nodes(Vec<NodeDigest>),
    /// All things.
    Things(Vec<ListedThing>),
}

/// A node, looked into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Which one.
    pub node: Node,
    /// What is in it.
    pub contents: Contents,
}

/// A Core's lease, as it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseReport {
    /// When it runs out by the wall clock.
    pub until: Timestamp,
}

/// How far a Core has come with what it was told to destroy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeReport {
    /// The digest over all tombstones that it holds, in hexadecimal.
    pub digest: String,
    /// Tombstones that wait for their time, or are being carried out.
    pub waiting: u64,
    /// Tombstones that wait for an operator's word.
    pub held: u64,
    /// The first revision of those; what was told before it is destroyed.
    pub first_open: Option<Revision>,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ManifestBody {
    /// The digests of all buckets: 256 of 16 bytes each, base64.
    Digests {
        /// Over definitions.
        definitions: String,
        /// Over links.
        links: String,
        /// The last revision of the Registry that the Core had applied.
        registry: Option<Revision>,
        /// The last revision of the CMK Server that it had applied.
        cmk: Option<Revision>,
        /// How far it has come with what it is to destroy.
        purges: PurgeReport,
    },
    /// The answer to a query.
    Listing {
        /// The nonce of the query.
        query: String,
        /// Of what kind of things.
        of: Kept,
        /// The nodes that were asked for, looked into.
        listed: Vec<Listed>,
    },
}

/// `State.Manifest`: what a Core holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateManifest {
    /// The Core's region.
    pub region: RegionId,
    /// Raised with each start of the Core, and when the CMK Server tells it to go on as a later one; as its clock dates
    /// it, in seconds since the Unix epoch, or later.
    pub incarnation: u64,
    /// Raised with each manifest of an incarnation.
    pub sequence: u64,
    /// Random: a lease must echo it.
    pub nonce: String,
    /// The lease that the Core has.
    pub lease: Option<LeaseReport>,
    /// What it holds.
    pub body: ManifestBody,
}

impl StateManifest {
    /// Whether it claims a start of its Core that lies far in the future, as no honest clock would date it. An authority
    /// that believed it would take no manifest of an honest start for a later one any more.
    pub fn is_far_ahead(&self, now: Timestamp) -> bool {
        is_far_ahead(self.incarnation, now)
    }

    /// The digests of a region are one thing, and its answers to each authority another: in an outbox none of them
    /// takes another's place.
    pub(super) fn subject(&self) -> Subject {
        let region = self.region.as_str();
        match &self.body {
            ManifestBody::Digests { .. } => Subject::new("manifest", [region]),
            ManifestBody::Listing { of, .. } => Subject::new("listing", [region, of.as_str()]),
        }
    }
}

/// Whether a start of a Core, which is dated in seconds, lies further ahead of now than clocks are apart.
pub fn is_far_ahead(incarnation: u64, now: Timestamp) -> bool {
    incarnation > now.after(START_AHEAD).as_millis() / 1_000
}

/// `Manifest.Query`: the nodes that an authority wants to look into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestQuery {
    /// The Core's region.
    pub region: RegionId,
    /// Random: the listing echoes it.
    pub nonce: String,
    /// Of what kind of things: an authority asks for its own.
    pub of: Kept,
    /// The nodes.
    pub nodes: Vec<Node>,
}
