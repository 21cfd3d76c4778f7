//! The routes of systems and services: both levels behave alike.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::world::World;

const SYSTEM: &str = "/v1/tenants/acme/systems/hr";
const SERVICE: &str = "/v1/tenants/acme/systems/hr/services/payroll";
const BOTH: [&str; 2] = [SYSTEM, SERVICE];

const VERSION: &str = "0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5";

#[tokio::test]
async fn a_definition_says_what_it_is_and_where_it_belongs() {
    let world = World::furnished().await;
    let moment = "2026-02-02T08:00:00.000Z";
    assert_eq!(
        world.get(SERVICE).await.body,
        json!({
            "tenant": "acme", "system": "hr", "service": "payroll", "layer": "L3", "state": "defined",
            "algorithm": "AES256", "rotate_every": "90d", "compromised": [],
            "generation": "1.3", "parent": "1.2", "revision": "1.3",
            "defined_at": moment, "changed_at": moment,
        })
    );
    let system = world.get(SYSTEM).await;
    assert_eq!((system.text("layer"), &system.body["service"]), ("L2", &json!(null)));
    assert_eq!((system.text("parent"), system.etag()), ("1.1", "\"1.2\"".into()));
    assert!(system.body["rotate_every"].is_null());
}

#[tokio::test]
async fn a_definition_that_is_sent_again_keeps_its_revision_and_another_does_not() {
    let world = World::furnished().await;
    for path in BOTH {
        let body = r#"{"algorithm":"AES256","rotate_every":"30d"}"#;
        let changed = world.put(path, body).await;
        assert_eq!(changed.is(StatusCode::OK).text("rotate_every"), "30d");
        assert_eq!(world.put(path, body).await.is(StatusCode::OK).etag(), changed.etag());
        let never = world.put(path, r#"{"rotate_every":null}"#).await;
        assert!(never.is(StatusCode::OK).body["rotate_every"].is_null());
        let late = world.put_if(path, &changed.etag(), body).await;
        late.is_refused(412, "precondition_failed", Some("If-Match"));
    }
}

#[tokio::test]
async fn a_definition_needs_what_it_belongs_to() {
    let world = World::furnished().await;
    let put = async |path: &str| world.put(path, "{}").await;
    put("/v1/tenants/other/systems/hr").await.is_refused(404, "unknown_tenant", Some("tenant"));
    put("/v1/tenants/other/systems/hr/services/x").await.is_refused(404, "unknown_tenant", Some("tenant"));
    put("/v1/tenants/acme/systems/crm/services/x").await.is_refused(404, "unknown_system", Some("system"));
    world.delete(SYSTEM).await.is(StatusCode::OK);
    put("/v1/tenants/acme/systems/hr/services/x").await.is_refused(409, "definition_deleted", None);
}

#[tokio::test]
async fn each_route_refuses_what_is_not_there() {
    let world = World::furnished().await;
    let mark = format!(r#"{{"version":"{VERSION}"}}"#);
    for (path, code, field) in [
        ("/v1/tenants/acme/systems/crm", "unknown_system", "system"),
        ("/v1/tenants/acme/systems/hr/services/travel", "unknown_service", "service"),
    ] {
        world.get(path).await.is_refused(404, code, Some(field));
        world.delete(path).await.is_refused(404, code, Some(field));
        world.post(&format!("{path}/undelete"), "").await.is_refused(404, code, Some(field));
        world.post(&format!("{path}/compromise"), &mark).await.is_refused(404, code, Some(field));
    }
}

#[tokio::test]
async fn bodies_that_can_not_be_are_refused_by_the_name_of_the_field() {
    let world = World::furnished().await;
    for path in BOTH {
        let put = async |body| world.put(path, body).await;
        put(r#"{"algorithm":"ROT13"}"#).await.is_refused(400, "invalid_request", Some("algorithm"));
        put(r#"{"rotate_every":"soon"}"#).await.is_refused(400, "invalid_request", Some("rotate_every"));
        put(r#"{"rotate_every":90}"#).await.is_refused(400, "invalid_request", Some("rotate_every"));
        put("{").await.is_refused(400, "invalid_request", None);
        assert!(put(r#"{"rotate":"90d"}"#).await.text("detail").contains("rotate_every"));
        let mark = async |body| world.post(&format!("{path}/compromise"), body).await;
        mark(r#"{"version":"7"}"#).await.is_refused(400, "invalid_id", Some("version"));
        assert_eq!(mark("{}").await.status, StatusCode::BAD_REQUEST);
        let delete = world.delete(&format!("{path}?purge_after=soon")).await;
        delete.is_refused(400, "invalid_request", Some("purge_after"));
    }
}

#[tokio::test]
async fn a_deletion_waits_for_a_week_and_can_be_taken_back_as_long() {
    let world = World::furnished().await;
    for path in BOTH {
        let before = world.get(path).await;
        let deleted = world.delete(path).await;
        assert_eq!(deleted.is(StatusCode::OK).text("state"), "deleted");
        let waits = deleted.moment("purge_at").since(deleted.moment("changed_at"));
        assert_eq!(waits, Duration::from_secs(7 * 86_400));
        let again = world.delete(&format!("{path}?purge_after=0")).await;
        assert_eq!((again.is(StatusCode::OK).etag(), &again.body), (deleted.etag(), &deleted.body));
        let undeleted = world.post(&format!("{path}/undelete"), "").await;
        assert_eq!(undeleted.is(StatusCode::OK).text("state"), "defined");
        assert_eq!(undeleted.text("generation"), before.text("generation"));
        world.post(&format!("{path}/undelete"), "").await.is_refused(409, "not_deleted", None);
    }
}

#[tokio::test]
async fn a_deletion_without_a_wait_can_not_be_taken_back() {
    let world = World::furnished().await;
    for path in [SERVICE, SYSTEM] {
        world.delete(&format!("{path}?purge_after=0s")).await.is(StatusCode::OK);
        world.post(&format!("{path}/undelete"), "").await.is_refused(409, "undelete_too_late", None);
    }
}

#[tokio::test]
async fn what_was_deleted_is_defined_again_with_its_etag_only() {
    let world = World::furnished().await;
    for path in BOTH {
        world.delete(path).await.is(StatusCode::OK);
    }
    for path in BOTH {
        let deleted = world.get(path).await;
        world.put(path, "{}").await.is_refused(428, "precondition_required", Some("If-Match"));
        let again = world.put_if(path, &deleted.etag(), "{}").await;
        assert_eq!(again.is(StatusCode::OK).text("state"), "defined");
        assert_eq!(again.text("generation"), again.text("revision"));
    }
}

#[tokio::test]
async fn services_of_a_system_that_was_defined_again_are_gone_for_good() {
    let world = World::furnished().await;
    let deleted = world.delete(SYSTEM).await;
    let service = world.get(SERVICE).await;
    assert_eq!((service.text("state"), service.text("ended_by")), ("deleted", "system"));
    assert_eq!(service.text("purge_at"), deleted.text("purge_at"));
    world.put_if(SYSTEM, &deleted.etag(), "{}").await.is(StatusCode::OK);
    let service = world.get(SERVICE).await;
    assert_eq!((service.text("ended_by"), service.text("purge_at")), ("system", deleted.text("purge_at")));
    world.post(&format!("{SERVICE}/undelete"), "").await.is_refused(409, "definition_deleted", None);
    world.put_if(SERVICE, &service.etag(), "{}").await.is(StatusCode::OK);
    assert_eq!(world.get(SERVICE).await.text("state"), "defined");
}

#[tokio::test]
async fn a_version_is_marked_compromised_once() {
    let world = World::furnished().await;
    let mark = format!(r#"{{"version":"{VERSION}"}}"#);
    for path in BOTH {
        let before = world.get(path).await;
        let marked = world.post(&format!("{path}/compromise"), &mark).await;
        assert_eq!(marked.is(StatusCode::OK).body["compromised"], json!([VERSION]));
        assert_ne!(marked.etag(), before.etag());
        let again = world.post(&format!("{path}/compromise"), &mark).await;
        assert_eq!(again.is(StatusCode::OK).etag(), marked.etag());
    }
}

#[tokio::test]
async fn every_write_honours_if_match() {
    let world = World::furnished().await;
    let mark = format!(r#"{{"version":"{VERSION}"}}"#);
    for path in ["/v1/tenants/acme", SYSTEM, SERVICE] {
        let stale = [("if-match", "\"1.99\"")];
        let undelete = format!("{path}/undelete");
        let mut calls = vec![(Method::DELETE, path.to_owned(), ""), (Method::POST, undelete, "")];
        if path != "/v1/tenants/acme" {
            calls.push((Method::POST, format!("{path}/compromise"), &mark));
        }
        for (method, path, body) in calls {
            let refused = world.call(method, &path, &stale, body).await;
            refused.is_refused(412, "precondition_failed", Some("If-Match"));
        }
    }
}
