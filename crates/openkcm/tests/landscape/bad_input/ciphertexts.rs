//! Ciphertexts that do not open: of others, altered, cut short, of a later format.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openkcm_client::Client;
use openkcm_contracts::problem::Code;
use serde_json::json;

use super::{CANARY, CANARY_BASE64, Ground, To};
use crate::http::Request;
use crate::setup::{define, encrypt, only, service_path};

/// The key that is asked.
const OWN: &str = "demo/app/data";

#[tokio::test]
async fn a_ciphertext_of_another_key_does_not_open() {
    const OTHERS: [&str; 4] = ["acme/app/data", "demo/other/data", "demo/app/other", "dem/oapp/data"];
    let ground = Ground::prepare_with(async |client| {
        for other in OTHERS {
            define(client, other).await;
        }
    })
    .await;
    for other in OTHERS {
        let ciphertext = encrypt(&ground.client, "a", other).await;
        does_not_open(&ground, &ciphertext, None).await;
        // And it is whole: its own key opens it.
        let opened = ground.client.core(only("a")).decrypt(&service_path(other), &ciphertext, None).await;
        assert!(opened.is_ok(), "{other}");
    }
}

#[tokio::test]
async fn additional_data_has_to_be_the_same() {
    let ground = Ground::prepare().await;
    let with = seal(&ground.client, Some(CANARY)).await;
    let without = seal(&ground.client, None).await;
    let longer = STANDARD.encode(format!("{CANARY}x"));
    for wrong in [None, Some(""), Some("AAAA"), Some(&longer)] {
        does_not_open(&ground, &with, wrong).await;
    }
    does_not_open(&ground, &without, Some(CANARY_BASE64)).await;
}

#[tokio::test]
async fn a_ciphertext_that_is_altered_or_cut_anywhere_does_not_open() {
    let ground = Ground::prepare().await;
    let whole = seal(&ground.client, None).await;
    let (prefix, text) = whole.split_once('.').expect("a prefix");
    // Each character in turn becomes another one of the same alphabet.
    for at in 0..text.len() {
        let mut altered = text.as_bytes().to_vec();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).expect("ASCII");
        ask(&ground, &format!("{prefix}.{altered}"), None).await;
    }
    for len in 0..whole.len() {
        ask(&ground, &whole[..len], None).await;
    }
    for other in [format!("{whole}A"), format!("{whole}AAAA"), format!("{whole}{text}"), format!("{whole}.")]
    {
        ask(&ground, &other, None).await;
    }
    ground.is_unchanged("an altered ciphertext").await;
}

#[tokio::test]
async fn a_ciphertext_of_a_later_format_is_told_from_a_damaged_one() {
    let ground = Ground::prepare().await;
    let whole = seal(&ground.client, None).await;
    for later in ["kcm2.", "kcm10.", "kcm99."] {
        let ciphertext = whole.replacen("kcm1.", later, 1);
        let refusal = ground.refuses(To::Core, request("decrypt", &ciphertext, None), Code::BadCiphertext);
        let refusal = refusal.await;
        assert!(refusal["detail"].as_str().is_some_and(|detail| detail.contains("later")), "{refusal}");
    }
    for other in ["", "kcm", "kcm1", "kcm1.", "KCM1.AAAA", " kcm1.AAAA", CANARY, "kcm0.AAAA", "kcm1.%%%%"] {
        does_not_open(&ground, other, None).await;
    }
}

async fn seal(client: &Client, aad: Option<&str>) -> String {
    let core = client.core(only("a"));
    let sealed = core.encrypt(&service_path(OWN), CANARY.as_bytes(), aad.map(str::as_bytes)).await;
    sealed.expect("the sample encrypts").answer.ciphertext
}

/// Asserts that neither decrypt nor rewrap takes it, and that nothing changes.
async fn does_not_open(ground: &Ground, ciphertext: &str, aad: Option<&str>) {
    ask(ground, ciphertext, aad).await;
    ground.is_unchanged("a ciphertext that does not open").await;
}

async fn ask(ground: &Ground, ciphertext: &str, aad: Option<&str>) {
    for operation in ["decrypt", "rewrap"] {
        ground.ask(To::Core, request(operation, ciphertext, aad), Code::BadCiphertext).await;
    }
}

fn request(operation: &str, ciphertext: &str, aad: Option<&str>) -> Request {
    let mut body = json!({ "ciphertext": ciphertext });
    if let Some(aad) = aad {
        body["aad"] = aad.into();
    }
    Request::new("POST", &format!("/v1/keys/{OWN}/{operation}")).json(body.to_string())
}
