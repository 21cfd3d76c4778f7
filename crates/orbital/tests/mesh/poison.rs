//! What is authentic and can't be read: kept, told whom it concerns, and failing closed where it revokes.

use openkcm_contracts::{EventType, Revision, Role};
use openkcm_orbital::{Batch, Delivered, Envelope, Intake, Letter, Message, Position, Reading, Rejection};

use crate::fixture::{Landscape, NOW, letter, revoke_letter, stream, tenant};

/// Tenant and revokes flag of a message that is authentic and can't be read.
fn unreadable(message: &Message) -> (Option<String>, bool) {
    match Landscape::new().verifier().verify(message, NOW) {
        Err(Rejection::Unreadable { tenant, revokes, .. }) => {
            (tenant.map(|tenant| tenant.to_string()), revokes)
        }
        other => panic!("{} is unreadable, not {other:?}", message.address),
    }
}

#[test]
fn a_body_that_can_not_be_read_names_its_tenant_and_whether_it_revokes() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{\"tenant\":\"acme\"}",
            "{\"tenant\":\"acme\",\"of\":\"a later version\"}",
        ] {
            let message = landscape.author(kind).sign(&Letter { body: body.into(), ..letter(kind) });
            let concerns_regions = matches!(
                kind,
                EventType::SovereignLease | EventType::StateManifest | EventType::ManifestQuery
            );
            let expected = (!concerns_regions).then(|| "acme".to_owned());
            assert_eq!(unreadable(&message), (expected, kind == EventType::L1Revoke), "{kind:?} {body:?}");
        }
    }
}

#[test]
fn a_field_of_a_later_version_makes_a_body_unreadable_and_not_half_applied() {
    let landscape = Landscape::new();
    for kind in EventType::ALL {
        let mut letter = letter(kind);
        letter.body = letter.body.replacen('{', "{\"since_v2\":true,", 1);
        unreadable(&landscape.author(kind).sign(&letter));
    }
}

#[test]
fn a_type_of_a_later_version_is_kept_and_a_revoke_among_them_fails_closed() {
    let landscape = Landscape::new();
    let mut later = letter(EventType::L1Revoke);
    later.kind = "openkcm.v2.L1.Revoke".into();
    assert_eq!(unreadable(&landscape.cmk.sign(&later)), (Some("acme".into()), true));
    later.kind = "openkcm.v2.Key.Rename".into();
    later.subject = "key.acme.hr".into();
    assert_eq!(unreadable(&landscape.registry.sign(&later)), (Some("acme".into()), false));
    later.subject = "something.new".into();
    assert_eq!(unreadable(&landscape.registry.sign(&later)), (None, false));
}

/// A stolen key of another role must not be able to end a tenant's service: neither with a type that nobody knows
/// yet, nor with a word that it may say, made unreadable, under a revoke's subject.
#[test]
fn only_the_cmk_servers_unreadable_word_takes_away_the_right_to_serve() {
    let landscape = Landscape::new();
    let revoke = letter(EventType::L1Revoke);
    for signer in [&landscape.registry, &landscape.core_a] {
        let later = Letter { kind: "openkcm.v2.L1.Revoke".into(), ..revoke.clone() };
        assert_eq!(unreadable(&signer.sign(&later)), (Some("acme".into()), false));
    }
    for kind in [EventType::KeySealed, EventType::StateManifest] {
        let disguised = Letter { subject: revoke.subject.clone(), body: "{".into(), ..letter(kind) };
        assert_eq!(unreadable(&landscape.core_a.sign(&disguised)), (Some("acme".into()), false));
    }
    let disguised = Letter { body: "{".into(), subject: revoke.subject, ..letter(EventType::KeyPurge) };
    assert_eq!(unreadable(&landscape.registry.sign(&disguised)), (Some("acme".into()), false));
}

/// Poison is kept, so what nobody signed must not be kept with it: whoever can publish could fill a disk.
#[test]
fn what_is_not_authentic_is_dropped_however_unreadable_it_is() {
    let landscape = Landscape::new();
    let forged = landscape.stranger.sign(&Letter { body: "{".into(), ..letter(EventType::L1Revoke) });
    let mut altered = landscape.message(EventType::L1Revoke);
    altered.body = "{".into();
    let mut damaged = landscape.message(EventType::L1Revoke);
    damaged.headers.clear();
    let intake = intake(vec![forged, altered, damaged]);
    assert_eq!((intake.dropped.values().sum::<u64>(), intake.poison.len(), intake.events.len()), (3, 0, 0));
}

#[test]
fn an_intake_sorts_what_came_and_goes_on_past_all_of_it() {
    let landscape = Landscape::new();
    let good = landscape.message(EventType::L1Revoke);
    let poison = landscape.cmk.sign(&Letter { body: "{".into(), ..letter(EventType::L1Revoke) });
    let forged = landscape.stranger.sign(&letter(EventType::L1Revoke));
    let intake = intake(vec![good, poison.clone(), forged]);
    assert_eq!((intake.events.len(), intake.poison.len(), intake.dropped.values().sum::<u64>()), (1, 1, 1));
    assert_eq!(
        intake.position.expect("something was read").sequence,
        2,
        "that of the last, which was dropped"
    );
    let kept = &intake.poison[0];
    assert_eq!((&kept.headers, kept.body.as_str(), kept.at), (&poison.headers, "{", NOW));
    assert_eq!((kept.tenant.as_ref(), kept.revokes), (Some(&tenant("acme")), true));
    assert!(kept.reason.contains("L1Revoke"), "{}", kept.reason);
}

fn intake(messages: Vec<Message>) -> Intake {
    let delivered =
        |(sequence, message)| Delivered { message, position: Position { mesh: "m".into(), sequence } };
    let messages = (0..).zip(messages).map(delivered).collect();
    let batch = Batch { messages, caught_up: true };
    Intake::verify(&Reading::all(stream(EventType::L1Revoke)), batch, &Landscape::new().verifier(), NOW)
}

/// An authority whose key was replaced must not take what the earlier one signed for nothing at all.
#[test]
fn the_latest_own_word_of_an_unknown_signer_is_told_and_no_other_is() {
    let landscape = Landscape::new();
    let at = |counter| landscape.stranger.sign(&revoke_letter("acme", counter));
    let read = |reading: &Reading| {
        let delivered =
            |(sequence, message)| Delivered { message, position: Position { mesh: "m".into(), sequence } };
        let messages =
            (0..).zip([at(7), at(3), landscape.message(EventType::L1Revoke)]).map(delivered).collect();
        let batch = Batch { messages, caught_up: true };
        Intake::verify(reading, batch, &landscape.verifier(), NOW)
    };
    let stream = stream(EventType::L1Revoke);
    let own = read(&Reading::words(stream.clone(), Role::Cmk));
    assert_eq!((own.unbelieved, own.events.len()), (Some(Revision::new(1, 7)), 1));
    assert_eq!(read(&Reading::all(stream)).unbelieved, None, "another's stream");
}

#[test]
fn a_subject_tells_its_tenant_only_where_one_stands() {
    for subject in [
        "tenant.acme",
        "key.acme.hr",
        "purge.acme.hr.payroll",
        "l1.acme",
        "revoke.acme",
        "sealed-l2.a.acme.hr.v",
    ] {
        assert_eq!(Envelope::tenant_of(subject), Some(tenant("acme")), "{subject}");
    }
    for subject in
        ["", ".", "revoke", "revoke.", "revoke.ACME", "lease.acme", "sealed-l3.a", "query.acme", "..acme"]
    {
        assert_eq!(Envelope::tenant_of(subject), None, "{subject}");
    }
}
