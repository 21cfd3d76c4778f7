//! A component's own keys: the seed that it signs with, and the one that it is a user of the broker by.
//!
//! What always holds: a key that is there is kept.

use anyhow::Context as _;
use nkeys::{KeyPair, KeyPairType};
use openkcm_host::{Entropy, random_array};
use openkcm_orbital::{Signer, TrustBundle};
use zeroize::Zeroizing;

use super::TRUST;
use super::site::Site;
use crate::component::Component;
use crate::files;

/// The file of a component's signing seed.
pub(super) fn seed_file(component: &Component) -> String {
    format!("keys/{component}.seed")
}

/// A component's signing key, made if there is none.
pub(super) fn signer(site: &Site<'_>, component: &Component) -> anyhow::Result<Signer> {
    let path = site.path(&seed_file(component));
    let seed = files::once(&path, || Ok(Zeroizing::new(Signer::new_seed(site.entropy))))?;
    signer_of(&seed, component).with_context(|| format!("{} holds no signing key", path.display()))
}

/// The signing key of a seed.
pub(super) fn signer_of(seed: &str, component: &Component) -> anyhow::Result<Signer> {
    Ok(Signer::from_seed(seed, component.role(), component.region().cloned())?)
}

/// The public key of a user of the broker, whose seed is made if there is none.
pub(super) fn nkey(site: &Site<'_>, user: &str) -> anyhow::Result<String> {
    let path = site.path(&format!("keys/{user}.nk"));
    let seed = files::once(&path, || new_nkey(site.entropy))?;
    let pair =
        KeyPair::from_seed(seed.trim()).with_context(|| format!("{} holds no NKey", path.display()))?;
    Ok(pair.public_key())
}

fn new_nkey(entropy: &dyn Entropy) -> anyhow::Result<Zeroizing<String>> {
    let random = Zeroizing::new(random_array::<32>(entropy));
    let pair = KeyPair::new_from_raw(KeyPairType::User, *random).context("no NKey can be made")?;
    Ok(Zeroizing::new(pair.seed().context("no NKey can be made")?))
}

/// Writes the trust bundle.
pub(super) fn save_trust(site: &Site<'_>, bundle: &TrustBundle) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(bundle).context("the trust bundle can't be written")?;
    text.push('\n');
    site.write(TRUST, &text)
}
