//! The rig of NATS JetStream: a real server of the test's own, killed and started again on what its disk holds.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::Role;
use openkcm_harness::{Nats, until};
use openkcm_host::SeededEntropy;
use openkcm_orbital::nats::{NatsOptions, NatsTransport};
use openkcm_orbital::{Reading, Transport, TransportError};

use crate::rig::Rig;
use crate::traffic::{facts, message, store};

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
