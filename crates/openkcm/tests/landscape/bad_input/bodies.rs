//! Bodies and parameters that are not what an operation takes. Each holds the canary where a secret would be.

use openkcm_contracts::problem::Code;

use super::{CANARY, CANARY_BASE64, Ground, To};
use crate::http::Request;

const ENCRYPT: &str = "/v1/keys/demo/app/data/encrypt";
const DECRYPT: &str = "/v1/keys/demo/app/data/decrypt";
const REWRAP: &str = "/v1/keys/demo/app/data/rewrap";
const DATAKEY: &str = "/v1/keys/demo/app/data/datakey";
const ROTATE: &str = "/v1/keys/demo/app/data/rotate";
const TENANT: &str = "/v1/tenants/new";
const SYSTEM: &str = "/v1/tenants/demo/systems/new";
const SERVICE: &str = "/v1/tenants/demo/systems/app/services/new";
const COMPROMISE: &str = "/v1/tenants/demo/systems/app/services/data/compromise";
const LINK: &str = "/v1/tenants/demo/l1";

/// Every operation that reads a body.
const READERS: [(To, &str, &str); 10] = [
    (To::Core, "POST", ENCRYPT),
    (To::Core, "POST", DECRYPT),
    (To::Core, "POST", REWRAP),
    (To::Core, "POST", DATAKEY),
    (To::Core, "POST", ROTATE),
    (To::Registry, "PUT", TENANT),
    (To::Registry, "PUT", SYSTEM),
    (To::Registry, "PUT", SERVICE),
    (To::Registry, "POST", COMPROMISE),
    (To::Cmk, "PUT", LINK),
];

#[tokio::test]
async fn what_is_no_json_object_is_refused_by_every_operation() {
    let ground = Ground::prepare().await;
    let canary = |text: &str| text.replace('@', CANARY).into_bytes();
    let bodies = [
        canary("@"),
        canary(r#""@""#),
        canary(r#"["@"]"#),
        canary(r#"{"@""#),
        canary(r#"{"@": 1}"#),
        canary(r#"{"plaintext@": "@", "ciphertext@": "@"}"#),
        canary("null"),
        canary("42"),
        canary("'@'"),
        canary("{} @"),
        canary("{}{}"),
        [canary("\"@"), b"\xff\xfe\"".to_vec()].concat(),
        b"\0".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
    ];
    for (to, method, target) in READERS {
        for body in &bodies {
            ground.ask(to, Request::new(method, target).json(body.clone()), Code::InvalidRequest).await;
        }
        for kind in ["text/plain", "multipart/form-data", "application/jsonx", ""] {
            let request = Request::new(method, target).header("content-type", kind).body(CANARY);
            ground.ask(to, request, Code::UnsupportedMediaType).await;
        }
        ground.is_unchanged(target).await;
    }
}

#[tokio::test]
async fn what_is_no_base64_is_refused_by_its_field() {
    let ground = Ground::prepare().await;
    let unpadded = CANARY_BASE64.trim_end_matches('=');
    let broken = format!("{}\\n{}", &CANARY_BASE64[..8], &CANARY_BASE64[8..]);
    let spaced = format!(" {CANARY_BASE64}");
    let doubled = format!("{CANARY_BASE64}{CANARY_BASE64}");
    for wrong in [CANARY, unpadded, &broken, &spaced, &doubled, "=", "AA-_", "AAA", "AB=="] {
        let table = [
            (ENCRYPT, "plaintext", format!(r#"{{"plaintext": "{wrong}"}}"#)),
            (ENCRYPT, "aad", format!(r#"{{"plaintext": "{CANARY_BASE64}", "aad": "{wrong}"}}"#)),
            (DECRYPT, "aad", format!(r#"{{"ciphertext": "kcm1.{CANARY}", "aad": "{wrong}"}}"#)),
            (REWRAP, "aad", format!(r#"{{"ciphertext": "kcm1.{CANARY}", "aad": "{wrong}"}}"#)),
        ];
        for (target, field, body) in table {
            let request = Request::new("POST", target).json(body);
            let refusal = ground.refuses(To::Core, request, Code::InvalidBase64).await;
            assert_eq!(refusal["field"], field, "{wrong}: {refusal}");
        }
    }
}

#[tokio::test]
async fn a_core_refuses_values_of_the_wrong_kind_by_their_field() {
    let ground = Ground::prepare().await;
    let table = [
        (ENCRYPT, "plaintext", r#"{}"#),
        (ENCRYPT, "plaintext", r#"{"plaintext": null}"#),
        (ENCRYPT, "plaintext", r#"{"plaintext": 7}"#),
        (ENCRYPT, "plaintext", r#"{"plaintext": ["@"]}"#),
        (ENCRYPT, "plaintext", r#"{"plaintext": {"@": "@"}}"#),
        (ENCRYPT, "aad", r#"{"plaintext": "", "aad": true}"#),
        (ENCRYPT, "", r#"{"plaintext": "", "@": "@"}"#),
        (ENCRYPT, "plaintext", r#"{"plaintext": "", "plaintext": ""}"#),
        (DECRYPT, "ciphertext", r#"{"aad": "AAAA"}"#),
        (DECRYPT, "ciphertext", r#"{"ciphertext": ["@"]}"#),
        (DECRYPT, "ciphertext", r#"{"ciphertext": null}"#),
        (REWRAP, "", r#"{"ciphertext": "@", "plaintext": "@"}"#),
        (DATAKEY, "bytes", r#"{"bytes": 0}"#),
        (DATAKEY, "bytes", r#"{"bytes": 15}"#),
        (DATAKEY, "bytes", r#"{"bytes": 1025}"#),
        (DATAKEY, "bytes", r#"{"bytes": -32}"#),
        (DATAKEY, "bytes", r#"{"bytes": 32.5}"#),
        (DATAKEY, "bytes", r#"{"bytes": "@"}"#),
        (DATAKEY, "bytes", r#"{"bytes": 18446744073709551616}"#),
        (DATAKEY, "bytes", r#"{"bytes": null}"#),
        (DATAKEY, "", r#"{"bytes": 32, "@": 1}"#),
        (ROTATE, "", r#"{"@": 1}"#),
        ("/v1/keys/demo/app/rotate", "", r#"{"version": "@"}"#),
    ];
    for (target, field, body) in table {
        refused_by(&ground, To::Core, Request::new("POST", target).json(body.replace('@', CANARY)), field)
            .await;
    }
}

#[tokio::test]
async fn the_registry_refuses_values_of_the_wrong_kind_by_their_field() {
    let ground = Ground::prepare().await;
    let labels: Vec<String> = (0..65).map(|number| format!(r#""l{number}": "@""#)).collect();
    let many = format!(r#"{{"regions": ["a"], "labels": {{{}}}}}"#, labels.join(","));
    let long = format!(r#"{{"regions": ["a"], "labels": {{"name": "{}"}}}}"#, "@".repeat(300));
    let table = [
        (TENANT, "regions", r#"{}"#),
        (TENANT, "regions", r#"{"regions": []}"#),
        (TENANT, "regions", r#"{"regions": ["a", "a"]}"#),
        (TENANT, "regions", r#"{"regions": "a"}"#),
        (TENANT, "regions[0]", r#"{"regions": [7]}"#),
        (TENANT, "labels", r#"{"regions": ["a"], "labels": "@"}"#),
        (TENANT, "labels", &many),
        (TENANT, "labels", &long),
        (TENANT, "labels", r#"{"regions": ["a"], "labels": {"": "@"}}"#),
        (SYSTEM, "algorithm", r#"{"algorithm": "@"}"#),
        (SYSTEM, "algorithm", r#"{"algorithm": null}"#),
        (SYSTEM, "rotate_every", r#"{"rotate_every": 90}"#),
        (SERVICE, "rotate_every", r#"{"rotate_every": "@"}"#),
        (SERVICE, "rotate_every", r#"{"rotate_every": "-1d"}"#),
        (SERVICE, "rotate_every", r#"{"rotate_every": "0"}"#),
        (SERVICE, "rotate_every", r#"{"rotate_every": "999999999999999999d"}"#),
        (SERVICE, "", r#"{"rotateEvery": "@"}"#),
    ];
    for (target, field, body) in table {
        let request = Request::new("PUT", target).json(body.replace('@', CANARY));
        refused_by(&ground, To::Registry, request, field).await;
    }
    refused_by(&ground, To::Registry, Request::new("POST", COMPROMISE).json("{}"), "version").await;
    let unknown = Request::new("PUT", TENANT).json(r#"{"regions": ["a", "mars"]}"#);
    ground.refuses(To::Registry, unknown, Code::UnknownRegion).await;
    for wait in ["", "soon", "-1d", "7", "999999999999999999d"] {
        let delete = Request::new("DELETE", &format!("/v1/tenants/demo?purge_after={wait}"));
        refused_by(&ground, To::Registry, delete, "purge_after").await;
    }
    let unknown = Request::new("DELETE", &format!("/v1/tenants/demo?{CANARY}=1"));
    refused_by(&ground, To::Registry, unknown, "").await;
}

#[tokio::test]
async fn the_cmk_server_refuses_values_of_the_wrong_kind_by_their_field() {
    let ground = Ground::prepare().await;
    let root = r#"{"provider": "local", "key": "other"}"#;
    let many = format!(r#"{{"roots": [{}]}}"#, vec![root; 65].join(","));
    let table = [
        ("roots", r#"{}"#),
        ("roots", r#"{"roots": []}"#),
        ("roots", &many),
        ("roots", r#"{"roots": {"provider": "local", "key": "@"}}"#),
        ("roots[0].key", r#"{"roots": [{"provider": "local"}]}"#),
        ("roots[0].provider", r#"{"roots": [{"key": "@"}]}"#),
        ("roots[0].key", r#"{"roots": [{"provider": "local", "key": 7}]}"#),
        ("roots[0].options", r#"{"roots": [{"provider": "local", "key": "other", "options": "@"}]}"#),
        ("roots[0]", r#"{"roots": [{"provider": "local", "key": "other", "@": "@"}]}"#),
        ("ttl", r#"{"roots": [{"provider": "local", "key": "other"}], "ttl": "@"}"#),
        ("ttl", r#"{"roots": [{"provider": "local", "key": "other"}], "ttl": "0"}"#),
        ("ttl", r#"{"roots": [{"provider": "local", "key": "other"}], "ttl": 3600}"#),
        ("", r#"{"roots": [{"provider": "local", "key": "other"}], "@": "@"}"#),
    ];
    for (field, body) in table {
        let request = Request::new("PUT", LINK).json(body.replace('@', CANARY));
        refused_by(&ground, To::Cmk, request, field).await;
    }
    for (field, body) in [
        ("roots[0].provider", r#"{"roots": [{"provider": "aws-kms", "key": "arn:@"}]}"#),
        ("roots[0]", r#"{"roots": [{"provider": "local", "key": "../../name"}]}"#),
        ("roots[0]", r#"{"roots": [{"provider": "local", "key": "other", "options": {"mode": "@"}}]}"#),
    ] {
        let request = Request::new("PUT", LINK).json(body.replace('@', CANARY));
        let refusal = ground.refuses(To::Cmk, request, Code::L1Misconfigured).await;
        assert_eq!(refusal["field"], field, "{body}: {refusal}");
    }
}

/// Expects `invalid_request` with this field; with none when it is empty.
async fn refused_by(ground: &Ground, to: To, request: Request, field: &str) {
    let line = request.line();
    let refusal = ground.refuses(to, request, Code::InvalidRequest).await;
    assert_eq!(refusal["field"].as_str().unwrap_or_default(), field, "{line}: {refusal}");
}
