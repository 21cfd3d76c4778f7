//! The JSON forms of requests and answers. Not the stored forms, and not the events.

use std::time::Duration;

use openkcm_component::MeshStatus;
use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{Period, RootRef, TenantState, Timestamp, VersionState};
use openkcm_http::Base64;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::LeaseView;
use crate::rules::Refusal;
use crate::service::LineView;

/// What is to be encrypted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncryptRequest {
    /// At most 1 MiB before base64; what is longer belongs in an envelope under a data key.
    pub(crate) plaintext: Base64,
    /// Bound to the ciphertext, not hidden, not kept: decryption needs the same. At most 64 KiB.
    #[serde(default)]
    pub(crate) aad: Option<Base64>,
}

/// A ciphertext, and the version that made it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EncryptAnswer {
    #[schema(example = "kcm1.AQ6f…")]
    pub(crate) ciphertext: String,
    /// The version that encrypted.
    pub(crate) version: String,
    /// Present when the version's sealed form is not known yet to be durable beyond this region.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) at_risk: bool,
}

/// What is to be decrypted or rewrapped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecryptRequest {
    /// As `encrypt`, `datakey` or `rewrap` gave it.
    pub(crate) ciphertext: String,
    /// What was bound to it.
    #[serde(default)]
    pub(crate) aad: Option<Base64>,
}

/// A plaintext, and the version that opened it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecryptAnswer {
    pub(crate) plaintext: Base64,
    /// The version that decrypted.
    pub(crate) version: String,
    /// Present when the version's sealed form is not known yet to be durable beyond this region.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) at_risk: bool,
}

/// What kind of data key is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataKeyRequest {
    /// Its length in bytes.
    #[serde(default = "default_data_key_len")]
    #[schema(minimum = 16, maximum = 1024, default = 32, required = false)]
    pub(crate) bytes: u32,
}

fn default_data_key_len() -> u32 {
    32
}

/// A data key: use the plaintext and forget it, keep the ciphertext beside the data.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DataKeyAnswer {
    pub(crate) plaintext: Base64,
    /// Opened by `decrypt`, without additional data.
    pub(crate) ciphertext: String,
    /// The version that sealed it.
    pub(crate) version: String,
    /// Present when the version's sealed form is not known yet to be durable beyond this region.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) at_risk: bool,
}

/// Nothing to say: `{}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// The version that a rotation made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RotateAnswer {
    pub(crate) version: String,
}

/// A key as this region sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    /// `tenant/system` or `tenant/system/service`.
    pub(crate) key: String,
    /// `L2` or `L3`.
    pub(crate) layer: String,
    /// The revision that made the definition.
    pub(crate) generation: String,
    /// The Registry's revision that is applied here.
    pub(crate) revision: String,
    /// `defined`, `disabled` or `deleted`: what that revision says of this key. What it belongs to may have ended it
    /// all the same.
    #[schema(example = "defined")]
    pub(crate) state: &'static str,
    pub(crate) algorithm: String,
    /// How long a version encrypts; never by itself when null.
    pub(crate) rotate_every: Option<String>,
    /// Whether it is served here.
    pub(crate) serving: bool,
    /// Why not.
    pub(crate) refusal: Option<Reason>,
    /// The version that encrypts.
    pub(crate) active: Option<String>,
    /// The versions that are held here, the oldest first.
    pub(crate) versions: Vec<Version>,
}

/// One version of a key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    pub(crate) version: String,
    pub(crate) counter: u64,
    /// By NIST SP 800-57.
    #[schema(value_type = String, example = "active")]
    pub(crate) state: VersionState,
    #[schema(value_type = String)]
    pub(crate) made_at: Timestamp,
    /// Why it is not open here, if so.
    pub(crate) refusal: Option<Reason>,
    /// Whether its sealed form is not known yet to be durable beyond this region.
    pub(crate) at_risk: bool,
}

/// Why something is not served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reason {
    /// A problem code.
    #[schema(example = "tenant_unlinked")]
    pub(crate) code: String,
    pub(crate) detail: String,
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.to_string(), detail: refusal.detail.into() }
    }
}

/// A tenant as this region sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    pub(crate) tenant: String,
    /// The Registry's revision that is applied here.
    pub(crate) revision: Option<String>,
    pub(crate) generation: Option<String>,
    /// What that revision says of it.
    #[schema(value_type = Option<String>, example = "active")]
    pub(crate) state: Option<TenantState>,
    /// The link that is applied here.
    pub(crate) link: Option<Link>,
    /// Whether the tenant is served here.
    pub(crate) serving: bool,
    /// Why not.
    pub(crate) refusal: Option<Reason>,
    /// When the lease that it is served under runs out, by the wall clock; absent while it is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub(crate) lease_deadline: Option<Timestamp>,
    /// Versions of its keys whose sealed form would be lost with this Core's disk.
    pub(crate) versions_at_risk: usize,
    /// Roots of the link that nothing is sealed to yet: they came into it later, and the tenant's owner has not signed for
    /// them.
    pub(crate) awaited_roots: Vec<AwaitedRoot>,
}

/// A root that nothing is sealed to yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AwaitedRoot {
    /// The provider's name.
    pub(crate) provider: String,
    /// The key, as the provider writes it.
    pub(crate) key: String,
    /// How long it is waited for still, in seconds in which this Core runs.
    pub(crate) waits_secs: u64,
}

impl From<(RootRef, Duration)> for AwaitedRoot {
    fn from((root, waits): (RootRef, Duration)) -> Self {
        Self { provider: root.provider, key: root.key, waits_secs: waits.as_secs() }
    }
}

/// A link as this region sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Link {
    /// The revision that made it.
    pub(crate) epoch: String,
    #[schema(value_type = String, example = "linked")]
    pub(crate) state: LinkState,
    /// The CMK Server's revision.
    pub(crate) revision: String,
}

/// What the Core says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CoreStatus {
    pub(crate) region: String,
    /// The time here.
    #[schema(value_type = String)]
    pub(crate) now: Timestamp,
    /// The mesh, as this Core sees it.
    pub(crate) mesh: MeshStatus,
    /// The region's lease of the CMK Server.
    pub(crate) lease: Lease,
    /// Tenants that are not served for what their L1 says.
    pub(crate) l1: L1,
    pub(crate) tenants: Tenants,
    /// Versions whose sealed form would be lost with this Core's disk.
    pub(crate) versions_at_risk: usize,
    /// The tenants that have the most of them, 100 at most.
    pub(crate) tenants_at_risk: Vec<TenantAtRisk>,
    /// How far the region has come with opening keys.
    pub(crate) warm_up: WarmUp,
    /// How much is to be asked of each L1 provider that is configured.
    pub(crate) providers: Vec<Provider>,
    pub(crate) purges: PurgeCounts,
    /// Tenants with a root in their link that nothing is sealed to yet: its owner has not signed for it, and the wait is
    /// not over.
    pub(crate) roots_awaited: usize,
    pub(crate) locked_memory: LockedMemory,
}

/// A tenant with versions whose sealed form would be lost with this Core's disk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantAtRisk {
    pub(crate) tenant: String,
    pub(crate) versions: usize,
}

/// How far the region has come with opening keys. A system is opened by its tenant's L1 provider, its services with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarmUp {
    /// Systems of tenants that are served of which a version of the L2 is open.
    pub(crate) systems_open: usize,
    /// All systems of tenants that are served that have a version, open here or not.
    pub(crate) systems: usize,
    /// Tenants whose systems were not counted yet, or not all.
    pub(crate) tenants_left: usize,
}

/// How much is to be asked of an L1 provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Provider {
    #[schema(example = "openbao")]
    pub(crate) provider: String,
    pub(crate) waiting: Waiting,
    /// Unseals and seals that are under way.
    pub(crate) under_way: usize,
    /// Questions in a second that are asked at most, at present: fewer than configured while the provider limits the
    /// rate.
    pub(crate) per_second: u64,
    /// Questions that were refused for their rate alone since the start; they were, or will be, asked again.
    pub(crate) throttled: u64,
}

/// Questions that wait for their turn, by what they wait as.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Waiting {
    /// About systems that a caller waits for: these come first.
    pub(crate) demanded: usize,
    /// Whether roots may be used still.
    pub(crate) probes: usize,
    /// All other unseals and seals.
    pub(crate) rest: usize,
}

impl From<(String, LineView)> for Provider {
    fn from((provider, view): (String, LineView)) -> Self {
        let LineView { demanded, probes, rest, under_way, per_second, asked: _, throttled } = view;
        Self { provider, waiting: Waiting { demanded, probes, rest }, under_way, per_second, throttled }
    }
}

/// Tenants that are not served for what their L1 says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct L1 {
    /// The owner of a root denies its use.
    pub(crate) denied: usize,
    /// No root has proved for the length of a lease that it may be used.
    pub(crate) unreachable: usize,
}

/// The region's lease of the CMK Server: nobody is served without one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Lease {
    /// `none`, `held` or `expired`.
    #[schema(example = "held")]
    pub(crate) state: &'static str,
    /// When it runs out, by the wall clock; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub(crate) deadline: Option<Timestamp>,
    /// How long it holds in all; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1d")]
    pub(crate) ttl: Option<Period>,
    /// The part of it that is used, in per cent; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) used_percent: Option<u32>,
    /// Tenants that would be served, had they a lease.
    pub(crate) waiting: usize,
    /// Tenants that the CMK Server does not renew at present, since it does not agree on them.
    pub(crate) in_dispute: usize,
    /// Whether nobody is served yet, lease or none, since the Core had none when it started, and reads first what was said
    /// meanwhile.
    pub(crate) reads_first: bool,
}

impl From<LeaseView> for Lease {
    fn from(view: LeaseView) -> Self {
        let state = match view.used_percent {
            None => "none",
            Some(used) if used >= 100 => "expired",
            Some(_) => "held",
        };
        let LeaseView { until: deadline, ttl, used_percent, waiting, apart: in_dispute, reads_first } = view;
        Self { state, deadline, ttl, used_percent, waiting, in_dispute, reads_first }
    }
}

/// How many purges there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PurgeCounts {
    /// Those that wait for their time, or are under way.
    pub(crate) waiting: u64,
    /// Those that wait for an operator's word, since more would be destroyed than the brake lets through.
    pub(crate) held: u64,
    /// Key versions that were destroyed since the store was made.
    pub(crate) destroyed: u64,
}

/// How many tenants there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenants {
    pub(crate) serving: usize,
    pub(crate) known: usize,
}

/// Plaintext keys of the whole process.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LockedMemory {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}
