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
