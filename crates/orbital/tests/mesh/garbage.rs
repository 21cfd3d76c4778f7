//! Whatever bytes arrive: an answer, never a panic; and nothing is believed that was not signed.

use std::collections::BTreeMap;

use openkcm_contracts::{Audience, EventType, Lane, Role};
use openkcm_orbital::{Address, Envelope, Message, Stream};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use crate::fixture::{Landscape, NOW, region};

const NAMES: [&str; 11] = [
    "ce-specversion",
    "ce-id",
    "ce-source",
    "ce-type",
    "ce-subject",
    "ce-time",
    "ce-kcmaudience",
    "ce-kcmrevision",
    "ce-kcmexpiry",
    "ce-kcmkeyid",
    "ce-kcmsignature",
];

/// Texts that get far, and texts of any kind.
fn value() -> impl Strategy<Value = String> {
    let plausible = [
        "1.0",
        "/cmk",
        "openkcm.v1.L1.Revoke",
        "openkcm.v9.What.Ever",
        "revoke.acme",
        "revoke.",
        "2026-02-02T08:00:00.000Z",
        "region.a",
        "cores",
        "1.1",
        "4294967295.18446744073709551615",
        "99999999999.0",
        "AAAA",
        "====",
    ];
    let plausible: Vec<String> = plausible.map(String::from).into();
    prop_oneof![prop::sample::select(plausible), "\\PC{0,40}", any::<String>()]
}

fn headers() -> impl Strategy<Value = BTreeMap<String, String>> {
    let name =
        prop_oneof![4 => prop::sample::select(NAMES.to_vec()).prop_map(String::from), 1 => any::<String>()];
    btree_map(name, value(), 0..16)
}

fn stream() -> impl Strategy<Value = Stream> {
    let audiences = vec![region("a"), region("b"), Audience::Cores, Audience::Cmk, Audience::Authorities];
    let parts = (prop::sample::select(Lane::ALL.to_vec()), prop::sample::select(audiences));
    parts.prop_map(|(lane, audience)| Stream { lane, audience })
}

fn author() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Registry, Role::Cmk, Role::Krypton])
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..200), "[{}\\[\\]\":,a-z0-9 ]{0,80}".prop_map(String::into_bytes)]
}

proptest! {
    #[test]
    fn garbage_is_never_believed_and_never_panics(
        headers in headers(), stream in stream(), author in author(), subject in value(), body in body(),
    ) {
        let message = Message { address: Address { stream, author, subject }, headers, body: body.into() };
        prop_assert!(Landscape::new().verifier().verify(&message, NOW).is_err());
    }

    /// Any number of headers of an authentic message replaced: believed only if nothing that matters changed.
    #[test]
    fn an_authentic_message_with_other_headers_says_the_same_or_nothing(
        changes in headers(), kind in prop::sample::select(EventType::ALL.to_vec()),
    ) {
        let landscape = Landscape::new();
        let original = landscape.message(kind);
        let mut message = original.clone();
        message.headers.extend(changes);
        if let Ok(verified) = landscape.verifier().verify(&message, NOW) {
            let meant = landscape.verifier().verify(&original, NOW).expect("authentic");
            prop_assert_eq!(verified, meant);
        }
    }

    /// Any bytes that an author signs are read or are poison: neither panics.
    #[test]
    fn a_signed_body_of_any_text_never_panics(
        body in any::<String>(), kind in prop::sample::select(EventType::ALL.to_vec()),
        wire_name in prop_oneof![Just(None), any::<String>().prop_map(Some)], subject in any::<Option<String>>(),
    ) {
        let landscape = Landscape::new();
        let mut letter = crate::fixture::letter(kind);
        letter.body = body;
        letter.kind = wire_name.unwrap_or(letter.kind);
        letter.subject = subject.unwrap_or(letter.subject);
        let message = landscape.author(kind).sign(&letter);
        prop_assert!(landscape.verifier().verify(&message, NOW).is_err());
    }

    #[test]
    fn reading_a_tenant_out_of_any_subject_never_panics(subject in "[a-z0-9.-]{0,60}|\\PC{0,60}") {
        let found = Envelope::tenant_of(&subject);
        prop_assert!(found.is_none_or(|tenant| subject.split('.').any(|token| token == tenant.as_str())));
    }
}
