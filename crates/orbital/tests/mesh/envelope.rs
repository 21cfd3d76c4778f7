//! The envelope: CloudEvents 1.0 in binary mode, and a signature over what matters.

use openkcm_contracts::{EventType, Revision, Timestamp};
use openkcm_orbital::{Envelope, EnvelopeError, MAX_BODY_LEN};

use crate::fixture::{Landscape, NOW, audience, event, letter, region};

/// CloudEvents 1.0, section "Required Attributes", and NATS protocol binding 1.0, section 3.1 (binary mode).
#[test]
fn every_message_carries_the_attributes_of_cloudevents_in_its_headers() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        let message = landscape.message(kind);
        let header =
            |name: &str| message.headers.get(name).unwrap_or_else(|| panic!("{kind:?} has {name}")).as_str();
        assert_eq!(header("ce-specversion"), "1.0");
        assert_eq!(header("ce-type"), kind.wire_name());
        assert_eq!(header("ce-source"), landscape.author(kind).source());
        assert_eq!(header("ce-subject"), event(kind).subject().as_str());
        assert_eq!(header("ce-time"), "2026-02-02T08:00:00.000Z");
        assert_eq!(header("content-type"), "application/json");
        assert!(!header("ce-id").is_empty());
        // Extensions: names of lower-case letters and digits only (section "Attribute Naming Convention").
        assert_eq!(header("ce-kcmaudience"), audience(kind).to_string());
        assert_eq!(header("ce-kcmrevision"), "3.14");
        let attributes = message.headers.keys().filter_map(|name| name.strip_prefix("ce-"));
        assert!(attributes.into_iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase())), "{kind:?}");
        assert_eq!(message.body, event(kind).to_body());
    }
}

#[test]
fn the_source_says_who_spoke_and_a_cores_says_where() {
    let landscape = Landscape::new();
    let sources = landscape.trusted().map(openkcm_orbital::Signer::source);
    assert_eq!(sources, ["/registry", "/cmk", "/krypton/a", "/krypton/b"]);
}

/// "Producers MUST ensure that source + id is unique for each distinct event."
#[test]
fn events_that_differ_in_thing_revision_or_audience_have_ids_that_differ() {
    let landscape = Landscape::new();
    let first = letter(EventType::TenantDefine);
    let mut newer = first.clone();
    newer.revision = Revision::new(3, 15);
    let mut elsewhere = first.clone();
    elsewhere.audience = region("b");
    let mut other = first.clone();
    other.subject = "tenant.other".into();
    let id = |letter| landscape.registry.sign(letter).headers["ce-id"].clone();
    let mut ids = [&first, &newer, &elsewhere, &other].map(id).to_vec();
    assert_eq!(id(&first), ids[0], "and the same event keeps its id");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn an_expiry_travels_only_with_what_expires() {
    let landscape = Landscape::new();
    let mut lease = letter(EventType::SovereignLease);
    assert!(!landscape.cmk.sign(&lease).headers.contains_key("ce-kcmexpiry"));
    lease.expires = Some(NOW);
    let message = landscape.cmk.sign(&lease);
    assert_eq!(message.headers["ce-kcmexpiry"], NOW.to_string());
    assert_eq!(Envelope::read(&message).expect("an envelope").expires, Some(NOW));
}

#[test]
fn the_same_letter_gives_the_same_message_always() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        assert_eq!(landscape.message(kind), landscape.message(kind));
    }
}

#[test]
fn each_missing_attribute_is_named() {
    let whole = Landscape::new().message(EventType::L1Revoke);
    let needed = [
        "ce-specversion",
        "ce-source",
        "ce-type",
        "ce-subject",
        "ce-time",
        "ce-kcmaudience",
        "ce-kcmrevision",
        "ce-kcmkeyid",
        "ce-kcmsignature",
    ];
    for name in needed {
        let mut message = whole.clone();
        message.headers.remove(name);
        assert_eq!(Envelope::read(&message), Err(EnvelopeError::Missing(name)));
    }
}

#[test]
fn each_unreadable_attribute_is_named() {
    let whole = Landscape::new().message(EventType::L1Revoke);
    let garbage = [
        ("ce-specversion", "0.3"),
        ("ce-time", "yesterday"),
        ("ce-kcmaudience", "everyone"),
        ("ce-kcmaudience", "region."),
        ("ce-kcmrevision", "01.1"),
        ("ce-kcmexpiry", "never"),
        ("ce-kcmsignature", "!"),
    ];
    for (name, text) in garbage {
        let mut message = whole.clone();
        message.headers.insert(name.into(), text.into());
        assert_eq!(Envelope::read(&message), Err(EnvelopeError::Unreadable(name)), "{text:?}");
    }
}

#[test]
fn a_body_or_headers_beyond_the_limit_are_not_read() {
    let whole = Landscape::new().message(EventType::L1Revoke);
    let mut message = whole.clone();
    message.body = vec![b' '; MAX_BODY_LEN].into();
    assert!(Envelope::read(&message).is_ok());
    message.body = vec![b' '; MAX_BODY_LEN + 1].into();
    assert_eq!(Envelope::read(&message), Err(EnvelopeError::TooLong(MAX_BODY_LEN + 1)));
    let mut message = whole;
    message.headers.insert("ce-unsigned".into(), "x".repeat(16 * 1024));
    assert!(matches!(Envelope::read(&message), Err(EnvelopeError::HeadersTooLong(_))));
}

/// What is signed is prefixed by lengths: bytes that move from one field to the next make another text.
#[test]
fn no_two_events_share_the_bytes_that_are_signed() {
    let signed = |kind: &str, subject: &str, audience: &str, expires: Option<Timestamp>, body: &[u8]| {
        let audience = audience.parse().expect("an audience");
        Envelope::signed_bytes(kind, subject, &audience, Revision::new(1, 1), expires, body)
    };
    let mut texts = vec![
        signed("ab", "c", "cores", None, b"d"),
        signed("a", "bc", "cores", None, b"d"),
        signed("abc", "", "cores", None, b"d"),
        signed("ab", "ccores", "cores", None, b"d"),
        signed("ab", "c", "cores", None, b""),
        signed("ab", "c", "cores", Some(NOW), b"d"),
        signed("ab", "c", "cores", None, NOW.to_string().as_bytes()),
        signed("ab", "c", "region.cores", None, b"d"),
    ];
    let count = texts.len();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), count);
    assert!(texts.iter().all(|text| text.starts_with(b"openkcm.orbital.v1")), "a domain of its own");
}
