//! Base64 in bodies: standard alphabet with padding (RFC 4648, section 4), wiped when dropped.
//!
//! [`Base64`] is the type for a field of a request or an answer; the two functions are for texts that
//! come by other ways. Nothing else is accepted: no line breaks, no URL alphabet, no missing padding, so
//! that each byte string has one text.

use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openkcm_contracts::problem::Code;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zeroize::Zeroizing;

use crate::problem::{Answer, Problem};

/// What is said of a text that is no base64. The body extractor knows it by this text, which names no
/// value, and makes it `invalid_base64`.
pub(crate) const NOT_BASE64: &str = "standard base64 with padding (RFC 4648, section 4) is expected";

/// Bytes that travel as base64 in JSON. Wiped when dropped; `Debug` shows the length alone.
///
/// In a request body that [`crate::Body`] reads, a text that is no base64 is refused as
/// `invalid_base64` with the name of the field.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Base64(Zeroizing<Vec<u8>>);

impl Base64 {
    /// The bytes, still wiped when dropped.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for Base64 {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Base64 {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl Deref for Base64 {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Base64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Base64, E> {
                decode(text).map(Base64).ok_or_else(|| E::custom(NOT_BASE64))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Base64, E> {
                self.visit_str(&Zeroizing::new(text))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl PartialSchema for Base64 {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Byte)))
            .description(Some("Standard base64 with padding."))
            .into()
    }
}

impl ToSchema for Base64 {}

/// The bytes of a base64 text.
///
/// # Errors
/// `invalid_base64` with the field's name, and nothing of the text.
pub fn decode_base64(field: &'static str, text: &str) -> Answer<Zeroizing<Vec<u8>>> {
    decode(text)
        .ok_or_else(|| Problem::new(Code::InvalidBase64, format!("{field}: {NOT_BASE64}")).field(field))
}

/// The base64 text of these bytes, wiped when dropped.
pub fn encode_base64(bytes: &[u8]) -> Zeroizing<String> {
    // The whole length at once: a string that grows would leave a copy behind.
    let len =
        base64::encoded_len(bytes.len(), true).expect("no byte slice is as long as three quarters of usize");
    let mut text = Zeroizing::new(String::with_capacity(len));
    STANDARD.encode_string(bytes, &mut text);
    text
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let len = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_section_10_are_read_and_written() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(*encode_base64(bytes.as_bytes()), text);
            assert_eq!(*decode_base64("x", text).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn other_alphabets_missing_padding_and_loose_bits_are_refused() {
        for text in ["Zg", "Zg=", "Zh==", "Z g=", "_-8=", "Zg==\n", "Zg==Zg=="] {
            let problem = decode_base64("aad", text).unwrap_err();
            assert_eq!(
                (problem.code, problem.field.as_deref()),
                (Code::InvalidBase64, Some("aad")),
                "{text:?}"
            );
            assert!(!problem.detail.contains(text));
        }
    }

    #[test]
    fn debug_shows_the_length_alone() {
        assert_eq!(format!("{:?}", Base64::from(&b"secret"[..])), "Base64(6 bytes)");
    }
}
