//! A message is believed only where it was meant to be: on its stream, under its subject, about its thing.

use openkcm_contracts::{Audience, EventType, Lane};
use openkcm_orbital::{Batch, Delivered, Intake, Message, Position, Reading, Rejection, Verified};

use crate::fixture::{Landscape, NOW, letter, region, stream};

fn verify(message: &Message) -> Result<Verified, Rejection> {
    Landscape::new().verifier().verify(message, NOW)
}

#[test]
fn a_message_on_the_stream_of_another_audience_is_misplaced() {
    for kind in EventType::ALL {
        for audience in [region("b"), Audience::Cmk, Audience::Registry] {
            let mut message = Landscape::new().message(kind);
            message.address.stream.audience = audience.clone();
            assert!(matches!(verify(&message), Err(Rejection::Misplaced)));
            // With the header made to fit, the signature does not.
            message.headers.insert("ce-kcmaudience".into(), audience.to_string());
            assert!(matches!(verify(&message), Err(Rejection::Signature)), "{kind:?} for {audience}");
        }
    }
}

#[test]
fn a_message_on_another_lane_is_misplaced() {
    for kind in EventType::ALL {
        for lane in Lane::ALL.into_iter().filter(|lane| *lane != kind.lane()) {
            let mut message = Landscape::new().message(kind);
            message.address.stream.lane = lane;
            assert!(matches!(verify(&message), Err(Rejection::Misplaced)), "{kind:?} on {lane:?}");
        }
    }
}

#[test]
fn a_message_under_another_subject_is_misplaced() {
    for kind in EventType::ALL {
        let mut message = Landscape::new().message(kind);
        message.address.subject = "tenant.other".into();
        assert!(matches!(verify(&message), Err(Rejection::Misplaced)));
        message.headers.insert("ce-subject".into(), "tenant.other".into());
        assert!(matches!(verify(&message), Err(Rejection::Signature)), "{kind:?}");
    }
}

/// An author that signs a body under another thing's subject: the mesh would compact that one away.
#[test]
fn a_body_about_another_thing_than_its_subject_is_misplaced() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        let mut letter = letter(kind);
        letter.subject = "tenant.other".into();
        let verdict = verify(&landscape.author(kind).sign(&letter));
        assert!(matches!(verdict, Err(Rejection::Misplaced)), "{kind:?}: {verdict:?}");
    }
}

/// The broker should never do it; if it does, region `a` still applies nothing that is region `b`'s, however well
/// it is signed.
#[test]
fn what_a_transport_delivers_from_another_stream_is_dropped() {
    let landscape = Landscape::new();
    let mut for_b = letter(EventType::TenantDefine);
    for_b.audience = region("b");
    let (for_b, for_a) = (landscape.registry.sign(&for_b), landscape.message(EventType::TenantDefine));
    assert!(verify(&for_b).is_ok(), "on its own stream it is believed");
    let delivered =
        |message, sequence| Delivered { message, position: Position { mesh: "m".into(), sequence } };
    let batch = Batch { messages: vec![delivered(for_b, 1), delivered(for_a, 2)], caught_up: true };
    let reading = Reading::all(stream(EventType::TenantDefine));
    let intake = Intake::verify(&reading, batch, &landscape.verifier(), NOW);
    assert_eq!((intake.events.len(), intake.dropped["misplaced"], intake.poison.len()), (1, 1, 0));
    assert_eq!(intake.events[0].audience, region("a"));
    assert_eq!(intake.position.map(|position| position.sequence), Some(2));
}
