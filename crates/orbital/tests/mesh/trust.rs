//! The trust bundle: several keys for one role, and no key for two.

use openkcm_contracts::{EventType, Role};
use openkcm_host::SeededEntropy;
use openkcm_orbital::{Rejection, Signer, TrustBundle, TrustError, TrustedKey, Verifier};

use crate::fixture::{Landscape, NOW, letter, region_id};

#[test]
fn two_keys_of_one_role_are_believed_until_one_is_taken_out() {
    let landscape = Landscape::new();
    let seed = Signer::new_seed(&SeededEntropy::new(99));
    let successor = Signer::from_seed(&seed, Role::Cmk, None).expect("a seed");
    let mut bundle = landscape.bundle();
    bundle.keys.push(successor.trusted_key());
    let (old, new) = (landscape.message(EventType::L1Revoke), successor.sign(&letter(EventType::L1Revoke)));
    let both = Verifier::new(&bundle).expect("valid");
    assert!(both.verify(&old, NOW).is_ok() && both.verify(&new, NOW).is_ok());
    bundle.keys.retain(|key| key.id != landscape.cmk.trusted_key().id);
    let one = Verifier::new(&bundle).expect("valid");
    assert!(matches!(one.verify(&old, NOW), Err(Rejection::UnknownSigner(_))));
    assert!(one.verify(&new, NOW).is_ok());
}

#[test]
fn an_empty_bundle_believes_nobody() {
    let verifier = Verifier::new(&TrustBundle::default()).expect("valid");
    let verdict = verifier.verify(&Landscape::new().message(EventType::L1Revoke), NOW);
    assert!(matches!(verdict, Err(Rejection::UnknownSigner(_))));
}

#[test]
fn a_key_that_is_not_what_it_says_is_refused() {
    let good = Landscape::new().cmk.trusted_key();
    let other = Landscape::new().registry.trusted_key();
    let mut wrong = vec![good.clone(); 4];
    wrong[0].id = other.id;
    wrong[1].public_key = other.public_key;
    wrong[2].public_key = "not base64".into();
    wrong[3].public_key = good.public_key[..40].into();
    for key in wrong {
        let refused = Verifier::new(&TrustBundle { keys: vec![key] });
        assert!(matches!(refused, Err(TrustError::Key { .. })), "{refused:?}");
    }
}

#[test]
fn a_core_has_a_region_and_an_authority_has_none() {
    let landscape = Landscape::new();
    let mut core = landscape.core_a.trusted_key();
    core.region = None;
    let mut authority = landscape.cmk.trusted_key();
    authority.region = Some(region_id("a"));
    for key in [core, authority] {
        let refused = Verifier::new(&TrustBundle { keys: vec![key] });
        assert!(matches!(refused, Err(TrustError::Region { .. })), "{refused:?}");
    }
}

/// The last entry would win, and one credential could say another role's words.
#[test]
fn one_key_for_two_speakers_is_refused_and_listed_twice_for_one_it_is_not() {
    let landscape = Landscape::new();
    let mut twice = landscape.bundle();
    twice.keys.extend(landscape.bundle().keys);
    assert!(Verifier::new(&twice).is_ok());
    let registry = landscape.registry.trusted_key();
    let mut two_roles = landscape.bundle();
    two_roles.keys.push(TrustedKey { role: Role::Cmk, ..registry });
    let mut two_regions = landscape.bundle();
    let core = landscape.core_a.trusted_key();
    two_regions.keys.push(TrustedKey { region: Some(region_id("b")), ..core });
    for bundle in [two_roles, two_regions] {
        let refused = Verifier::new(&bundle);
        assert!(matches!(refused, Err(TrustError::Twice { .. })), "{refused:?}");
    }
}

#[test]
fn a_bundle_is_read_back_as_it_was_written_and_an_unknown_field_is_refused() {
    let bundle = Landscape::new().bundle();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trust.json");
    let text = serde_json::to_string(&bundle).expect("JSON");
    std::fs::write(&path, &text).expect("written");
    assert_eq!(TrustBundle::load(&path).expect("read"), bundle);
    std::fs::write(&path, text.replacen('{', "{\"also\":1,", 1)).expect("written");
    assert!(matches!(TrustBundle::load(&path), Err(TrustError::Syntax { .. })));
    assert!(matches!(TrustBundle::load(&directory.path().join("none")), Err(TrustError::File { .. })));
}

#[test]
fn a_seed_is_read_with_the_newline_of_its_file_and_nothing_else_is() {
    let seed = Signer::new_seed(&SeededEntropy::new(1));
    let signer = |text: &str| Signer::from_seed(text, Role::Cmk, None);
    let read = signer(&format!("{seed}\n")).expect("a seed");
    assert_eq!(read.trusted_key(), signer(&seed).expect("a seed").trusted_key());
    for text in ["", "seed", &seed[..40], &format!("{seed}{seed}")] {
        assert!(signer(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_signer_shows_its_id_and_not_its_seed() {
    let seed = Signer::new_seed(&SeededEntropy::new(1));
    let shown = format!("{:?}", Signer::from_seed(&seed, Role::Cmk, None).expect("a seed"));
    assert!(shown.contains("/cmk") && !shown.contains(&seed), "{shown}");
}
