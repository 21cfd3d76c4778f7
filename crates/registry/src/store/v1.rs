//! Version 1 of what the Registry's store holds.
//!
//! Not what is sent: events have forms of their own in `contracts`. A field that is added later has a
//! default, so that a record of today is still read; a change of meaning is a new numbered module.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::{
    Algorithm, DefinitionState, Generation, KeyPath, Layer, Period, RegionId, Revision, ServiceId, SystemId,
    TenantId, Timestamp, VersionId,
};
use serde::{Deserialize, Serialize};

/// Whether a tenant is a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tenancy {
    /// It is.
    Active,
    /// No longer; its keys' material may be destroyed after `purge_at`, not before.
    Offboarded {
        /// When the waiting period is over.
        purge_at: Timestamp,
    },
}

/// The generations under a name that a new definition has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The last of them; all earlier ones have ended too.
    pub generation: Generation,
    /// When the last waiting period of any of them is over.
    pub purge_at: Timestamp,
}

/// A tombstone: what was said of the destruction of a key's material. Never taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// The last generation that is to be destroyed; of a system, with its services.
    pub generation: Generation,
    /// The revision under which it was said.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    /// Its name.
    pub tenant: TenantId,
    /// The revision that made it. Its systems belong to this generation, or have ended with an
    /// earlier one.
    pub generation: Generation,
    /// The revision of its last change.
    pub revision: Revision,
    /// Whether it is a customer.
    pub state: Tenancy,
    /// Where it is served, in order of preference; at least one.
    pub regions: Vec<RegionId>,
    /// The operator's own notes.
    pub labels: BTreeMap<String, String>,
    /// Earlier generations, if there were any.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// When this generation was made.
    pub defined_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
}

/// How far the failover of a region is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailoverPhase {
    /// Its tenants are being moved.
    Moving {
        /// The last tenant that was looked at.
        after: Option<String>,
    },
    /// All were.
    Moved {
        /// Since when.
        at: Timestamp,
    },
    /// Its tenants are being given back.
    Returning,
    /// All were.
    Returned {
        /// Since when.
        at: Timestamp,
    },
}

/// The failover of a region: its tenants are assigned to another one, until they are given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// The region that its tenants leave.
    pub from: RegionId,
    /// The region that takes its place.
    pub to: RegionId,
    /// The revision under which it was said, or that they are given back. A tenant that changed after it is left.
    pub revision: Revision,
    /// How far it is.
    pub phase: FailoverPhase,
    /// When it was said: from then on it survives whatever happens to the Registry.
    pub committed_at: Timestamp,
    /// How many tenants it was to move when it was said.
    pub total: u64,
    /// How many it has moved.
    pub moved: u64,
    /// How many it left where they are: an operator spoke of them after it was said.
    pub left: u64,
    /// When it was said that the tenants are given back.
    pub back_at: Option<Timestamp>,
    /// How many were given back.
    pub returned: u64,
    /// How many were not: an operator has said since where they are to be.
    pub kept: u64,
}

/// A tenant that a failover moved, until it is given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The generation that was moved: one made anew under its name is another tenant.
    pub generation: Generation,
    /// The revision of its move.
    pub revision: Revision,
    /// Where it was.
    pub before: Vec<RegionId>,
    /// Where it is, unless an operator says otherwise.
    pub after: Vec<RegionId>,
}

/// How far a region that has come to a tenant was told of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToldKeys {
    /// Of the systems up to this one, by name.
    Systems(Option<String>),
    /// Of all systems, and of the services up to this one.
    Services(Option<String>),
}

/// A system (an L2) or a service (an L3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its system, or the system that it is.
    pub system: SystemId,
    /// The service that it is; a system has none.
    pub service: Option<ServiceId>,
    /// The revision that made it.
    pub generation: Generation,
    /// The generation of its tenant (for a system) or of its system (for a service) that it belongs
    /// to: it has ended when that one has.
    pub parent: Generation,
    /// The revision of its last change.
    pub revision: Revision,
    /// Its own state; whether it is served depends on its parents too (`rules::standing`).
    pub state: DefinitionState,
    /// What it encrypts with.
    pub algorithm: Algorithm,
    /// How long a version encrypts; never replaced by itself when absent.
    pub rotate_every: Option<Period>,
    /// Versions that are known to others. Of this generation; only grows.
    pub compromised: BTreeSet<VersionId>,
    /// Earlier generations, if there were any.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// When this generation was made.
    pub defined_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl KeyRecord {
    /// Its name.
    pub fn path(&self) -> KeyPath {
        KeyPath::new(self.tenant.clone(), self.system.clone(), self.service.clone())
    }

    /// Its layer.
    pub fn layer(&self) -> Layer {
        if self.service.is_some() { Layer::L3 } else { Layer::L2 }
    }
}
