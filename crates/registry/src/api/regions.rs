//! `GET /v1/regions`: whether the regions hold what they are to hold.

use axum::Json;
use axum::extract::State;
use openkcm_contracts::v1::PurgeReport;
use openkcm_contracts::{RegionId, Revision, Timestamp};
use openkcm_http::{Answer, Names, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::failover::Failover;
use crate::rules::doubt::Doubt;
use crate::{Handle, manifests};

/// The regions of the landscape.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Regions {
    items: Vec<Region>,
}

/// A region, by its last manifest.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Region {
    #[schema(value_type = String, example = "eu-1")]
    region: RegionId,
    /// `in-sync`, when it says that it holds exactly what it is to hold now; `differs`, also while changes are on
    /// their way; `unheard`, when no manifest of it was heard yet.
    state: &'static str,
    /// How many of the 256 buckets of its definitions are not as they are to be; absent when none was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    differing_buckets: Option<usize>,
    /// Where it was found to hold something else than it is to, and not healed yet; `/v1/drift` lists it.
    drift_open: u64,
    /// What of that was healed so far.
    drift_healed: u64,
    /// Whether its claims keep tombstones from being told: `unheard`, after a start of the Registry, for up to two minutes
    /// where it says nothing, and until what it holds otherwise was looked into where it speaks; `open`, when it has applied, or holds, a later word of the Registry than there is;
    /// `overruled`, when an operator has overruled that; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "open")]
    doubt: Option<&'static str>,
    /// How far it has come with what it is to destroy; absent when no manifest was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    purges: Option<Purges>,
    /// Its last manifest; absent when none was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    manifest: Option<Manifest>,
    /// Its last failover; absent when it never was failed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failover: Option<Failover>,
}

/// How far a region has come with what it is to destroy, by its last manifest.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RegionPurges)]
struct Purges {
    /// `confirmed`: it holds each tombstone that there is, and has destroyed all that they end; `waiting`: some wait for
    /// their time there, or are being carried out; `held`: some wait for an operator's word there; `differs`: it does
    /// not hold exactly the tombstones that there are, also while they are on their way.
    #[schema(example = "confirmed")]
    state: &'static str,
    /// How many wait there for their time, or are being carried out.
    waiting: u64,
    /// How many wait there for an operator's word.
    held: u64,
    /// The revision up to which all that it was told to destroy is; absent when it has not said so since it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    up_to: Option<Revision>,
}

/// A manifest.
#[derive(Debug, Serialize, ToSchema)]
struct Manifest {
    /// When it was heard.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Which start of the Core told it: rises with each.
    incarnation: u64,
    /// Its number among that start's.
    sequence: u64,
    /// The last revision of the Registry that the region had applied; absent when none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    applied: Option<Revision>,
}

/// Show whether the regions hold what they are to hold
///
/// A Core tells what it holds in a manifest, soon after it changed and each minute. Here the last one of each region
/// is held against what the region is to hold now.
#[utoipa::path(get, path = "/v1/regions", operation_id = "list_regions", tag = "status",
    responses((status = 200, description = "The regions of the landscape, by name.", body = Regions)))]
pub(crate) async fn list(State(handle): State<Handle>) -> Answer<Json<Regions>> {
    let items = handle.regions().await?.into_iter().map(Region::from).collect();
    Ok(Json(Regions { items }))
}

/// Overrule what a region claims
///
/// A region that has applied, or holds, a later word of the Registry than there is shows that the Registry has lost some,
/// or lies. No tombstone is told, in any region, until it takes that back, or the Registry was started with
/// `--rebuild-from-mesh`, or an operator says here that it is to be gone on all the same: what the Registry's store has
/// for deleted is destroyed then, also if that was taken back by a word that was lost. It holds until the region takes
/// back all that it claims, and no longer than until the Registry's next start. A region that speaks, and is `unheard` since
/// it does not answer, may be overruled too. Where nothing waits for it, nothing changes.
#[utoipa::path(post, path = "/v1/regions/{region}/overrule", operation_id = "overrule_region", tag = "status",
    params(("region" = String, Path, description = "The region.")),
    responses(
        (status = 200, description = "How the region stands now.", body = Region),
        (status = 422, description = "`unknown_region`: it is none of this landscape's.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn overrule(
    State(handle): State<Handle>,
    Names(region): Names<RegionId>,
) -> Answer<Json<Region>> {
    let region = handle.overrule(region).await.map_err(|failure| Problem::from(failure).field("region"))?;
    Ok(Json(region.into()))
}

impl From<manifests::Region> for Region {
    fn from(region: manifests::Region) -> Self {
        let manifests::Region { region, heard, differing, drift, doubt, holds_tombstones, failover } = region;
        let state = match (&heard, differing) {
            (None, _) => "unheard",
            (Some(_), 0) => "in-sync",
            (Some(_), _) => "differs",
        };
        Self {
            region,
            state,
            drift_open: drift.open,
            drift_healed: drift.healed,
            doubt: match doubt {
                Doubt::None => None,
                Doubt::Unheard => Some("unheard"),
                Doubt::Open => Some("open"),
                Doubt::Overruled => Some("overruled"),
            },
            purges: heard.as_ref().map(|heard| Purges::of(heard, holds_tombstones)),
            failover: failover.map(Failover::from),
            differing_buckets: heard.as_ref().map(|_| differing),
            manifest: heard.map(|heard| Manifest {
                at: heard.at,
                incarnation: heard.incarnation,
                sequence: heard.sequence,
                applied: heard.applied,
            }),
        }
    }
}

impl Purges {
    fn of(heard: &manifests::Heard, holds_tombstones: bool) -> Self {
        let PurgeReport { waiting, held, .. } = heard.purges;
        let state = match (holds_tombstones, held, waiting) {
            (false, ..) => "differs",
            (true, 0, 0) => "confirmed",
            (true, 0, _) => "waiting",
            (true, ..) => "held",
        };
        Self { state, waiting, held, up_to: heard.purged }
    }
}
