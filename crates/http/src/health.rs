//! The four routes that every component has: `/livez`, `/readyz`, `/metrics`, `/openapi.json`.
//!
//! Alive means that the process answers at all; ready means that the component can do its work, and is
//! for the component to say. A component that is ready with a defect says that too.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bytes::Bytes;
use openkcm_contracts::problem::Code;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Answer, Problem};

/// The media type of what `/metrics` answers.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a component can do its work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether it can.
    ready: bool,
    /// What keeps it from it; or, when it is ready, what an operator should know.
    reasons: Vec<String>,
}

impl Readiness {
    /// Ready, with nothing to tell.
    pub fn ready() -> Self {
        Self { ready: true, reasons: Vec::new() }
    }

    /// Not ready, for this reason.
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self { ready: false, reasons: vec![reason.into()] }
    }

    /// Adds something to tell. It changes nothing about being ready.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(reason.into());
        self
    }

    /// Ready only if both are; with the reasons of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.ready &= other.ready;
        self.reasons.extend(other.reasons);
        self
    }

    /// Whether the component can do its work.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// What keeps it from it, or what an operator should know.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }
}

/// Asks the component whether it is ready. Called for each request to `/readyz`: it must not block.
pub(crate) type AskReady = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// What the four routes show.
pub(crate) struct Health {
    pub(crate) ready: AskReady,
    pub(crate) metrics: Registry,
    pub(crate) openapi: Bytes,
}

/// The four routes and their description.
pub(crate) fn routes() -> (Router<Arc<Health>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::default()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(openapi))
        .split_for_parts()
}

/// Says that the process answers.
#[derive(Debug, Serialize, ToSchema)]
struct Liveness {
    alive: bool,
}

/// Whether the process answers.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "The process answers.", body = Liveness)))]
async fn livez() -> Json<Liveness> {
    Json(Liveness { alive: true })
}

/// Whether the component can do its work.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "The component can do its work.", body = Readiness)))]
async fn readyz(State(health): State<Arc<Health>>) -> Answer<Json<Readiness>> {
    let readiness = (health.ready)();
    if readiness.ready {
        return Ok(Json(readiness));
    }
    Err(Problem::new(Code::NotReady, readiness.reasons.join("; ")))
}

/// The component's metrics, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", security(()),
    responses((status = 200, description = "Metrics.", body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(health): State<Arc<Health>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &health.metrics) {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => Problem::internal("writing the metrics", &error).into_response(),
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", security(()),
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = Object)))]
async fn openapi(State(health): State<Arc<Health>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], health.openapi.clone()).into_response()
}
