//! The form of a sealed L2: a header of ours, then what the driver needs to open it.
//!
//! `kcmR`, the format's version, the driver that sealed, and the driver's own bytes. The header is compared
//! as a whole and holds nothing that can be chosen, so an altered one is refused and needs no
//! authentication of its own.

use crate::RootError;

/// The longest sealed L2, in bytes: far more than any driver makes, and little to hand to a provider.
pub const MAX_SEALED_LEN: usize = 1024;

const MAGIC: [u8; 4] = *b"kcmR";

/// The format of everything behind the header.
const FORMAT: u8 = 1;

const HEADER_LEN: usize = MAGIC.len() + 2;

/// Who sealed. The numbers are stored: they never change, and none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Under a key file on this machine.
    Local = 1,
    /// By the transit engine of OpenBao or Vault, whose ciphertexts are the same.
    Transit = 2,
}

/// A sealed L2 from a driver's bytes.
pub(crate) fn wrap(driver: Driver, parts: &[&[u8]]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(HEADER_LEN + parts.iter().map(|part| part.len()).sum::<usize>());
    sealed.extend_from_slice(&header(driver));
    for part in parts {
        sealed.extend_from_slice(part);
    }
    sealed
}

/// The driver's bytes of a sealed L2.
///
/// # Errors
///
/// [`RootError::Unopenable`] when it is too long or another driver's, or not of a format that is known.
pub(crate) fn unwrap(driver: Driver, sealed: &[u8]) -> Result<&[u8], RootError> {
    if sealed.len() > MAX_SEALED_LEN {
        return Err(RootError::unopenable(format!("{} bytes are too many for a sealed key", sealed.len())));
    }
    sealed.strip_prefix(&header(driver)).ok_or_else(|| {
        RootError::unopenable(
            "it is not in the form that this provider seals in: it was altered, or sealed by another \
             provider or by a later release",
        )
    })
}

fn header(driver: Driver) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, FORMAT, driver as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_driver_sealed_is_nothing_to_another() {
        let sealed = wrap(Driver::Local, &[b"nonce", b"body"]);
        assert_eq!(unwrap(Driver::Local, &sealed).unwrap(), b"noncebody");
        assert!(matches!(unwrap(Driver::Transit, &sealed), Err(RootError::Unopenable { .. })));
    }

    #[test]
    fn the_header_is_the_one_that_is_stored() {
        assert_eq!(wrap(Driver::Local, &[]), b"kcmR\x01\x01");
        assert_eq!(wrap(Driver::Transit, &[]), b"kcmR\x01\x02");
    }

    #[test]
    fn every_altered_byte_of_the_header_is_noticed() {
        let sealed = wrap(Driver::Transit, &[b"body"]);
        for at in 0..HEADER_LEN {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(matches!(unwrap(Driver::Transit, &altered), Err(RootError::Unopenable { .. })), "{at}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_even_looked_at() {
        let sealed = wrap(Driver::Transit, &[&[0; MAX_SEALED_LEN]]);
        assert!(matches!(unwrap(Driver::Transit, &sealed), Err(RootError::Unopenable { .. })));
    }
}
