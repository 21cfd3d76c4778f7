//! The bodies of transit requests and answers.
//!
//! What always holds: a plaintext is written into a buffer that was made large enough, so it does not move,
//! and is wiped; a ciphertext is taken apart and put together here, so that none but the one spelling of it
//! is accepted.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openkcm_secrets::SecretKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::http::Body;
use super::target::Target;
use crate::sealed::{self, Driver};
use crate::{Description, KeyState, RootError};

/// The type of key that an encrypt names. A token that may create keys makes a missing key by encrypting
/// with it, of the type that the request names: this is the name of none, so that a key of the customer's
/// is never made by us. With a key that is there the server does not look at it.
pub(super) const NO_SUCH_TYPE: &str = "never-create";

/// The types of keys that bind associated data.
const AUTHENTICATING: [&str; 4] = ["aes256-gcm96", "aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

/// What every ciphertext begins with; the number of the key's version follows.
const PREFIX: &str = "vault:v";

/// Length in base64 of a key.
const KEY_LEN_BASE64: usize = SecretKey::LEN.div_ceil(3) * 4;

/// Longest opened plaintext that is decoded: longer than a key, so that another length is told as such.
const MAX_OPENED_LEN: usize = 3 * SecretKey::LEN;

/// Room for all of a request but its values.
const FRAME_LEN: usize = 128;

#[derive(Serialize)]
struct Encrypt<'a> {
    plaintext: &'a str,
    associated_data: &'a str,
    r#type: &'a str,
}

#[derive(Serialize)]
struct Decrypt<'a> {
    ciphertext: &'a str,
    associated_data: &'a str,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Sealed<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Opened<'a> {
    plaintext: &'a str,
}

#[derive(Deserialize)]
struct Key {
    r#type: String,
    latest_version: u64,
    #[serde(default)]
    derived: bool,
    #[serde(default)]
    soft_deleted: bool,
}

/// A request to seal `plaintext`.
pub(super) fn encrypt(plaintext: &SecretKey, aad: &[u8]) -> Body {
    let mut encoded = Zeroizing::new([0; KEY_LEN_BASE64]);
    BASE64_STANDARD.encode_slice(plaintext.expose(), &mut *encoded).expect("there is room for a key");
    let plaintext = std::str::from_utf8(&*encoded).expect("base64 is ASCII");
    let associated_data = BASE64_STANDARD.encode(aad);
    let room = FRAME_LEN + KEY_LEN_BASE64 + associated_data.len();
    body(room, &Encrypt { plaintext, associated_data: &associated_data, r#type: NO_SUCH_TYPE })
}

/// A request to open `ciphertext`.
pub(super) fn decrypt(ciphertext: &str, aad: &[u8]) -> Body {
    let associated_data = BASE64_STANDARD.encode(aad);
    let room = FRAME_LEN + ciphertext.len() + associated_data.len();
    body(room, &Decrypt { ciphertext, associated_data: &associated_data })
}

/// A request that no key can fulfil, to hear how it refuses.
pub(super) fn no_ciphertext() -> Body {
    decrypt("none", b"none")
}

/// JSON in a buffer with room for it.
pub(super) fn body(room: usize, value: &impl Serialize) -> Body {
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *body, value).expect("text is always JSON");
    debug_assert!(body.len() <= room, "it grew, and left a copy behind");
    body
}

/// What we keep of an answer to [`encrypt`].
pub(super) fn sealed(answer: &Answer, target: &Target) -> Result<Vec<u8>, RootError> {
    let parsed = serde_json::from_slice::<Data<Sealed<'_>>>(answer.body());
    let Some((version, raw)) = parsed.ok().and_then(|parsed| split(parsed.data.ciphertext)) else {
        return Err(RootError::misconfigured(format!(
            "what {target} points at took a key and gave no ciphertext: it is no transit engine; correct \
             the reference"
        )));
    };
    Ok(sealed::wrap(Driver::Transit, &[&version.to_be_bytes(), &raw]))
}

/// The ciphertext to send, from what we kept of it.
pub(super) fn ciphertext(kept: &[u8]) -> Result<String, RootError> {
    match kept.split_first_chunk() {
        // Servers take version 0 for version 1, which would make two ciphertexts of one.
        Some((version, raw)) if *version != [0; 4] && !raw.is_empty() => {
            Ok(format!("{PREFIX}{}:{}", u32::from_be_bytes(*version), BASE64_STANDARD.encode(raw)))
        }
        _ => Err(RootError::unopenable("it is shorter than anything that was sealed, or was altered")),
    }
}

/// The key in an answer to [`decrypt`].
pub(super) fn opened(answer: &Answer, target: &Target) -> Result<SecretKey, RootError> {
    let mut opened = Zeroizing::new([0; MAX_OPENED_LEN]);
    let len = serde_json::from_slice::<Data<Opened<'_>>>(answer.body())
        .ok()
        .and_then(|parsed| BASE64_STANDARD.decode_slice(parsed.data.plaintext, &mut *opened).ok());
    let Some(len) = len else {
        return Err(RootError::misconfigured(format!(
            "what {target} points at took a ciphertext and gave no key: it is no transit engine; correct \
             the reference"
        )));
    };
    crate::root::hold(&mut opened[..len])
}

/// What the server tells of a key, which has to be one that this provider can use.
pub(super) fn description(answer: &Answer, target: &Target) -> Result<Description, RootError> {
    let Ok(Data { data: key }) = serde_json::from_slice::<Data<Key>>(answer.body()) else {
        return Err(RootError::misconfigured(format!(
            "what {target} points at does not describe itself as a transit key: correct the reference"
        )));
    };
    if !AUTHENTICATING.contains(&key.r#type.as_str()) || key.derived {
        return Err(RootError::misconfigured(format!(
            "{target} can't be used: make a key of type aes256-gcm96, without derivation (known types: {})",
            AUTHENTICATING.join(", ")
        )));
    }
    let state = if key.soft_deleted { KeyState::Disabled } else { KeyState::Usable };
    Ok(Description { state, algorithm: Some(key.r#type), version: Some(key.latest_version) })
}

/// The key's version and the bytes of a ciphertext.
fn split(ciphertext: &str) -> Option<(u32, Vec<u8>)> {
    let (version, raw) = ciphertext.strip_prefix(PREFIX)?.split_once(':')?;
    let version: u32 = version.parse().ok().filter(|version| *version > 0)?;
    Some((version, BASE64_STANDARD.decode(raw).ok().filter(|raw| !raw.is_empty())?))
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::RootRef;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer::new(200, body.as_bytes().to_vec().into(), None)
    }

    fn target() -> Target {
        let root =
            RootRef { provider: "openbao".into(), key: "transit/acme".into(), options: Default::default() };
        Target::parse(&root, None).unwrap()
    }

    fn key() -> SecretKey {
        SecretKey::from_slice_wiping(&mut [0x42; 32]).unwrap()
    }

    #[test]
    fn a_request_to_seal_names_a_type_that_no_key_can_be_made_of() {
        let body = encrypt(&key(), b"binding");
        let expected = r#"{"plaintext":"QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=","associated_data":"YmluZGluZw==","type":"never-create"}"#;
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    }

    #[test]
    fn a_buffer_that_holds_a_plaintext_never_grew() {
        let aad = [7; 300];
        let body = encrypt(&key(), &aad);
        assert_eq!(body.capacity(), FRAME_LEN + KEY_LEN_BASE64 + BASE64_STANDARD.encode(aad).len());
    }

    #[test]
    fn a_ciphertext_is_sent_back_as_it_came() {
        let text = "vault:v3:AAECAwQFBgcICQoLDA0ODw==";
        let kept =
            sealed(&answer(&format!(r#"{{"data":{{"ciphertext":"{text}","key_version":3}}}}"#)), &target());
        let kept = kept.unwrap();
        assert_eq!(
            kept,
            b"kcmR\x01\x02\0\0\0\x03\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
        );
        assert_eq!(ciphertext(sealed::unwrap(Driver::Transit, &kept).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_ciphertext_has_one_spelling() {
        for kept in [&b""[..], b"\0\0\0", b"\0\0\0\x01", b"\0\0\0\0raw"] {
            assert!(matches!(ciphertext(kept), Err(RootError::Unopenable { .. })), "{kept:?}");
        }
    }

    #[test]
    fn an_answer_without_a_ciphertext_is_no_transit_engines() {
        for body in
            ["", "{}", r#"{"data":{"ciphertext":"none"}}"#, r#"{"data":{"ciphertext":"vault:v0:AAAA"}}"#]
        {
            assert!(
                matches!(sealed(&answer(body), &target()), Err(RootError::Misconfigured { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn an_opened_plaintext_of_another_length_is_no_key() {
        for body in [r#"{"data":{"plaintext":"AAAA"}}"#, r#"{"data":{"plaintext":""}}"#] {
            assert!(matches!(opened(&answer(body), &target()), Err(RootError::Unopenable { .. })), "{body}");
        }
        let longer = format!(r#"{{"data":{{"plaintext":"{}"}}}}"#, BASE64_STANDARD.encode([1; 64]));
        assert!(matches!(opened(&answer(&longer), &target()), Err(RootError::Unopenable { .. })));
        assert!(matches!(opened(&answer("{}"), &target()), Err(RootError::Misconfigured { .. })));
    }

    #[test]
    fn a_key_that_can_not_bind_what_it_seals_is_misconfigured() {
        let described = |kind: &str, derived: bool| {
            let body =
                serde_json::json!({ "data": { "type": kind, "latest_version": 2, "derived": derived } });
            description(&answer(&body.to_string()), &target())
        };
        let usable = described("aes256-gcm96", false).unwrap();
        assert_eq!((usable.state, usable.version), (KeyState::Usable, Some(2)));
        for (kind, derived) in
            [("rsa-4096", false), ("ed25519", false), ("hmac", false), ("aes256-gcm96", true)]
        {
            assert!(matches!(described(kind, derived), Err(RootError::Misconfigured { .. })), "{kind}");
        }
    }
}
