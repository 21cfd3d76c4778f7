//! What each component's credential may do on a real broker with the configuration that `init` writes, and what
//! it may not: tried, not read from the configuration.
//!
//! Every try is a request under the component's own identity. Afterwards the operator looks whether any stream
//! holds another word than before.

mod broker;
mod forbidden;
mod replies;
mod stall;

use crate::broker::{Broker, COMPONENTS};

#[tokio::test]
async fn every_component_may_do_what_its_work_needs() {
    let broker = Broker::start().await;
    for (user, subject) in [
        ("registry", "orbital.1.region.a.registry.tenant.acme"),
        ("registry", "orbital.1.cmk.registry.tenant.acme"),
        ("cmk", "orbital.0.region.b.cmk.revoke.acme"),
        ("krypton-a", "orbital.2.cores.krypton.sealed-l2.a.acme.hr.v"),
        ("krypton-b", "orbital.3.authorities.krypton.manifest.b"),
    ] {
        let answer = broker.as_user(user).await.asks(subject, b"a word").await.expect("an acknowledgement");
        assert!(answer.contains("\"seq\""), "{user} says {subject}: {answer}");
    }
    for (user, call) in [
        ("krypton-a", "CONSUMER.INFO.ORBITAL_1_region_a.krypton-a"),
        ("krypton-a", "CONSUMER.RESET.ORBITAL_2_cores.krypton-a"),
        ("registry", "CONSUMER.INFO.ORBITAL_1_region_b.registry-words"),
        ("cmk", "CONSUMER.INFO.ORBITAL_1_cmk.cmk"),
        ("registry", "DIRECT.GET.ORBITAL_1_region_a.orbital.1.region.a.registry.tenant.acme"),
    ] {
        let client = broker.as_user(user).await;
        let answer = client.asks(&format!("$JS.ORBITAL.API.{call}"), b"").await.expect("an answer");
        assert!(!answer.contains("\"error\""), "{user} calls {call}: {answer}");
    }
}

#[tokio::test]
async fn no_component_may_do_more_and_nothing_of_it_changes_a_word() {
    let broker = Broker::start().await;
    let before = broker.words_of_everyone().await;
    for user in COMPONENTS {
        let client = broker.as_user(user).await;
        for (subject, body) in forbidden::of(user) {
            assert!(client.is_refused(&subject, body.as_bytes()).await, "{user} may not use {subject}");
        }
    }
    assert_eq!(broker.words().await, before);
}

#[tokio::test]
async fn the_operator_makes_streams_and_neither_reads_nor_removes_a_word() {
    let broker = Broker::start().await;
    let before = broker.words_of_everyone().await;
    let client = broker.as_user("operator").await;
    for (subject, body) in forbidden::to_the_operator() {
        assert!(client.is_refused(&subject, body.as_bytes()).await, "the operator may not use {subject}");
    }
    assert_eq!(broker.words().await, before);
}

#[tokio::test]
async fn no_component_hears_what_is_not_for_it() {
    let broker = Broker::start().await;
    for user in COMPONENTS {
        let client = broker.as_user(user).await;
        for subject in ["orbital.>", ">", "*.>", "_INBOX_registry.>", "_INBOX_krypton-b.x", "$JS.>", "$SYS.>"]
        {
            if !subject.starts_with(&format!("_INBOX_{user}.")) {
                assert!(client.is_not_heard(subject).await, "{user} may not subscribe to {subject}");
            }
        }
    }
}

#[tokio::test]
async fn no_answer_of_the_broker_lands_on_a_stream_however_it_is_asked_for() {
    let broker = Broker::start().await;
    let before = broker.words_of_everyone().await;
    for user in COMPONENTS {
        let client = broker.as_user(user).await;
        for (subject, body) in replies::of(user) {
            for target in replies::TARGETS {
                client.asks_to_answer_on(&subject, body.as_bytes(), target).await;
            }
        }
        client.until_all_was_handled().await;
    }
    // What they published themselves, to be acknowledged elsewhere, is all that is new.
    let after = broker.words().await;
    for (subject, word) in &before {
        let own = replies::PUBLISHED.contains(&subject.as_str());
        assert!(own || after.get(subject) == Some(word), "{subject} holds {:?}", after.get(subject));
    }
    let new: Vec<&String> = after.keys().filter(|subject| !before.contains_key(*subject)).collect();
    assert!(new.is_empty(), "{new:?}");
}
