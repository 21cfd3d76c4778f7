//! What is wrong at the border gets the right problem document, changes nothing, and repeats no secret.

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use openkcm_http::encode_base64;
use serde_json::{Value, json};

use crate::rig::facts::{self, SERVICE};
use crate::rig::{Reply, Running, World};

const CANARY: &str = "canary-9f2c-plaintext";

/// A region that serves two tenants, and a ciphertext of the first that holds the canary.
async fn serving() -> (World, Running, String) {
    let world = World::defined().await;
    for (counter, event) in [
        (11, facts::tenant("other", |_| ())),
        (12, facts::key("other/hr", |_| ())),
        (13, facts::key("other/hr/payroll", |_| ())),
        (14, facts::link("other", 14)),
        (15, facts::key("acme/hr/second", |_| ())),
    ] {
        world.tell(counter, &event).await;
    }
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, CANARY.as_bytes()).await;
    a.sealed_when_usable("other/hr/payroll", b"x").await;
    a.sealed_when_usable("acme/hr/second", b"x").await;
    (world, a, sealed)
}

/// A refusal is a problem document with this status and code, and tells nothing that was secret.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
    assert_eq!(reply.body["type"], format!("urn:openkcm:problem:{code}"));
    assert_eq!(reply.body["status"], status);
    let retryable = status == 503 || code == "not_yet_known";
    assert_eq!(reply.retry_after.is_some(), retryable, "{reply:?}");
    for secret in [CANARY, &encode_base64(CANARY.as_bytes())] {
        assert!(!reply.text.contains(secret), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_the_operation_takes_is_refused_by_field() {
    let (_world, a, sealed) = serving().await;
    let canary = encode_base64(CANARY.as_bytes());
    for (operation, body, code, field) in [
        ("encrypt", json!({"plaintext": CANARY}), "invalid_base64", "plaintext"),
        ("encrypt", json!({"plaintext": format!("{}=", *canary)}), "invalid_base64", "plaintext"),
        ("encrypt", json!({"plaintext": "aGk="  , "aad": "_-8="}), "invalid_base64", "aad"),
        ("encrypt", json!({"plaintext": [CANARY]}), "invalid_request", "plaintext"),
        ("decrypt", json!({"ciphertext": sealed, "aad": "x"}), "invalid_base64", "aad"),
        ("decrypt", json!({"ciphertext": 7}), "invalid_request", "ciphertext"),
        ("rewrap", json!({"ciphertext": null}), "invalid_request", "ciphertext"),
        ("datakey", json!({"bytes": 15}), "invalid_request", "bytes"),
        ("datakey", json!({"bytes": 1025}), "invalid_request", "bytes"),
        ("datakey", json!({"bytes": u64::MAX}), "invalid_request", "bytes"),
    ] {
        let reply = a.ask(SERVICE, operation, &body).await;
        assert_refused(&reply, 400, code);
        assert_eq!(reply.body["field"], field, "{operation} {}", reply.text);
    }
    for (operation, field) in [("encrypt", "plaintext"), ("decrypt", "ciphertext"), ("rewrap", "ciphertext")]
    {
        let reply = a.ask(SERVICE, operation, &json!({})).await;
        assert_refused(&reply, 400, "invalid_request");
        assert!(reply.field("detail").contains(field), "{}", reply.text);
    }
    for (operation, body) in
        [("encrypt", json!({"plaintext": "aGk=", CANARY: *canary})), ("rotate", json!({CANARY: 1}))]
    {
        let reply = a.ask(SERVICE, operation, &body).await;
        assert_refused(&reply, 400, "invalid_request");
        assert_eq!(
            reply.body["field"],
            Value::Null,
            "a name that is not ours is not repeated: {}",
            reply.text
        );
    }
    for body in ["{", "[]", "null", "\u{0}", r#"{"plaintext":"aGk="} {}"#] {
        let reply = a.post(&format!("/v1/keys/{SERVICE}/encrypt"), body).await;
        assert_refused(&reply, 400, "invalid_request");
    }
    assert_eq!(a.versions(SERVICE).await.len(), 1);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_whatever_is_too_long_about_it() {
    let (_world, a, _) = serving().await;
    let path = format!("/v1/keys/{SERVICE}/encrypt");
    let hundred_megabytes = format!(r#"{{"plaintext":"{}"}}"#, "A".repeat(100_000_000));
    assert_refused(&a.post(&path, hundred_megabytes).await, 413, "body_too_large");
    let longest = vec![7; openkcm_krypton::data::MAX_PLAINTEXT_LEN];
    let sealed = a.encrypt(SERVICE, &longest).await;
    a.opens(SERVICE, &sealed.field("ciphertext"), &longest).await;
    assert_eq!(a.rewrap(SERVICE, &sealed.field("ciphertext")).await.status, 200);
    let longer = [&longest[..], b"x"].concat();
    let refused = a.encrypt(SERVICE, &longer).await;
    assert_refused(&refused, 413, "body_too_large");
    assert_eq!(refused.body["field"], "plaintext");
    let aad = encode_base64(&vec![7; openkcm_krypton::data::MAX_AAD_LEN + 1]);
    let refused = a.ask(SERVICE, "encrypt", &json!({"plaintext": "aGk=", "aad": *aad})).await;
    assert_refused(&refused, 413, "body_too_large");
    assert_eq!(refused.body["field"], "aad");
}

#[tokio::test]
async fn names_that_are_no_labels_and_keys_that_are_not_there_are_refused() {
    let (_world, a, sealed) = serving().await;
    let long = "x".repeat(64);
    for (path, field) in [
        ("Acme/hr/payroll", "tenant"),
        ("acme/-hr/payroll", "system"),
        ("acme/hr/pay_roll", "service"),
        ("acme/hr/..", "service"),
        ("%00/hr/payroll", "tenant"),
        ("acme/hr/%F0%9F%94%91", "service"),
        (&format!("acme/hr/{long}"), "service"),
    ] {
        let refused = a.encrypt(path, CANARY.as_bytes()).await;
        assert_refused(&refused, 400, "invalid_id");
        assert_eq!(refused.body["field"], field, "{path}");
    }
    for key in ["none/hr/payroll", "acme/none/payroll", "acme/hr/none"] {
        assert_refused(&a.encrypt(key, CANARY.as_bytes()).await, 404, "unknown_key");
        assert_refused(&a.decrypt(key, &sealed).await, 404, "unknown_key");
        assert_refused(&a.ask(key, "rotate", &json!({})).await, 404, "unknown_key");
        assert_refused(&a.get(&format!("/v1/keys/{key}")).await, 404, "unknown_key");
    }
    for key in ["none/hr", "acme/none"] {
        assert_refused(&a.ask(key, "rotate", &json!({})).await, 404, "unknown_key");
        assert_refused(&a.get(&format!("/v1/keys/{key}")).await, 404, "unknown_key");
    }
    assert_refused(&a.get("/v1/tenants/none").await, 404, "unknown_key");
    assert_refused(&a.get("/v1/keys/acme/hr/payroll/versions").await, 404, "not_found");
    assert_refused(&a.get(&format!("/v1/keys/{SERVICE}/encrypt")).await, 405, "method_not_allowed");
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let (_world, a, sealed) = serving().await;
    for path in ["encrypt", "decrypt", "datakey", "rewrap", "rotate"] {
        let body = Body::from(json!({ "ciphertext": sealed }).to_string());
        let request = Request::post(format!("/v1/keys/{SERVICE}/{path}")).body(body).expect("a request");
        assert_refused(&a.send(request).await, 401, "unauthenticated");
    }
    for path in ["/v1/keys/acme/hr", "/v1/status", "/v1/tenants/acme", "/v1/quarantine", "/v1/quarantine/ID"]
    {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        assert_refused(&a.send(request).await, 401, "unauthenticated");
    }
    for (method, path) in [("DELETE", "/v1/quarantine/ID"), ("POST", "/v1/quarantine/ID/retry")] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        assert_refused(&a.send(request).await, 401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_ciphertext_opens_under_its_own_name_alone() {
    let (_world, a, sealed) = serving().await;
    for key in ["other/hr/payroll", "acme/hr/second"] {
        assert_refused(&a.decrypt(key, &sealed).await, 400, "bad_ciphertext");
        assert_refused(&a.rewrap(key, &sealed).await, 400, "bad_ciphertext");
    }
}

#[tokio::test]
async fn a_text_that_is_no_ciphertext_or_of_a_later_format_is_refused() {
    let (_world, a, sealed) = serving().await;
    let body = sealed.strip_prefix("kcm1.").expect("the format's prefix");
    let later = a.decrypt(SERVICE, &format!("kcm2.{body}")).await;
    assert_refused(&later, 400, "bad_ciphertext");
    assert!(later.field("detail").contains("later format"), "{}", later.text);
    let texts = [
        String::new(),
        "kcm1.".into(),
        "kcm1.AAAA".into(),
        body.into(),
        format!("KCM1.{body}"),
        format!("kcm1.{body}=="),
        format!("kcm1.{body}\n"),
        format!("kcm1. {body}"),
        format!("kcm1.kcm1.{body}"),
        format!("kcm1.{}", "A".repeat(90)),
        CANARY.into(),
        "\u{1F511}".repeat(40),
    ];
    for text in texts {
        assert_refused(&a.decrypt(SERVICE, &text).await, 400, "bad_ciphertext");
        assert_refused(&a.rewrap(SERVICE, &text).await, 400, "bad_ciphertext");
    }
}

#[tokio::test]
async fn a_ciphertext_that_is_altered_or_cut_anywhere_never_opens() {
    let (_world, a, sealed) = serving().await;
    let bytes = BASE64URL.decode(&sealed[5..]).expect("base64url");
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut altered = bytes.clone();
            altered[at] ^= flip;
            let reply = a.decrypt(SERVICE, &format!("kcm1.{}", BASE64URL.encode(altered))).await;
            assert_refused(&reply, 400, "bad_ciphertext");
        }
        let cut = format!("kcm1.{}", BASE64URL.encode(&bytes[..at]));
        assert_refused(&a.decrypt(SERVICE, &cut).await, 400, "bad_ciphertext");
    }
    for at in 0..sealed.len() {
        for other in ["A", "b", "-", "="] {
            let altered = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
            if altered != sealed {
                assert_refused(&a.decrypt(SERVICE, &altered).await, 400, "bad_ciphertext");
            }
        }
    }
    let longer = format!("kcm1.{}", BASE64URL.encode([&bytes[..], b"x"].concat()));
    assert_refused(&a.decrypt(SERVICE, &longer).await, 400, "bad_ciphertext");
    a.opens(SERVICE, &sealed, CANARY.as_bytes()).await;
}

#[tokio::test]
async fn what_is_not_here_yet_is_told_from_what_is_damaged() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, CANARY.as_bytes()).await;
    let way = crate::rig::Way::new(world.mesh.clone(), crate::rig::Link::Up);
    let b = world.start_on("b", &way).await;
    b.opens(SERVICE, &sealed, CANARY.as_bytes()).await;
    way.set(crate::rig::Link::Cut);
    a.rotate(SERVICE).await;
    let newer = a.encrypt(SERVICE, CANARY.as_bytes()).await.field("ciphertext");
    assert_refused(&b.decrypt(SERVICE, &newer).await, 503, "material_not_here");
    let mut damaged = BASE64URL.decode(&newer[5..]).expect("base64url");
    damaged[3] ^= 1;
    let damaged = format!("kcm1.{}", BASE64URL.encode(damaged));
    assert_refused(&b.decrypt(SERVICE, &damaged).await, 400, "bad_ciphertext");
}

#[tokio::test]
async fn the_document_of_the_interface_has_every_route_and_is_there_without_a_token() {
    let world = World::new().await;
    let a = world.start("a").await;
    let document = a.send(Request::get("/openapi.json").body(Body::empty()).expect("a request")).await;
    assert_eq!(document.body["openapi"], "3.1.0");
    let paths: Vec<&String> = document.body["paths"].as_object().expect("paths").keys().collect();
    let keys = "/v1/keys/{tenant}/{system}";
    let operations = ["encrypt", "decrypt", "datakey", "rewrap", "rotate"];
    let expected = operations.map(|operation| format!("{keys}/{{service}}/{operation}"));
    for path in expected.iter().map(String::as_str).chain([
        keys,
        "/v1/status",
        "/v1/tenants/{tenant}",
        "/v1/quarantine",
        "/v1/quarantine/{id}",
        "/v1/quarantine/{id}/retry",
    ]) {
        assert!(paths.iter().any(|found| *found == path), "{path} is not in {paths:?}");
    }
    assert_eq!(
        document.body["paths"][keys]["get"]["responses"]["200"]["content"].as_object().map(|c| c.len()),
        Some(1)
    );
    assert_eq!(a.get("/v1/status").await.body["region"], Value::from("a"));
}
