//! Nothing that its author did not say is believed: altered, moved, said by another.

use openkcm_contracts::{Event, EventType, LinkEpoch, Revision, Role, Timestamp};
use openkcm_orbital::{Letter, Message, Rejection, Verified};

use crate::fixture::{Landscape, NOW, audience, event, letter, region_id};

fn verify(message: &Message) -> Result<Verified, Rejection> {
    Landscape::new().verifier().verify(message, NOW)
}

fn with_header(kind: EventType, name: &str, value: &str) -> Message {
    let mut message = Landscape::new().message(kind);
    message.headers.insert(name.into(), value.into());
    message
}

#[test]
fn what_its_author_says_to_its_audience_is_believed() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        let verified = landscape.verifier().verify(&landscape.message(kind), NOW).expect("authentic");
        assert_eq!(verified.event, event(kind));
        assert_eq!(verified.revision, Revision::new(3, 14));
        assert_eq!(verified.audience, audience(kind));
        let a_core_speaks = kind.may_be_said_by(Role::Krypton);
        assert_eq!(verified.region, a_core_speaks.then(|| region_id("a")), "{kind:?}");
    }
}

#[test]
fn nobody_may_say_what_is_anothers_word() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        for (signer, role) in
            landscape.trusted().into_iter().zip([Role::Registry, Role::Cmk, Role::Krypton, Role::Krypton])
        {
            let verdict = verify(&signer.sign(&letter(kind)));
            let own_word = kind.may_be_said_by(role) && signer.source() != "/krypton/b";
            assert_eq!(verdict.is_ok(), own_word, "{kind:?} said by {}", signer.source());
            if !own_word {
                assert!(matches!(verdict, Err(Rejection::NotItsWord { role: said, .. }) if said == role));
            }
        }
    }
}

#[test]
fn a_signer_that_is_not_in_the_bundle_is_not_believed() {
    let landscape = Landscape::new();
    let verdict = verify(&landscape.stranger.sign(&letter(EventType::L1Revoke)));
    assert!(matches!(verdict, Err(Rejection::UnknownSigner(_))), "{verdict:?}");
}

#[test]
fn a_stranger_that_names_a_trusted_key_is_found_by_its_signature() {
    let landscape = Landscape::new();
    let mut message = landscape.stranger.sign(&letter(EventType::L1Revoke));
    message.headers.insert("ce-kcmkeyid".into(), landscape.cmk.trusted_key().id);
    assert!(matches!(verify(&message), Err(Rejection::Signature)));
}

#[test]
fn an_altered_bit_anywhere_in_the_body_is_found() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        let whole = landscape.message(kind);
        for i in 0..whole.body.len() {
            let mut body = whole.body.to_vec();
            body[i] ^= 1 << (i % 8);
            let message = Message { body: body.into(), ..whole.clone() };
            assert!(matches!(verify(&message), Err(Rejection::Signature)), "{kind:?}, byte {i}");
        }
    }
}

#[test]
fn a_body_that_says_the_same_in_other_bytes_is_not_what_was_signed() {
    let mut message = Landscape::new().message(EventType::L1Revoke);
    message.body = [b" ", &message.body[..]].concat().into();
    assert!(matches!(verify(&message), Err(Rejection::Signature)));
    message.body = message.body[..message.body.len() - 1].to_vec().into();
    assert!(matches!(verify(&message), Err(Rejection::Signature)));
}

#[test]
fn an_altered_revision_expiry_or_type_is_found() {
    let altered = [
        with_header(EventType::L1Revoke, "ce-kcmrevision", "3.15"),
        with_header(EventType::L1Revoke, "ce-kcmrevision", "4.14"),
        with_header(EventType::L1Revoke, "ce-kcmexpiry", "9999-01-01T00:00:00.000Z"),
        with_header(EventType::L1Revoke, "ce-type", EventType::SovereignLease.wire_name()),
        with_header(EventType::L1Revoke, "ce-type", "openkcm.v2.L1.Revoke"),
    ];
    for message in altered {
        let verdict = verify(&message);
        assert!(matches!(verdict, Err(Rejection::Signature)), "{verdict:?}");
    }
}

#[test]
fn an_expiry_can_be_neither_moved_nor_taken_away() {
    let landscape = Landscape::new();
    let lease = Letter { expires: Some(Timestamp::from_millis(1)), ..letter(EventType::SovereignLease) };
    let expired = landscape.cmk.sign(&lease);
    assert!(matches!(verify(&expired), Err(Rejection::Expired(at)) if at.as_millis() == 1));
    let mut without = expired.clone();
    without.headers.remove("ce-kcmexpiry");
    assert!(matches!(verify(&without), Err(Rejection::Signature)));
    let mut later = expired;
    later.headers.insert("ce-kcmexpiry".into(), NOW.to_string());
    assert!(matches!(verify(&later), Err(Rejection::Signature)));
}

#[test]
fn an_event_holds_up_to_and_including_the_moment_of_its_expiry() {
    let landscape = Landscape::new();
    let lease = Letter { expires: Some(NOW), ..letter(EventType::SovereignLease) };
    let (message, verifier) = (landscape.cmk.sign(&lease), landscape.verifier());
    assert!(verifier.verify(&message, NOW).is_ok());
    let later = Timestamp::from_millis(NOW.as_millis() + 1);
    assert!(matches!(verifier.verify(&message, later), Err(Rejection::Expired(at)) if at == NOW));
}

#[test]
fn a_signature_that_is_cut_empty_or_of_another_event_does_not_fit() {
    let landscape = Landscape::new();
    let signature = |message: &Message| message.headers["ce-kcmsignature"].clone();
    let mut newer = letter(EventType::L1Revoke);
    newer.revision = newer.revision.next();
    let other = signature(&landscape.cmk.sign(&newer));
    let whole = signature(&landscape.message(EventType::L1Revoke));
    for wrong in [String::new(), other, whole[..84].into(), format!("{whole}{whole}").replace('=', "")] {
        let message = with_header(EventType::L1Revoke, "ce-kcmsignature", &wrong);
        assert!(matches!(verify(&message), Err(Rejection::Signature | Rejection::Envelope(_))), "{wrong:?}");
    }
}

/// Replays are dropped where revisions are compared; here they are as authentic as the first time.
#[test]
fn a_replay_is_as_authentic_as_the_first_time() {
    let landscape = Landscape::new();
    let (verifier, message) = (landscape.verifier(), landscape.message(EventType::L1Reference));
    let much_later = NOW.after(std::time::Duration::from_secs(10 * 365 * 86_400));
    let first = verifier.verify(&message, NOW).expect("authentic");
    assert_eq!(verifier.verify(&message, NOW).expect("authentic"), first);
    assert_eq!(verifier.verify(&message, much_later).expect("facts do not expire"), first);
}

#[test]
fn a_core_that_speaks_for_another_region_is_not_believed() {
    let landscape = Landscape::new();
    for kind in [EventType::KeySealed, EventType::StateManifest] {
        let verdict = verify(&landscape.core_b.sign(&letter(kind)));
        assert!(matches!(verdict, Err(Rejection::NotItsWord { role: Role::Krypton, .. })), "{verdict:?}");
    }
}

/// The compromise that signatures are for: the Registry's key, and all that it may not do.
#[test]
fn a_stolen_registry_key_neither_links_nor_revokes_nor_leases() {
    let landscape = Landscape::new();
    let Event::L1Reference(mut link) = event(EventType::L1Reference) else { unreachable!() };
    link.epoch = LinkEpoch(Revision::new(u32::MAX, u64::MAX));
    let link =
        Letter::new(&Event::L1Reference(link), audience(EventType::L1Reference), Revision::new(9, 9), NOW);
    for forged in [link, letter(EventType::L1Revoke), letter(EventType::SovereignLease)] {
        let mut message = landscape.registry.sign(&forged);
        assert!(matches!(verify(&message), Err(Rejection::NotItsWord { role: Role::Registry, .. })));
        // What the headers claim beside the key changes nothing.
        message.headers.insert("ce-source".into(), "/cmk".into());
        assert!(matches!(verify(&message), Err(Rejection::NotItsWord { role: Role::Registry, .. })));
    }
}
