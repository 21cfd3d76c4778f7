//! Events that a component can't read, and an operator's command line: nothing of it stops, and nothing opens a gate.

use std::path::Path;

use openkcm_contracts::{Audience, EventType, Revision, Role, Timestamp};
use openkcm_harness::until;
use openkcm_host::OsEntropy;
use openkcm_orbital::{Embedded, Letter, Signer, Transport as _};
use serde_json::{Value, json};

use crate::setup::{SAMPLE, Setup, encrypt, link, refusal, region, service_path};

/// What the landscape's own signers say that no version of it can read.
async fn tell(home: &Path, letters: &[(Role, Letter)]) {
    let entropy = OsEntropy::new();
    let mesh = Embedded::open(&home.join("orbital").join("mesh.db"), &entropy).await.expect("the mesh");
    for (role, letter) in letters {
        let seed = std::fs::read_to_string(home.join("keys").join(format!("{role}.seed"))).expect("a seed");
        let signer = Signer::from_seed(&seed, *role, None).expect("a signer");
        mesh.publish(vec![signer.sign(letter)]).await.expect("the mesh takes it");
    }
}

fn letter(kind: &str, subject: &str, audience: Audience) -> Letter {
    Letter {
        kind: kind.into(),
        subject: subject.into(),
        audience,
        // That of the sample tenant's link, so that it may mean that one; and of no change that is not in the
        // authorities' own stores, which would be stale then.
        revision: Revision::new(1, 1),
        expires: None,
        written_at: Timestamp::from_millis(0),
        body: r#"{"of":"a later version"}"#.into(),
    }
}

/// A landscape whose mesh tells region a of a revoke of the sample tenant, and the CMK Server of a tenant, that
/// neither can read; nor can their authors, who read back their own words.
async fn poisoned() -> (Setup, String) {
    let mut setup = Setup::start().await;
    let sealed = encrypt(&setup.client(), "a", SAMPLE).await;
    assert!(setup.landscape.stop().await);
    let revoke = letter(EventType::L1Revoke.wire_name(), "revoke.demo", Audience::Region(region("a")));
    let tenant = letter("openkcm.v9.Tenant.Define", "tenant.acme", Audience::Cmk);
    tell(setup.landscape.directory(), &[(Role::Cmk, revoke), (Role::Registry, tenant)]).await;
    setup.landscape.start_again().await;
    (setup, sealed)
}

fn listed(setup: &Setup, arguments: &[&str]) -> Vec<Value> {
    let text = setup.must(&[&["quarantine", "list", "--output", "json"], arguments].concat());
    let list: Value = serde_json::from_str(&text).expect("JSON");
    list["items"].as_array().expect("a list").clone()
}

async fn all_listed(setup: &Setup) -> Vec<Value> {
    until("all is read that can't be", || async {
        let events = listed(setup, &[]);
        (events.len() == 4).then_some(events)
    })
    .await
}

fn place(event: &Value) -> [&str; 3] {
    ["component", "stream", "subject"].map(|member| event[member].as_str().expect("a text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_what_could_not_be_read_tries_it_again_and_drops_it() {
    let (setup, _) = poisoned().await;
    let events = all_listed(&setup).await;
    let places: Vec<_> = events.iter().map(place).collect();
    let expected = [
        ["registry", "1.cmk", "tenant.acme"],
        ["cmk", "0.region.a", "revoke.demo"],
        ["cmk", "1.cmk", "tenant.acme"],
        ["a", "0.region.a", "revoke.demo"],
    ];
    assert_eq!(places, expected);
    assert_eq!(listed(&setup, &["--component", "registry"]), events[..1]);
    assert_eq!(listed(&setup, &["--component", "b"]), [Value::Null; 0]);
    assert_eq!(listed(&setup, &["--tenant", "demo"]), [events[1].clone(), events[3].clone()]);
    assert_eq!(listed(&setup, &["--stream", "1.cmk"]), [events[0].clone(), events[2].clone()]);

    let id = events[2]["id"].as_str().expect("an id");
    let shown = setup.must(&["quarantine", "show", "--component", "cmk", id]);
    for words in ["the type openkcm.v9.Tenant.Define is not known here", "a later version", "1.cmk", "1.1"] {
        assert!(shown.contains(words), "{words:?} is not in\n{shown}");
    }
    let status: Value = serde_json::from_str(&setup.must(&["status", "--output", "json"])).expect("JSON");
    let kept = |place: usize| &status["components"][place]["status"]["mesh"]["quarantined"];
    assert_eq!([kept(0), kept(1), kept(2), kept(3)], [&json!(1), &json!(2), &json!(1), &json!(0)]);

    let retried = setup.cli(&["quarantine", "retry", "--component", "cmk", id]);
    let told = String::from_utf8_lossy(&retried.stderr);
    assert_eq!(retried.status.code(), Some(3), "{told}");
    assert!(told.contains("still_poison") && told.contains("is not known here"), "{told}");
    let unasked = setup.cli(&["quarantine", "drop", "--component", "cmk", id]);
    assert_eq!(unasked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("--yes"));
    assert_eq!(listed(&setup, &[]).len(), 4, "neither changed anything");

    setup.must(&["quarantine", "drop", "--component", "cmk", "--yes", id]);
    assert_eq!(listed(&setup, &["--component", "cmk"]), events[1..2]);
    let gone = setup.cli(&["quarantine", "show", "--component", "cmk", id]);
    assert!(String::from_utf8_lossy(&gone.stderr).contains("unknown_event"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoke_that_can_not_be_read_ends_serving_until_a_newer_link_whatever_becomes_of_it() {
    let (mut setup, sealed) = poisoned().await;
    let events = all_listed(&setup).await;
    let client = setup.client();
    let refused = async |name: &str| refusal(&client, name, SAMPLE, &sealed).await;
    assert_eq!(refused("a").await.as_deref(), Some("tenant_unlinked"));
    assert_eq!(refused("b").await, None, "the other region was told nothing");
    let id = events[3]["id"].as_str().expect("an id");
    setup.must(&["quarantine", "drop", "--component", "a", "--yes", id]);
    assert_eq!(refused("a").await.as_deref(), Some("tenant_unlinked"));
    setup.landscape.kill();
    setup.landscape.start_again().await;
    let client = setup.client();
    assert_eq!(refusal(&client, "a", SAMPLE, &sealed).await.as_deref(), Some("tenant_unlinked"));
    client.cmk().unlink(&service_path(SAMPLE).tenant).await.expect("an unlink");
    link(&client, &service_path(SAMPLE)).await;
    until("the newer link serves", || async {
        refusal(&client, "a", SAMPLE, &sealed).await.is_none().then_some(())
    })
    .await;
}
