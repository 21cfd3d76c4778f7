//! Routes of a region's failover.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use openkcm_contracts::{RegionId, Revision, TenantId, Timestamp};
use openkcm_http::{Answer, Body, Filtered, IfMatch, Names, Page, PageParams, Problem, WithEtag, parse_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{answer, precondition};
use crate::Handle;
use crate::commands::{self, Failure, Survey};
use crate::rules::Refusal;
use crate::store::{self, FailoverPhase, Moved, failovers};

/// Where the tenants of a lost region go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "us-1"}))]
pub(crate) struct FailoverRequest {
    /// The region that takes its place in the list of each tenant.
    to: String,
    /// Only say what would be moved.
    #[serde(default)]
    dry_run: bool,
}

/// The failover of a region.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failover {
    /// The region that its tenants leave.
    #[schema(value_type = String, example = "eu-1")]
    from: RegionId,
    /// The region that takes its place.
    #[schema(value_type = String, example = "us-1")]
    to: RegionId,
    /// `moving`: tenants are being moved, and regions told of their keys; `moved`: all were; `returning`: they are being
    /// given back; `returned`: all were.
    #[schema(example = "moving")]
    state: &'static str,
    /// How many tenants there were to move when it was said.
    tenants: u64,
    /// How many were moved so far.
    moved: u64,
    /// How many stay where they are, since an operator defined or changed them after it was said.
    left: u64,
    /// How many were given back so far.
    returned: u64,
    /// How many were not given back, since an operator has said meanwhile where they are to be.
    kept: u64,
    /// When it was said, and committed.
    #[schema(value_type = String, format = DateTime)]
    committed_at: Timestamp,
    /// When it was said that the tenants are given back; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    back_at: Option<Timestamp>,
    /// Since when all are moved, or given back; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    finished_at: Option<Timestamp>,
    /// The revision under which it was said, or that the tenants are given back: its ETag. Progress does not change it.
    #[schema(value_type = String, example = "1.42")]
    revision: Revision,
}

/// What a failover would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailoverSurvey {
    /// The region that tenants would leave.
    #[schema(value_type = String, example = "eu-1")]
    from: RegionId,
    /// The region that would take its place.
    #[schema(value_type = String, example = "us-1")]
    to: RegionId,
    /// How many tenants would be moved.
    tenants: u64,
    /// How many of them are in the second region already: it knows their keys.
    known: u64,
}

/// A tenant that a failover moved, and that was not given back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovedTenant {
    #[schema(value_type = String, example = "acme")]
    tenant: TenantId,
    /// Where it was, and goes back to.
    #[schema(value_type = Vec<String>)]
    before: Vec<RegionId>,
    /// Where it was put.
    #[schema(value_type = Vec<String>)]
    after: Vec<RegionId>,
    /// The tenant's revision with which it was moved: a region that has applied it knows.
    #[schema(value_type = String, example = "1.43")]
    revision: Revision,
}

/// The list of moved tenants has no filters of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilter {}

/// Show the failover of a region
#[utoipa::path(get, path = "/v1/regions/{region}/failover", operation_id = "read_failover", tag = "failover",
    params(("region" = String, Path, description = "The region that was failed over.")),
    responses(
        (status = 200, description = "Its last failover, and how far it is.", body = Failover,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 404, description = "`not_failed_over`: it never was.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn read(
    State(handle): State<Handle>,
    Names(region): Names<RegionId>,
) -> Answer<WithEtag<Json<Failover>>> {
    let found = handle.ask(move |view| {
        let held = failovers::of(view, &region)?;
        held.ok_or_else(|| Failure::from(Refusal::NotFailedOver(region)))
    });
    let failover = found.await?;
    Ok(WithEtag(failover.revision, Json(failover.into())))
}

/// Fail a region over
///
/// Each tenant that has the region in its list gets the other one in its place; the region is told that they are
/// withdrawn there, the other one of all their keys, and the CMK Server of where they are. The answer comes when the
/// failover is committed; tenants follow one by one, whatever happens to the Registry meanwhile. Where each tenant was
/// is remembered for the fail-back. A tenant that is defined or changed after the failover was said is left as it is.
///
/// Said again while it holds it changes nothing. With its ETag as If-Match it moves what has come to the region since;
/// that is needed too to fail a region over again whose tenants were given back. With `dry_run` nothing is changed, and
/// the answer says what would be moved (`FailoverSurvey`).
#[utoipa::path(post, path = "/v1/regions/{region}/failover", operation_id = "begin_failover", tag = "failover",
    params(("region" = String, Path, description = "The region that is lost."), IfMatch),
    request_body = FailoverRequest,
    responses(
        (status = 200, description = "It is failed over, again or already; or what would be moved.",
            body = FailoverOrSurvey),
        (status = 201, description = "It is failed over.", body = Failover,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "`failover_in_force`: it is failed over to another region, its tenants are being \
            given back, or the other region was failed over itself.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`unknown_region`: a region is none of this landscape's.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`authority_stale`, or `not_ready` while the Registry does not know yet whether it \
            is current.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn begin(
    State(handle): State<Handle>,
    Names(from): Names<RegionId>,
    if_match: IfMatch,
    Body(request): Body<FailoverRequest>,
) -> Answer<Response> {
    let to = parse_id::<RegionId>(&request.to).map_err(|problem| problem.field("to"))?;
    let (precondition, pair) = (precondition(if_match), (from.clone(), to.clone()));
    let found = handle.ask(move |view| Ok(commands::survey(view, &pair.0, &pair.1)?)).await?;
    let refused = |failure: Failure| match failure {
        Failure::Refused(Refusal::UnknownRegion(unknown)) => {
            let field = if unknown == from { "region" } else { "to" };
            Problem::from(Failure::from(Refusal::UnknownRegion(unknown))).field(field)
        }
        failure => failure.into(),
    };
    let (lost, survivor) = (from.clone(), to.clone());
    if request.dry_run {
        handle.check_failover(lost, survivor).await.map_err(refused)?;
        let Survey { tenants, known } = found;
        return Ok(Json(FailoverSurvey { from, to, tenants, known }).into_response());
    }
    let change = handle.change_failover(move |tx, landscape, now| {
        let regions = (&lost, &survivor);
        commands::fail_over(tx, landscape, regions, &precondition, found.tenants, now)
    });
    let outcome = change.await.map_err(refused)?;
    let failover = outcome.record().clone();
    Ok(answer(&outcome, failover.revision, Failover::from(failover)))
}

/// Give the tenants of a region back
///
/// Each tenant that its failover moved gets the list of regions that it had before, unless an operator has said
/// meanwhile where it is to be: that one stays, and is counted. Versions that were made on either side are kept on both.
/// `If-Match` with the ETag of the failover that is meant is needed: a retry that comes late undoes no later one.
#[utoipa::path(post, path = "/v1/regions/{region}/failback", operation_id = "begin_failback", tag = "failover",
    params(("region" = String, Path, description = "The region that was failed over, and is there again."), IfMatch),
    responses(
        (status = 200, description = "Its tenants are being given back, or were already.", body = Failover,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 404, description = "`not_failed_over`: it never was.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`: it is another failover that holds now.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`unknown_region`: it is none of this landscape's.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`precondition_required`: it was sent without `If-Match`.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`authority_stale`, or `not_ready` while the Registry does not know yet whether it \
            is current.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn back(
    State(handle): State<Handle>,
    Names(region): Names<RegionId>,
    if_match: IfMatch,
) -> Answer<Response> {
    let precondition = precondition(if_match);
    let change = handle.change_failover(move |tx, landscape, now| {
        commands::fail_back(tx, landscape, &region, &precondition, now)
    });
    let outcome = change.await.map_err(|failure| match failure {
        Failure::Refused(Refusal::UnknownRegion(_)) => Problem::from(failure).field("region"),
        failure => failure.into(),
    })?;
    let failover = outcome.record().clone();
    Ok(answer(&outcome, failover.revision, Failover::from(failover)))
}

/// List the tenants that a failover moved
///
/// Those that were not given back yet, in the order of their names.
#[utoipa::path(get, path = "/v1/regions/{region}/failover/tenants", operation_id = "list_moved_tenants",
    tag = "failover",
    params(("region" = String, Path, description = "The region that was failed over."), PageParams),
    responses((status = 200, description = "A page of tenants.", body = Page<MovedTenant>)))]
pub(crate) async fn tenants(
    State(handle): State<Handle>,
    Names(region): Names<RegionId>,
    Filtered(page, NoFilter {}): Filtered<NoFilter>,
) -> Answer<Json<Page<MovedTenant>>> {
    let (after, most) = (page.after.clone(), page.fetch());
    let found = handle.ask(move |view| Ok(failovers::moved(view, &region, after.as_deref(), most)?)).await?;
    let shown = |(tenant, moved)| {
        let Moved { revision, before, after, .. } = moved;
        MovedTenant { tenant, before, after, revision }
    };
    Ok(Json(page.page(found.into_iter().map(shown).collect(), |moved| moved.tenant.to_string())))
}

/// What the request to fail a region over is answered with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "shows both answers in the OpenAPI document")]
pub(crate) enum FailoverOrSurvey {
    /// It is committed.
    Failover(Failover),
    /// With `dry_run`.
    Survey(FailoverSurvey),
}

impl From<store::Failover> for Failover {
    fn from(failover: store::Failover) -> Self {
        let store::Failover { from, to, revision, phase, committed_at, total, .. } = failover;
        let (state, finished_at) = match phase {
            FailoverPhase::Moving { .. } => ("moving", None),
            FailoverPhase::Moved { at } => ("moved", Some(at)),
            FailoverPhase::Returning => ("returning", None),
            FailoverPhase::Returned { at } => ("returned", Some(at)),
        };
        let store::Failover { moved, left, returned, kept, back_at, .. } = failover;
        Self {
            from,
            to,
            state,
            tenants: total,
            moved,
            left,
            returned,
            kept,
            committed_at,
            back_at,
            finished_at,
            revision,
        }
    }
}
