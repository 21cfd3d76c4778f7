//! Routes of purges: what is to be destroyed, and an operator's word on it.

use axum::Json;
use axum::extract::State;
use openkcm_contracts::{KeyPath, Timestamp};
use openkcm_http::{Answer, Body, Filtered, Page, PageParams, PageQuery, Problem};
use openkcm_store::StoreError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::unreadable;
use crate::service::Handle;
use crate::service::purges::PurgeView;
use crate::store::purge::{Decision, Stage};

/// Most keys of one decision: each is a small change, and all are committed together.
const MAX_DECIDED: usize = 1_000;

/// Which purges a caller wants to see.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Show only purges in this state: `waiting`, `held`, `confirmed` or `done`.
    #[param(nullable = false)]
    state: Option<String>,
}

/// A purge as this region sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Purge {
    /// `tenant/system`, with all its services, or `tenant/system/service`.
    key: String,
    /// The last generation that is refused and destroyed.
    generation: String,
    /// The Registry's revision.
    revision: String,
    /// `waiting` for its time or under way, `held` for an operator's word, `confirmed` by one, `done`.
    #[schema(example = "waiting")]
    state: &'static str,
    /// When this region heard of it.
    #[schema(value_type = String, format = DateTime)]
    heard_at: Timestamp,
    /// How long it waits still at the least, in seconds.
    waits_seconds: u64,
    /// How many versions it has destroyed here.
    destroyed: u64,
}

/// Which purges are decided about: `keys`, or `all` that are concerned, up to 1000 at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionRequest {
    /// Keys, as the list shows them.
    #[serde(default)]
    #[schema(max_items = 1000, example = json!(["acme/hr"]))]
    keys: Option<Vec<String>>,
    /// All of them.
    #[serde(default)]
    #[schema(required = false)]
    all: bool,
}

/// The purges that were decided about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Decided {
    /// Their keys. Those that were not in the state that this concerns are left out.
    keys: Vec<String>,
}

/// List purges
///
/// What the Registry wants destroyed, in the order of names. It is refused since this region heard of it; what is
/// sealed is destroyed when this region's own minimum wait is over and its brake lets it. A filter may leave a page
/// short, or empty, that has a `next_cursor`.
#[utoipa::path(get, path = "/v1/purges", tag = "purges", operation_id = "list_purges",
    params(PageParams, Wanted),
    responses((status = 200, description = "A page of purges.", body = Page<Purge>)))]
pub(super) async fn list(
    State(handle): State<Handle>,
    Filtered(PageQuery { limit, after, .. }, filter): Filtered<Wanted>,
) -> Answer<Json<Page<Purge>>> {
    let stage = filter.state.as_deref().map(stage).transpose()?;
    let listed = handle.purges(after, limit, stage).await.map_err(unreadable)?;
    Ok(Json(Page::ending_at(listed.items.into_iter().map(Purge::from).collect(), listed.more_after)))
}

/// Confirm purges
///
/// Purges that the brake holds, or an operator, are destroyed now. There is no way back.
#[utoipa::path(post, path = "/v1/purges/confirm", tag = "purges", operation_id = "confirm_purges",
    request_body = DecisionRequest,
    responses((status = 200, description = "What was held, and is destroyed now.", body = Decided)))]
pub(super) async fn confirm(
    State(handle): State<Handle>,
    Body(request): Body<DecisionRequest>,
) -> Answer<Json<Decided>> {
    decide(&handle, Decision::Confirm, &request).await
}

/// Hold purges
///
/// Purges that wait are not destroyed before they are confirmed; they stay refused.
#[utoipa::path(post, path = "/v1/purges/hold", tag = "purges", operation_id = "hold_purges",
    request_body = DecisionRequest,
    responses((status = 200, description = "What waited, and is held now.", body = Decided)))]
pub(super) async fn hold(
    State(handle): State<Handle>,
    Body(request): Body<DecisionRequest>,
) -> Answer<Json<Decided>> {
    decide(&handle, Decision::Hold, &request).await
}

async fn decide(handle: &Handle, decision: Decision, request: &DecisionRequest) -> Answer<Json<Decided>> {
    let keys = request.keys()?;
    let decided = handle.decide_purges(decision, keys, MAX_DECIDED).await;
    let decided =
        decided.map_err(|error: StoreError| Problem::store_unavailable("deciding about purges", &error))?;
    Ok(Json(Decided { keys: decided.iter().map(KeyPath::to_string).collect() }))
}

impl DecisionRequest {
    /// The keys; none for all.
    fn keys(&self) -> Answer<Option<Vec<KeyPath>>> {
        let invalid = |detail: String| Err(Problem::invalid_request("keys", detail));
        match (&self.keys, self.all) {
            (None, true) => Ok(None),
            (Some(keys), false) if keys.len() <= MAX_DECIDED => {
                let parsed: Result<_, _> = keys.iter().map(|key| key.parse::<KeyPath>()).collect();
                parsed.map(Some).or_else(|error| invalid(format!("keys: {error}")))
            }
            (Some(_), false) => invalid(format!("keys: at most {MAX_DECIDED} are expected")),
            (None, false) | (Some(_), true) => invalid("keys: either some keys or `all` is expected".into()),
        }
    }
}

fn stage(text: &str) -> Answer<Stage> {
    [Stage::Waiting, Stage::Held, Stage::Confirmed, Stage::Done]
        .into_iter()
        .find(|stage| name_of(*stage) == text)
        .ok_or_else(|| {
            Problem::invalid_request("state", "state: waiting, held, confirmed or done is expected")
        })
}

fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Waiting => "waiting",
        Stage::Held => "held",
        Stage::Confirmed => "confirmed",
        Stage::Done => "done",
    }
}

impl From<PurgeView> for Purge {
    fn from(PurgeView { path, tombstone, waits }: PurgeView) -> Self {
        Self {
            key: path.to_string(),
            generation: tombstone.generation.to_string(),
            revision: tombstone.revision.to_string(),
            state: name_of(tombstone.stage),
            heard_at: tombstone.heard_at,
            waits_seconds: waits.as_secs(),
            destroyed: tombstone.destroyed,
        }
    }
}
