//! What a ciphertext is bound to: the full name of the key version that made it.

use aws_lc_rs::digest;
use openkcm_contracts::{Generation, ServicePath, VersionId};

use super::Purpose;

/// Separates this use of a key from every other, and this format from later ones.
const DOMAIN: &[u8] = b"openkcm.l3.v1";

/// The bytes of a ciphertext that tell, without any key, whether it belongs to a version.
pub(super) const CHECK_LEN: usize = 8;

/// The binding of everything that one version of an L3 encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Length-prefixed tenant, system, service, generation and version.
    bound: Vec<u8>,
    check: [u8; CHECK_LEN],
}

impl Context {
    /// The binding of a version of a service's L3.
    pub fn new(path: &ServicePath, generation: Generation, version: VersionId) -> Self {
        let mut bound = Vec::with_capacity(96);
        bound.extend_from_slice(DOMAIN);
        push(&mut bound, path.tenant.as_str().as_bytes());
        push(&mut bound, path.system.as_str().as_bytes());
        push(&mut bound, path.service.as_str().as_bytes());
        push(&mut bound, generation.to_string().as_bytes());
        push(&mut bound, version.as_bytes());
        Self { bound, check: Self::check(path, version) }
    }

    /// The associated data of one encryption: the binding, the purpose, and what the caller bound.
    pub fn associated_data(&self, purpose: Purpose, aad: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bound.len() + 9 + aad.len());
        bytes.extend_from_slice(&self.bound);
        bytes.push(purpose as u8);
        push(&mut bytes, aad);
        bytes
    }

    /// The check that ciphertexts of this version carry.
    pub fn own_check(&self) -> [u8; CHECK_LEN] {
        self.check
    }

    /// The check of a version of a service, held or not. It is no secret and proves nothing: it lets a
    /// Core that lacks a version tell "not here yet" from "damaged, or of another key".
    pub fn check(path: &ServicePath, version: VersionId) -> [u8; CHECK_LEN] {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(b"openkcm.l3.v1.check");
        push(&mut bytes, path.to_string().as_bytes());
        push(&mut bytes, version.as_bytes());
        let hash = digest::digest(&digest::SHA256, &bytes);
        let mut check = [0; CHECK_LEN];
        check.copy_from_slice(&hash.as_ref()[..CHECK_LEN]);
        check
    }
}

fn push(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
    bytes.extend_from_slice(field);
}
