//! The Registry's facts: what should exist, and what should be destroyed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Algorithm, DefinitionState, Generation, KeyPath, Layer, Period, RegionId, ServiceId, SystemId, TenantId,
    TenantState, VersionId,
};

/// `Tenant.Define`: a tenant and where it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantDefine {
    /// The tenant.
    pub tenant: TenantId,
    /// The revision that made this tenant; all earlier ones under the name have ended.
    pub generation: Generation,
    /// Whether it is to be served.
    pub state: TenantState,
    /// Where, in order of preference.
    pub regions: Vec<RegionId>,
    /// The operator's own notes.
    pub labels: BTreeMap<String, String>,
}

/// `Key.Define`: an L2 or an L3 that should exist, or no longer should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyDefine {
    /// The tenant.
    pub tenant: TenantId,
    /// The system.
    pub system: SystemId,
    /// The service of an L3; an L2 has none.
    pub service: Option<ServiceId>,
    /// The revision that made this definition; it ends all earlier ones under the name.
    pub generation: Generation,
    /// The generation of the tenant (for an L2) or of the system (for an L3) that it belongs to. It
    /// has ended when that one has.
    pub parent: Generation,
    /// The layer.
    pub layer: Layer,
    /// What it encrypts with.
    pub algorithm: Algorithm,
    /// How long a version encrypts before the next one takes its place; never by itself when absent.
    pub rotate_every: Option<Period>,
    /// Whether it is to exist.
    pub state: DefinitionState,
    /// Versions that are known to others: refused in every region.
    pub compromised: BTreeSet<VersionId>,
}

impl KeyDefine {
    /// The key's name.
    pub fn path(&self) -> KeyPath {
        KeyPath::new(self.tenant.clone(), self.system.clone(), self.service.clone())
    }
}

/// `Key.Purge`: the tombstone of a generation and of all earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPurge {
    /// The tenant.
    pub tenant: TenantId,
    /// The system.
    pub system: SystemId,
    /// The service of an L3; an L2 has none.
    pub service: Option<ServiceId>,
    /// The last generation that is to be destroyed.
    pub generation: Generation,
}

impl KeyPurge {
    /// The key's name.
    pub fn path(&self) -> KeyPath {
        KeyPath::new(self.tenant.clone(), self.system.clone(), self.service.clone())
    }
}
