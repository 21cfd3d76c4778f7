//! Signing: a component's own Ed25519 key (RFC 8032), and letters made into messages by it.
//!
//! The key can be replaced while the component runs: what is signed from then on is signed by the new one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::RegionId;
use openkcm_contracts::Role;
use openkcm_host::Entropy;
use zeroize::Zeroizing;

use crate::merkle::{self, MAX_LEAVES, Proof};
use crate::{Envelope, Letter, Message, TrustedKey};

/// Why a signing key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing key is no 32-byte Ed25519 seed in base64")]
pub struct SigningError;

/// Signs what one component says.
pub struct Signer {
    role: Role,
    region: Option<RegionId>,
    pair: ArcSwap<Pair>,
}

/// A key pair and its id.
struct Pair {
    keys: Ed25519KeyPair,
    id: String,
}

impl Pair {
    fn from_seed(seed: &str) -> Result<Self, SigningError> {
        let seed = Zeroizing::new(BASE64.decode(seed.trim()).map_err(|_| SigningError)?);
        let keys = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| SigningError)?;
        let id = key_id(keys.public_key().as_ref());
        Ok(Self { keys, id })
    }
}

impl Signer {
    /// A new seed, as its file holds it: base64. The caller keeps it private.
    pub fn new_seed(entropy: &dyn Entropy) -> String {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut());
        BASE64.encode(seed.as_ref())
    }

    /// From a seed in base64. A Core names its region.
    ///
    /// # Errors
    /// When the text is no seed.
    pub fn from_seed(seed: &str, role: Role, region: Option<RegionId>) -> Result<Self, SigningError> {
        Ok(Self { role, region, pair: ArcSwap::from_pointee(Pair::from_seed(seed)?) })
    }

    /// Signs with another key from now on. Those who listen must trust it before.
    ///
    /// # Errors
    /// When the text is no seed; then nothing is replaced.
    pub fn replace_seed(&self, seed: &str) -> Result<(), SigningError> {
        self.pair.store(Arc::new(Pair::from_seed(seed)?));
        Ok(())
    }

    /// Whom it speaks for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The entry of this key in a trust bundle.
    pub fn trusted_key(&self) -> TrustedKey {
        let pair = self.pair.load();
        TrustedKey {
            id: pair.id.clone(),
            role: self.role,
            region: self.region.clone(),
            public_key: BASE64.encode(pair.keys.public_key().as_ref()),
        }
    }

    /// The CloudEvents source: `/registry`, `/cmk`, `/krypton/REGION`.
    pub fn source(&self) -> String {
        match &self.region {
            Some(region) => format!("/{}/{region}", self.role),
            None => format!("/{}", self.role),
        }
    }

    /// Puts a letter into a signed envelope.
    pub fn sign(&self, letter: &Letter) -> Message {
        self.sign_all([letter]).pop().expect("one message for each letter")
    }

    /// Puts letters into signed envelopes, one for each and in their order: one signature for all of them.
    pub fn sign_all<'a>(&self, letters: impl IntoIterator<Item = &'a Letter>) -> Vec<Message> {
        let letters: Vec<&Letter> = letters.into_iter().collect();
        letters.chunks(MAX_LEAVES).flat_map(|together| self.sign_together(together)).collect()
    }

    fn sign_together(&self, letters: &[&Letter]) -> Vec<Message> {
        let pair = self.pair.load();
        let leaves: Vec<_> = letters.iter().map(|letter| merkle::leaf(&letter.signed_bytes())).collect();
        let (root, proofs) = merkle::tree(&leaves);
        let size = u16::try_from(leaves.len()).expect("at most MAX_LEAVES");
        let signature = pair.keys.sign(&Envelope::root_bytes(size, &root)).as_ref().to_vec();
        let envelope = |(letter, proof): (&&Letter, Proof)| {
            let envelope = Envelope {
                source: self.source(),
                kind: letter.kind.clone(),
                subject: letter.subject.clone(),
                audience: letter.audience.clone(),
                revision: letter.revision,
                expires: letter.expires,
                time: letter.written_at,
                key_id: pair.id.clone(),
                proof,
                signature: signature.clone(),
            };
            envelope.into_message(letter, self.role)
        };
        letters.iter().zip(proofs).map(envelope).collect()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("source", &self.source())
            .field("key_id", &self.pair.load().id)
            .finish_non_exhaustive()
    }
}

/// The id of a public key: the first 16 hexadecimal digits of its SHA-256.
pub(crate) fn key_id(public_key: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, public_key);
    hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
