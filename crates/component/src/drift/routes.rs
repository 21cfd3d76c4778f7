//! `/v1/drift`: the route, the same in both authorities.

use axum::Json;
use openkcm_contracts::RegionId;
use openkcm_http::{Answer, Filtered, Page, PageParams, PageQuery, Problem, parse_id};
use openkcm_store::Store;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documents::Shown;
use super::{Wanted, list as list_records};
use crate::shared::{Holds, Of};

/// An authority's drift records.
#[derive(Debug, Clone)]
pub struct Records {
    /// Where they lie.
    pub store: Store,
}

/// The route of the drift records, for an authority to put among its own.
pub fn routes<S: Holds<Records> + Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::default().routes(routes!(list))
}

/// Which records a caller wants.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Show only drift of this region.
    #[param(nullable = false)]
    region: Option<String>,
    /// Show only what is `open` (the default) or `healed`, or `all`.
    #[param(nullable = false)]
    state: Option<String>,
}

impl Filter {
    fn check(self, PageQuery { limit, after, .. }: PageQuery) -> Answer<Wanted> {
        let region = self.region.as_deref().map(parse_id::<RegionId>).transpose()?;
        let healed = match self.state.as_deref() {
            None | Some("open") => Some(false),
            Some("healed") => Some(true),
            Some("all") => None,
            Some(_) => {
                return Err(Problem::invalid_request("state", "state: open, healed or all is expected"));
            }
        };
        Ok(Wanted { region, healed, after, limit })
    }
}

/// List drift
///
/// Where a region was found to hold something else than it is to, and what was done about it: in the order of region,
/// state and subject. Of a region the last 1000 healed records are kept.
#[utoipa::path(get, path = "/v1/drift", tag = "status", operation_id = "list_drift",
    params(PageParams, Filter),
    responses((status = 200, description = "A page of drift records.", body = Page<Shown>)))]
async fn list(
    Of(records): Of<Records>,
    Filtered(page, filter): Filtered<Filter>,
) -> Answer<Json<Page<Shown>>> {
    let wanted = filter.check(page)?;
    let listed = records.store.read(move |view| list_records(view, &wanted)).await;
    let (found, more) =
        listed.map_err(|error| Problem::store_unavailable("reading drift records", &error))?;
    Ok(Json(Page::ending_at(found.into_iter().map(Shown::from).collect(), more)))
}
