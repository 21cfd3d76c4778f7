//! `/v1/cores`: what each region's Core told last, and what it was leased; and an operator's word to forget its starts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openkcm_contracts::problem::Code;
use openkcm_contracts::{Period, RegionId, Revision, TenantId, Timestamp};
use openkcm_http::{Answer, Names, Problem, ProblemBody, Query, parse_id};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Context;
use crate::cores;
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
    /// `leased`: it agrees on all links, or on all but some; `lapsed`: it was leased, was not heard since, and its lease
    /// has run out; `silent`: no manifest was heard; `not-leased`: one was heard, and not answered; `superseded`: who
    /// spoke last is an earlier start than the latest, which alone is leased.
    #[schema(example = "leased")]
    pub state: &'static str,
    /// When it was heard last; absent when never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub heard_at: Option<Timestamp>,
    /// Which start of it that was: the latest.
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
    /// Until when it may serve at the latest, if it is not heard any more: when the lease that it was given last has run
    /// out, counted from when it was given, and no earlier than what the Core said of its own last. A Core counts from
    /// when it told the manifest that was answered, a moment before.
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
    /// Earlier starts of the Core that have spoken after a later one had: only the latest start is leased.
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
    /// Buckets (of 256) in which it was not known yet what differs: of their tenants it renewed none that may have
    /// changed, and the others only if the Core agrees on them.
    pub unsettled: usize,
}

/// An earlier start that spoke after a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SupersededBody {
    /// Which one.
    pub incarnation: u64,
    /// When it spoke last.
    #[schema(value_type = String, format = DateTime)]
    pub spoke_at: Timestamp,
    /// Whether it had spoken before the later one, too: then two processes speak for one region. Otherwise it may be
    /// one whose clock was behind when it started; it is leased, as a later start, when the later one has been silent
    /// for five minutes.
    pub is_twin: bool,
}

/// Which Cores a caller wants to see.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Show only the Core of this region.
    #[param(nullable = false)]
    region: Option<String>,
}

/// Most tenants in dispute that are shown of a region.
const MOST_SHOWN: usize = 100;

/// Shows what each region's Core told last, and what it was leased.
#[utoipa::path(get, path = "/v1/cores", tag = "cores", operation_id = "listCores",
    responses(
        (status = 200, description = "The Cores of the landscape.", body = CoresBody),
        (status = 422, description = "`unknown_region`: the landscape has no such region.",
            body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<CoresBody>> {
    let regions = match wanted.region.as_deref().map(parse_id::<RegionId>).transpose()? {
        Some(region) => [context.known_region(region)?].into(),
        None => context.landscape.borrow().regions.clone(),
    };
    let now = context.clock.now();
    let found = context.store.read(move |view| {
        let cores = regions.into_iter().map(|region| {
            let core = store::core(view, &region)?;
            Ok(CoreBody::new(region, core, now))
        });
        cores.collect::<Result<Vec<_>, openkcm_store::StoreError>>()
    });
    let cores = found.await.map_err(|error| Problem::store_unavailable("reading the Cores", &error))?;
    Ok(Json(CoresBody { cores }))
}

/// Forgets which starts of a region's Core were heard of.
///
/// For a region whose Core is not leased since a later start of it was heard of: a copy that ran by mistake and was
/// stopped, or somebody who had the Core's credential. The first Core of the region that speaks afterwards is told to
/// go on as a later start than all before, and is leased. Stop the other one first, and withdraw its credential: where
/// both run, the first to speak is leased, whichever it is. What either was leased before holds to its end.
#[utoipa::path(post, path = "/v1/cores/{r}/forget", tag = "cores", operation_id = "forgetCore",
    params(("r" = String, Path, description = "The region.")),
    responses(
        (status = 200, description = "What is known of the region's Core now.", body = CoreBody),
        (status = 422, description = "`unknown_region`: the landscape has no such region.",
            body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn forget(
    State(context): State<Arc<Context>>,
    Names(region): Names<RegionId>,
) -> Answer<Json<CoreBody>> {
    let region = context.known_region(region)?;
    let of = region.clone();
    let core = context.store.write(move |tx| cores::forget(tx, &of)).await;
    let core = core.map_err(|error: openkcm_store::StoreError| {
        Problem::store_unavailable("forgetting the starts of a Core", &error)
    })?;
    Ok(Json(CoreBody::new(region, core, context.clock.now())))
}

impl Context {
    /// The region, if the landscape has it.
    fn known_region(&self, region: RegionId) -> Answer<RegionId> {
        if self.landscape.borrow().regions.contains(&region) {
            return Ok(region);
        }
        let detail = format!("region: the landscape has no region {region}");
        Err(Problem::new(Code::UnknownRegion, detail).field("region"))
    }
}

impl CoreBody {
    fn new(region: RegionId, core: Core, now: Timestamp) -> Self {
        let heard = core.heard.as_ref().map(|heard| (heard.incarnation, heard.sequence));
        let answered = core.lease.as_ref().map(|lease| (lease.incarnation, lease.sequence));
        let latest = core.incarnations.keys().next_back().copied();
        let is_superseded = |number| core.spoke_last == Some(number) && latest > Some(number);
        let spoke_after = core.incarnations.iter().filter_map(|(number, one)| {
            let spoke_at = one.spoke_again.or(is_superseded(*number).then_some(one.spoke_at))?;
            Some(SupersededBody { incarnation: *number, spoke_at, is_twin: one.spoke_again.is_some() })
        });
        let given_until = core.lease.as_ref().map(|lease| lease.at.after(lease.ttl.duration()));
        let said_until = core.heard.as_ref().and_then(|heard| heard.lease_until);
        let lease_until = given_until.max(said_until);
        Self {
            region,
            state: match heard {
                None => "silent",
                Some(_) if core.spoke_last.is_some_and(is_superseded) => "superseded",
                Some(_) if heard <= answered && core.claims.is_none() => match lease_until <= Some(now) {
                    true => "lapsed",
                    false => "leased",
                },
                Some(_) => "not-leased",
            },
            superseded: spoke_after.collect(),
            heard_at: core.heard.as_ref().map(|heard| heard.at),
            incarnation: core.heard.as_ref().map(|heard| heard.incarnation),
            applied: core.heard.as_ref().and_then(|heard| heard.applied),
            lease_until,
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

#[cfg(test)]
mod tests {
    use openkcm_contracts::Period;

    use super::*;
    use crate::store::{Given, Heard};

    #[test]
    fn a_core_is_leased_until_its_last_lease_has_run_out_and_not_until_the_one_before() {
        let at = Timestamp::from_millis;
        let heard = Heard {
            incarnation: 7,
            sequence: 3,
            nonce: "n".into(),
            at: at(1_000),
            applied: None,
            lease_until: Some(at(9_000)),
            links: String::new(),
        };
        let ttl = Period::from_secs(10).expect("a period");
        let lease = Given { incarnation: 7, sequence: 3, at: at(1_002), ttl, disputes: 0, unsettled: 0 };
        let core = Core { heard: Some(heard), lease: Some(lease), ..Core::default() };
        let shown = |now| {
            let body = CoreBody::new(RegionId::new("a").expect("a label"), core.clone(), at(now));
            (body.state, body.lease_until)
        };
        assert_eq!(shown(9_500), ("leased", Some(at(11_002))));
        assert_eq!(shown(11_002), ("lapsed", Some(at(11_002))));
    }
}
