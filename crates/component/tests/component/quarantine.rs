//! The quarantine's routes: what is shown, what another try does, what dropping does.

use axum::http::Method;
use openkcm_orbital::{Message, TrustBundle};
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, tenant, unknown};

impl Answer {
    fn is_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, &self.body["code"]), (status, &json!(code)), "{self:?}");
    }

    fn subjects(&self) -> Vec<&str> {
        assert_eq!(self.status, 200, "{self:?}");
        let items = self.body["items"].as_array().expect("a list");
        items.iter().map(|item| item["subject"].as_str().expect("a text")).collect()
    }
}

async fn retry(rig: &Rig, id: &str) -> Answer {
    rig.call(Method::POST, &format!("/v1/quarantine/{id}/retry")).await
}

async fn one_id(rig: &Rig) -> String {
    let mut entries = rig.entries().await;
    assert_eq!(entries.len(), 1);
    entries.remove(0).id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_with_all_that_an_operator_needs() {
    let rig = Rig::new().await;
    let message = rig.registry.sign(&unknown("acme", 7));
    let body = String::from_utf8(message.body.to_vec()).expect("text");
    rig.publish(message).await;
    rig.shows("/quarantined", json!(1)).await;
    let id = one_id(&rig).await;
    let shown = rig.get(&format!("/v1/quarantine/{id}")).await;
    let expected = json!({
        "id": id,
        "at": "2026-02-02T08:00:00.000Z",
        "reason": "the type openkcm.v9.Tenant.Define is not known here",
        "tenant": "acme",
        "revokes": false,
        "stream": "1.cmk",
        "author": rig.registry.trusted_key().id,
        "subject": "tenant.acme",
        "revision": "1.7",
        "type": "openkcm.v9.Tenant.Define",
        "body": body,
        "body_bytes": body.len(),
    });
    assert_eq!((shown.status, &shown.body), (200, &expected));
    assert_eq!(rig.get("/v1/quarantine").await.body, json!({"items": [expected]}));
    rig.get("/v1/quarantine/00000000000000000000000000000000").await.is_refused(404, "unknown_event");
    for id in ["0", "9F86D081884C7D659A2FEAA0C55AD015", "9f86d081884c7d659a2feaa0c55ad0150"] {
        rig.get(&format!("/v1/quarantine/{id}")).await.is_refused(400, "invalid_id");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_by_now_is_applied_by_another_try_and_leaves() {
    let rig = Rig::new().await;
    rig.left_behind("1.cmk", &rig.registry.sign(&tenant("acme", 3))).await;
    let id = one_id(&rig).await;
    let retried = retry(&rig, &id).await;
    assert_eq!((retried.status, &retried.body["id"]), (200, &json!(id)), "{retried:?}");
    assert_eq!(rig.heard("tenant.acme").await.as_deref(), Some("1.3"));
    rig.shows("/quarantined", json!(0)).await;
    retry(&rig, &id).await.is_refused(404, "unknown_event");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_try_of_what_something_newer_is_held_of_changes_nothing_and_leaves() {
    let rig = Rig::new().await;
    rig.publish(rig.registry.sign(&tenant("acme", 5))).await;
    rig.shows("/streams/0/sequence", json!(1)).await;
    rig.left_behind("1.cmk", &rig.registry.sign(&tenant("acme", 3))).await;
    assert_eq!(retry(&rig, &one_id(&rig).await).await.status, 200);
    assert_eq!(rig.heard("tenant.acme").await.as_deref(), Some("1.5"));
    rig.shows("/replayed", json!(1)).await;
    rig.shows("/quarantined", json!(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_poison_stays_and_says_why() {
    let rig = Rig::new().await;
    rig.left_behind("1.cmk", &rig.registry.sign(&unknown("acme", 1))).await;
    let id = one_id(&rig).await;
    let refused = retry(&rig, &id).await;
    refused.is_refused(409, "still_poison");
    assert!(refused.body["detail"].as_str().expect("a text").contains("is not known here"), "{refused:?}");
    assert_eq!(one_id(&rig).await, id);
    assert_eq!(rig.heard("tenant.acme").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_believed_is_not_applied() {
    let rig = Rig::new().await;
    let message = rig.registry.sign(&tenant("acme", 1));
    rig.left_behind("1.cmk", &Message { body: "{}".into(), ..message.clone() }).await;
    retry(&rig, &one_id(&rig).await).await.is_refused(409, "still_poison");
    rig.left_behind("1.cmk", &message).await;
    let bundle = TrustBundle { keys: vec![rig.cmk.trusted_key()] };
    rig.verifier.replace(&bundle).expect("a bundle");
    let refused = retry(&rig, &one_id(&rig).await).await;
    refused.is_refused(409, "still_poison");
    assert!(refused.body["detail"].as_str().expect("a text").contains("trust bundle"), "{refused:?}");
    assert_eq!(rig.heard("tenant.acme").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_word_is_compared_and_not_heard() {
    let rig = Rig::new().await;
    let message = {
        let mut letter = tenant("acme", 1);
        letter.audience = "region.a".parse().expect("an audience");
        rig.registry.sign(&letter)
    };
    rig.left_behind("1.region.a", &message).await;
    assert_eq!(retry(&rig, &one_id(&rig).await).await.status, 200);
    assert_eq!(rig.heard("tenant.acme").await, None);
    assert_eq!(rig.heard("own/tenant.acme").await.as_deref(), Some("1.1"));
    rig.shows("/quarantined", json!(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_event_is_gone_and_was_not_applied() {
    let rig = Rig::new().await;
    rig.left_behind("1.cmk", &rig.registry.sign(&tenant("acme", 1))).await;
    let path = format!("/v1/quarantine/{}", one_id(&rig).await);
    let dropped = rig.call(Method::DELETE, &path).await;
    assert_eq!((dropped.status, &dropped.body["subject"]), (200, &json!("tenant.acme")));
    assert_eq!(rig.entries().await, []);
    assert_eq!(rig.heard("tenant.acme").await, None);
    rig.call(Method::DELETE, &path).await.is_refused(404, "unknown_event");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_by_page_and_by_tenant_and_stream() {
    let rig = Rig::new().await;
    for (of, name) in [("1.cmk", "acme"), ("1.cmk", "beta"), ("1.region.a", "acme"), ("1.region.b", "zeta")] {
        rig.left_behind(of, &rig.registry.sign(&unknown(name, 1))).await;
    }
    for (query, expected) in [
        ("", &["tenant.acme", "tenant.beta", "tenant.acme", "tenant.zeta"][..]),
        ("?tenant=acme", &["tenant.acme", "tenant.acme"]),
        ("?stream=1.cmk&tenant=acme", &["tenant.acme"]),
        ("?stream=1.region.b", &["tenant.zeta"]),
        ("?stream=3.authorities", &[]),
    ] {
        assert_eq!(rig.get(&format!("/v1/quarantine{query}")).await.subjects(), expected, "{query}");
    }
    let first = rig.get("/v1/quarantine?limit=3").await;
    let cursor = first.body["next_cursor"].as_str().expect("there is more");
    let second = rig.get(&format!("/v1/quarantine?limit=3&cursor={cursor}")).await;
    assert_eq!((second.subjects(), &second.body["next_cursor"]), (vec!["tenant.zeta"], &Value::Null));
    for (query, code) in [
        ("?limit=0", "invalid_request"),
        ("?cursor=%25", "invalid_request"),
        ("?stream=9.cmk", "invalid_request"),
        ("?stream=acme", "invalid_request"),
        ("?tenant=Acme", "invalid_id"),
        ("?state=x", "invalid_request"),
    ] {
        rig.get(&format!("/v1/quarantine{query}")).await.is_refused(400, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_cut_and_its_length_told() {
    let rig = Rig::new().await;
    let long = format!("\"{}\"", "x".repeat(100_000));
    let letter = openkcm_orbital::Letter { body: long.clone(), ..unknown("acme", 1) };
    rig.left_behind("1.cmk", &rig.registry.sign(&letter)).await;
    let listed = rig.get("/v1/quarantine").await.body;
    let shown = rig.get(&format!("/v1/quarantine/{}", one_id(&rig).await)).await.body;
    let len = |value: &Value| value["body"].as_str().expect("a text").len();
    assert_eq!((len(&listed["items"][0]), len(&shown)), (512, 16 * 1024));
    assert_eq!(shown["body_bytes"], json!(long.len()));
}
