//! What every provider of L1 keys can do for us.
//!
//! Not for caching, retrying or choosing between several roots: an operation asks the provider once and
//! gives its answer. What each answer of a provider becomes:
//!
//! | the provider says | [`RootError`] |
//! | --- | --- |
//! | the key is disabled, deleted, or this version of it may not decrypt | `Denied` |
//! | our credential is good and may not use the key | `Denied` |
//! | there is no such key, and something sealed by it is to be opened | `Denied`: it was deleted |
//! | there is no such key, and nothing was sealed by it yet | `Misconfigured` |
//! | our credential is no good, or there is none | `Misconfigured` |
//! | the key can't bind what it seals to a tenant, or the reference names no key | `Misconfigured` |
//! | the ciphertext is not this key's, or is bound to something else, or was altered | `Unopenable` |
//! | it limits the rate of requests, and refused this one for that alone | `Throttled` |
//! | it is sealed, overloaded, broken; or says nothing, or nothing we understand | `Unreachable` |
//!
//! `Denied` is the owner's word and ends serving at once, so it is only said when the provider itself, over
//! a connection that is known to be the provider's, has said so. The page of each provider (`docs/roots/`)
//! lists its own answers.

use async_trait::async_trait;
use openkcm_contracts::RootRef;
use openkcm_host::Entropy;
use openkcm_secrets::{KeyError, SecretKey};

use crate::{Binding, RootError};

/// A provider of L1 keys.
///
/// Every method may wait for a network, within a deadline of the provider's own. Dropping a call that is
/// under way is safe.
#[async_trait]
pub trait Root: Send + Sync {
    /// Seals `plaintext` under `key`, so that it opens with the same `binding` alone. Never makes `key`.
    ///
    /// # Errors
    ///
    /// As the table of the module says.
    async fn seal(
        &self,
        key: &RootRef,
        binding: &Binding,
        plaintext: &SecretKey,
    ) -> Result<Vec<u8>, RootError>;

    /// Opens what [`Root::seal`] made.
    ///
    /// # Errors
    ///
    /// As the table of the module says. A key that is missing now is `Denied`: what is `sealed` proves that
    /// there was one.
    async fn unseal(&self, key: &RootRef, binding: &Binding, sealed: &[u8]) -> Result<SecretKey, RootError>;

    /// What the provider says about `key`. A disabled key is described, not refused.
    ///
    /// # Errors
    ///
    /// As the table of the module says.
    async fn describe(&self, key: &RootRef) -> Result<Description, RootError>;

    /// The randomness that throwaway keys are made of.
    fn entropy(&self) -> &dyn Entropy;

    /// Proves that `key` can be used, by sealing and unsealing a throwaway. Gives the sealed throwaway, to
    /// be kept for [`Root::prove_again`].
    ///
    /// # Errors
    ///
    /// As for [`Root::seal`] and [`Root::unseal`].
    async fn prove(&self, key: &RootRef, binding: &Binding) -> Result<Vec<u8>, RootError> {
        let throwaway = SecretKey::generate(self.entropy())?;
        let sealed = self.seal(key, binding, &throwaway).await?;
        let opened = self.unseal(key, binding, &sealed).await?;
        if opened.expose() != throwaway.expose() {
            return Err(RootError::unopenable(format!(
                "{key} gave back another key than it sealed: don't use it, and look at the provider"
            )));
        }
        Ok(sealed)
    }

    /// Proves that a key that was proved before still can be used: one unseal, the cheapest real use there
    /// is. Unlike a probe, it knows that the key existed, so that a key that is gone is `Denied`.
    ///
    /// # Errors
    ///
    /// As for [`Root::unseal`].
    async fn prove_again(&self, key: &RootRef, binding: &Binding, proof: &[u8]) -> Result<(), RootError> {
        self.unseal(key, binding, proof).await.map(drop)
    }

    /// Proves that `key` can be used, by sealing and unsealing a throwaway.
    ///
    /// # Errors
    ///
    /// As for [`Root::prove`].
    async fn probe(&self, key: &RootRef, binding: &Binding) -> Result<(), RootError> {
        self.prove(key, binding).await.map(drop)
    }
}

/// A key as its provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Whether it can be used.
    pub state: KeyState,
    /// The provider's name for its algorithm, if we may read it.
    pub algorithm: Option<String>,
    /// The provider's number of the version that seals now, if it has versions and we may read them.
    pub version: Option<u64>,
}

/// Whether a key can be used, by its provider's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It seals and unseals.
    Usable,
    /// Its owner has disabled it, and can enable it again.
    Disabled,
    /// Its owner has deleted it.
    Deleted,
}

/// Moves what a provider has opened to where keys are held. `opened` is wiped, whatever comes of it.
pub(crate) fn hold(opened: &mut [u8]) -> Result<SecretKey, RootError> {
    SecretKey::from_slice_wiping(opened).map_err(|error| match error {
        KeyError::Memory(source) => RootError::LockedMemory(source),
        KeyError::Length { actual } => {
            RootError::unopenable(format!("it opens to {actual} bytes, which are no key of ours"))
        }
    })
}
