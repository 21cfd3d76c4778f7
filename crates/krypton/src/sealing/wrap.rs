//! An L3 sealed under its L2: XAES-256-GCM, bound to the full name of both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::{Generation, ServicePath, VersionId};
use openkcm_host::{Entropy, random_array};
use openkcm_secrets::{KeyError, SecretKey, xaes};
use zeroize::Zeroizing;

/// Separates this use of an L2 from every other.
const DOMAIN: &[u8] = b"openkcm.l3-under-l2.v1";

/// Why a sealed L3 does not open.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// It is no sealed L3.
    #[error("the sealed version is damaged")]
    Damaged,
    /// It was altered, or is sealed under another L2, or of another name.
    #[error("the sealed version does not open under this L2")]
    Unopenable,
    /// There is no locked memory to open it into.
    #[error("the key can't be held in memory")]
    Memory(#[source] KeyError),
}

/// Seals an L3 under a version of its system's L2. The result is base64.
pub fn wrap_l3(
    l2: (&SecretKey, VersionId),
    l3: &SecretKey,
    name: (&ServicePath, Generation, VersionId),
    entropy: &dyn Entropy,
) -> String {
    let nonce: [u8; xaes::NONCE_LEN] = random_array(entropy);
    // The plaintext key is outside locked memory for the length of this one operation.
    let mut body = Zeroizing::new(l3.expose().to_vec());
    let tag = xaes::seal_in_place(l2.0, &nonce, &associated_data(l2.1, name), &mut body);
    let mut bytes = nonce.to_vec();
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(&tag);
    BASE64.encode(bytes)
}

/// Opens a sealed L3.
///
/// # Errors
/// When it does not open under this version of the L2 and with this name.
pub fn unwrap_l3(
    l2: (&SecretKey, VersionId),
    sealed: &str,
    name: (&ServicePath, Generation, VersionId),
) -> Result<SecretKey, WrapError> {
    let mut bytes = Zeroizing::new(BASE64.decode(sealed).map_err(|_| WrapError::Damaged)?);
    let (nonce, body) = bytes.split_at_mut_checked(xaes::NONCE_LEN).ok_or(WrapError::Damaged)?;
    let nonce = <[u8; xaes::NONCE_LEN]>::try_from(&*nonce).map_err(|_| WrapError::Damaged)?;
    let key =
        xaes::open(l2.0, &nonce, &associated_data(l2.1, name), body).map_err(|_| WrapError::Unopenable)?;
    SecretKey::from_slice_wiping(key).map_err(WrapError::Memory)
}

fn associated_data(
    l2: VersionId,
    (path, generation, version): (&ServicePath, Generation, VersionId),
) -> Vec<u8> {
    let (path, generation) = (path.to_string(), generation.to_string());
    let mut bytes = DOMAIN.to_vec();
    for field in [&l2.as_bytes()[..], path.as_bytes(), generation.as_bytes(), version.as_bytes()] {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::Revision;
    use openkcm_host::SeededEntropy;

    use super::*;

    #[test]
    fn a_sealed_l3_opens_only_as_itself() {
        let entropy = SeededEntropy::new(3);
        let key = || SecretKey::generate(&entropy).expect("memory");
        let (l2, l3) = (key(), key());
        let path: ServicePath = "acme/hr/payroll".parse().expect("valid");
        let other: ServicePath = "other/hr/payroll".parse().expect("valid");
        let (l2_id, id) = (VersionId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]));
        let generation = Generation(Revision::new(1, 1));
        let sealed = wrap_l3((&l2, l2_id), &l3, (&path, generation, id), &entropy);
        let opened = unwrap_l3((&l2, l2_id), &sealed, (&path, generation, id)).expect("opens");
        assert_eq!(opened.expose(), l3.expose());
        for (l2_id, path, generation, id) in [
            (id, &path, generation, id),
            (l2_id, &other, generation, id),
            (l2_id, &path, Generation(Revision::new(1, 2)), id),
            (l2_id, &path, generation, l2_id),
        ] {
            assert!(unwrap_l3((&l2, l2_id), &sealed, (path, generation, id)).is_err());
        }
        assert!(matches!(unwrap_l3((&l2, l2_id), "AAAA", (&path, generation, id)), Err(WrapError::Damaged)));
    }
}
