//! The rig of NATS JetStream: a real server of the test's own, killed and started again on what its disk holds.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::{Lane, Role};
use openkcm_harness::{Nats, until};
use openkcm_host::SeededEntropy;
use openkcm_orbital::nats::layout::stream_name;
use openkcm_orbital::nats::{NatsOptions, NatsTransport};
use openkcm_orbital::{Reading, Transport, TransportError};

use crate::rig::Rig;
use crate::traffic::{bodies, everything, facts, message, next, region, rest, store, stream, subscribe};

pub(crate) struct NatsRig {
    broker: Nats,
    client: Arc<NatsTransport>,
    /// Draws the ids of runs: those of another mesh are others.
    seed: std::sync::atomic::AtomicU64,
    /// Kept running for as long as the test does.
    others: tokio::sync::Mutex<Vec<Nats>>,
}

impl NatsRig {
    pub(crate) async fn open() -> Self {
        let broker = Nats::start().await;
        let client = connect(&broker, 1).await;
        Self { broker, client, seed: 1.into(), others: tokio::sync::Mutex::default() }
    }

    fn next_seed(&self) -> u64 {
        self.seed.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }
}

async fn connect(broker: &Nats, seed: u64) -> Arc<NatsTransport> {
    connect_with(broker, seed, true).await
}

async fn connect_with(broker: &Nats, seed: u64, makes_what_is_missing: bool) -> Arc<NatsTransport> {
    let options = NatsOptions {
        servers: vec![broker.url().to_owned()],
        user: "test".into(),
        nkey_seed: None,
        tls: None,
        makes_what_is_missing,
    };
    let client = NatsTransport::connect(options, Arc::new(SeededEntropy::new(seed))).await.expect("options");
    until("the client is connected", || async { client.publish(Vec::new()).await.ok() }).await;
    Arc::new(client)
}

#[async_trait]
impl Rig for NatsRig {
    fn transport(&self) -> Arc<dyn Transport> {
        self.client.clone()
    }

    async fn crash(&mut self) {
        self.broker.kill();
        self.broker.start_again().await;
        self.client = connect(&self.broker, self.next_seed()).await;
    }

    async fn another_mesh(&self) -> Arc<dyn Transport> {
        let broker = Nats::start().await;
        let client = connect(&broker, self.next_seed()).await;
        self.others.lock().await.push(broker);
        client
    }
}

/// An authority takes a stream that there is not for one without words of its own. So it must be the broker that
/// says so: that a reader is missing, or that nobody answers, tells nothing of what lies there.
#[tokio::test]
async fn only_a_broker_that_has_no_stream_makes_it_missing() {
    let broker = Nats::start().await;
    let asker = connect_with(&broker, 1, false).await;
    let reading = Reading::words(facts(), Role::Registry);
    let refused = asker.subscribe(&reading, None).await.err().expect("there is no stream");
    assert!(matches!(refused, TransportError::Missing(_)), "{refused}");
    let maker = connect(&broker, 2).await;
    store(&*maker, vec![message(&facts(), "tenant.acme", 1)]).await;
    let refused = asker.subscribe(&reading, None).await.err().expect("there is no reader");
    assert!(matches!(refused, TransportError::Refused(_)), "{refused}");
}

/// A message tells how many waited behind it when it was sent. They may be gone when it is read, and it the last:
/// an authority that waited for the end would then never speak again.
#[tokio::test]
async fn the_end_is_told_when_what_waited_behind_the_last_message_is_gone() {
    let broker = Nats::start().await;
    let mesh = connect(&broker, 1).await;
    let urgent = stream(Lane::Urgent, region("a"));
    store(&*mesh, vec![message(&urgent, "link.acme", 1)]).await;
    let first = everything(&*mesh, &urgent).await.pop().expect("it was stored").position;
    store(&*mesh, vec![message(&urgent, "link.b", 2), message(&urgent, "link.c", 3)]).await;
    let mut subscription = subscribe(&*mesh, &urgent, Some(first.clone())).await;

    let client = async_nats::connect(broker.url()).await.expect("the broker is there");
    let jetstream = async_nats::jetstream::new(client);
    let stored = jetstream.get_stream(stream_name(&urgent)).await.expect("the stream is there");
    // One at a time is asked for on this lane, and not before the one before was taken.
    let read = next(&mut *subscription, 1).await;
    assert_eq!((bodies(&read.messages), read.caught_up), (vec!["link.b@1.2".to_owned()], false));
    assert!(stored.delete_message(first.sequence + 2).await.expect("it is there"));

    let read = tokio::time::timeout(crate::PATIENCE, rest(&mut *subscription)).await;
    assert_eq!(bodies(&read.expect("the end is told")), Vec::<String>::new());
}
