//! What is judged from a region's documents.

use serde_json::json;

use super::*;

const GENERATION: &str = "1.3";

fn key() -> KeyPath {
    "acme/hr/payroll".parse().unwrap()
}

fn tenant_id() -> TenantId {
    "acme".parse().unwrap()
}

fn active() -> Expected {
    Expected::KeyActive(key(), Revision::new(1, 7))
}

fn ended_key() -> Expected {
    Expected::KeyEnded(key(), Revision::new(1, 7), GENERATION.to_owned())
}

fn linked(counter: u64) -> Expected {
    Expected::Linked(tenant_id(), Revision::new(1, counter))
}

fn unlinked(counter: u64) -> Expected {
    Expected::Unlinked(tenant_id(), Revision::new(1, counter))
}

fn of_link(state: &str, revision: &str, serving: bool, code: Option<&str>) -> Value {
    let refusal = code.map(|code| json!({"code": code, "detail": "why"}));
    json!({"link": {"state": state, "revision": revision}, "serving": serving, "refusal": refusal})
}

/// A key's or a tenant's document.
fn shown(state: &str, revision: &str, code: Option<&str>) -> Value {
    let refusal = code.map(|code| json!({"code": code, "detail": "why"}));
    let active = code.is_none().then_some("an-id");
    let serving = code.is_none();
    json!({
        "state": state, "revision": revision, "serving": serving, "refusal": refusal, "active": active,
        "generation": GENERATION,
    })
}

fn is_not_yet(seen: &Seen) -> bool {
    matches!(seen, Seen::NotYet(_))
}

#[test]
fn a_key_has_arrived_when_a_version_encrypts() {
    assert_eq!(active().judge(&shown("defined", "1.7", None)), Seen::Yes("active"));
    for earlier in [shown("deleted", "1.5", Some("key_disabled")), shown("defined", "1.2", None)] {
        assert!(is_not_yet(&active().judge(&earlier)), "what was before is no answer: {earlier}");
    }
    assert!(is_not_yet(&active().judge(&shown("defined", "1.7", Some("hydrating")))));
}

#[test]
fn the_reason_of_a_deletion_that_was_taken_back_is_waited_out() {
    let back = Expected::KeyBack(key(), Revision::new(1, 7));
    for code in ["key_disabled", "key_purged"] {
        assert!(is_not_yet(&back.judge(&shown("defined", "1.7", Some(code)))), "{code}");
        let settled = back.judge(&shown("deleted", "1.9", Some(code)));
        assert!(matches!(settled, Seen::Settled(_)), "{code}: someone has deleted it again");
    }
}

#[test]
fn nobody_waits_for_a_key_whose_tenant_is_not_linked() {
    for code in ["not_yet_known", "tenant_unlinked"] {
        let Seen::Settled(text) = active().judge(&shown("defined", "1.7", Some(code))) else {
            panic!("{code}")
        };
        assert!(text.contains("not served until the tenant's L1 is linked"), "{text}");
    }
    assert!(matches!(active().judge(&shown("defined", "1.7", Some("l1_denied"))), Seen::Settled(_)));
}

#[test]
fn a_deletion_has_arrived_where_it_is_known_and_nothing_is_served() {
    let expected = ended_key();
    for code in ["key_disabled", "tenant_unlinked", "lease_expired"] {
        assert_eq!(expected.judge(&shown("deleted", "1.7", Some(code))), Seen::Yes("refused"), "{code}");
    }
    for (document, words) in [
        (shown("defined", "1.3", None), "STILL SERVES"),
        (shown("defined", "1.3", Some("tenant_unlinked")), "not heard"),
        (shown("deleted", "1.7", None), "still serves"),
        (shown("deleted", "1.7", Some("hydrating")), "still closing"),
    ] {
        let Seen::NotYet(text) = expected.judge(&document) else { panic!("{document}") };
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_tombstone_says_that_its_own_generation_has_ended_and_no_later_one() {
    let purged = shown("defined", "1.3", Some("key_purged"));
    assert!(matches!(ended_key().judge(&purged), Seen::Yes(_)), "it has overtaken the deletion");
    let later = Expected::KeyEnded(key(), Revision::new(1, 7), "1.5".to_owned());
    assert!(is_not_yet(&later.judge(&purged)));
}

#[test]
fn an_end_that_was_undone_meanwhile_is_told_and_is_not_what_was_asked_for() {
    for (document, words) in [
        (shown("defined", "1.9", None), "SERVES"),
        (shown("defined", "1.9", Some("tenant_unlinked")), "a later definition"),
    ] {
        let seen = ended_key().judge(&document);
        assert!(!ended_key().is_met_by(&seen));
        let Seen::Settled(text) = seen else { panic!("{document}") };
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn an_offboarding_has_arrived_where_the_tenant_is_refused_for_it() {
    let expected = Expected::TenantEnded(tenant_id(), Revision::new(1, 7));
    assert_eq!(expected.judge(&shown("offboarded", "1.7", Some("key_disabled"))), Seen::Yes("refused"));
    let unheard = shown("active", "1.3", Some("tenant_unlinked"));
    assert!(is_not_yet(&expected.judge(&unheard)), "a link may open it again");
}

#[test]
fn a_tenant_that_is_back_serves_when_it_is_linked_again() {
    let expected = Expected::TenantBack(tenant_id(), Revision::new(1, 7));
    let Seen::Yes(text) = expected.judge(&shown("active", "1.7", Some("tenant_unlinked"))) else { panic!() };
    assert!(text.contains("linked again"), "{text}");
    assert_eq!(expected.judge(&shown("active", "1.7", None)), Seen::Yes("serving"));
    assert!(is_not_yet(&expected.judge(&shown("active", "1.7", Some("key_disabled")))), "not settled");
    assert!(is_not_yet(&expected.judge(&shown("offboarded", "1.5", Some("key_disabled")))));
}

#[test]
fn a_link_has_arrived_when_its_revision_is_served() {
    assert_eq!(linked(2).judge(&of_link("linked", "1.2", true, None)), Seen::Yes("serving"));
    assert_eq!(linked(2).judge(&of_link("linked", "1.3", true, None)), Seen::Yes("serving"));
    for earlier in [of_link("linked", "1.1", true, None), json!({"link": null, "serving": false})] {
        assert!(is_not_yet(&linked(2).judge(&earlier)), "{earlier}");
    }
    assert!(matches!(linked(2).judge(&of_link("unlinked", "1.3", false, None)), Seen::Settled(_)));
    let waiting = of_link("linked", "1.2", false, Some("lease_expired"));
    assert!(is_not_yet(&linked(2).judge(&waiting)));
}

#[test]
fn an_unlink_has_arrived_when_nothing_is_served_by_it_and_not_before() {
    let refused = of_link("unlinked", "1.2", false, Some("tenant_unlinked"));
    assert_eq!(unlinked(2).judge(&refused), Seen::Yes("refused"));
    assert!(is_not_yet(&unlinked(2).judge(&of_link("unlinked", "1.2", true, None))));
    assert!(is_not_yet(&unlinked(2).judge(&of_link("linked", "1.1", true, None))));
    let later = unlinked(2).judge(&of_link("linked", "1.4", true, None));
    assert!(matches!(later, Seen::Settled(_)) && !unlinked(2).is_met_by(&later));
}
