//! Forged, replayed, misdirected, oversized and garbled events, said on a real broker with the credentials of a real
//! component: counted, dropped, and without any effect.

use openkcm_client::Client;
use openkcm_contracts::v1::{L1Reference, LinkState, TenantDefine};
use openkcm_contracts::{Audience, Event, Generation, LinkEpoch, Revision, Role, TenantState, Timestamp};
use openkcm_host::{Clock as _, OsEntropy, SystemClock};
use openkcm_orbital::{Letter, MAX_BODY_LEN, Signer};
use serde_json::{Value, json};

use crate::broker::{self, Word};
use crate::calls::{
    define, encrypt, link, opens, region, replayed, serves, shown, status, tenant_id, unlink, until_mesh,
    until_opens, until_refused, until_unlinked,
};
use crate::setup::Setup;

const SERVICE: &str = "acme/hr/payroll";
const CORE: &str = "krypton-a";
const TENANT_SUBJECT: &str = "orbital.1.region.a.registry.tenant.acme";
const LINK_SUBJECT: &str = "orbital.1.region.a.cmk.l1.acme";
const FACTS: &str = "ORBITAL_1_region_a";

/// Later than whatever the authorities have said.
const LATER: Revision = Revision::new(9, 9);

#[tokio::test]
async fn what_is_not_its_authors_word_is_counted_dropped_and_changes_nothing() {
    let setup = Setup::start().await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    let before = held(&client).await;
    let looker = broker::look(&setup.landscape).await;
    let registry = broker::connect(&setup.landscape, "registry").await;
    let cmk = broker::connect(&setup.landscape, "cmk").await;
    let said = broker::last_word(&looker, FACTS, TENANT_SUBJECT).await.expect("the tenant was told");

    let own = signer(&setup, "registry", Role::Registry);
    let forged = forgeries(&setup, &own, &said);
    for (word, _) in &forged {
        broker::say(&registry, word.clone()).await;
    }
    // The CMK Server's credential speaks of tenants on its own subjects, with its own key.
    let spoken = Word {
        subject: "orbital.1.region.a.cmk.tenant.acme".into(),
        ..signer(&setup, "cmk", Role::Cmk).sign(&offboarding("a", None)).into()
    };
    broker::say(&cmk, spoken).await;

    let mut expected = serde_json::Map::new();
    for reason in forged.iter().map(|(_, reason)| *reason).chain(["not-its-word"]) {
        let count = expected.entry(reason).or_insert(json!(0));
        *count = json!(count.as_u64().expect("a number") + 1);
    }
    let expected = Value::Object(expected);
    until_mesh(&client, CORE, &format!("dropped: {expected}"), |mesh| mesh["dropped"] == expected).await;
    assert_eq!(held(&client).await, before);
    opens(&client, "a", SERVICE, &ciphertext).await;
    serves(&client, "a", SERVICE).await;
    // The others heard nothing of it.
    let other = status(&client, "krypton-b").await.expect("it answers");
    assert_eq!(other["mesh"]["dropped"], json!({}));

    // What is longer than any event does not even get onto the stream.
    let huge = Word { body: vec![b'x'; 2 * MAX_BODY_LEN - 64 * 1024], ..said.clone() };
    let answer = broker::try_to_say(&registry, huge).await;
    assert!(answer.contains("maximum"), "{answer}");

    // And the tenant's next word is believed and applied, whatever stands in its place.
    let again = client.registry().delete_tenant(&tenant_id("acme"), None).await.expect("offboarded");
    let revision = again.revision.expect("a revision").to_string();
    until_tenant_revision(&client, &revision).await;
    until_refused(&client, "a", SERVICE, (&ciphertext, "key_disabled")).await;
}

/// Words that a thief of the Registry's NKey and certificate can put onto a Core's stream, and why each is dropped.
fn forgeries(setup: &Setup, own: &Signer, said: &Word) -> Vec<(Word, &'static str)> {
    let stranger = Signer::from_seed(&Signer::new_seed(&OsEntropy::new()), Role::Registry, None);
    let stranger = stranger.expect("a new seed is a seed");
    let now = SystemClock.now();
    let past = Timestamp::from_millis(now.as_millis() - 1_000);
    let offboarding = |audience, expires| offboarding(audience, expires);
    let with_body = |body: Vec<u8>| Word { body, ..said.clone() };
    let mut long_header = said.clone();
    long_header.headers.insert("x-more".into(), "x".repeat(17 * 1024));
    let mut later = said.clone();
    later.headers.insert("ce-kcmrevision".into(), LATER.to_string());
    vec![
        (stranger.sign(&offboarding("a", None)).into(), "unknown-signer"),
        // The seed of another role, used as the Registry's.
        (signer(setup, CORE, Role::Registry).sign(&offboarding("a", None)).into(), "misplaced"),
        // The Registry's own key, on what only the CMK Server says.
        (own.sign(&unlinking()).into(), "not-its-word"),
        // What was truly said to another region.
        (Word { subject: TENANT_SUBJECT.into(), ..own.sign(&offboarding("b", None)).into() }, "misplaced"),
        // What was truly said about another tenant.
        (Word { subject: "orbital.1.region.a.registry.tenant.other".into(), ..said.clone() }, "misplaced"),
        (own.sign(&offboarding("a", Some(past))).into(), "expired"),
        (with_body(offboarding("a", None).body.into_bytes()), "wrong-signature"),
        (later, "wrong-signature"),
        (with_body(b"\x00\xff{ not JSON".to_vec()), "wrong-signature"),
        (with_body(vec![b' '; MAX_BODY_LEN + 1]), "oversized"),
        (long_header, "oversized"),
        (Word { headers: Default::default(), ..said.clone() }, "damaged"),
    ]
}

#[tokio::test]
async fn an_older_link_that_is_said_again_does_not_undo_an_unlink() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    let looker = broker::look(&setup.landscape).await;
    let recorded = broker::last_word(&looker, FACTS, LINK_SUBJECT).await.expect("the link was told");
    unlink(&client, "acme").await;
    until_refused(&client, "a", SERVICE, (&ciphertext, "tenant_unlinked")).await;
    until_unlinked(&client, "a", "acme").await;
    let before = held(&client).await;
    let mesh =
        until_mesh(&client, CORE, "the Unlink is applied", |mesh| mesh["applied"]["cmk"].is_string()).await;

    // With the CMK Server's own credential, whatever stands there: it buries the Unlink on the facts' lane.
    let cmk = broker::connect(&setup.landscape, "cmk").await;
    broker::say(&cmk, recorded.clone()).await;
    let count = replayed(&mesh);
    until_mesh(&client, CORE, "a replay was counted", |mesh| replayed(mesh) > count).await;
    assert_eq!(held(&client).await, before);
    until_refused(&client, "a", SERVICE, (&ciphertext, "tenant_unlinked")).await;
    let last = broker::last_word(&looker, FACTS, LINK_SUBJECT).await.expect("a word");
    assert_eq!(
        last.header("ce-kcmrevision"),
        recorded.header("ce-kcmrevision"),
        "the Unlink is buried there"
    );

    // A Core that starts from nothing reads the old Link, and the revoke beside it.
    setup.kill(&[CORE]);
    std::fs::remove_dir_all(setup.landscape.directory().join("data").join(CORE)).expect("its disk is lost");
    setup.start_again(&[CORE]).await;
    let client = setup.patient();
    until_refused(&client, "a", SERVICE, (&ciphertext, "tenant_unlinked")).await;
    until_mesh(&client, CORE, "it has read everything", |mesh| {
        mesh["streams"].as_array().expect("a list").iter().all(|stream| stream["hydrated"] == true)
    })
    .await;
    until_refused(&client, "a", SERVICE, (&ciphertext, "tenant_unlinked")).await;

    // A new link is another link.
    link(&client, "acme").await;
    until_opens(&client, "a", SERVICE, &ciphertext).await;
}

#[tokio::test]
async fn a_word_that_nobody_signed_does_not_bury_an_unlink_however_new_it_says_it_is() {
    let setup = Setup::start().await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    let cmk = broker::connect(&setup.landscape, "cmk").await;
    for subject in [LINK_SUBJECT, "orbital.0.region.a.cmk.revoke.acme"] {
        let headers = [("ce-kcmrevision".to_owned(), Revision::new(u32::MAX, u64::MAX).to_string())].into();
        broker::say(&cmk, Word { subject: subject.into(), headers, body: b"garbage".to_vec() }).await;
    }
    unlink(&client, "acme").await;
    until_refused(&client, "a", SERVICE, (&ciphertext, "tenant_unlinked")).await;
}

#[tokio::test]
async fn authorities_drop_what_is_not_for_them_too() {
    let setup = Setup::start().await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    let pointer = client.cmk().l1(&tenant_id("acme")).await.expect("a pointer");
    let registry = broker::connect(&setup.landscape, "registry").await;
    let subject = "orbital.1.cmk.registry.tenant.acme";
    let misdirected: Word = signer(&setup, "registry", Role::Registry).sign(&offboarding("a", None)).into();
    broker::say(&registry, Word { subject: subject.into(), ..misdirected }).await;
    let bare = Word { subject: subject.into(), headers: Default::default(), body: b"{}".to_vec() };
    broker::say(&registry, bare).await;
    let expected = json!({"damaged": 1, "misplaced": 1});
    until_mesh(&client, "cmk", "two were dropped", |mesh| mesh["dropped"] == expected).await;

    let core = broker::connect(&setup.landscape, CORE).await;
    let subject = "orbital.3.authorities.krypton.manifest.a";
    broker::say(&core, Word { subject: subject.into(), headers: Default::default(), body: b"x".to_vec() })
        .await;
    until_mesh(&client, "registry", "one was dropped", |mesh| mesh["dropped"] == json!({"damaged": 1})).await;
    let expected = json!({"damaged": 2, "misplaced": 1});
    until_mesh(&client, "cmk", "three were dropped", |mesh| mesh["dropped"] == expected).await;
    assert_eq!(client.cmk().l1(&tenant_id("acme")).await.expect("a pointer"), pointer);
    serves(&client, "a", SERVICE).await;
}

#[tokio::test]
async fn a_core_speaks_for_itself_alone() {
    let setup = Setup::start().await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    let before = held(&client).await;
    let looker = broker::look(&setup.landscape).await;
    let made = broker::words(&looker, "ORBITAL_2_cores").await;
    let made = made.iter().find(|word| word.subject.contains("sealed-l3.a.acme")).expect("a sealed version");
    let other = broker::connect(&setup.landscape, "krypton-b").await;
    let seed = broker::seed(setup.landscape.directory(), "krypton-b");
    let own = Signer::from_seed(&seed, Role::Krypton, Some(region("b"))).expect("a seed");
    let body = String::from_utf8(made.body.clone()).expect("JSON");
    // The maker's own word, under this one's name; and a word of this one's that says it is the maker's.
    let subject = made.subject.replace("sealed-l3.a.", "sealed-l3.b.");
    let letter = Letter {
        kind: made.header("ce-type").into(),
        subject: subject.strip_prefix("orbital.2.cores.krypton.").expect("an address").into(),
        audience: Audience::Cores,
        revision: LATER,
        expires: None,
        written_at: SystemClock.now(),
        body,
    };
    broker::say(&other, Word { subject, ..made.clone() }).await;
    broker::say(&other, own.sign(&letter)).await;
    for core in ["krypton-a", "krypton-b"] {
        let dropped = json!({"misplaced": 2});
        until_mesh(&client, core, "both were dropped", |mesh| mesh["dropped"] == dropped).await;
    }
    assert_eq!(held(&client).await, before);
    serves(&client, "b", SERVICE).await;
}

/// The tenant as the Core of region `a` holds it, and the versions of its service's key.
async fn held(client: &Client) -> (Value, Value) {
    let tenant = crate::calls::tenant(client, "a", "acme").await.expect("it is known");
    (tenant, shown(client, "a", SERVICE).await.expect("it is known")["versions"].take())
}

async fn until_tenant_revision(client: &Client, revision: &str) {
    openkcm_harness::until(&format!("region a holds the tenant at {revision}"), || async {
        (held(client).await.0["revision"] == revision).then_some(())
    })
    .await;
}

/// A signer with the seed of a component, which speaks as this role.
fn signer(setup: &Setup, component: &str, role: Role) -> Signer {
    Signer::from_seed(&broker::seed(setup.landscape.directory(), component), role, None).expect("a seed")
}

/// The end of the tenant, later than all that was said of it.
pub(crate) fn offboarding(audience: &str, expires: Option<Timestamp>) -> Letter {
    let fact = TenantDefine {
        tenant: tenant_id("acme"),
        generation: Generation(LATER),
        state: TenantState::Offboarded,
        regions: ["a", "b"].map(region).to_vec(),
        labels: Default::default(),
    };
    let audience = Audience::Region(region(audience));
    Letter { expires, ..Letter::new(&Event::TenantDefine(fact), audience, LATER, SystemClock.now()) }
}

/// The end of its link, later than all that was said of it.
fn unlinking() -> Letter {
    let fact = L1Reference {
        tenant: tenant_id("acme"),
        generation: Generation(LATER),
        epoch: LinkEpoch(LATER),
        state: LinkState::Unlinked,
        roots: Vec::new(),
        owner_key: None,
        ttl: None,
        owner_word: None,
    };
    Letter::new(&Event::L1Reference(fact), Audience::Region(region("a")), LATER, SystemClock.now())
}
