//! What requests bring and answers show.
//!
//! Not the stored records: those may change without the interface. What always holds: an answer has no
//! room for a credential or for key material.

use std::collections::BTreeMap;

use openkcm_contracts::v1::{LinkState, OwnerWord};
use openkcm_contracts::{
    Generation, LinkEpoch, Period, RegionId, Revision, RootRef, TenantId, TenantState, Timestamp,
};
use openkcm_http::{Answer, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rules::LinkRequest;
use crate::store::{Health, Pointer, ProbeOutcome, Tenant};

/// A request to link a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkBody {
    /// The roots, the preferred one first; any one of them opens.
    #[schema(min_items = 1, max_items = 4)]
    pub roots: Vec<RootBody>,
    /// The tenant's own lease, where it is to be stricter than the landscape's.
    #[serde(default)]
    #[schema(example = "1h")]
    pub ttl: Option<String>,
    /// The public half of the owner's key (Ed25519, base64): the first link of a tenant pins it, and another one takes its
    /// place only in a link that it signs.
    #[serde(default)]
    #[schema(example = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    pub owner_key: Option<String>,
    /// The owner's word for these roots: with it, regions seal to a root that was not linked before at once, and without
    /// it after a wait.
    #[serde(default)]
    pub owner_word: Option<OwnerWordBody>,
}

/// The word of a tenant's owner, as `openkcm l1 link --sign-with` makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerWordBody {
    /// Above the number of the owner's last word.
    pub number: u64,
    /// The Ed25519 signature, base64.
    #[schema(max_length = 88)]
    pub signature: String,
}

/// A root: a key in the customer's own KMS or HSM. A reference, never a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RootBody {
    /// The provider's name, as this component is configured.
    #[schema(min_length = 1, max_length = 2048, example = "openbao")]
    pub provider: String,
    /// The key, as the provider writes it.
    #[schema(min_length = 1, max_length = 2048, example = "transit/acme")]
    pub key: String,
    /// The provider's options, such as a namespace; at most 16.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A tenant's L1 pointer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PointerBody {
    /// The tenant.
    #[schema(value_type = String, example = "acme")]
    pub tenant: TenantId,
    /// Whether the roots may be used.
    #[schema(value_type = LinkStateBody)]
    pub state: LinkState,
    /// The revision that made the link.
    #[schema(value_type = String, example = "1.41")]
    pub epoch: LinkEpoch,
    /// The revision of the last change; also the `ETag`.
    #[schema(value_type = String, example = "1.42")]
    pub revision: Revision,
    /// The roots, the preferred one first.
    pub roots: Vec<RootBody>,
    /// The tenant's own lease; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1h")]
    pub ttl: Option<Period>,
    /// The generation of the tenant that the link was made for, which the owner's word names.
    #[schema(value_type = String, example = "1.7")]
    pub generation: Generation,
    /// The public half of the owner's key that is pinned; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner_key: Option<String>,
    /// The owner's word for these roots; absent where they were linked without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner_word: Option<OwnerWordBody>,
    /// What the roots answered when they were last asked.
    pub health: HealthBody,
    /// The regions that were ever told of this pointer.
    #[schema(value_type = Vec<String>)]
    pub told: Vec<RegionId>,
    /// When the link of this epoch was made.
    #[schema(value_type = String, format = DateTime)]
    pub linked_at: Timestamp,
    /// When the last change was made.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
    /// Why the link ended; absent while it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "unlinked on request")]
    pub unlink_reason: Option<String>,
}

/// What the roots answered when they were last asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthBody {
    /// What came of it.
    #[schema(value_type = ProbeOutcomeBody)]
    pub outcome: ProbeOutcome,
    /// When they were asked.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What is wrong; absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When a root last did what was asked, as far as that was noted; some minutes old where nothing has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub last_good: Option<Timestamp>,
    /// Since when the outcome is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub since: Option<Timestamp>,
}

/// A tenant and its pointer, as the list shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TenantBody {
    /// The tenant.
    #[schema(value_type = String, example = "acme")]
    pub tenant: TenantId,
    /// What the Registry last told of it.
    #[schema(value_type = String, example = "active")]
    pub tenant_state: TenantState,
    /// The Registry's revision that made the tenant.
    #[schema(value_type = String, example = "1.7")]
    pub generation: Generation,
    /// Where it is served, in order of preference.
    #[schema(value_type = Vec<String>, example = json!(["eu-1", "eu-2"]))]
    pub regions: Vec<RegionId>,
    /// Whether it is linked.
    pub state: PointerState,
    /// The revision that made the link; absent when it was never linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.41")]
    pub epoch: Option<LinkEpoch>,
    /// The pointer's revision; absent when it was never linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    pub revision: Option<Revision>,
    /// What the roots answered when they were last asked; absent when it was never linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub health: Option<HealthBody>,
}

/// Whether a tenant is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PointerState {
    /// Its roots may be used.
    Linked,
    /// It was linked, and is no more.
    Unlinked,
    /// It was never linked.
    None,
}

/// Whether the roots may be used.
#[derive(ToSchema)]
#[schema(as = LinkState, rename_all = "kebab-case")]
#[expect(dead_code, reason = "the description of `LinkState`, which knows no OpenAPI")]
enum LinkStateBody {
    /// They may.
    Linked,
    /// They may not.
    Unlinked,
}

/// What came of asking the roots.
#[derive(ToSchema)]
#[schema(as = ProbeOutcome, rename_all = "kebab-case")]
#[expect(dead_code, reason = "the description of `ProbeOutcome`, which knows no OpenAPI")]
enum ProbeOutcomeBody {
    /// They sealed and unsealed.
    Ok,
    /// A provider refuses a key's use.
    Denied,
    /// A provider does not answer.
    Unreachable,
    /// A reference, or this component's access, is set up wrongly.
    Misconfigured,
}

impl LinkBody {
    /// Checks the form of the request.
    pub(crate) fn check(self) -> Answer<LinkRequest> {
        let ttl = self.ttl.map(|ttl| ttl.parse::<Period>());
        let ttl = ttl.transpose().map_err(|error| Problem::invalid_request("ttl", error.to_string()))?;
        let roots = self.roots.into_iter().map(RootRef::from).collect();
        let word = self.owner_word.map(|OwnerWordBody { number, signature }| OwnerWord { number, signature });
        let request =
            LinkRequest::new(roots, ttl).and_then(|request| request.with_owner(self.owner_key, word));
        request.map_err(|fault| {
            let detail = fault.to_string();
            Problem::invalid_request(fault.field, detail)
        })
    }
}

impl From<RootBody> for RootRef {
    fn from(RootBody { provider, key, options }: RootBody) -> Self {
        Self { provider, key, options }
    }
}

impl From<RootRef> for RootBody {
    fn from(RootRef { provider, key, options }: RootRef) -> Self {
        Self { provider, key, options }
    }
}

impl From<Health> for HealthBody {
    fn from(Health { outcome, at, reason, last_good, since }: Health) -> Self {
        Self { outcome, at, reason, last_good, since }
    }
}

impl From<Pointer> for PointerBody {
    fn from(pointer: Pointer) -> Self {
        Self {
            tenant: pointer.tenant,
            state: pointer.state,
            epoch: pointer.epoch,
            revision: pointer.revision,
            roots: pointer.roots.into_iter().map(RootBody::from).collect(),
            ttl: pointer.ttl,
            generation: pointer.generation,
            owner_key: pointer.owner_key,
            owner_word: pointer
                .owner_word
                .map(|OwnerWord { number, signature }| OwnerWordBody { number, signature }),
            health: pointer.health.into(),
            told: pointer.told.into_keys().collect(),
            linked_at: pointer.linked_at,
            changed_at: pointer.changed_at,
            unlink_reason: pointer.unlinked.map(|unlinked| unlinked.reason.to_string()),
        }
    }
}

impl TenantBody {
    pub(crate) fn new(tenant: Tenant, pointer: Option<Pointer>) -> Self {
        Self {
            state: PointerState::of(pointer.as_ref()),
            tenant: tenant.fact.tenant,
            tenant_state: tenant.fact.state,
            generation: tenant.fact.generation,
            regions: tenant.fact.regions,
            epoch: pointer.as_ref().map(|pointer| pointer.epoch),
            revision: pointer.as_ref().map(|pointer| pointer.revision),
            health: pointer.map(|pointer| pointer.health.into()),
        }
    }
}

impl PointerState {
    pub(crate) fn of(pointer: Option<&Pointer>) -> Self {
        match pointer {
            Some(pointer) if pointer.is_linked() => Self::Linked,
            Some(_) => Self::Unlinked,
            None => Self::None,
        }
    }
}
