//! What the crate promises to its users, seen from outside.

use openkcm_host::SeededEntropy;
use openkcm_secrets::{KeyError, LockedMemoryError, SecretBytes, SecretKey, usage, xaes};

#[test]
fn a_key_can_be_neither_cloned_nor_serialized() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// The only test in this binary that holds keys while it counts them.
#[test]
fn ten_thousand_keys_are_held_given_back_and_held_again_in_the_same_memory() {
    let entropy = SeededEntropy::new(1);
    let generate = || (0..10_000).map(|_| SecretKey::generate(&entropy).unwrap()).collect::<Vec<_>>();

    let keys = generate();
    let full = usage();
    assert_eq!(full.slots_in_use, 10_000);
    assert!(full.bytes_locked < 10_000 * SecretKey::LEN + 64 * 1024, "packed: {full:?}");

    drop(keys);
    assert_eq!(usage().slots_in_use, 0);

    let again = generate();
    assert_eq!(usage(), full);
    drop(again);
}

#[test]
fn nothing_here_shows_a_byte_of_a_secret() {
    // A canary that would stand out as text, as hexadecimal and as a list of numbers.
    let mut canary = *b"CANARYcanaryCANARYcanaryCANARYca";
    let bytes = SecretBytes::from(canary.to_vec());
    let mut shown = format!("{bytes:?} {bytes:#?}");
    shown += &format!("{:?}", bytes.into_zeroizing());

    let errors: [Box<dyn std::error::Error>; 5] = [
        Box::new(SecretKey::from_slice_wiping(&mut canary.to_vec()[1..]).unwrap_err()),
        Box::new(KeyError::from(LockedMemoryError::LimitTooLow { limit_bytes: 8, in_use_bytes: 7 })),
        Box::new(LockedMemoryError::Kernel { call: "mmap", source: std::io::ErrorKind::OutOfMemory.into() }),
        Box::new(xaes::OpenError::TooShort),
        Box::new(xaes::OpenError::NotAuthentic),
    ];
    for error in errors {
        shown += &format!(" {error} {error:?}");
    }
    for forbidden in ["CANARY", "canary", "43414e415259", "67, 65, 78", "63616e617279", "99, 97, 110"] {
        assert!(!shown.contains(forbidden), "{forbidden} in {shown}");
    }
    assert_eq!(format!("{:?}", SecretBytes::from(canary.to_vec())), "SecretBytes(..)");
    canary.fill(0);
}
