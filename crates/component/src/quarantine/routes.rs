//! `/v1/quarantine`: the routes, the same in every component.

use axum::Json;
use openkcm_contracts::TenantId;
use openkcm_contracts::problem::Code;
use openkcm_http::{Answer, Filtered, Names, Page, PageParams, PageQuery, Problem, ProblemBody, parse_id};
use openkcm_orbital::Stream;
use openkcm_orbital::inbox::quarantine::Wanted;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documents::{LISTED_BODY, SHOWN_BODY, Shown};
use super::{EventId, Failure, Quarantine};
use crate::shared::{Holds, Of};

/// The routes of the quarantine, for an actor to put among its own.
pub fn routes<S: Holds<Quarantine> + Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(show, discard)).routes(routes!(retry))
}

/// Which entries a caller wants.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Show only events about this tenant.
    #[param(nullable = false)]
    tenant: Option<String>,
    /// Show only events of this stream, such as `1.region.a`.
    #[param(nullable = false)]
    stream: Option<String>,
}

impl Filter {
    fn check(self, PageQuery { limit, after, .. }: PageQuery) -> Answer<Wanted> {
        let stream = self.stream.map(|text| text.parse::<Stream>()).transpose();
        let stream = stream.map_err(|error| Problem::invalid_request("stream", error.to_string()))?;
        let tenant = self.tenant.as_deref().map(parse_id::<TenantId>).transpose()?;
        Ok(Wanted { stream, tenant, after, limit })
    }
}

/// List quarantined events
///
/// Authentic events that this component could not read or apply: by a later version, as a rule, or by a defect.
/// For each author and thing the newest is kept, in the order of stream, author and subject; of one author
/// 10000 events and 64 MiB. A filter may leave a page short, or empty, that has a `next_cursor`.
#[utoipa::path(get, path = "/v1/quarantine", tag = "quarantine", operation_id = "list_quarantine",
    params(PageParams, Filter),
    responses((status = 200, description = "A page of events, bodies cut.", body = Page<Shown>)))]
async fn list(
    Of(quarantine): Of<Quarantine>,
    Filtered(page, filter): Filtered<Filter>,
) -> Answer<Json<Page<Shown>>> {
    let listed = quarantine.list(filter.check(page)?, |entry| Shown::new(&entry, LISTED_BODY)).await;
    let (items, more_after) = listed.map_err(|error| unreadable(&error))?;
    Ok(Json(Page::ending_at(items, more_after)))
}

/// Show a quarantined event
#[utoipa::path(get, path = "/v1/quarantine/{id}", tag = "quarantine", operation_id = "show_quarantined",
    params(("id" = String, Path, description = "The event's id.")),
    responses((status = 200, description = "The event; a body beyond 16 KiB is cut.", body = Shown)))]
async fn show(Of(quarantine): Of<Quarantine>, Names(id): Names<EventId>) -> Answer<Json<Shown>> {
    Ok(Json(Shown::new(&quarantine.find(&id).await?, SHOWN_BODY)))
}

/// Try a quarantined event again
///
/// It is verified with the keys that are trusted now and applied as if it had just come, which may find that
/// something newer is held. Then it leaves the quarantine. A tenant that was refused because its revoke could
/// not be read stays refused until a newer link.
#[utoipa::path(post, path = "/v1/quarantine/{id}/retry", tag = "quarantine", operation_id = "retry_quarantined",
    params(("id" = String, Path, description = "The event's id.")),
    responses(
        (status = 200, description = "The event that was applied.", body = Shown),
        (status = 409, description = "`still_poison`: it can't be applied yet, and stays.",
            body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn retry(Of(quarantine): Of<Quarantine>, Names(id): Names<EventId>) -> Answer<Json<Shown>> {
    Ok(Json(Shown::new(&quarantine.retry(&id).await?, SHOWN_BODY)))
}

/// Drop a quarantined event
///
/// What it would have said is not applied. It opens nothing: a tenant that was refused because its revoke could
/// not be read stays refused until a newer link. The event comes again if the mesh is read from its beginning.
#[utoipa::path(delete, path = "/v1/quarantine/{id}", tag = "quarantine", operation_id = "drop_quarantined",
    params(("id" = String, Path, description = "The event's id.")),
    responses((status = 200, description = "The event that was dropped.", body = Shown)))]
async fn discard(Of(quarantine): Of<Quarantine>, Names(id): Names<EventId>) -> Answer<Json<Shown>> {
    Ok(Json(Shown::new(&quarantine.discard(&id).await?, SHOWN_BODY)))
}

fn unreadable(error: &openkcm_store::StoreError) -> Problem {
    Problem::store_unavailable("reading the quarantine", error)
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Unknown(_) => Self::new(Code::UnknownEvent, failure.to_string()).field("id"),
            Failure::Poison(rejection) => Self::new(Code::StillPoison, rejection.to_string()),
            Failure::Store(error) => Self::store_unavailable("releasing the event", error),
        }
    }
}
