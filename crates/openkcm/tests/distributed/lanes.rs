//! An Unlink is not behind definitions: a Core that has a backlog of them to read refuses the tenant before it has
//! read them. What shows it is the order of events, not a time.

use std::sync::Arc;

use openkcm_client::Client;
use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{
    Algorithm, Audience, DefinitionState, Event, Generation, Layer, Revision, Role, ServiceId, SystemId,
    Timestamp,
};
use openkcm_harness::until;
use openkcm_host::OsEntropy;
use openkcm_orbital::nats::{NatsOptions, NatsTransport, Tls};
use openkcm_orbital::{Letter, Signer, Transport as _};
use serde_json::Value;

use crate::broker;
use crate::calls::{define, encrypt, refusal, region, status, stream, tenant_id, unlink, until_mesh};
use crate::setup::Setup;

const CORE: &str = "krypton-b";

/// Where the backlog lies.
const FACTS: &str = "1.region.b";

/// Unlinked before the Core starts.
const FIRST: &str = "first/app/data";

/// Unlinked while it reads.
const SECOND: &str = "second/app/data";

/// Many times what a Core applies while a CMK Server commits an Unlink and tells of it.
const BACKLOG: u64 = 12_000;

/// Letters that are signed and published together, as a courier does.
const TOGETHER: u64 = 256;

#[tokio::test]
async fn an_unlink_is_not_behind_a_backlog_of_definitions() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    for service in [FIRST, SECOND] {
        define(&client, service).await;
    }
    let first = encrypt(&client, "b", FIRST).await;
    let second = encrypt(&client, "b", SECOND).await;
    setup.kill(&[CORE]);
    tell_backlog(&setup).await;
    unlink(&client, "first").await;

    setup.start_again(&[CORE]).await;
    let client = setup.client();
    until("the Core refuses what was unlinked while it was away", || async {
        is_refused(&client, FIRST, &first).await.then_some(())
    })
    .await;
    assert_eq!(facts(&client).await["hydrated"], false, "the backlog was first");

    until_mesh(&client, CORE, "it reads the backlog", |mesh| stream(mesh, FACTS)["sequence"].is_u64()).await;
    unlink(&client, "second").await;
    until("the Core refuses what was unlinked while it reads", || async {
        is_refused(&client, SECOND, &second).await.then_some(())
    })
    .await;
    assert_eq!(facts(&client).await["hydrated"], false, "the backlog was first");

    until_mesh(&client, CORE, "it has read the backlog", |mesh| stream(mesh, FACTS)["hydrated"] == true)
        .await;
    for (service, ciphertext) in [(FIRST, &first), (SECOND, &second)] {
        assert!(is_refused(&client, service, ciphertext).await, "{service}");
    }
}

async fn is_refused(client: &Client, service: &str, ciphertext: &str) -> bool {
    refusal(client, "b", service, ciphertext).await.as_deref() == Some("tenant_unlinked")
}

/// How far the Core has read the facts.
async fn facts(client: &Client) -> Value {
    let status = status(client, CORE).await.expect("it answers");
    stream(&status["mesh"], FACTS).clone()
}

/// Says definitions as the Registry would, in its name and with its key: as many requests would take minutes.
async fn tell_backlog(setup: &Setup) {
    let home = setup.landscape.directory();
    let path = |name: &str| home.join(name);
    let nkey = std::fs::read_to_string(path("keys/registry.nk")).expect("an NKey");
    let options = NatsOptions {
        servers: vec![setup.landscape.nats().url().to_owned()],
        user: "registry".into(),
        nkey_seed: Some(nkey.trim().to_owned().into()),
        tls: Some(Tls {
            ca: path("tls/ca.pem"),
            certificate: path("tls/registry.pem"),
            key: path("tls/registry.key"),
        }),
        makes_what_is_missing: false,
    };
    let mesh = NatsTransport::connect(options, Arc::new(OsEntropy::new())).await.expect("usable options");
    until("the backlog's author is connected", || async { mesh.publish(Vec::new()).await.ok() }).await;
    let signer = Signer::from_seed(&broker::seed(home, "registry"), Role::Registry, None).expect("a seed");
    for from in (0..BACKLOG).step_by(TOGETHER as usize) {
        let letters: Vec<Letter> = (from..BACKLOG.min(from + TOGETHER)).map(definition).collect();
        mesh.publish(signer.sign_all(&letters)).await.expect("the stream takes it");
    }
}

fn definition(number: u64) -> Letter {
    let revision = Revision::new(1, 1_000_000 + number);
    let fact = KeyDefine {
        tenant: tenant_id("bulk"),
        system: SystemId::new("core").expect("a name"),
        service: Some(ServiceId::new(&format!("s{number}")).expect("a name")),
        generation: Generation(revision),
        parent: Generation(Revision::new(1, 1)),
        layer: Layer::L3,
        algorithm: Algorithm::AES256,
        rotate_every: None,
        state: DefinitionState::Defined,
        compromised: Default::default(),
    };
    Letter::new(&Event::KeyDefine(fact), Audience::Region(region("b")), revision, Timestamp::from_millis(0))
}
