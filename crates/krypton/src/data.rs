//! The data plane: encrypt, decrypt, data keys, rewrap. The hot path.
//!
//! Reads the keyring's snapshot without a lock, and never waits: not for the store, the mesh, another
//! component or the provider. The tenant's gate is looked at before the cipher and after it, so that
//! an answer is given only when the tenant was served from one end of the work to the other.

use std::fmt;
use std::sync::Arc;

use openkcm_contracts::problem::Code;
use openkcm_contracts::{ServicePath, VersionId, VersionState};
use openkcm_host::{Entropy, random_array};
use openkcm_secrets::{SecretBytes, SecretKey};
use zeroize::Zeroizing;

use crate::keyring::{Entered, Keyring, OpenVersion, ServiceRing};
use crate::rules::{PURGED, Refusal};
use crate::sealing::{Ciphertext, Context, FormatError, Purpose};

/// The longest plaintext, in bytes: what is longer belongs in an envelope under a data key. Its
/// ciphertext, in base64 within JSON, fits well into the body limit of a decryption.
pub const MAX_PLAINTEXT_LEN: usize = 1024 * 1024;

/// The longest additional data, in bytes.
pub const MAX_AAD_LEN: usize = 64 * 1024;

/// The sizes of data keys, in bytes.
pub const DATA_KEY_LEN: std::ops::RangeInclusive<usize> = 16..=1024;

/// Uses the keys of a keyring.
#[derive(Clone)]
pub struct DataPlane {
    keyring: Arc<Keyring>,
    entropy: Arc<dyn Entropy>,
}

/// A ciphertext, and what made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypted {
    /// The ciphertext's text.
    pub ciphertext: String,
    /// The version that made it.
    pub version: VersionId,
    /// Whether the version's sealed form is not yet known to be durable on the mesh.
    pub at_risk: bool,
}

/// A plaintext, and what opened it.
pub struct Decrypted {
    /// The plaintext; wiped when dropped.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The version that opened it.
    pub version: VersionId,
    /// Whether the version's sealed form is not yet known to be durable on the mesh.
    pub at_risk: bool,
}

impl fmt::Debug for Decrypted {
    /// Without the plaintext: the buffer's own `Debug` would show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypted").field("version", &self.version).finish_non_exhaustive()
    }
}

const FOREIGN: Refusal =
    Refusal::new(Code::BadCiphertext, "the ciphertext was made by another key, or is damaged");
const ALTERED: Refusal =
    Refusal::new(Code::BadCiphertext, "the ciphertext or its additional data is not what was encrypted");
const NOT_HERE: Refusal =
    Refusal::new(Code::MaterialNotHere, "the key version of this ciphertext is not in this region yet");
const COMPROMISED: Refusal = Refusal::new(
    Code::KeyCompromised,
    "the key version of this ciphertext is marked compromised; rewrap what it holds",
);

impl DataPlane {
    /// Uses this keyring.
    pub fn new(keyring: Arc<Keyring>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keyring, entropy }
    }

    /// Encrypts under the service's active version. `aad` is bound, not hidden, and not kept.
    ///
    /// # Errors
    /// Why the service does not encrypt now.
    pub fn encrypt(&self, path: &ServicePath, plaintext: &[u8], aad: &[u8]) -> Result<Encrypted, Refusal> {
        let (tenant, service) = self.keyring.service(path)?;
        self.seal(&tenant, &service, Purpose::Data, plaintext, aad)
    }

    /// Decrypts with exactly the version that encrypted.
    ///
    /// # Errors
    /// Why the ciphertext does not open, or the service does not decrypt now.
    pub fn decrypt(&self, path: &ServicePath, ciphertext: &str, aad: &[u8]) -> Result<Decrypted, Refusal> {
        let (tenant, service) = self.keyring.service(path)?;
        open(&tenant, &service, path, ciphertext, aad, false).map(|(opened, _)| opened)
    }

    /// Makes a data key of `len` bytes: its plaintext, and the same sealed, which `decrypt` opens.
    ///
    /// # Errors
    /// Why the service does not encrypt now.
    pub fn data_key(&self, path: &ServicePath, len: usize) -> Result<(SecretBytes, Encrypted), Refusal> {
        let (tenant, service) = self.keyring.service(path)?;
        let plaintext = SecretBytes::random(len, &*self.entropy);
        let sealed = self.seal(&tenant, &service, Purpose::DataKey, plaintext.expose(), &[])?;
        Ok((plaintext, sealed))
    }

    /// Encrypts anew, under the active version, what an older one encrypted, compromised ones
    /// included. The plaintext does not leave the Core.
    ///
    /// # Errors
    /// Why the ciphertext does not open, or the service does not encrypt now.
    pub fn rewrap(&self, path: &ServicePath, ciphertext: &str, aad: &[u8]) -> Result<Encrypted, Refusal> {
        let (tenant, service) = self.keyring.service(path)?;
        let (opened, purpose) = open(&tenant, &service, path, ciphertext, aad, true)?;
        self.seal(&tenant, &service, purpose, &opened.plaintext, aad)
    }

    /// The ring of a service, for those who show it.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn service(&self, path: &ServicePath) -> Result<Arc<ServiceRing>, Refusal> {
        self.keyring.service(path).map(|(_, service)| service)
    }

    fn seal(
        &self,
        tenant: &Entered,
        service: &ServiceRing,
        purpose: Purpose,
        plaintext: &[u8],
        aad: &[u8],
    ) -> Result<Encrypted, Refusal> {
        let version = service.active()?;
        let key = version.key.as_ref().map_err(|refusal| *refusal)?;
        let nonce = random_array(&*self.entropy);
        let sealed = Ciphertext::seal(key, version.id, &version.context, purpose, &nonce, aad, plaintext);
        tenant.still_stands()?;
        Ok(Encrypted { ciphertext: sealed.to_text(), version: version.id, at_risk: version.at_risk })
    }
}

fn open(
    tenant: &Entered,
    service: &ServiceRing,
    path: &ServicePath,
    text: &str,
    aad: &[u8],
    from_compromised: bool,
) -> Result<(Decrypted, Purpose), Refusal> {
    service.standing()?;
    let ciphertext = Ciphertext::parse(text).map_err(refuse_format)?;
    let purpose = ciphertext.purpose();
    let version = find(service, path, &ciphertext)?;
    if version.state == VersionState::Compromised && !from_compromised {
        return Err(COMPROMISED);
    }
    let key: &SecretKey = version.key.as_ref().map_err(|refusal| *refusal)?;
    let plaintext = ciphertext.open(key, &version.context, aad).map_err(|_| ALTERED)?;
    tenant.still_stands()?;
    Ok((Decrypted { plaintext, version: version.id, at_risk: version.at_risk }, purpose))
}

/// The version that a ciphertext names; a name that does not fit its check is no version's.
fn find<'a>(
    service: &'a ServiceRing,
    path: &ServicePath,
    ciphertext: &Ciphertext,
) -> Result<&'a OpenVersion, Refusal> {
    let id = ciphertext.version();
    match service.version(id) {
        Some(version) if ciphertext.has_check(version.context.own_check()) => Ok(version),
        None if ciphertext.has_check(Context::check(path, id)) => {
            Err(if service.is_destroyed(id) { PURGED } else { NOT_HERE })
        }
        _ => Err(FOREIGN),
    }
}

fn refuse_format(error: FormatError) -> Refusal {
    let detail = match error {
        FormatError::NotOurs => "the ciphertext does not begin with kcm1.",
        FormatError::Future => "the ciphertext is of a later format than this Core reads; upgrade the Core",
        FormatError::Damaged => "the ciphertext is cut short or damaged",
    };
    Refusal::new(Code::BadCiphertext, detail)
}
