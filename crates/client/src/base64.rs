//! Base64 between bodies and plaintexts, wiped on both sides.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Bytes that are written as base64.
pub(crate) struct AsBase64<'a>(pub(crate) &'a [u8]);

impl AsBase64<'_> {
    /// How long the text is, in bytes.
    pub(crate) fn encoded_len(&self) -> usize {
        base64::encoded_len(self.0.len(), true).unwrap_or(usize::MAX)
    }
}

impl Serialize for AsBase64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The whole length at once: a string that grows would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(self.encoded_len()));
        STANDARD.encode_string(self.0, &mut text);
        serializer.serialize_str(&text)
    }
}

/// For `#[serde(deserialize_with)]` of a plaintext.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Zeroizing<Vec<u8>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a base64 text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Zeroizing<Vec<u8>>, E> {
            let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
            let len = STANDARD.decode_slice(text, &mut bytes).map_err(|_| E::custom("not base64"))?;
            bytes.truncate(len);
            Ok(bytes)
        }
    }

    deserializer.deserialize_str(Text)
}
