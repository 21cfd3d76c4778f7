//! The HTTP interface of a real CMK Server: each route, and each way to be refused.

mod running;

use std::time::Duration;

use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{Event, Lane, TenantState};
use reqwest::Method;
use serde_json::json;

use running::{Place, Running};

const ACME: &str = "/v1/tenants/acme/l1";
const LOCAL: &str = r#"{"roots":[{"provider":"local","key":"acme"}]}"#;

/// Looks until there is something to see.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..3_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain: {what}");
}

/// A CMK Server that has heard of `acme` in the regions `a` and `b`.
async fn with_acme() -> (Place, Running) {
    let place = Place::new().await;
    place.define("acme", 1, &["a", "b"]).await;
    let running = place.start().await;
    (place, running)
}

#[tokio::test]
async fn a_tenant_is_linked_shown_unlinked_and_linked_again() {
    let (place, cmk) = with_acme().await;
    let with_ttl = r#"{"roots":[{"provider":"local","key":"acme","options":{}}],"ttl":"1h"}"#;
    let linked = cmk.put(ACME, None, with_ttl).await;
    assert_eq!((linked.status.as_u16(), linked.etag.as_deref()), (200, Some("\"1.1\"")), "{linked:?}");
    assert_eq!(linked.body["state"], "linked");
    assert_eq!(linked.body["epoch"], "1.1");
    assert_eq!(linked.body["ttl"], "1h");
    assert_eq!(linked.body["roots"], json!([{"provider": "local", "key": "acme", "options": {}}]));
    assert_eq!(linked.body["health"]["outcome"], "ok");
    assert_eq!(linked.body["told"], json!(["a", "b"]));

    let shown = cmk.get(ACME).await;
    assert_eq!((shown.etag, shown.body), (linked.etag, linked.body));

    let unlinked = cmk.delete(ACME, Some("\"1.1\"")).await;
    assert_eq!((unlinked.status.as_u16(), unlinked.etag.as_deref()), (200, Some("\"1.2\"")));
    assert_eq!(unlinked.body["unlink_reason"], "unlinked on request");
    let again = cmk.delete(ACME, None).await;
    assert_eq!((again.status.as_u16(), again.etag.as_deref()), (200, Some("\"1.2\"")));

    assert_eq!(cmk.put(ACME, None, LOCAL).await.problem(), (428, "precondition_required", ""));
    assert_eq!(cmk.put(ACME, Some("\"1.1\""), LOCAL).await.problem(), (412, "precondition_failed", ""));
    let relinked = cmk.put(ACME, Some("\"1.2\""), LOCAL).await;
    assert_eq!((relinked.status.as_u16(), relinked.body["epoch"].as_str()), (200, Some("1.3")));
    drop(place);
}

#[tokio::test]
async fn regions_hear_of_a_link_and_of_its_end() {
    let (place, cmk) = with_acme().await;
    cmk.put(ACME, None, LOCAL).await;
    let Event::L1Reference(fact) = place.heard_in("b", Lane::Facts).await.remove(0).event else {
        panic!("a reference is expected")
    };
    assert_eq!((fact.state, fact.roots[0].key.as_str()), (LinkState::Linked, "acme"));
    cmk.delete(ACME, None).await;
    let Event::L1Revoke(revoke) = place.heard_in("b", Lane::Urgent).await.remove(0).event else {
        panic!("a revoke is expected")
    };
    assert_eq!(revoke.tenant.as_str(), "acme");
    assert!(revoke.epoch > fact.epoch, "it ends every link that was made before it");
}

#[tokio::test]
async fn the_same_link_again_keeps_its_revision() {
    let (_place, cmk) = with_acme().await;
    cmk.put(ACME, None, LOCAL).await;
    let again = cmk.put(ACME, Some("\"1.1\""), LOCAL).await;
    assert_eq!((again.status.as_u16(), again.etag.as_deref()), (200, Some("\"1.1\"")));
}

#[tokio::test]
async fn a_tenant_that_was_not_heard_of_is_refused_for_now_and_an_offboarded_one_for_good() {
    let place = Place::new().await;
    place.tell("gone", 1, TenantState::Offboarded, &["a"]).await;
    let cmk = place.start().await;
    let refused = cmk.put("/v1/tenants/new/l1", None, LOCAL).await;
    assert_eq!(refused.problem(), (409, "not_yet_known", ""));
    let refused = cmk.put("/v1/tenants/gone/l1", None, LOCAL).await;
    assert_eq!(refused.problem(), (409, "tenant_offboarded", ""));
    // The provider was not asked for either: it would have made the key.
    assert_eq!(std::fs::read_dir(place.local_roots()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_was_never_linked_has_no_pointer() {
    let (_place, cmk) = with_acme().await;
    assert_eq!(cmk.get(ACME).await.problem(), (404, "not_linked", ""));
    assert_eq!(cmk.delete(ACME, None).await.problem(), (404, "not_linked", ""));
    assert_eq!(cmk.put(ACME, Some("*"), LOCAL).await.problem(), (412, "precondition_failed", ""));
}

#[tokio::test]
async fn a_bad_name_is_refused_by_its_field_on_every_route() {
    let (_place, cmk) = with_acme().await;
    let bad = "/v1/tenants/ACME/l1";
    for reply in [cmk.get(bad).await, cmk.put(bad, None, LOCAL).await, cmk.delete(bad, None).await] {
        assert_eq!(reply.problem(), (400, "invalid_id", "tenant"));
    }
}

#[tokio::test]
async fn a_bad_body_is_refused_by_its_field() {
    let (_place, cmk) = with_acme().await;
    let local = r#"{"provider":"local","key":"acme"}"#;
    for (body, field) in [
        ("{".to_owned(), ""),
        (r#"{"rootz":[]}"#.to_owned(), ""),
        (r#"{"roots":[{"provider":"local"}]}"#.to_owned(), "roots[0].key"),
        (r#"{"roots":[]}"#.to_owned(), "roots"),
        (r#"{"roots":[{"provider":"local","key":""}]}"#.to_owned(), "roots[0].key"),
        (format!(r#"{{"roots":[{local},{local}]}}"#), "roots[1]"),
        (format!(r#"{{"roots":[{local}],"ttl":"soon"}}"#), "ttl"),
    ] {
        let refused = cmk.put(ACME, None, &body).await;
        assert_eq!(refused.problem(), (400, "invalid_request", field), "{body}");
    }
    assert_eq!(cmk.put(ACME, Some("1.1"), LOCAL).await.problem(), (400, "invalid_request", "If-Match"));
}

#[tokio::test]
async fn a_provider_that_is_not_configured_is_told_with_those_that_are() {
    let (_place, cmk) = with_acme().await;
    let body = r#"{"roots":[{"provider":"local","key":"acme"},{"provider":"hsm","key":"x"}]}"#;
    let refused = cmk.put(ACME, None, body).await;
    assert_eq!(refused.problem(), (422, "l1_misconfigured", "roots[1].provider"));
    assert!(refused.body["detail"].as_str().unwrap().ends_with("configured: far, local"));
}

#[tokio::test]
async fn a_root_that_its_owner_denies_is_not_linked_to_and_nothing_is_changed() {
    let (place, cmk) = with_acme().await;
    cmk.put(ACME, None, LOCAL).await;
    std::fs::write(place.local_roots().join("acme.disabled"), "").unwrap();
    let other = r#"{"roots":[{"provider":"local","key":"spare"},{"provider":"local","key":"acme"}]}"#;
    assert_eq!(cmk.put(ACME, None, other).await.problem(), (403, "l1_denied", "roots[1]"));
    assert_eq!(cmk.get(ACME).await.etag.as_deref(), Some("\"1.1\""));
    // The end of a link asks no provider.
    assert_eq!(cmk.delete(ACME, None).await.status, 200);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_worth_another_try_and_nothing_is_changed() {
    let (_place, cmk) = with_acme().await;
    let body = r#"{"roots":[{"provider":"local","key":"acme"},{"provider":"far","key":"x"}]}"#;
    let refused = cmk.put(ACME, None, body).await;
    assert_eq!(refused.problem(), (503, "l1_unreachable", "roots[1]"));
    assert_eq!(refused.retry_after.as_deref(), Some("7"));
    assert_eq!(cmk.get(ACME).await.problem(), (404, "not_linked", ""));
}

#[tokio::test]
async fn while_the_mesh_is_away_links_are_made_and_ended_and_what_is_to_be_told_waits() {
    let (place, cmk) = with_acme().await;
    cmk.stop().await;
    let cmk = place.start_without_mesh().await;
    assert_eq!(cmk.put(ACME, None, LOCAL).await.status, 200);
    assert_eq!(cmk.delete(ACME, None).await.status, 200);
    let status = cmk.get("/v1/status").await.body;
    assert_eq!(status["mesh"]["connected"], false);
    for lane in 0..2 {
        assert_eq!(status["mesh"]["outbox"]["lanes"][lane]["letters"], 2, "{status}");
    }
    let ready = cmk.send_as_nobody(Method::GET, "/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.body["ready"]), (200, &json!(true)));
    assert!(ready.body["reasons"][0].as_str().unwrap().starts_with("the mesh does not answer since"));
    cmk.stop().await;
    // It comes back: what waited is told.
    let _cmk = place.start().await;
    assert_eq!(place.heard_in("a", Lane::Urgent).await.len(), 1);
}

#[tokio::test]
async fn an_event_that_nobody_can_read_is_counted_and_disturbs_no_other() {
    let place = Place::new().await;
    place.tell_nonsense("poison").await;
    place.define("acme", 2, &["a"]).await;
    let cmk = place.start().await;
    assert_eq!(cmk.get("/v1/status").await.body["mesh"]["quarantined"], 1);
    assert_eq!(cmk.put(ACME, None, LOCAL).await.status, 200);
}

#[tokio::test]
async fn a_tenant_that_is_told_again_is_counted_as_replayed() {
    let (place, cmk) = with_acme().await;
    place.define("acme", 1, &["a", "b"]).await;
    let counted = async {
        while cmk.get("/v1/status").await.body["mesh"]["replayed"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("it is heard");
    assert_eq!(cmk.get("/v1/status").await.body["mesh"]["applied"], json!({"registry": "1.1"}));
}

#[tokio::test]
async fn a_reference_that_names_no_key_is_misconfigured() {
    let (_place, cmk) = with_acme().await;
    let refused = cmk.put(ACME, None, r#"{"roots":[{"provider":"local","key":"../x"}]}"#).await;
    assert_eq!(refused.problem(), (422, "l1_misconfigured", "roots[0]"));
}

#[tokio::test]
async fn tenants_are_listed_by_page_prefix_and_state() {
    let place = Place::new().await;
    for (counter, name) in (1..).zip(["acme", "axis", "bolt"]) {
        place.define(name, counter, &["a"]).await;
    }
    let cmk = place.start().await;
    cmk.put(ACME, None, LOCAL).await;
    cmk.put("/v1/tenants/axis/l1", None, LOCAL).await;
    cmk.delete("/v1/tenants/axis/l1", None).await;
    for (query, names) in [
        ("", &["acme", "axis", "bolt"][..]),
        ("?state=all&prefix=a", &["acme", "axis"]),
        ("?state=linked", &["acme"]),
        ("?state=unlinked", &["axis"]),
        ("?state=none", &["bolt"]),
        ("?prefix=x", &[]),
    ] {
        let page = cmk.get(&format!("/v1/tenants{query}")).await.body;
        let listed: Vec<&str> =
            page["items"].as_array().unwrap().iter().map(|item| item["tenant"].as_str().unwrap()).collect();
        assert_eq!(listed, names, "{query}");
    }
    let first = cmk.get("/v1/tenants?limit=1&prefix=a").await.body;
    assert_eq!(first["items"][0]["state"], "linked");
    assert_eq!(first["items"][0]["health"]["outcome"], "ok");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = cmk.get(&format!("/v1/tenants?limit=1&prefix=a&cursor={cursor}")).await.body;
    assert_eq!((second["items"][0]["tenant"].as_str(), &second["next_cursor"]), (Some("axis"), &json!(null)));
    assert_eq!(cmk.get("/v1/tenants?state=new").await.problem(), (400, "invalid_request", "state"));
}

#[tokio::test]
async fn the_status_tells_the_revision_the_outbox_and_how_far_was_read() {
    let (place, cmk) = with_acme().await;
    assert_eq!(cmk.get("/v1/status").await.body.get("revision"), None);
    cmk.put(ACME, None, LOCAL).await;
    place.heard_in("a", Lane::Facts).await;
    let status = cmk.get("/v1/status").await.body;
    let mesh = &status["mesh"];
    assert_eq!((&status["revision"], &mesh["quarantined"]), (&json!("1.1"), &json!(0)));
    assert_eq!((&mesh["connected"], &mesh["applied"]), (&json!(true), &json!({"registry": "1.1"})));
    assert_eq!(mesh["outbox"]["lanes"][0]["lane"], 0);
    assert_eq!(mesh["streams"][0], json!({"stream": "1.cmk", "sequence": 1, "hydrated": true}));
    assert_eq!(mesh["streams"][1], json!({"stream": "3.authorities", "hydrated": true}));
    assert_eq!(cmk.handle.status().await.unwrap().mesh.streams.len(), 2);
}

#[tokio::test]
async fn without_the_token_nothing_is_shown_and_nothing_is_done() {
    let (_place, cmk) = with_acme().await;
    cmk.put(ACME, None, LOCAL).await;
    for (method, path) in [
        (Method::GET, ACME),
        (Method::PUT, ACME),
        (Method::DELETE, ACME),
        (Method::GET, "/v1/tenants"),
        (Method::GET, "/v1/status"),
        (Method::GET, "/v1/quarantine"),
        (Method::GET, "/v1/quarantine/ID"),
        (Method::DELETE, "/v1/quarantine/ID"),
        (Method::POST, "/v1/quarantine/ID/retry"),
    ] {
        let refused = cmk.send_as_nobody(method.clone(), path).await;
        assert_eq!(refused.problem(), (401, "unauthenticated", ""), "{method} {path}");
    }
    assert_eq!(cmk.get(ACME).await.body["state"], "linked");
}

#[tokio::test]
async fn health_and_metrics_are_there_and_name_no_tenant() {
    let (_place, cmk) = with_acme().await;
    cmk.put(ACME, None, LOCAL).await;
    cmk.delete(ACME, None).await;
    assert_eq!(cmk.send_as_nobody(Method::GET, "/readyz").await.status, 200);
    let metrics = cmk.send_as_nobody(Method::GET, "/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    for line in [
        r#"openkcm_links_total{component="cmk"} 1"#,
        r#"openkcm_unlinks_total{component="cmk",reason="requested"} 1"#,
        r#"openkcm_l1_probes_total{component="cmk",outcome="ok"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("acme"));
}

#[tokio::test]
async fn a_pointer_is_still_there_after_a_restart_and_revisions_go_on() {
    let (place, cmk) = with_acme().await;
    cmk.put(ACME, None, LOCAL).await;
    cmk.stop().await;
    let cmk = tokio::time::timeout(Duration::from_secs(10), place.start()).await.unwrap();
    assert_eq!(cmk.get(ACME).await.etag.as_deref(), Some("\"1.1\""));
    assert_eq!(cmk.delete(ACME, None).await.etag.as_deref(), Some("\"1.2\""));
}

#[test]
fn the_document_describes_every_route() {
    let document = serde_json::to_value(openkcm_cmk::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in [
        ("/v1/tenants/{t}/l1", &["get", "put", "delete"][..]),
        ("/v1/tenants", &["get"]),
        ("/v1/status", &["get"]),
        ("/v1/quarantine", &["get"]),
        ("/v1/quarantine/{id}", &["get", "delete"]),
        ("/v1/quarantine/{id}/retry", &["post"]),
    ] {
        for method in methods {
            let operation = &paths[path][method];
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(operation["responses"]["200"].is_object(), "{method} {path}");
            assert!(operation["responses"]["401"].is_object(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_key_that_its_owner_disables_is_found_and_revoked_and_linked_again_when_it_is_allowed() {
    let (place, cmk) = with_acme().await;
    assert_eq!(cmk.put(ACME, None, LOCAL).await.status.as_u16(), 200);
    let marker = place.local_roots().join("acme.disabled");
    std::fs::write(&marker, "").expect("a marker");
    let denied = until("it is denied", async || {
        let shown = cmk.get(ACME).await.body;
        (shown["health"]["outcome"] == "denied").then_some(shown)
    })
    .await;
    assert_eq!(denied["state"], "unlinked");
    assert!(denied["health"]["since"].is_string() && denied["health"]["last_good"].is_string(), "{denied}");
    until("it is counted", async || {
        (cmk.get("/v1/status").await.body["health"]["denied"] == 1).then_some(())
    })
    .await;
    std::fs::remove_file(&marker).expect("it was there");
    let again = until("it is linked again", async || {
        let shown = cmk.get(ACME).await.body;
        (shown["state"] == "linked").then_some(shown)
    })
    .await;
    assert_ne!(again["epoch"], denied["epoch"]);
    // A key that is gone is a denial, and no mistake in the configuration: it sealed what proves that it was there.
    until("its proof is kept", async || {
        std::fs::write(place.local_roots().join("acme.deleted"), "").expect("a marker");
        (cmk.get(ACME).await.body["health"]["outcome"] == "denied").then_some(())
    })
    .await;
    cmk.stop().await;
}
