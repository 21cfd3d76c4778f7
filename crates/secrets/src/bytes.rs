//! Plaintext on its way through: data keys for callers, bodies of requests and answers.
//!
//! Not for L2 and L3: those are [`SecretKey`](crate::SecretKey)s. This is ordinary heap memory, wiped but not
//! locked, and has to be short-lived. What always holds: the buffer never moves while it holds plaintext (it
//! can shrink and be overwritten, not grow), so that no unwiped copy is left behind.

use std::fmt;

use openkcm_host::Entropy;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Bytes that are wiped when they are dropped, and that no `Debug` shows.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// `len` zero bytes, to be written through [`SecretBytes::expose_mut`].
    pub fn zeroed(len: usize) -> Self {
        Self(Zeroizing::new(vec![0; len]))
    }

    /// `len` random bytes: a data key, say. The caller has bounded `len`.
    pub fn random(len: usize, entropy: &dyn Entropy) -> Self {
        let mut bytes = Self::zeroed(len);
        entropy.fill(bytes.expose_mut());
        bytes
    }

    /// How many bytes these are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes themselves, to be changed in place: opened, for example.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Keeps the first `len` bytes: after opening in place, all but the tag. The rest is wiped on drop.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Gives the buffer to code that knows `zeroize` but not this type. It is still wiped on drop, but can
    /// now grow, and a buffer that grows leaves an unwiped copy behind.
    pub fn into_zeroizing(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Takes the buffer over as it is; nothing is copied.
impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl ZeroizeOnDrop for SecretBytes {}

#[cfg(test)]
mod tests {
    use openkcm_host::SeededEntropy;

    use super::*;

    #[test]
    fn a_buffer_is_taken_over_without_a_copy() {
        let plain = b"account 4711".to_vec();
        let address = plain.as_ptr();
        let secret = SecretBytes::from(plain);
        assert_eq!(secret.expose().as_ptr(), address);
        assert_eq!(secret.into_zeroizing().as_ptr(), address);
    }

    #[test]
    fn a_random_data_key_has_the_length_that_was_asked_for() {
        let entropy = SeededEntropy::new(1);
        for len in [0, 16, 32, 64] {
            let bytes = SecretBytes::random(len, &entropy);
            assert_eq!((bytes.len(), bytes.is_empty()), (len, len == 0));
        }
    }

    #[test]
    fn shrinking_keeps_the_beginning_where_it_is() {
        let mut bytes = SecretBytes::from(b"plaintext and a tag".to_vec());
        let address = bytes.expose().as_ptr();
        bytes.truncate(9);
        assert_eq!((bytes.expose(), bytes.expose().as_ptr()), (&b"plaintext"[..], address));
    }
}
