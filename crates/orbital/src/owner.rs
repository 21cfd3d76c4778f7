//! The key of a tenant's owner, with which it says which roots its keys may be sealed to.
//!
//! It is none of a component's: no component holds it, and it signs no message. Its word travels in an `L1.Reference`,
//! which the CMK Server signs, and is checked again by who acts on it.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::SigningError;

/// Bytes of an Ed25519 public key.
const PUBLIC_LEN: usize = 32;

/// An owner's key pair.
pub struct OwnerKey(Ed25519KeyPair);

impl OwnerKey {
    /// From a seed in base64, as its file holds it ([`Signer::new_seed`](crate::Signer::new_seed)).
    ///
    /// # Errors
    /// When the text is no seed.
    pub fn from_seed(seed: &str) -> Result<Self, SigningError> {
        let seed = Zeroizing::new(BASE64.decode(seed.trim()).map_err(|_| SigningError)?);
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Self).map_err(|_| SigningError)
    }

    /// The public half, base64: what is pinned.
    pub fn public(&self) -> String {
        BASE64.encode(self.0.public_key().as_ref())
    }

    /// Signs. The result is base64.
    pub fn sign(&self, bytes: &[u8]) -> String {
        BASE64.encode(self.0.sign(bytes).as_ref())
    }
}

impl std::fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// Whether a text is the public half of such a key.
pub fn is_owner_key(public: &str) -> bool {
    BASE64.decode(public).is_ok_and(|bytes| bytes.len() == PUBLIC_LEN)
}

/// Whether the owner of this public key (base64) signed these bytes.
pub fn is_owners(public: &str, bytes: &[u8], signature: &str) -> bool {
    let (Ok(public), Ok(signature)) = (BASE64.decode(public), BASE64.decode(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, public).verify(bytes, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_the_key_has_signed_and_only_these_bytes() {
        let [owner, other] =
            [1, 2].map(|byte| OwnerKey::from_seed(&BASE64.encode([byte; 32])).expect("a seed"));
        let signature = owner.sign(b"roots");
        assert!(is_owner_key(&owner.public()) && !is_owner_key("AAAA") && !is_owner_key("no base64"));
        assert!(is_owners(&owner.public(), b"roots", &signature));
        assert!(!is_owners(&owner.public(), b"other", &signature));
        assert!(!is_owners(&other.public(), b"roots", &signature));
        assert!(!is_owners(&owner.public(), b"roots", "AAAA") && !is_owners("", b"roots", &signature));
        assert!(OwnerKey::from_seed("AAAA").is_err());
    }
}
