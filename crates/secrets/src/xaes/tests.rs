//! XAES-256-GCM against its published vectors, against another implementation, and against forgers.

use openkcm_host::{SeededEntropy, random_array};
use proptest::prelude::*;
use xaes_256_gcm::Xaes256Gcm;
use xaes_256_gcm::aead::{AeadInOut, KeyInit};

use super::*;

const NONCE: &[u8; NONCE_LEN] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

fn key(mut bytes: [u8; 32]) -> SecretKey {
    SecretKey::from_slice_wiping(&mut bytes).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sealed(key: &SecretKey, nonce: &[u8; NONCE_LEN], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut buffer = plaintext.to_vec();
    seal(key, nonce, aad, &mut buffer);
    buffer
}

/// C2SP XAES-256-GCM, test vectors: a key for which the most significant bit of L is 0, without data.
#[test]
fn the_first_published_vector_is_met() {
    let ciphertext = sealed(&key([1; 32]), NONCE, b"", b"XAES-256-GCM");
    assert_eq!(hex(&ciphertext), "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
}

/// C2SP XAES-256-GCM, test vectors: a key for which the most significant bit of L is 1, with data.
#[test]
fn the_second_published_vector_is_met() {
    let ciphertext = sealed(&key([3; 32]), NONCE, b"c2sp.org/XAES-256-GCM", b"XAES-256-GCM");
    assert_eq!(hex(&ciphertext), "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
}

proptest! {
    #[test]
    fn another_implementation_seals_the_same_bytes_and_we_open_them(
        key_bytes: [u8; 32],
        nonce: [u8; NONCE_LEN],
        aad in proptest::collection::vec(any::<u8>(), 0..200),
        plaintext in proptest::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let mut theirs = plaintext.clone();
        let tag = Xaes256Gcm::new(&key_bytes.into())
            .encrypt_inout_detached(&nonce.into(), &aad, theirs.as_mut_slice().into())
            .unwrap();
        theirs.extend_from_slice(&tag);

        let key = key(key_bytes);
        prop_assert_eq!(&sealed(&key, &nonce, &aad, &plaintext), &theirs);
        prop_assert_eq!(&*open(&key, &nonce, &aad, &mut theirs).unwrap(), plaintext.as_slice());
    }
}

#[test]
fn an_alteration_anywhere_is_refused_and_leaves_no_plaintext() {
    let (key_bytes, aad, plaintext) = ([7; 32], *b"tenant/system", *b"plaintext that must not be seen");
    let ciphertext = sealed(&key(key_bytes), NONCE, &aad, &plaintext);
    let refused = |key_bytes: [u8; 32], nonce: &[u8; NONCE_LEN], aad: &[u8], ciphertext: &[u8]| {
        let mut buffer = ciphertext.to_vec();
        assert_eq!(open(&key(key_bytes), nonce, aad, &mut buffer).unwrap_err(), OpenError::NotAuthentic);
        assert!(!buffer.windows(4).any(|window| plaintext.windows(4).any(|plain| plain == window)));
    };

    for bit in 0..8 {
        (0..key_bytes.len()).for_each(|at| refused(flipped(&key_bytes, at, bit), NONCE, &aad, &ciphertext));
        (0..NONCE_LEN).for_each(|at| refused(key_bytes, &flipped(NONCE, at, bit), &aad, &ciphertext));
        (0..aad.len()).for_each(|at| refused(key_bytes, NONCE, &flipped(&aad, at, bit), &ciphertext));
        for at in 0..ciphertext.len() {
            let mut altered = ciphertext.clone();
            altered[at] ^= 1 << bit;
            refused(key_bytes, NONCE, &aad, &altered);
        }
    }
    for len in TAG_LEN..ciphertext.len() {
        refused(key_bytes, NONCE, &aad, &ciphertext[..len]);
        refused(key_bytes, NONCE, &aad, &ciphertext[ciphertext.len() - len..]);
    }
    refused(key_bytes, NONCE, b"", &ciphertext);
}

fn flipped<const N: usize>(bytes: &[u8; N], at: usize, bit: u8) -> [u8; N] {
    let mut altered = *bytes;
    altered[at] ^= 1 << bit;
    altered
}

#[test]
fn what_is_shorter_than_a_tag_is_refused_before_any_cipher() {
    for len in 0..TAG_LEN {
        assert_eq!(open(&key([7; 32]), NONCE, b"", &mut vec![0; len]), Err(OpenError::TooShort));
    }
}

#[test]
fn an_empty_plaintext_is_sealed_too() {
    let mut ciphertext = sealed(&key([7; 32]), NONCE, b"aad", b"");
    assert_eq!(ciphertext.len(), TAG_LEN);
    assert_eq!(open(&key([7; 32]), NONCE, b"aad", &mut ciphertext).unwrap(), b"");
}

#[test]
fn sealing_a_part_of_a_buffer_leaves_the_rest_of_it_alone() {
    let key = key([7; 32]);
    let mut message = Vec::with_capacity(6 + 9 + TAG_LEN);
    message.extend_from_slice(b"headerplaintext");
    let address = message.as_ptr();
    let tag = seal_in_place(&key, NONCE, b"aad", &mut message[6..]);
    message.extend_from_slice(&tag);

    assert_eq!(message.as_ptr(), address);
    assert_eq!(&message[..6], b"header");
    assert_eq!(message[6..], sealed(&key, NONCE, b"aad", b"plaintext"));
}

#[test]
fn sealing_a_buffer_with_room_for_the_tag_does_not_move_it() {
    let mut buffer = Vec::with_capacity(9 + TAG_LEN);
    buffer.extend_from_slice(b"plaintext");
    let address = buffer.as_ptr();
    seal(&key([7; 32]), NONCE, b"", &mut buffer);
    assert_eq!((buffer.as_ptr(), buffer.len()), (address, 9 + TAG_LEN));
}

#[test]
fn the_same_plaintext_under_two_nonces_shares_no_byte_pattern() {
    let (key, entropy) = (key([7; 32]), SeededEntropy::new(3));
    let one = sealed(&key, &random_array(&entropy), b"", &[0; 64]);
    let other = sealed(&key, &random_array(&entropy), b"", &[0; 64]);
    assert!(!one.windows(8).any(|window| other.windows(8).any(|seen| seen == window)));
}
