//! Golden vectors: what an earlier release sealed opens in this one, byte for byte.
//!
//! `tests/golden` holds them. They are never made anew for a format that exists: a change of a format is
//! a new file beside the old. The keys in there are constants of these tests and protect nothing.

use openkcm_contracts::v1::{KeySealed, SealedBy};
use openkcm_contracts::{Event, EventType, ServicePath, VersionId};
use openkcm_host::Entropy;
use openkcm_krypton::sealing::{Ciphertext, Context, Purpose, unwrap_l3, wrap_l3};
use openkcm_secrets::SecretKey;
use serde::Deserialize;

const CIPHERTEXTS: &str = include_str!("../golden/ciphertext.kcm1.json");
const SEALED_L3: &str = include_str!("../golden/key-sealed-l3.v1.json");

#[derive(Deserialize)]
struct Ciphertexts {
    test_key: String,
    nonce: String,
    key: ServicePath,
    generation: openkcm_contracts::Generation,
    version: VersionId,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    purpose: String,
    aad: String,
    plaintext: String,
    ciphertext: String,
}

#[derive(Deserialize)]
struct SealedL3 {
    test_l2: String,
    test_l3: String,
    nonce: String,
    event: serde_json::Value,
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal");
    assert_eq!(hex.len(), 2 * N);
    std::array::from_fn(byte)
}

fn key(hex: &str) -> SecretKey {
    SecretKey::from_slice_wiping(&mut bytes::<32>(hex)).expect("memory")
}

/// An entropy that says what it was told.
struct Fixed(Vec<u8>);

impl Entropy for Fixed {
    fn fill(&self, dest: &mut [u8]) {
        dest.copy_from_slice(&self.0);
    }
}

#[test]
fn ciphertexts_of_the_first_format_open_and_are_made_the_same() {
    let golden: Ciphertexts = serde_json::from_str(CIPHERTEXTS).expect("the vectors");
    let key = key(&golden.test_key);
    let context = Context::new(&golden.key, golden.generation, golden.version);
    assert!(golden.vectors.len() >= 3);
    for vector in golden.vectors {
        let purpose = match vector.purpose.as_str() {
            "data" => Purpose::Data,
            "data-key" => Purpose::DataKey,
            other => panic!("{other} is no purpose"),
        };
        let read = Ciphertext::parse(&vector.ciphertext).expect("the first format");
        assert_eq!((read.purpose(), read.version()), (purpose, golden.version));
        assert!(read.has_check(Context::check(&golden.key, golden.version)));
        let opened = read.open(&key, &context, vector.aad.as_bytes()).expect("it opens");
        assert_eq!(&opened[..], vector.plaintext.as_bytes());
        let (nonce, aad) = (bytes(&golden.nonce), vector.aad.as_bytes());
        let plaintext = vector.plaintext.as_bytes();
        let again = Ciphertext::seal(&key, golden.version, &context, purpose, &nonce, aad, plaintext);
        assert_eq!(again.to_text(), vector.ciphertext);
    }
}

#[test]
fn a_sealed_l3_of_the_first_release_opens_and_is_made_the_same() {
    let golden: SealedL3 = serde_json::from_str(SEALED_L3).expect("the vector");
    let body = golden.event.to_string();
    let Ok(Event::KeySealed(fact)) = Event::from_body(EventType::KeySealed, body.as_bytes()) else {
        panic!("it is no sealed version")
    };
    let KeySealed { tenant, system, service: Some(service), .. } = fact.clone() else {
        panic!("it is no L3")
    };
    let path = ServicePath { tenant, system, service };
    let SealedBy::L2(l2_id) = fact.seals[0].by else { panic!("an L2 seals it") };
    let (l2, name) = (key(&golden.test_l2), (&path, fact.generation, fact.version));
    let opened = unwrap_l3((&l2, l2_id), &fact.seals[0].ciphertext, name).expect("it opens");
    assert_eq!(*opened.expose(), bytes(&golden.test_l3));
    let nonce = Fixed(bytes::<24>(&golden.nonce).to_vec());
    assert_eq!(wrap_l3((&l2, l2_id), &opened, name, &nonce), fact.seals[0].ciphertext);
}
