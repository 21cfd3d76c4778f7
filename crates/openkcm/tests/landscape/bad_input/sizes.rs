//! Bodies that are too large or too deep.

use openkcm_contracts::problem::Code;

use super::{Ground, To};
use crate::http::Request;

/// What a data plane takes, and one byte more than everyone takes.
const MANAGEMENT: usize = 64 * 1024;
const DATA_PLANE: usize = 4 * 1024 * 1024;
const HUGE: usize = 100 * 1024 * 1024;

const ENCRYPT: &str = "/v1/keys/demo/app/data/encrypt";
const DECRYPT: &str = "/v1/keys/demo/app/data/decrypt";
const TENANT: &str = "/v1/tenants/new";
const LINK: &str = "/v1/tenants/demo/l1";

/// Every kind of body that there is.
const TAKERS: [(To, &str, &str, usize); 4] = [
    (To::Registry, "PUT", TENANT, MANAGEMENT),
    (To::Cmk, "PUT", LINK, MANAGEMENT),
    (To::Core, "POST", ENCRYPT, DATA_PLANE),
    (To::Core, "POST", DECRYPT, DATA_PLANE),
];

#[tokio::test]
async fn a_body_of_a_hundred_megabytes_is_refused_however_it_is_announced() {
    let ground = Ground::prepare().await;
    for (to, method, target, _) in TAKERS {
        let request = Request::new(method, target).header("content-type", "application/json");
        ground.refuses(to, request.clone().announced(HUGE), Code::BodyTooLarge).await;
        ground.refuses(to, request.chunked(HUGE), Code::BodyTooLarge).await;
    }
}

#[tokio::test]
async fn a_body_of_one_byte_too_many_is_refused_and_one_less_is_read() {
    let ground = Ground::prepare().await;
    for (to, method, target, limit) in TAKERS {
        let spaces = |bytes: usize| format!("[{}", " ".repeat(bytes - 1));
        let request = Request::new(method, target);
        ground.refuses(to, request.clone().json(spaces(limit + 1)), Code::BodyTooLarge).await;
        ground.refuses(to, request.json(spaces(limit)), Code::InvalidRequest).await;
    }
}

#[tokio::test]
async fn a_plaintext_or_additional_data_beyond_the_limit_is_refused_by_its_field() {
    let ground = Ground::prepare().await;
    // Three bytes are four characters; a third of the limit is not whole, so one more is too long.
    let longer = |limit: usize| "AAAA".repeat(limit / 3 + 1);
    let plaintext = format!(r#"{{"plaintext": "{}"}}"#, longer(1024 * 1024));
    let aad = format!(r#"{{"plaintext": "", "aad": "{}"}}"#, longer(64 * 1024));
    let opening = format!(r#"{{"ciphertext": "kcm1.AAAA", "aad": "{}"}}"#, longer(64 * 1024));
    for (target, body, field) in
        [(ENCRYPT, plaintext, "plaintext"), (ENCRYPT, aad, "aad"), (DECRYPT, opening, "aad")]
    {
        let request = Request::new("POST", target).json(body);
        let refusal = ground.refuses(To::Core, request, Code::BodyTooLarge).await;
        assert_eq!(refusal["field"], field, "{refusal}");
    }
}

#[tokio::test]
async fn nesting_has_a_limit_that_no_stack_feels() {
    let ground = Ground::prepare().await;
    for (to, method, target, limit) in TAKERS {
        let request = Request::new(method, target);
        for body in [
            "[".repeat(limit),
            r#"{"a":"#.repeat(limit / 5),
            format!(r#"{{"regions": {}"#, "[".repeat(limit / 2)),
        ] {
            ground.refuses(to, request.clone().json(body), Code::InvalidRequest).await;
        }
    }
}
