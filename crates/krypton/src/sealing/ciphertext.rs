//! The ciphertext that callers keep: `kcm1.` and base64url (RFC 4648, section 5, unpadded) of
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | purpose: 1 data, 2 data key |
//! | 16 | version id |
//! | 8 | check of key name and version ([`Context::check`](super::Context::check)) |
//! | 24 | nonce |
//! | rest | ciphertext and 16-byte tag |
//!
//! The text's prefix is the format's version. Everything before the nonce is authenticated through
//! the associated data; golden vectors (`tests/golden`) guard the format across releases.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use openkcm_contracts::VersionId;
use openkcm_secrets::{SecretKey, xaes};
use zeroize::Zeroizing;

use super::Context;
use super::context::CHECK_LEN;

const PREFIX: &str = "kcm1.";
const VERSION_AT: usize = 1;
const CHECK_AT: usize = VERSION_AT + 16;
const NONCE_AT: usize = CHECK_AT + CHECK_LEN;
const BODY_AT: usize = NONCE_AT + xaes::NONCE_LEN;

/// What a ciphertext holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// A caller's data.
    Data = 1,
    /// A data key that was made for a caller.
    DataKey = 2,
}

/// A ciphertext, parsed and not yet opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ciphertext {
    bytes: Vec<u8>,
    purpose: Purpose,
}

/// Why a text is no ciphertext that this version reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not begin as one.
    #[error("it does not begin with kcm1.")]
    NotOurs,
    /// It is of a format that a later release made.
    #[error("it is of a later format than this Core reads; upgrade the Core")]
    Future,
    /// It is damaged.
    #[error("it is cut short or damaged")]
    Damaged,
}

impl Ciphertext {
    /// Encrypts under a version.
    pub fn seal(
        key: &SecretKey,
        version: VersionId,
        context: &Context,
        purpose: Purpose,
        nonce: &[u8; xaes::NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Self {
        let mut bytes = Vec::with_capacity(BODY_AT + plaintext.len() + xaes::TAG_LEN);
        bytes.push(purpose as u8);
        bytes.extend_from_slice(version.as_bytes());
        bytes.extend_from_slice(&context.own_check());
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(plaintext);
        let associated = context.associated_data(purpose, aad);
        let tag = xaes::seal_in_place(key, nonce, &associated, &mut bytes[BODY_AT..]);
        bytes.extend_from_slice(&tag);
        Self { bytes, purpose }
    }

    /// Reads a ciphertext's text.
    ///
    /// # Errors
    /// When it is none, or of a later format.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let Some(body) = text.strip_prefix(PREFIX) else {
            return Err(if is_later_format(text) { FormatError::Future } else { FormatError::NotOurs });
        };
        let bytes = BASE64URL.decode(body).map_err(|_| FormatError::Damaged)?;
        if bytes.len() < BODY_AT + xaes::TAG_LEN {
            return Err(FormatError::Damaged);
        }
        let purpose = match bytes[0] {
            1 => Purpose::Data,
            2 => Purpose::DataKey,
            _ => return Err(FormatError::Damaged),
        };
        Ok(Self { bytes, purpose })
    }

    /// The version that made it, as it says.
    pub fn version(&self) -> VersionId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.bytes[VERSION_AT..CHECK_AT]);
        VersionId::from_bytes(id)
    }

    /// What it holds, as it says.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether it carries this check.
    pub fn has_check(&self, check: [u8; CHECK_LEN]) -> bool {
        self.bytes[CHECK_AT..NONCE_AT] == check
    }

    /// Opens it.
    ///
    /// # Errors
    /// When it was altered, or is bound to anything else.
    pub fn open(
        mut self,
        key: &SecretKey,
        context: &Context,
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, xaes::OpenError> {
        let mut nonce = [0; xaes::NONCE_LEN];
        nonce.copy_from_slice(&self.bytes[NONCE_AT..BODY_AT]);
        let associated = context.associated_data(self.purpose, aad);
        let mut body = Zeroizing::new(self.bytes.split_off(BODY_AT));
        let length = xaes::open(key, &nonce, &associated, &mut body)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(PREFIX.len() + self.bytes.len() * 4 / 3 + 3);
        text.push_str(PREFIX);
        BASE64URL.encode_string(&self.bytes, &mut text);
        text
    }
}

fn is_later_format(text: &str) -> bool {
    let number = text.strip_prefix("kcm").and_then(|rest| rest.split_once('.')).map(|(number, _)| number);
    number.is_some_and(|number| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0') && !number.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::{Generation, Revision};
    use openkcm_host::SeededEntropy;

    use super::*;

    fn context(path: &str) -> Context {
        let id = VersionId::from_bytes([7; 16]);
        Context::new(&path.parse().expect("valid"), Generation(Revision::new(1, 1)), id)
    }

    fn sealed(key: &SecretKey) -> Ciphertext {
        let id = VersionId::from_bytes([7; 16]);
        Ciphertext::seal(key, id, &context("acme/hr/payroll"), Purpose::Data, &[9; 24], b"aad", b"plaintext")
    }

    #[test]
    fn what_was_sealed_opens_from_its_text() {
        let key = SecretKey::generate(&SeededEntropy::new(1)).expect("memory");
        let read = Ciphertext::parse(&sealed(&key).to_text()).expect("own format");
        assert_eq!(read.version(), VersionId::from_bytes([7; 16]));
        let opened = read.open(&key, &context("acme/hr/payroll"), b"aad").expect("opens");
        assert_eq!(&opened[..], b"plaintext");
    }

    #[test]
    fn nothing_of_it_can_be_altered() {
        let key = SecretKey::generate(&SeededEntropy::new(1)).expect("memory");
        let whole = sealed(&key);
        for at in 0..whole.bytes.len() {
            let mut altered = whole.clone();
            altered.bytes[at] ^= 1;
            let Ok(altered) = Ciphertext::parse(&altered.to_text()) else { continue };
            let same_name = altered.version() == whole.version()
                && altered.has_check(context("acme/hr/payroll").own_check());
            assert!(
                !same_name || altered.open(&key, &context("acme/hr/payroll"), b"aad").is_err(),
                "byte {at} was altered unnoticed"
            );
        }
    }

    #[test]
    fn other_additional_data_and_another_service_do_not_open_it() {
        let key = SecretKey::generate(&SeededEntropy::new(1)).expect("memory");
        assert!(sealed(&key).open(&key, &context("acme/hr/payroll"), b"other").is_err());
        assert!(sealed(&key).open(&key, &context("acme/hr/other"), b"aad").is_err());
    }

    #[test]
    fn a_later_format_is_told_from_garbage() {
        assert_eq!(Ciphertext::parse("kcm2.AAAA"), Err(FormatError::Future));
        assert_eq!(Ciphertext::parse("kcm10.AAAA"), Err(FormatError::Future));
        for garbage in ["hello", "", "kcm", "kcm.AAAA", "kcm0.AAAA", "kcm01.AAAA", "KCM1.AAAA", " kcm1.AAAA"]
        {
            assert_eq!(Ciphertext::parse(garbage), Err(FormatError::NotOurs), "{garbage:?}");
        }
        assert_eq!(Ciphertext::parse("kcm1."), Err(FormatError::Damaged));
        assert_eq!(Ciphertext::parse("kcm1.!!!"), Err(FormatError::Damaged));
    }
}
