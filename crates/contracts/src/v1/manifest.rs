//! What a Core says it holds, and what an authority asks of it.

use serde::{Deserialize, Serialize};

use crate::{RegionId, Revision, Timestamp};

/// The digest of one bucket of things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketDigest {
    /// Which bucket.
    pub bucket: u32,
    /// The digest over (thing, generation or epoch, revision, content), in hexadecimal.
    pub digest: String,
}

/// One thing of a listed bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedThing {
    /// Its subject, such as `key.acme.hr.payroll`.
    pub subject: String,
    /// The revision that the Core holds.
    pub revision: Revision,
    /// The digest of the content that it holds, in hexadecimal.
    pub digest: String,
}

/// A Core's lease, as it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseReport {
    /// When it runs out by the wall clock.
    pub until: Timestamp,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ManifestBody {
    /// Digests of all buckets: of definitions for the Registry, of links for the CMK Server.
    Digests {
        /// Over definitions.
        definitions: Vec<BucketDigest>,
        /// Over links.
        links: Vec<BucketDigest>,
    },
    /// The contents of the buckets that a query named.
    Listing {
        /// The nonce of the query.
        query: String,
        /// What is held in them.
        things: Vec<ListedThing>,
    },
}

/// `State.Manifest`: what a Core holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateManifest {
    /// The Core's region.
    pub region: RegionId,
    /// Raised each time the Core starts from a new store.
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

/// `Manifest.Query`: the buckets that an authority wants listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestQuery {
    /// The Core's region.
    pub region: RegionId,
    /// Random: the listing echoes it.
    pub nonce: String,
    /// The buckets.
    pub buckets: Vec<u32>,
}
