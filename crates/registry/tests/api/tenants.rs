//! The routes of tenants.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::world::World;

const ACME: &str = "/v1/tenants/acme";

#[tokio::test]
async fn a_tenant_is_created_once_and_read_back_as_it_is() {
    let world = World::new().await;
    let body = r#"{"regions":["b","a"],"labels":{"contract":"42"}}"#;
    let created = world.put(ACME, body).await;
    created.is(StatusCode::CREATED);
    let moment = "2026-02-02T08:00:00.000Z";
    assert_eq!(
        created.body,
        json!({
            "tenant": "acme", "state": "active", "regions": ["b", "a"], "labels": {"contract": "42"},
            "generation": "1.1", "revision": "1.1", "defined_at": moment, "changed_at": moment,
        })
    );
    assert_eq!(created.etag(), "\"1.1\"");
    let read = world.get(ACME).await;
    assert_eq!((read.is(StatusCode::OK).etag(), &read.body), (created.etag(), &created.body));
    let again = world.put(ACME, body).await;
    assert_eq!((again.is(StatusCode::OK).etag(), &again.body), (created.etag(), &created.body));
}

#[tokio::test]
async fn a_change_of_a_tenant_needs_the_condition_that_it_names_to_hold() {
    let world = World::furnished().await;
    let read = world.get(ACME).await;
    let changed = world.put_if(ACME, &read.etag(), r#"{"regions":["c"]}"#).await;
    assert_ne!(changed.is(StatusCode::OK).etag(), read.etag());
    let late = world.put_if(ACME, &read.etag(), r#"{"regions":["a"]}"#).await;
    late.is_refused(412, "precondition_failed", Some("If-Match"));
    let missing = world.put_if("/v1/tenants/other", "*", r#"{"regions":["a"]}"#).await;
    missing.is_refused(412, "precondition_failed", Some("If-Match"));
}

#[tokio::test]
async fn regions_and_labels_that_can_not_be_are_refused_by_name() {
    let world = World::new().await;
    let long = format!(r#"{{"regions":["a"],"labels":{{"n":"{}"}}}}"#, "v".repeat(257));
    for (body, status, code, field) in [
        (r#"{"regions":[]}"#, 400, "invalid_request", "regions"),
        (r#"{"regions":["a","a"]}"#, 400, "invalid_request", "regions"),
        (r#"{"regions":["a","x"]}"#, 422, "unknown_region", "regions"),
        (r#"{"regions":["a","EU"]}"#, 400, "invalid_id", "regions[1]"),
        (r#"{"regions":"a"}"#, 400, "invalid_request", "regions"),
        (&*long, 400, "invalid_request", "labels"),
    ] {
        world.put(ACME, body).await.is_refused(status, code, Some(field));
    }
    let unknown = world.put(ACME, r#"{"regions":["a","x"]}"#).await;
    assert!(unknown.text("detail").contains("region x"));
    world.put(ACME, "{}").await.is_refused(400, "invalid_request", Some("regions"));
    world.get(ACME).await.is_refused(404, "unknown_tenant", Some("tenant"));
}

#[tokio::test]
async fn an_offboarded_tenant_can_be_undeleted_or_defined_again_with_its_etag() {
    let world = World::furnished().await;
    let offboarded = world.delete(&format!("{ACME}?purge_after=1h")).await;
    offboarded.is(StatusCode::OK);
    assert_eq!(offboarded.text("state"), "offboarded");
    let waits = offboarded.moment("purge_at").since(offboarded.moment("changed_at"));
    assert_eq!(waits, Duration::from_secs(3_600));
    let again = world.delete(ACME).await;
    assert_eq!((again.is(StatusCode::OK).etag(), &again.body), (offboarded.etag(), &offboarded.body));

    let undeleted = world.post(&format!("{ACME}/undelete"), "").await;
    assert_eq!(undeleted.is(StatusCode::OK).text("state"), "active");
    world.post(&format!("{ACME}/undelete"), "").await.is_refused(409, "not_deleted", None);

    let offboarded = world.delete(&format!("{ACME}?purge_after=1h")).await;
    world.clock.advance(Duration::from_secs(3_600));
    world.post(&format!("{ACME}/undelete"), "").await.is_refused(409, "undelete_too_late", None);
    let body = r#"{"regions":["a"]}"#;
    world.put(ACME, body).await.is_refused(428, "precondition_required", Some("If-Match"));
    let defined = world.put_if(ACME, &offboarded.etag(), body).await;
    assert_eq!(defined.is(StatusCode::OK).text("generation"), defined.text("revision"));
    assert_eq!(defined.text("state"), "active");
}

#[tokio::test]
async fn an_offboarding_ends_all_below_the_tenant() {
    let world = World::furnished().await;
    world.delete(ACME).await.is(StatusCode::OK);
    let service = world.get("/v1/tenants/acme/systems/hr/services/payroll").await;
    assert_eq!((service.text("state"), service.text("ended_by")), ("deleted", "tenant"));
    let system = world.put("/v1/tenants/acme/systems/crm", "{}").await;
    system.is_refused(409, "tenant_offboarded", Some("tenant"));
    let service = world.put("/v1/tenants/acme/systems/hr/services/travel", "{}").await;
    service.is_refused(409, "tenant_offboarded", Some("tenant"));
    // Nothing shortens the tenant's own wait.
    for key in ["/v1/tenants/acme/systems/hr", "/v1/tenants/acme/systems/hr/services/payroll"] {
        let deleted = world.delete(&format!("{key}?purge_after=0")).await;
        deleted.is_refused(409, "tenant_offboarded", Some("tenant"));
    }
}

#[tokio::test]
async fn what_is_not_there_can_be_neither_offboarded_nor_undeleted() {
    let world = World::new().await;
    world.delete(ACME).await.is_refused(404, "unknown_tenant", Some("tenant"));
    world.post(&format!("{ACME}/undelete"), "").await.is_refused(404, "unknown_tenant", Some("tenant"));
}
