//! `/v1/cores`: what each region's Core told last, and what it was leased.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openkcm_contracts::{Period, RegionId, Revision, TenantId, Timestamp};
use openkcm_http::{Answer, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::Context;
use crate::store::{self, Core};

/// The Cores of the landscape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CoresBody {
    /// By region.
    pub cores: Vec<CoreBody>,
}

/// A region's Core, as the CMK Server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CoreBody {
    /// The region.
    #[schema(value_type = String, example = "eu-1")]
    pub region: RegionId,
    /// `leased`: it agrees on all links, or on all but some; `silent`: no manifest was heard; `not-leased`: one was
    /// heard, and not answered.
    #[schema(example = "leased")]
    pub state: &'static str,
    /// When it was heard last; absent when never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub heard_at: Option<Timestamp>,
    /// Which start of it that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub incarnation: Option<u64>,
    /// The last revision of the CMK Server that it had applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    pub applied: Option<Revision>,
    /// The last lease that it was given; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lease: Option<LeaseBody>,
    /// When the lease that it has runs out, as it said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub lease_until: Option<Timestamp>,
    /// Tenants in dispute, at most 100 of them: their leases are not renewed.
    #[schema(value_type = Vec<String>)]
    pub disputed: Vec<TenantId>,
    /// A revision of this CMK Server that the Core says to have applied, and that is later than the last one: either
    /// this store is behind, or that Core lies. Absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub claims: Option<Revision>,
    /// Earlier starts of the Core that have spoken after a later one had: two processes speak for one region, and
    /// only the latest start is leased.
    pub superseded: Vec<SupersededBody>,
}

/// A lease that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeaseBody {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub given_at: Timestamp,
    /// How long it holds, from when the manifest that it answers was put together.
    #[schema(value_type = String, example = "1d")]
    pub ttl: Period,
    /// Tenants that it did not renew.
    pub disputes: usize,
    /// Buckets (of 256) of which it renewed no tenant, since it was not known yet what differs in them.
    pub unsettled: usize,
}

/// An earlier start that spoke again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SupersededBody {
    /// Which one.
    pub incarnation: u64,
    /// When it spoke last.
    #[schema(value_type = String, format = DateTime)]
    pub spoke_at: Timestamp,
}

/// Most tenants in dispute that are shown of a region.
const MOST_SHOWN: usize = 100;

/// Shows what each region's Core told last, and what it was leased.
#[utoipa::path(get, path = "/v1/cores", tag = "cores", operation_id = "listCores",
    responses((status = 200, description = "The Cores of the landscape.", body = CoresBody)))]
pub(super) async fn list(State(context): State<Arc<Context>>) -> Answer<Json<CoresBody>> {
    let regions = context.landscape.borrow().regions.clone();
    let found = context.store.read(move |view| {
        let cores = regions.into_iter().map(|region| {
            let core = store::core(view, &region)?;
            Ok(CoreBody::new(region, core))
        });
        cores.collect::<Result<Vec<_>, openkcm_store::StoreError>>()
    });
    let cores = found.await.map_err(|error| Problem::store_unavailable("reading the Cores", &error))?;
    Ok(Json(CoresBody { cores }))
}

impl CoreBody {
    fn new(region: RegionId, core: Core) -> Self {
        let is_answered = core.heard.as_ref().map(|heard| heard.sequence)
            <= core.lease.as_ref().map(|lease| lease.sequence)
            && core.claims.is_none();
        let spoke_again = core.incarnations.iter().filter_map(|(incarnation, one)| {
            Some(SupersededBody { incarnation: *incarnation, spoke_at: one.spoke_again? })
        });
        Self {
            region,
            state: match &core.heard {
                None => "silent",
                Some(_) if is_answered => "leased",
                Some(_) => "not-leased",
            },
            superseded: spoke_again.collect(),
            heard_at: core.heard.as_ref().map(|heard| heard.at),
            incarnation: core.heard.as_ref().map(|heard| heard.incarnation),
            applied: core.heard.as_ref().and_then(|heard| heard.applied),
            lease_until: core.heard.as_ref().and_then(|heard| heard.lease_until),
            lease: core.lease.map(|lease| LeaseBody {
                given_at: lease.at,
                ttl: lease.ttl,
                disputes: lease.disputes,
                unsettled: lease.unsettled,
            }),
            disputed: core.differences.into_keys().take(MOST_SHOWN).collect(),
            claims: core.claims,
        }
    }
}
