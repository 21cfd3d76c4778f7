//! What a sealed L2 is bound to.
//!
//! The provider authenticates these bytes with every seal and unseal, so what was sealed for one tenant,
//! system and version never opens as another's, even under a root that two tenants share. The encoding is
//! for ever: what was sealed with it must open in every later release.

use openkcm_contracts::{SystemId, TenantId, VersionId};

/// Parts this encoding from every other use of the same root.
const DOMAIN: &str = "openkcm.l2.v1";

/// The one thing that a sealed L2 is: this version of this system's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Whose key it is.
    pub tenant: TenantId,
    /// The system that it is the key of.
    pub system: SystemId,
    /// Which version of it.
    pub version: VersionId,
}

impl Binding {
    /// The canonical bytes: the domain, tenant, system and version, each behind its length (four bytes, the
    /// most significant first). No two bindings have the same.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            DOMAIN.as_bytes(),
            self.tenant.as_str().as_bytes(),
            self.system.as_str().as_bytes(),
            self.version.as_bytes(),
        ];
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| LENGTH_LEN + part.len()).sum());
        for part in parts {
            let len = u32::try_from(part.len()).expect("labels are 63 bytes long at most");
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// Length of a length, in bytes.
const LENGTH_LEN: usize = size_of::<u32>();

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(tenant: &str, system: &str, version: u8) -> Binding {
        Binding {
            tenant: TenantId::new(tenant).unwrap(),
            system: SystemId::new(system).unwrap(),
            version: VersionId::from_bytes([version; 16]),
        }
    }

    #[test]
    fn the_encoding_is_the_one_that_earlier_releases_sealed_with() {
        let expected = [
            &b"\0\0\0\x0dopenkcm.l2.v1"[..],
            &b"\0\0\0\x04acme"[..],
            &b"\0\0\0\x02hr"[..],
            &b"\0\0\0\x10\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07"[..],
        ];
        assert_eq!(binding("acme", "hr", 7).to_bytes(), expected.concat());
    }

    #[test]
    fn bindings_that_differ_in_one_part_or_in_a_border_have_other_bytes() {
        let one = binding("acme", "hr", 7).to_bytes();
        for other in [binding("acmeh", "r", 7), binding("acme", "hs", 7), binding("acme", "hr", 8)] {
            assert_ne!(one, other.to_bytes());
        }
    }
}
