//! XAES-256-GCM, the one AEAD that keys here are used with (C2SP, <https://c2sp.org/XAES-256-GCM>).
//!
//! A key seals for its whole life with random nonces of 192 bits: each message gets an AES-256-GCM key of its
//! own, derived from the first half of its nonce by AES-CMAC (NIST SP 800-108 in counter mode), and uses the
//! second half as GCM's nonce. Up to 2^80 messages under one key keep the chance of a collision below 2^-32.
//!
//! Not here: choosing the nonce (callers take it from their `Entropy`), the ciphertext's format, and what is
//! bound as associated data. What always holds: nothing is kept between messages, so no expanded key outlives
//! the call; nothing is allocated but the cipher's own contexts, which AWS-LC wipes when it frees them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use zeroize::{Zeroizing, zeroize_stack};

use crate::SecretKey;

/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 24;

/// Length of the tag that sealing adds, in bytes.
pub const TAG_LEN: usize = 16;

/// How much of the stack is wiped after a derivation, in bytes, for halves of a message's key and CMAC's
/// subkey may be left there by code that is not ours. Best effort, and 40 ns: a scan of the stack after
/// sealing and opening found nothing with it and nothing without it, but the next compiler may differ.
const STACK_TO_WIPE: usize = 4 * 1024;

/// Seals `in_out` in place and appends the tag.
///
/// With room for [`TAG_LEN`] more bytes in `in_out`, nothing is allocated; without it the buffer grows after
/// it was sealed, so that no plaintext is left behind either way.
///
/// # Panics
///
/// As [`seal_in_place`].
pub fn seal(key: &SecretKey, nonce: &[u8; NONCE_LEN], aad: &[u8], in_out: &mut Vec<u8>) {
    let tag = seal_in_place(key, nonce, aad, in_out);
    in_out.extend_from_slice(&tag);
}

/// Seals `in_out` in place and gives the tag, which belongs behind it.
///
/// For callers that build a longer message in one buffer and seal a part of it.
///
/// # Panics
///
/// When `in_out` is longer than GCM can seal (64 GiB); callers bound what they accept far below.
#[must_use = "without its tag the ciphertext can't be opened again"]
pub fn seal_in_place(
    key: &SecretKey,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    in_out: &mut [u8],
) -> [u8; TAG_LEN] {
    let (cipher, nonce) = message_cipher(key, nonce);
    let tag = cipher
        .seal_in_place_separate_tag(nonce, Aad::from(aad), in_out)
        .expect("GCM seals any message that is not longer than 64 GiB");
    tag.as_ref().try_into().expect("a tag of AES-256-GCM is 16 bytes long")
}

/// Opens what [`seal`] made, in place, and gives the plaintext: all of `in_out` but the tag at its end.
///
/// # Errors
///
/// When `in_out` is not what this key sealed under this nonce with this associated data. `in_out` then holds
/// neither plaintext nor anything else of use.
pub fn open<'a>(
    key: &SecretKey,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    in_out: &'a mut [u8],
) -> Result<&'a mut [u8], OpenError> {
    if in_out.len() < TAG_LEN {
        return Err(OpenError::TooShort);
    }
    let (cipher, nonce) = message_cipher(key, nonce);
    cipher.open_in_place(nonce, Aad::from(aad), in_out).map_err(|_| OpenError::NotAuthentic)
}

/// A ciphertext that does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is shorter than a tag, so it never was sealed.
    #[error("the ciphertext is shorter than its tag")]
    TooShort,
    /// The tag is not right: another key, another nonce, other associated data, or altered bytes. Which of
    /// them can't be known.
    #[error("the ciphertext does not belong to this key and context, or was altered")]
    NotAuthentic,
}

/// The cipher for one message, and the nonce to use it with, once.
fn message_cipher(key: &SecretKey, nonce: &[u8; NONCE_LEN]) -> (LessSafeKey, Nonce) {
    let (derivation, gcm) = nonce.split_at(NONCE_LEN / 2);
    let cipher = derive_cipher(key, derivation);
    zeroize_stack::<STACK_TO_WIPE>();
    (cipher, Nonce::try_assume_unique_for_key(gcm).expect("half of our nonce is a nonce of GCM"))
}

/// Steps 1 to 5 of the specification. Never inlined, so that its stack can be wiped by the caller.
#[inline(never)]
fn derive_cipher(key: &SecretKey, nonce_head: &[u8]) -> LessSafeKey {
    let prf = cmac::Key::new(cmac::AES_256, key.expose()).expect("a key is as long as AES-256 needs");
    let mut derived = Zeroizing::new([0; SecretKey::LEN]);
    for (counter, half) in (1..).zip(derived.chunks_exact_mut(BLOCK_LEN)) {
        // One full block, so CMAC is a single call of AES on it, masked with the subkey K1.
        let mut block = [0; BLOCK_LEN];
        block[..4].copy_from_slice(&[0, counter, b'X', 0]);
        block[4..].copy_from_slice(nonce_head);
        half.copy_from_slice(cmac::sign(&prf, &block).expect("CMAC takes any message").as_ref());
    }
    let unbound = UnboundKey::new(&AES_256_GCM, derived.as_slice());
    LessSafeKey::new(unbound.expect("two blocks are a key of AES-256"))
}

/// AES' block length in bytes.
const BLOCK_LEN: usize = 16;

#[cfg(test)]
mod tests;
