//! Signing: a component's own Ed25519 key (RFC 8032), and letters made into messages by it.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::RegionId;
use openkcm_contracts::Role;
use openkcm_host::Entropy;

use crate::{Envelope, Letter, Message, TrustedKey};

/// Why a signing key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing key is no 32-byte Ed25519 seed in base64")]
pub struct SigningError;

/// Signs what one component says.
pub struct Signer {
    role: Role,
    region: Option<RegionId>,
    pair: Ed25519KeyPair,
    key_id: String,
}

impl Signer {
    /// A new seed, as its file holds it: base64. The caller keeps it private.
    pub fn new_seed(entropy: &dyn Entropy) -> String {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        BASE64.encode(seed)
    }

    /// From a seed in base64. A Core names its region.
    ///
    /// # Errors
    /// When the text is no seed.
    pub fn from_seed(seed: &str, role: Role, region: Option<RegionId>) -> Result<Self, SigningError> {
        let seed = BASE64.decode(seed.trim()).map_err(|_| SigningError)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| SigningError)?;
        let key_id = key_id(pair.public_key().as_ref());
        Ok(Self { role, region, pair, key_id })
    }

    /// The entry of this key in a trust bundle.
    pub fn trusted_key(&self) -> TrustedKey {
        TrustedKey {
            id: self.key_id.clone(),
            role: self.role,
            region: self.region.clone(),
            public_key: BASE64.encode(self.pair.public_key().as_ref()),
        }
    }

    /// The CloudEvents source: `/registry`, `/cmk`, `/krypton/REGION`.
    pub fn source(&self) -> String {
        match &self.region {
            Some(region) => format!("/{}/{region}", self.role),
            None => format!("/{}", self.role),
        }
    }

    /// Puts a letter into a signed envelope. The same letter gives the same message, always.
    pub fn sign(&self, letter: &Letter) -> Message {
        let bytes = Envelope::signed_bytes(
            &letter.kind,
            &letter.subject,
            &letter.audience,
            letter.revision,
            letter.expires,
            letter.body.as_bytes(),
        );
        let envelope = Envelope {
            source: self.source(),
            kind: letter.kind.clone(),
            subject: letter.subject.clone(),
            audience: letter.audience.clone(),
            revision: letter.revision,
            expires: letter.expires,
            time: letter.written_at,
            key_id: self.key_id.clone(),
            signature: self.pair.sign(&bytes).as_ref().to_vec(),
        };
        envelope.into_message(letter)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("source", &self.source())
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// The id of a public key: the first 16 hexadecimal digits of its SHA-256.
pub(crate) fn key_id(public_key: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, public_key);
    hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
