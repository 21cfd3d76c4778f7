//! The routes of a region's failover.

use std::time::Duration;

use axum::http::{Method, StatusCode};

use crate::world::{Answer, World};

const FAILOVER: &str = "/v1/regions/a/failover";
const FAILBACK: &str = "/v1/regions/a/failback";
const TO_C: &str = r#"{"to":"c"}"#;

/// Waits until the failover of region a is in this state; what it is worked off by is woken, and asked for nothing.
async fn until(world: &World, state: &str) -> Answer {
    loop {
        let shown = world.get(FAILOVER).await;
        if shown.is(StatusCode::OK).text("state") == state {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A Registry that has compared its words, and so may fail over.
async fn current() -> World {
    let world = World::furnished().await;
    while world.get("/v1/status").await.body["authority"]["standing"] != "current" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_committed_worked_off_and_given_back() {
    let world = current().await;
    world.get(FAILOVER).await.is_refused(404, "not_failed_over", Some("region"));
    let said = world.post(FAILOVER, TO_C).await;
    let etag = said.is(StatusCode::CREATED).etag();
    let done = until(&world, "moved").await;
    assert_eq!((done.etag(), &done.body["tenants"], &done.body["moved"]), (etag, &1.into(), &1.into()));
    assert_eq!(world.get("/v1/tenants/acme").await.body["regions"], serde_json::json!(["c", "b"]));
    let moved = world.get("/v1/regions/a/failover/tenants").await;
    assert_eq!(moved.names("tenant"), ["acme"]);
    assert_eq!(moved.body["items"][0]["before"], serde_json::json!(["a", "b"]));
    let regions = world.get("/v1/regions").await;
    assert_eq!(regions.body["items"][0]["failover"]["state"], "moved");
    assert_eq!(regions.body["items"][1].get("failover"), None);
    world.post(FAILOVER, TO_C).await.is(StatusCode::OK);
    world.post(FAILBACK, "").await.is_refused(428, "precondition_required", Some("If-Match"));
    give_back(&world).await;
    let back = until(&world, "returned").await;
    assert_eq!((&back.body["returned"], &back.body["kept"]), (&1.into(), &0.into()));
    assert_eq!(world.get("/v1/tenants/acme").await.body["regions"], serde_json::json!(["a", "b"]));
    assert!(world.get("/v1/regions/a/failover/tenants").await.names("tenant").is_empty());
}

/// Gives the tenants back by the failover that there is.
async fn give_back(world: &World) {
    let held = world.get(FAILOVER).await.etag();
    world.call(Method::POST, FAILBACK, &[("if-match", &held)], "").await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_moved_and_moves_nothing() {
    let world = current().await;
    let survey = world.post(FAILOVER, r#"{"to":"b","dry_run":true}"#).await;
    assert_eq!(
        survey.is(StatusCode::OK).body,
        serde_json::json!({"from": "a", "to": "b", "tenants": 1, "known": 1})
    );
    world.get(FAILOVER).await.is_refused(404, "not_failed_over", Some("region"));
    world.post(FAILOVER, r#"{"to":"a","dry_run":true}"#).await.is_refused(400, "invalid_request", Some("to"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_its_name() {
    let world = current().await;
    world.post(FAILOVER, r#"{"to":"x"}"#).await.is_refused(422, "unknown_region", Some("to"));
    world.post("/v1/regions/x/failover", TO_C).await.is_refused(422, "unknown_region", Some("region"));
    world.post("/v1/regions/x/failback", "").await.is_refused(422, "unknown_region", Some("region"));
    world.post(FAILOVER, r#"{"to":"a"}"#).await.is_refused(400, "invalid_request", Some("to"));
    world.post(FAILBACK, "").await.is_refused(404, "not_failed_over", Some("region"));
    world.post(FAILOVER, TO_C).await.is(StatusCode::CREATED);
    world.post(FAILOVER, r#"{"to":"b"}"#).await.is_refused(409, "failover_in_force", None);
    world.post("/v1/regions/b/failover", r#"{"to":"a"}"#).await.is_refused(409, "failover_in_force", None);
    until(&world, "moved").await;
    give_back(&world).await;
    let returned = until(&world, "returned").await;
    world.post(FAILOVER, TO_C).await.is_refused(428, "precondition_required", Some("If-Match"));
    let again = world.call(Method::POST, FAILOVER, &[("if-match", &returned.etag())], TO_C).await;
    again.is(StatusCode::OK);
}
