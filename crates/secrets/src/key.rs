//! One plaintext key, in locked memory.
//!
//! Not an id, not a version, not a sealed key: those are other crates' types, and none of them can become
//! this one but by opening a seal. What always holds: the key's bytes are written once, into their slot, and
//! are read only through [`SecretKey::expose`].

use std::fmt;

use openkcm_host::Entropy;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::locked::{LockedMemoryError, LockedSlot, SLOT_LEN};

/// A 256-bit key in the clear. It lies in locked memory and is wiped when it is dropped.
///
/// It can't be cloned or serialized, by design; to share it, share a reference or an `Arc`.
pub struct SecretKey {
    slot: LockedSlot,
}

impl SecretKey {
    /// The length of a key in bytes.
    pub const LEN: usize = SLOT_LEN;

    /// A new key from `entropy`, made where it is to stay.
    ///
    /// # Errors
    ///
    /// When no more memory can be locked.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, LockedMemoryError> {
        let mut slot = LockedSlot::allocate()?;
        entropy.fill(slot.bytes_mut());
        Ok(Self { slot })
    }

    /// Moves a key out of an ordinary buffer, such as a root's answer, into locked memory.
    ///
    /// `source` is zero afterwards, also when this fails: a caller that can't hold the key has no reason to
    /// keep the copy.
    ///
    /// # Errors
    ///
    /// When `source` is not [`SecretKey::LEN`] bytes long, or when no more memory can be locked.
    pub fn from_slice_wiping(source: &mut [u8]) -> Result<Self, KeyError> {
        let key = Self::copied_from(source);
        source.zeroize();
        key
    }

    fn copied_from(source: &[u8]) -> Result<Self, KeyError> {
        if source.len() != Self::LEN {
            return Err(KeyError::Length { actual: source.len() });
        }
        let mut slot = LockedSlot::allocate()?;
        slot.bytes_mut().copy_from_slice(source);
        Ok(Self { slot })
    }

    /// The key itself, to hand to a cipher. Never copy it out: a copy is neither locked nor wiped.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        self.slot.bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

// Dropping the slot wipes it.
impl ZeroizeOnDrop for SecretKey {}

/// Bytes can't become a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// They are too few or too many.
    #[error("a key is {} bytes long, and this is {actual}", SecretKey::LEN)]
    Length {
        /// How many there are.
        actual: usize,
    },
    /// There is no protected memory to hold them.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
}

#[cfg(test)]
mod tests {
    use openkcm_host::{OsEntropy, SeededEntropy, random_array};

    use super::*;

    #[test]
    fn a_generated_key_is_what_the_entropy_gave() {
        let key = SecretKey::generate(&SeededEntropy::new(9)).unwrap();
        assert_eq!(key.expose(), &random_array::<32>(&SeededEntropy::new(9)));
    }

    #[test]
    fn two_generated_keys_differ() {
        let entropy = OsEntropy::new();
        let (one, other) = (SecretKey::generate(&entropy).unwrap(), SecretKey::generate(&entropy).unwrap());
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn moving_a_key_in_leaves_nothing_behind() {
        let mut source = [0x42; 32];
        let key = SecretKey::from_slice_wiping(&mut source).unwrap();
        assert_eq!(key.expose(), &[0x42; 32]);
        assert_eq!(source, [0; 32]);
    }

    #[test]
    fn bytes_of_another_length_are_no_key_and_are_wiped_all_the_same() {
        for len in [0, 16, 31, 33, 64] {
            let mut source = vec![0x42; len];
            let refused = SecretKey::from_slice_wiping(&mut source).unwrap_err();
            assert!(matches!(refused, KeyError::Length { actual } if actual == len));
            assert_eq!(source, vec![0; len]);
        }
    }

    #[test]
    fn debug_shows_that_it_is_a_key_and_nothing_of_it() {
        let key = SecretKey::from_slice_wiping(&mut b"CANARYcanaryCANARYcanaryCANARYca".to_owned()).unwrap();
        assert_eq!(
            format!("{key:?} {key:#?} {:?}", Some(&key)),
            "SecretKey(..) SecretKey(..) Some(SecretKey(..))"
        );
    }

    #[test]
    fn a_key_can_be_read_by_many_threads_at_once() {
        let key = SecretKey::from_slice_wiping(&mut [0x42; 32]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(key.expose(), &[0x42; 32]));
            }
        });
    }
}
