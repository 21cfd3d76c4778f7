//! The JSON forms of requests and answers. Not the stored forms, and not the events.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::{
    Algorithm, DefinitionState, Generation, Layer, Period, RegionId, Revision, ServiceId, SystemId, TenantId,
    Timestamp, VersionId,
};
use openkcm_http::{Answer, Problem, parse_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::queries::Shown;
use crate::rules::{KeySpec, Level, Standing, TenantSpec};
use crate::store::{KeyRecord, TenantRecord};

/// What a tenant should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"regions": ["eu-1", "us-1"], "labels": {"contract": "2026-0042"}}))]
pub(crate) struct TenantRequest {
    /// Where it is served, in order of preference: regions of the landscape, each once.
    #[schema(min_items = 1, max_items = 64)]
    regions: Vec<String>,
    /// Notes of the operator's own: at most 64, names up to 63 bytes, values up to 256.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl TenantRequest {
    pub(crate) fn spec(self) -> Answer<TenantSpec> {
        let regions = self.regions.iter().enumerate().map(|(index, text)| {
            parse_id::<RegionId>(text).map_err(|problem| problem.field(format!("regions[{index}]")))
        });
        Ok(TenantSpec { regions: regions.collect::<Answer<_>>()?, labels: self.labels })
    }
}

/// What a system or a service should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"algorithm": "AES256", "rotate_every": "90d"}))]
pub(crate) struct DefinitionRequest {
    /// What it encrypts with.
    #[serde(default)]
    #[schema(value_type = AlgorithmName, required = false)]
    algorithm: Algorithm,
    /// How long a version encrypts before the next one takes its place, such as `90d` or `12h`;
    /// never by itself when absent or null.
    #[serde(default)]
    rotate_every: Option<String>,
}

impl DefinitionRequest {
    pub(crate) fn spec(self) -> Answer<KeySpec> {
        let rotate_every = self.rotate_every.map(|text| text.parse::<Period>()).transpose();
        let rotate_every = rotate_every
            .map_err(|error| Problem::invalid_request("rotate_every", format!("rotate_every: {error}")))?;
        Ok(KeySpec { algorithm: self.algorithm, rotate_every })
    }
}

/// The algorithms that there are.
#[derive(ToSchema)]
#[schema(as = Algorithm, default = "AES256")]
#[expect(dead_code, reason = "shows contracts::Algorithm in the OpenAPI document")]
pub(crate) enum AlgorithmName {
    /// A 256-bit AES key, used by XAES-256-GCM (C2SP).
    AES256,
}

/// The version that is known to others.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"version": "0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5"}))]
pub(crate) struct CompromiseRequest {
    /// Its id, as ciphertexts and the Core's list of versions name it.
    #[schema(format = "uuid")]
    version: String,
}

impl CompromiseRequest {
    pub(crate) fn version(&self) -> Answer<VersionId> {
        parse_id(&self.version)
    }
}

/// Whether a tenant is a customer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TenantStateName {
    /// It is.
    Active,
    /// No longer; undelete it before `purge_at`.
    Offboarded,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    /// Its name.
    #[schema(value_type = String)]
    tenant: TenantId,
    /// Whether it is a customer.
    state: TenantStateName,
    /// Where it is served, in order of preference.
    #[schema(value_type = Vec<String>)]
    regions: Vec<RegionId>,
    /// Notes of the operator's own.
    labels: BTreeMap<String, String>,
    /// The revision that made it: defined again after an offboarding it is another tenant.
    #[schema(value_type = String)]
    generation: Generation,
    /// The revision of its last change; its ETag.
    #[schema(value_type = String)]
    revision: Revision,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    defined_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// When the waiting period of its offboarding is over; a Core's own minimum wins if it is later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    purge_at: Option<Timestamp>,
}

impl From<TenantRecord> for Tenant {
    fn from(record: TenantRecord) -> Self {
        let (state, purge_at) = match Standing::of_tenant(&record) {
            Standing::Live => (TenantStateName::Active, None),
            Standing::Ended(end) => (TenantStateName::Offboarded, Some(end.purge_at)),
        };
        Self {
            tenant: record.tenant,
            state,
            regions: record.regions,
            labels: record.labels,
            generation: record.generation,
            revision: record.revision,
            defined_at: record.defined_at,
            changed_at: record.changed_at,
            purge_at,
        }
    }
}

/// Whether a definition stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StateName {
    /// It exists and is served.
    Defined,
    /// It exists and is refused for now.
    Disabled,
    /// It is deleted, or what it belongs to is: `ended_by` says which.
    Deleted,
}

/// What ended a definition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LevelName {
    /// Its tenant's end.
    Tenant,
    /// Its system's end.
    System,
    /// Its own.
    Service,
}

/// A system (an L2), or a service (an L3).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Definition {
    /// Its tenant.
    #[schema(value_type = String)]
    tenant: TenantId,
    /// Its system, or the system that it is.
    #[schema(value_type = String)]
    system: SystemId,
    /// The service that it is; a system has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    service: Option<ServiceId>,
    /// `L2` for a system, `L3` for a service.
    #[schema(value_type = String)]
    layer: Layer,
    /// Whether it stands, what it belongs to taken into account.
    state: StateName,
    /// The nearest that was deleted, while it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ended_by: Option<LevelName>,
    /// When its material may be destroyed, while it is deleted; a Core's own minimum wins if it is later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    purge_at: Option<Timestamp>,
    /// When the regions were told to destroy its material: it can only be defined again since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    purged_at: Option<Timestamp>,
    /// The regions that have said since that nothing of it is left there; absent while none has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    purged_in: Vec<RegionId>,
    /// What it encrypts with.
    #[schema(value_type = AlgorithmName)]
    algorithm: Algorithm,
    /// How long a version encrypts; null when none is ever replaced by itself.
    #[schema(value_type = Option<String>, required)]
    rotate_every: Option<Period>,
    /// The versions that are refused in every region.
    #[schema(value_type = Vec<String>)]
    compromised: BTreeSet<VersionId>,
    /// The revision that made it: defined again after its end it is another key.
    #[schema(value_type = String)]
    generation: Generation,
    /// The generation of its tenant (a system) or its system (a service) that it belongs to.
    #[schema(value_type = String)]
    parent: Generation,
    /// The revision of its last change; its ETag.
    #[schema(value_type = String)]
    revision: Revision,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    defined_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

impl From<Shown<KeyRecord>> for Definition {
    fn from(Shown { record, standing, purged_at, purged_in }: Shown<KeyRecord>) -> Self {
        let (state, end) = match standing {
            Standing::Live if record.state == DefinitionState::Disabled => (StateName::Disabled, None),
            Standing::Live => (StateName::Defined, None),
            Standing::Ended(end) => (StateName::Deleted, Some(end)),
        };
        Self {
            layer: record.layer(),
            tenant: record.tenant,
            system: record.system,
            service: record.service,
            state,
            ended_by: end.map(|end| end.by.into()),
            purge_at: end.map(|end| end.purge_at),
            purged_at,
            purged_in,
            algorithm: record.algorithm,
            rotate_every: record.rotate_every,
            compromised: record.compromised,
            generation: record.generation,
            parent: record.parent,
            revision: record.revision,
            defined_at: record.defined_at,
            changed_at: record.changed_at,
        }
    }
}

impl From<Level> for LevelName {
    fn from(level: Level) -> Self {
        match level {
            Level::Tenant => Self::Tenant,
            Level::System => Self::System,
            Level::Service => Self::Service,
        }
    }
}
