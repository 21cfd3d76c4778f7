//! What one author can do to the readers of a stream that others speak on too: have them read what is no event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::{Audience, Lane, RegionId};
use openkcm_host::OsEntropy;
use openkcm_orbital::nats::{NatsOptions, NatsTransport, Tls};
use openkcm_orbital::{Reading, Stream, Transport};

use crate::broker::Broker;

/// As many as would hold a reader up for minutes, were it held up by each.
const EMPTY: usize = 40;

/// A reader that stands still must fail here and not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message without body and headers is how a broker ends the answers that cross from one account to another.
#[tokio::test]
async fn empty_messages_of_one_author_do_not_hold_up_anothers_word() {
    let broker = Broker::start().await;
    let registry = broker.as_user("registry").await;
    for number in 0..EMPTY {
        let subject = format!("orbital.1.region.a.registry.e.n{number}");
        registry.asks(&subject, b"").await.expect("acknowledged");
    }
    let cmk = broker.as_user("cmk").await;
    cmk.asks("orbital.1.region.a.cmk.l1.acme", b"the word").await.expect("acknowledged");
    let reader = transport(&broker).await;
    let audience = Audience::Region(RegionId::new("a").expect("a label"));
    let reading = Reading::all(Stream { lane: Lane::Facts, audience });
    let read = async {
        let (mut subjects, mut after) = (BTreeSet::new(), None);
        loop {
            // A subscription may fail, and begins again from what was read, as a courier's does.
            let Ok(mut subscription) = reader.subscribe(&reading, after.clone()).await else { continue };
            while let Ok(batch) = subscription.next(1024).await {
                for delivered in batch.messages {
                    subjects.insert(delivered.message.address.subject);
                    after = Some(delivered.position);
                }
                if batch.caught_up {
                    return subjects;
                }
            }
        }
    };
    let subjects = tokio::time::timeout(PATIENCE, read).await.expect("the reader stands still");
    assert_eq!(subjects.len(), EMPTY + 1);
    assert!(subjects.contains("l1.acme"));
}

async fn transport(broker: &Broker) -> NatsTransport {
    let seed = std::fs::read_to_string(broker.path("keys/krypton-a.nk")).expect("a seed");
    let options = NatsOptions {
        servers: vec![broker.url()],
        user: "krypton-a".into(),
        nkey_seed: Some(seed.trim().to_owned().into()),
        tls: Some(Tls {
            ca: broker.path("tls/ca.pem"),
            certificate: broker.path("tls/krypton-a.pem"),
            key: broker.path("tls/krypton-a.key"),
        }),
        makes_what_is_missing: false,
    };
    let transport = NatsTransport::connect(options, Arc::new(OsEntropy::new())).await.expect("options");
    openkcm_harness::until("it is connected", || async { transport.publish(Vec::new()).await.ok() }).await;
    transport
}
