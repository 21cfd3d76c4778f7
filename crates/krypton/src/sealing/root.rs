//! An L2 that a tenant's root sealed: base64, as events carry it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::RootRef;
use openkcm_roots::{Binding, RootError, Roots};
use openkcm_secrets::SecretKey;

/// Has a root open what it sealed.
///
/// # Errors
/// What the root says; [`RootError::Unopenable`] also for what is no base64.
pub(crate) async fn open_seal(
    roots: &Roots,
    root: &RootRef,
    binding: &Binding,
    ciphertext: &str,
) -> Result<SecretKey, RootError> {
    match BASE64.decode(ciphertext) {
        Ok(sealed) => roots.unseal(root, binding, &sealed).await,
        Err(_) => Err(RootError::Unopenable { reason: "it is no base64".into() }),
    }
}
